"""Docstrings as this project writes them: a summary, paragraphs, sections; and texts under fields."""

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):\n", re.MULTILINE)
_ENTRY = re.compile(r"^    (\S.*?): ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring taken apart; line breaks within a paragraph are spaces.

    Attributes:
        summary: The first paragraph.
        description: The paragraphs between it and the first section, empty lines between them.
        sections: Of each section its entries: what stands before the colon, and behind it.
    """

    summary: str
    description: str
    sections: dict[str, dict[str, str]] = field(default_factory=dict)


def read_docstring(documented: object) -> Docstring:
    """The docstring of a function or class, which must have one."""
    text = inspect.getdoc(documented)
    if not text:
        raise ValueError(f"{documented} has no docstring.")
    prose, *sections = _SECTION.split(text + "\n")
    paragraphs = [_one_line(paragraph) for paragraph in prose.strip().split("\n\n")]
    entries = {name: _entries(content) for name, content in zip(sections[::2], sections[1::2], strict=True)}
    return Docstring(paragraphs[0], "\n\n".join(paragraphs[1:]), entries)


def field_texts(shape: type) -> dict[str, str]:
    """The text under each field of a TypedDict, those of its bases included.

    Read from the source: a TypedDict keeps neither its bases nor what stands under its fields.
    """
    definition: Any = ast.parse(textwrap.dedent(inspect.getsource(shape))).body[0]
    texts: dict[str, str] = {}
    for base in definition.bases:
        named: Any = getattr(inspect.getmodule(shape), ast.unparse(base))
        texts |= field_texts(named) if isinstance(named, type) else {}
    for statement, following in pairwise(definition.body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = _one_line(inspect.cleandoc(text))
    return texts


def _entries(section: str) -> dict[str, str]:
    _, *parts = _ENTRY.split(section)
    return {name: _one_line(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _one_line(text: str) -> str:
    return " ".join(text.split())
