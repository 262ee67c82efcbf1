"""Steps `api`, `fan_out` and `compress`: how a job's images are to be compressed, as form fields say it."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from imagejobs import errors

FORMATS = ("keep", "jpeg", "webp", "avif", "auto")
EFFORTS = ("normal", "max")
MAX_SIDE_PIXELS = 65_535
"""JPEG's own limit (ITU-T T.81, Y and X of the frame header)."""

_YES_OR_NO = {"true": True, "false": False}


def _read_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most} is allowed")
        return int(text)

    return read


def _read_choice(choices: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{', '.join(choices[:-1])} and {choices[-1]} are allowed")
        return text

    return read


def _read_colour(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{6}", text):
        raise ValueError("six hexadecimal digits for red, green and blue are allowed, such as ffffff")
    return text.lower()


def _read_yes_or_no(text: str) -> bool:
    if text not in _YES_OR_NO:
        raise ValueError("true and false are allowed")
    return _YES_OR_NO[text]


def _option(default: object, read: Callable[[str], object], *, codes: bool = True) -> Any:  # noqa: ANN401 as `field`
    """`codes`: whether the bytes of an image depend on it."""
    return field(default=default, metadata={"read": read, "codes": codes})


@dataclass(frozen=True, slots=True)
class CompressionOptions:
    """How to compress.

    Args:
        quality: 1 to 100, of lossy codings, the same seen quality in every format; at 80 a picture is hard to tell
            from the original side by side.
        min_quality: 1 to 100, the SSIMULACRA2 score that every lossy coding must reach against the picture that it was
            made from: where `quality` does not, the search goes up from there. None for no such floor.
        format: Of the output: the input's own ("keep"), one of three, or the smallest that a browser shows ("auto").
        effort: "normal", or "max" for smaller JPEGs at twice the CPU.
        max_width: Columns of the output at most; None for no limit. Nothing is enlarged.
        max_height: Rows of the output at most; None for no limit.
        background: Colour behind transparent pixels where the format has none, "rrggbb" in hexadecimal.
        keep_metadata: Whether the names of author and owner of the rights stay; all else never does.
        keep_wide_gamut: Whether colours beyond sRGB stay, with their profile.
        reuse: Whether an image that did not change since an earlier job of the caller becomes what it became there.

    Raises:
        OptionInvalid: A value is out of its range.
    """

    quality: int = _option(80, _read_number(1, 100))
    format: str = _option("keep", _read_choice(FORMATS))
    effort: str = _option("normal", _read_choice(EFFORTS))
    max_width: int | None = _option(None, _read_number(1, MAX_SIDE_PIXELS))
    max_height: int | None = _option(None, _read_number(1, MAX_SIDE_PIXELS))
    background: str = _option("ffffff", _read_colour)
    keep_metadata: bool = _option(False, _read_yes_or_no)  # noqa: FBT003 a default
    keep_wide_gamut: bool = _option(False, _read_yes_or_no)  # noqa: FBT003 a default
    min_quality: int | None = _option(None, _read_number(1, 100))
    reuse: bool = _option(True, _read_yes_or_no, codes=False)  # noqa: FBT003 a default

    def __post_init__(self) -> None:
        for name, value in self.to_fields().items():
            _read(name, value)

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """Read options from form fields or object metadata.

        Args:
            fields: Option names and their values, all text.

        Raises:
            OptionInvalid: An unknown name, or a value that is not allowed.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise errors.OptionInvalid(f"Unknown option {name[:40]!r}. The options are: {', '.join(known)}.")
        return cls(**{name: _read(name, text.strip()) for name, text in fields.items()})

    @classmethod
    def names(cls) -> frozenset[str]:
        """The names of all options."""
        return frozenset(each.name for each in dataclasses.fields(cls))

    def to_fields(self) -> dict[str, str]:
        """Return what `from_fields` reads back, without the defaults."""
        values = {each.name: (getattr(self, each.name), each.default) for each in dataclasses.fields(self)}
        return {name: _as_text(value) for name, (value, default) in values.items() if value != default}


CODING_OPTIONS = frozenset(each.name for each in dataclasses.fields(CompressionOptions) if each.metadata["codes"])
"""Those on which the bytes of an image depend."""


def _read(name: str, text: str) -> Any:  # noqa: ANN401 each option's own type
    (option,) = (each for each in dataclasses.fields(CompressionOptions) if each.name == name)
    try:
        return option.metadata["read"](text)
    except ValueError as error:
        raise errors.OptionInvalid(f"Option {name!r} is {text[:40]!r}; {error}.") from None


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
