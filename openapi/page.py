"""The description as a page: HTML and CSS, made from the OpenAPI document alone."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from openapi.description import resolved
from openapi.samples import FILES

_FOLDER = Path(__file__).parent
_MARKDOWN = MarkdownIt("commonmark", {"html": False})
_MAX_SHOWN_PATTERN = 30  # characters; a longer one tells a person nothing
_FORMATS = {"uuid": "a UUID", "uri": "a URL", "date-time": "a time (RFC 3339)"}
_TYPES = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}


def render_page(document: Mapping[str, Any]) -> str:
    """The page, which needs nothing beside itself.

    Args:
        document: OpenAPI, as `describe` makes it.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "markdown": _blocks,
        "inline": _inline,
        "json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "resolved": lambda node: resolved(document, node),
        "kind": _kind,
    }
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    parts = [(tag, list(_operations(document, tag["name"]))) for tag in document["tags"]]
    return environment.get_template("page.html.jinja").render(
        document=document, parts=parts, style=Markup(style), files=FILES
    )


def _blocks(markdown: str) -> Markup:
    return Markup(_MARKDOWN.render(markdown))


def _inline(markdown: str) -> Markup:
    return Markup(_MARKDOWN.renderInline(markdown))


def _operations(document: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _kind(schema: Mapping[str, Any]) -> Markup:
    """What a schema allows, in words."""
    if "$ref" in schema:
        return _link(schema)
    if "anyOf" in schema:
        return Markup(" or ").join(_kind(each) for each in schema["anyOf"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    words = _words(schema, kinds[0])
    return words + Markup(" or <code>null</code>") if "null" in kinds[1:] else words


def _words(schema: Mapping[str, Any], kind: str) -> Markup:
    if "enum" in schema:
        return Markup(", ").join(Markup("<code>{}</code>").format(each) for each in schema["enum"] if each is not None)
    if kind == "array":
        return Markup("a list of ") + _kind(schema["items"])
    if "contentMediaType" in schema:
        return Markup("a file")
    words = _FORMATS.get(schema.get("format", ""), _TYPES.get(kind, kind))
    if len(schema.get("pattern", "")) in range(1, _MAX_SHOWN_PATTERN):
        return Markup("{} like <code>{}</code>").format(words, schema["pattern"])
    return Markup("{}{}").format(words, _range(schema))


def _range(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"minimum": least, "maximum": most}:
            return f", {least:,} to {most:,}"
        case {"minimum": least}:
            return f", {least:,} or more"
    return ""


def _link(schema: Mapping[str, str]) -> Markup:
    name = schema["$ref"].rpartition("/")[2]
    return Markup('<a href="#shape-{0}">{0}</a>').format(name)
