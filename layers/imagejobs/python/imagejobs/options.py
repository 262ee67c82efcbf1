"""Steps `api`, `fan_out` and `compress`: how a job's images are to be compressed, as form fields say it."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from imagejobs import errors


@dataclass(frozen=True, slots=True)
class CompressionOptions:
    """How to compress.

    Args:
        quality: 1 to 100, of lossy codings; about 80 is hard to tell from the original side by side.

    Raises:
        OptionInvalid: A value is out of its range.
    """

    quality: int = 80

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise errors.OptionInvalid(_quality_refusal(str(self.quality)))

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """Read options from form fields or object metadata.

        Args:
            fields: Option names and their values, all text.

        Raises:
            OptionInvalid: An unknown name, or a value that is not allowed.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise errors.OptionInvalid(f"Unknown option {name[:40]!r}. The options are: {', '.join(known)}.")
        return cls(quality=_read_quality(fields["quality"])) if "quality" in fields else cls()

    @classmethod
    def names(cls) -> frozenset[str]:
        """The names of all options."""
        return frozenset(field.name for field in dataclasses.fields(cls))

    def to_fields(self) -> dict[str, str]:
        """Return what `from_fields` reads back, without the defaults."""
        return {
            field.name: str(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }


def _read_quality(text: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,3}\s*", text):
        raise errors.OptionInvalid(_quality_refusal(text))
    return int(text)


def _quality_refusal(value: str) -> str:
    return f"Option 'quality' is {value[:40]!r}; a whole number from 1 to 100 is allowed."
