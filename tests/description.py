"""Holds answers of the API against its description: every answer that a test gets goes through here."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from openapi.description import resolved

FILE = Path(__file__).parents[1] / "layers" / "imagejobs" / "python" / "imagejobs" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))


def check_answer(method: str, path: str, http_status: int, headers: Mapping[str, str], body: str) -> None:
    """Fail unless the answer has a described status, with its headers, code and shape of body.

    Args:
        method: Of the request.
        path: Of the request, as it was sent or as a template; one that is not described is not checked.
        http_status: Of the answer.
        headers: Of the answer, by their names as the API writes them.
        body: Of the answer.
    """
    operation = _operation(method.lower(), path.partition("?")[0])
    if operation is None:
        return
    responses = operation["responses"]
    assert str(http_status) in responses, f"{method} {path} answers {http_status}, which is not described: {body}"
    described = resolved(DOCUMENT, responses[str(http_status)])
    required = {name for name, header in described.get("headers", {}).items() if header.get("required", True)}
    missing = required - headers.keys()
    assert not missing, f"{method} {path} answers {http_status} without {missing}"
    (media_type, content), *_ = described["content"].items()
    assert headers["Content-Type"].partition(";")[0] == media_type
    if media_type != "application/json":
        return
    answer = json.loads(body)
    check_shape(content["schema"], answer)
    if http_status >= 400:
        assert answer["code"] in content["examples"], f"{method} {path} answers a code that is not described: {body}"


def check_shape(schema: Mapping[str, Any], value: object) -> None:
    """Fail unless a value is of a shape of the document, with no field beside the described ones."""
    _validator(json.dumps(schema)).validate(value)


@cache
def _validator(schema: str) -> Draft202012Validator:
    """Fields that are not described are let in by the document, for callers' sake, and here by nobody's."""
    closed = {
        name: {**shape, "additionalProperties": False} if name != "OpenApi" else shape
        for name, shape in DOCUMENT["components"]["schemas"].items()
    }
    components = {**DOCUMENT["components"], "schemas": closed}
    return Draft202012Validator({**json.loads(schema), "components": components}, format_checker=FormatChecker())


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template, methods in DOCUMENT["paths"].items():
        if path == template or re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path):
            found: dict[str, Any] | None = methods.get(method)
            return found
    return None
