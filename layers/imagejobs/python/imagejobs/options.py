"""Steps `api`, `fan_out` and `compress`: how a job's images are to be compressed, as form fields say it."""

import re
from dataclasses import dataclass, fields

from imagejobs.form_fields import FormFields, option, read_choice, read_number, read_yes_or_no

FORMATS = ("keep", "jpeg", "webp", "avif", "auto")
EFFORTS = ("normal", "max")
MAX_SIDE_PIXELS = 65_535
"""JPEG's own limit (ITU-T T.81, Y and X of the frame header)."""


def _read_colour(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{6}", text):
        raise ValueError("six hexadecimal digits for red, green and blue are allowed, such as ffffff")
    return text.lower()


@dataclass(frozen=True, slots=True)
class CompressionOptions(FormFields):
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

    quality: int = option(80, read_number(1, 100))
    format: str = option("keep", read_choice(FORMATS))
    effort: str = option("normal", read_choice(EFFORTS))
    max_width: int | None = option(None, read_number(1, MAX_SIDE_PIXELS))
    max_height: int | None = option(None, read_number(1, MAX_SIDE_PIXELS))
    background: str = option("ffffff", _read_colour)
    keep_metadata: bool = option(False, read_yes_or_no)  # noqa: FBT003 a default
    keep_wide_gamut: bool = option(False, read_yes_or_no)  # noqa: FBT003 a default
    min_quality: int | None = option(None, read_number(1, 100))
    reuse: bool = option(True, read_yes_or_no, codes=False)  # noqa: FBT003 a default


@dataclass(frozen=True, slots=True)
class RunOptions(FormFields):
    """What is done with a job's images.

    Args:
        dry_run: Whether they are only looked at, and none is compressed.

    Raises:
        OptionInvalid: A value is out of its range.
    """

    dry_run: bool = option(False, read_yes_or_no)  # noqa: FBT003 a default


CODING_OPTIONS = frozenset(each.name for each in fields(CompressionOptions) if each.metadata.get("codes", True))
"""Those on which the bytes of an image depend."""
