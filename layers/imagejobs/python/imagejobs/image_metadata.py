"""Step `compress`: the two entries of EXIF that may stay, and fresh EXIF that holds nothing else."""

import struct

from PIL import ExifTags, Image

MAX_NAME_BYTES = 500
"""Of an author's or owner's name in UTF-8: a line or two; more is no name."""

_TAGS = (ExifTags.Base.Artist, ExifTags.Base.Copyright)

Names = tuple[tuple[int, bytes], ...]
"""Who made the picture and who owns the rights: EXIF tags and UTF-8 without control characters."""

NO_NAMES: Names = ()


def read_names(picture: Image.Image) -> Names:
    """Return what EXIF says of author and owner; nothing when it is missing or damaged. The picture is decoded."""
    if picture.format == "GIF":
        return NO_NAMES
    try:
        exif = picture.getexif()
        values = [(tag, exif.get(tag)) for tag in _TAGS]
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error):
        return NO_NAMES
    names = [(int(tag), _cleaned(value)) for tag, value in values if isinstance(value, str)]
    return tuple((tag, name) for tag, name in names if name)


def tiff(orientation: int, names: Names) -> bytes:
    """Build EXIF with these entries alone, in the TIFF form that PNG and WebP hold; empty when there is nothing to say.

    Args:
        orientation: 1 to 8; 1 needs no entry.
        names: What `read_names` returned.
    """
    exif = Image.Exif()
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
    for tag, name in names:
        exif[tag] = name
    return exif.tobytes().removeprefix(b"Exif\0\0") if exif else b""


def _cleaned(value: str) -> bytes:
    """EXIF says ASCII (EXIF 2.32, 4.6.2); cameras write UTF-8 there, which Pillow reads as Latin-1."""
    try:
        text = value.encode("latin-1").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        text = value
    printable = "".join(character for character in text if character.isprintable())
    return printable.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip().encode()
