"""The calls of an operation as curl commands: `$API`, `$TOKEN` and `$REQUEST_ID` are the shell's, files lie here."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

FILES = {"upload": "products.csv", "retry": "failures.csv"}
"""What is sent as `file`, by the operation."""
RESULTS = {"result": "finished.csv", "failures": "failures.csv", "report": "report.html"}
"""Where a redirect's file goes, by the operation."""


def samples(method: str, path: str, operation: Mapping[str, Any]) -> list[dict[str, str]]:
    """One command for each example of the request; one without a body has one.

    Args:
        method: In lower case.
        path: As OpenAPI writes it.
        operation: As OpenAPI describes it, but for these.

    Returns:
        `x-codeSamples`, as several renderers show them.
    """
    body = operation.get("requestBody")
    if not body:
        return [_sample(operation["summary"], list(_head(method, path, operation, has_body=False)))]
    media_type, content = next(iter(body["content"].items()))
    return [
        _sample(
            example["summary"],
            [
                *_head(method, path, operation, has_body=bool(example["value"])),
                *_body(media_type, example, FILES.get(operation["operationId"], "")),
            ],
        )
        for example in content["examples"].values()
    ]


def _sample(label: str, lines: list[str]) -> dict[str, str]:
    return {"lang": "Shell", "label": label, "source": " \\\n  ".join(lines)}


def _head(method: str, path: str, operation: Mapping[str, Any], *, has_body: bool) -> Iterator[str]:
    follows = "303" in operation["responses"]
    parameters = operation.get("parameters", [])
    query = {each["name"]: each["example"] for each in parameters if each.get("in") == "query" and "example" in each}
    url = "$API" + path.replace("{request_id}", "$REQUEST_ID") + (f"?{urlencode(query)}" if query else "")
    verb = " -X POST" if method == "post" and not has_body else ""
    yield f'curl{" -L -o " + RESULTS[operation["operationId"]] if follows else ""}{verb} "{url}"'
    if operation.get("security") != []:
        yield '-H "Authorization: Bearer $TOKEN"'


def _body(media_type: str, example: Mapping[str, Any], file_name: str) -> Iterator[str]:
    for name, value in example.get("x-headers", {}).items():
        yield f"-H {shlex.quote(f'{name}: {value}')}"
    if media_type == "application/json":
        yield "-H 'Content-Type: application/json'"
        yield f"-d {shlex.quote(json.dumps(example['value']))}"
        return
    for name, value in example["value"].items():
        yield f"-F {shlex.quote(f'{name}=@{file_name}' if name == 'file' else f'{name}={_text(value)}')}"


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
