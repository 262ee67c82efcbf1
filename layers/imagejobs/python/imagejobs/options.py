"""Steps `api`, `fan_out` and `compress`: how a job's images are to be compressed, as form fields say it."""

from dataclasses import dataclass, fields

from imagejobs.fields import Choice, Matching, WholeNumber, YesOrNo
from imagejobs.form_fields import FormFields, option

FORMATS = ("keep", "jpeg", "webp", "avif", "auto")
EFFORTS = ("normal", "max")
MAX_SIDE_PIXELS = 65_535
"""JPEG's own limit (ITU-T T.81, Y and X of the frame header)."""

_COLOUR = Matching(
    "[0-9a-fA-F]{6}", "six hexadecimal digits for red, green and blue are allowed, such as ffffff", str.lower
)


@dataclass(frozen=True, slots=True)
class CompressionOptions(FormFields):
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

    Raises:
        OptionInvalid: A value is out of its range.
    """

    quality: int = option(80, WholeNumber(1, 100))
    format: str = option("keep", Choice(FORMATS))
    effort: str = option("normal", Choice(EFFORTS))
    max_width: int | None = option(None, WholeNumber(1, MAX_SIDE_PIXELS))
    max_height: int | None = option(None, WholeNumber(1, MAX_SIDE_PIXELS))
    background: str = option("ffffff", _COLOUR)
    keep_metadata: bool = option(False, YesOrNo())  # noqa: FBT003 a default
    keep_wide_gamut: bool = option(False, YesOrNo())  # noqa: FBT003 a default
    min_quality: int | None = option(None, WholeNumber(1, 100))
    reuse: bool = option(True, YesOrNo(), codes=False)  # noqa: FBT003 a default


CODING_OPTIONS = frozenset(each.name for each in fields(CompressionOptions) if each.metadata.get("codes", True))
"""Those on which the bytes of an image depend."""
