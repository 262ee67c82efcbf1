"""Steps `api` and `fan_out`: what callers choose by form fields or object metadata, read by frozen dataclasses."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from imagejobs import errors
from imagejobs.fields import TextReader


def option(default: object, read: TextReader, **marks: object) -> Any:  # noqa: ANN401 as `dataclasses.field` itself
    """A field of `FormFields`.

    Args:
        default: Its value when it is not given; None for no value.
        marks: What else the field's metadata says.
        read: What reads its text, and what `str` makes of a value.
    """
    return dataclasses.field(default=default, metadata={"read": read, **marks})


@dataclasses.dataclass(frozen=True, slots=True)
class FormFields:
    """Base of what is chosen by fields, one `option` each.

    Raises:
        OptionInvalid: A value is out of its range.
    """

    def __post_init__(self) -> None:
        for name, value in self.to_fields().items():
            self._read(name, value)

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """Read form fields.

        Args:
            fields: Option names and their values, all text.

        Raises:
            OptionInvalid: An unknown name, or a value that is not allowed.
        """
        refuse_unknown(fields, cls)
        return cls.among(fields)

    @classmethod
    def among(cls, fields: Mapping[str, str]) -> Self:
        """Read its own of fields that others may have names in, such as an object's metadata.

        Raises:
            OptionInvalid: A value that is not allowed.
        """
        return cls(**{name: cls._read(name, text.strip()) for name, text in fields.items() if name in cls.names()})

    @classmethod
    def names(cls) -> frozenset[str]:
        """The names of all options."""
        return frozenset(each.name for each in dataclasses.fields(cls))

    def to_fields(self) -> dict[str, str]:
        """Return what `from_fields` reads back, without the defaults."""
        values = {each.name: (getattr(self, each.name), each.default) for each in dataclasses.fields(self)}
        return {name: _as_text(value) for name, (value, default) in values.items() if value != default}

    @classmethod
    def _read(cls, name: str, text: str) -> Any:  # noqa: ANN401 each option's own type
        (found,) = (each for each in dataclasses.fields(cls) if each.name == name)
        try:
            return found.metadata["read"](text)
        except ValueError as error:
            raise errors.OptionInvalid(f"Option {name!r} is {text[:40]!r}; {error}.") from None


def refuse_unknown(fields: Mapping[str, str], *kinds: type[FormFields]) -> None:
    """Refuse a field that none of these has.

    Raises:
        OptionInvalid: With the names that they have.
    """
    known = [each.name for kind in kinds for each in dataclasses.fields(kind)]
    for name in fields:
        if name not in known:
            raise errors.OptionInvalid(f"Unknown option {name[:40]!r}. The options are: {', '.join(known)}.")


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
