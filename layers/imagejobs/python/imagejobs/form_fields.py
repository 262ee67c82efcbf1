"""Steps `api` and `fan_out`: what callers choose by form fields or object metadata, read by frozen dataclasses."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, Self

from imagejobs import errors

_YES_OR_NO = {"true": True, "false": False}


def option(default: object, read: Callable[[str], object], **marks: object) -> Any:  # noqa: ANN401 as `dataclasses.field` itself
    """A field of `FormFields`.

    Args:
        default: Its value when it is not given; None for no value.
        marks: What else the field's metadata says.
        read: From its text; raises ValueError with what is allowed. Takes what `str` makes of a value, too.
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
    def names(cls) -> tuple[str, ...]:
        """The names of all options."""
        return tuple(each.name for each in dataclasses.fields(cls))

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
    known = [name for kind in kinds for name in kind.names()]
    for name in fields:
        if name not in known:
            raise errors.OptionInvalid(f"Unknown option {name[:40]!r}. The options are: {', '.join(known)}.")


def read_number(least: int, most: int) -> Callable[[str], int]:
    """A whole number of a range, both ends in it."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most} is allowed")
        return int(text)

    return read


def read_choice(choices: tuple[str, ...]) -> Callable[[str], str]:
    """One of several words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{', '.join(choices[:-1])} and {choices[-1]} are allowed")
        return text

    return read


def read_yes_or_no(text: str) -> bool:
    """`true` or `false`."""
    if text not in _YES_OR_NO:
        raise ValueError("true and false are allowed")
    return _YES_OR_NO[text]


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
