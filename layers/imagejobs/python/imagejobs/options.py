"""Steps `api`, `fan_out` and `compress`: how a job's images are to be compressed, as form fields say it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from imagejobs import errors
from imagejobs.fields import Choice, Matching, TextReader, WholeNumber, YesOrNo

FORMATS = ("keep", "jpeg", "webp", "avif", "auto")
EFFORTS = ("normal", "max")
MAX_SIDE_PIXELS = 65_535
"""JPEG's own limit (ITU-T T.81, Y and X of the frame header)."""

_COLOUR = Matching(
    "[0-9a-fA-F]{6}", "six hexadecimal digits for red, green and blue are allowed, such as ffffff", str.lower
)


def _option(default: object, read: TextReader, *, codes: bool = True) -> Any:  # noqa: ANN401 as `field` itself
    """`codes`: whether the bytes of an image depend on it."""
    return field(default=default, metadata={"read": read, "codes": codes})


@dataclass(frozen=True, slots=True)
class CompressionOptions:
    """How to compress; the API's description shows these words to its users.

    Args:
        quality: 1 to 100, of lossy codings, the same seen quality in every format; at 80 a picture is hard to tell
            from the original side by side.
        min_quality: 1 to 100, the least [SSIMULACRA2](https://github.com/cloudinary/ssimulacra2) score of every lossy
            coding against the picture that it was made from. Where `quality` does not reach it, higher ones are tried;
            a picture that no smaller file reaches it with keeps its coded picture. No floor without it.
        format: Of the outputs: the input's own (`keep`), one of three, or the smallest that browsers show (`auto`).
            A picture that would not get smaller in it keeps its own; so does an animation that the format cannot hold.
        effort: `max` makes smaller JPEGs at some twice the CPU.
        max_width: Most columns of the output, in pixels as a person sees the picture; nothing is enlarged.
        max_height: Most rows of the output, in pixels as a person sees the picture; nothing is enlarged.
        background: Colour behind transparent pixels where the format has none: red, green and blue, two hexadecimal
            digits each.
        keep_metadata: Whether the names of author and owner of the rights stay, of EXIF, XMP or IPTC, as EXIF; all
            other metadata always goes.
        keep_wide_gamut: Whether colours beyond sRGB stay, with their profile.
        reuse: Whether an image that did not change since an earlier job of the caller with the same options becomes
            what it became there, at no cost.
        human_urls: Whether each image has a second URL, of the sheet's own numbers: `<S. No.>/<position>.<extension>`.

    Raises:
        OptionInvalid: A value is out of its range.
    """

    quality: int = _option(80, WholeNumber(1, 100))
    format: str = _option("keep", Choice(FORMATS))
    effort: str = _option("normal", Choice(EFFORTS))
    max_width: int | None = _option(None, WholeNumber(1, MAX_SIDE_PIXELS))
    max_height: int | None = _option(None, WholeNumber(1, MAX_SIDE_PIXELS))
    background: str = _option("ffffff", _COLOUR)
    keep_metadata: bool = _option(False, YesOrNo())  # noqa: FBT003 a default
    keep_wide_gamut: bool = _option(False, YesOrNo())  # noqa: FBT003 a default
    min_quality: int | None = _option(None, WholeNumber(1, 100))
    reuse: bool = _option(True, YesOrNo(), codes=False)  # noqa: FBT003 a default
    human_urls: bool = _option(False, YesOrNo(), codes=False)  # noqa: FBT003 a default

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
