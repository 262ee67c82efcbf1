"""JSON Schema (draft 2020-12) of the types that answers and forms are made of."""

import dataclasses
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from openapi.docstrings import field_texts, read_docstring

Schema = dict[str, Any]

_SIMPLE: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
}


class Schemas:
    """Makes schemas, and keeps those of TypedDicts by their names, for `components/schemas`."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:  # noqa: ANN401 any type
        """The schema of a type; of a TypedDict, a reference to it.

        Raises:
            TypeError: Answers are not made of such types.
        """
        if is_typeddict(kind):
            return self._reference(kind)
        if kind in _SIMPLE:
            return dict(_SIMPLE[kind])
        return self._composed(kind, get_origin(kind), get_args(kind))

    def fields(self, shape: type) -> dict[str, Schema]:
        """The schema of each field of a TypedDict, with its text."""
        texts = field_texts(shape)
        kinds = get_type_hints(shape, include_extras=True)
        if untold := kinds.keys() - texts.keys():
            raise ValueError(f"{shape.__name__} has fields without a text under them: {', '.join(sorted(untold))}.")
        return {name: _described(self.of(kind), texts[name]) for name, kind in kinds.items()}

    def _reference(self, shape: type) -> Schema:
        if shape.__name__ not in self.named:
            self.named[shape.__name__] = {}
            self.named[shape.__name__] = {
                "type": "object",
                "description": read_docstring(shape).summary,
                "required": required_fields(shape),
                "properties": self.fields(shape),
            }
        return {"$ref": f"#/components/schemas/{shape.__name__}"}

    def _composed(self, kind: Any, origin: Any, arguments: tuple[Any, ...]) -> Schema:  # noqa: ANN401 any type
        made: Mapping[Any, Callable[[], Schema]] = {
            NotRequired: lambda: self.of(arguments[0]),
            Annotated: lambda: self.of(arguments[0]) | dict(arguments[1:]),
            Literal: lambda: {"type": "string", "enum": list(arguments)},
            Union: lambda: self._one_of(arguments),
            UnionType: lambda: self._one_of(arguments),
            list: lambda: {"type": "array", "items": self.of(arguments[0])},
            dict: lambda: {"type": "object"} | self._values(arguments[1]),
        }
        if origin not in made:
            raise TypeError(f"There is no schema for {kind}.")
        return made[origin]()

    def _values(self, kind: Any) -> Schema:  # noqa: ANN401 any type
        return {} if kind is Any else {"additionalProperties": self.of(kind)}

    def _one_of(self, kinds: tuple[Any, ...]) -> Schema:
        schemas = [self.of(kind) for kind in kinds]
        if len(schemas) == 2 and schemas[1] == {"type": "null"} and "type" in schemas[0]:
            return _nullable(schemas[0])
        return {"anyOf": schemas}


def required_fields(shape: type) -> list[str]:
    """The fields that a TypedDict must have, in its order."""
    required: frozenset[str] = getattr(shape, "__required_keys__")  # noqa: B009 unknown to type's own type
    return [name for name in get_type_hints(shape) if name in required]


def form_fields(options: type) -> dict[str, Schema]:
    """The schema of each field of a form that a dataclass reads; `read` in a field's metadata is its rule."""
    texts = read_docstring(options).sections["Args"]
    return {each.name: _form_field(each, texts[each.name]) for each in dataclasses.fields(options)}


def _form_field(option: "dataclasses.Field[Any]", text: str) -> Schema:
    schema: Schema = _described(option.metadata["read"].schema(), text)
    return schema if option.default is None else {**schema, "default": option.default}


def _nullable(schema: Schema) -> Schema:
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _described(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}
