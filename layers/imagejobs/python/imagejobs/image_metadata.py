"""Step `compress`: the names that may stay of a picture's metadata, and fresh EXIF that holds nothing else.

    EXIF Artist, Copyright ─────────┐
    XMP dc:creator, dc:rights ──────┼─► of each pair the first that is there ─► EXIF
    IPTC By-line, Copyright Notice ─┘

The order is that of the Metadata Working Group (Guidelines for Handling Image Metadata 2.0): EXIF first; then XMP, but
IPTC where its digest says that a program that knew no XMP has changed it since.
"""

import hashlib
import struct
from collections.abc import Mapping

# Importing IptcImagePlugin here: in the codec's process no file can be opened once there is a picture.
from PIL import ExifTags, Image, IptcImagePlugin
from PIL.JpegImagePlugin import JpegImageFile

from imagejobs.image_xmp import read_creator_and_rights

MAX_NAME_BYTES = 500
"""Of an author's or owner's name in UTF-8: a line or two; more is no name."""

_TAGS = (ExifTags.Base.Artist, ExifTags.Base.Copyright)
_IPTC_DATASETS = ((2, 80), (2, 116))  # By-line, Copyright Notice: IPTC-NAA Information Interchange Model 4.2
_IPTC_RESOURCE, _IPTC_DIGEST_RESOURCE = 0x0404, 0x0425  # Adobe Photoshop File Formats, image resource IDs
_SEPARATOR = "; "  # of several authors in the one Artist of EXIF: MWG 2.0

Names = tuple[tuple[int, bytes], ...]
"""Who made the picture and who owns the rights: EXIF tags and UTF-8 without control characters."""

NO_NAMES: Names = ()

_Texts = tuple[str, str]
"""Of author and owner; empty where there is none."""

_NO_TEXTS = ("", "")


def read_names(picture: Image.Image) -> Names:
    """Return what its metadata say of author and owner; nothing when they are missing or damaged.

    Args:
        picture: Decoded, as `image_reader.open_picture` opened it.
    """
    if picture.format == "GIF":
        return NO_NAMES
    by_tag = zip(*(map(_cleaned, texts) for texts in [_exif_texts(picture), *_further_texts(picture)]), strict=True)
    firsts = (next(filter(None, texts), b"") for texts in by_tag)
    return tuple((int(tag), name) for tag, name in zip(_TAGS, firsts, strict=True) if name)


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


def _exif_texts(picture: Image.Image) -> _Texts:
    """EXIF says ASCII (EXIF 2.32, 4.6.2); cameras write UTF-8 there, which Pillow reads as Latin-1."""
    try:
        exif = picture.getexif()
        values = [exif.get(tag) for tag in _TAGS]
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error):
        return _NO_TEXTS
    artist, owner = (_decoded(value.encode("latin-1", "replace")) if isinstance(value, str) else "" for value in values)
    return artist, owner


def _further_texts(picture: Image.Image) -> list[_Texts]:
    packet = picture.info.get("xmp")
    creators, rights = read_creator_and_rights(packet) if isinstance(packet, bytes) else ([], "")
    of_xmp = (_SEPARATOR.join(creators), rights)
    if not isinstance(picture, JpegImageFile):
        return [of_xmp]
    of_iptc = _iptc_texts(picture)
    return [of_iptc, of_xmp] if _iptc_was_changed(picture.info.get("photoshop", {})) else [of_xmp, of_iptc]


def _iptc_was_changed(resources: Mapping[int, object]) -> bool:
    """Whether XMP and IPTC were once written together, and IPTC since by itself."""
    told, iptc = resources.get(_IPTC_DIGEST_RESOURCE), resources.get(_IPTC_RESOURCE, b"")
    if not isinstance(told, bytes) or not isinstance(iptc, bytes):
        return False
    return told != hashlib.md5(iptc, usedforsecurity=False).digest()


def _iptc_texts(picture: JpegImageFile) -> _Texts:
    try:
        datasets = IptcImagePlugin.getiptcinfo(picture) or {}
    except (OSError, SyntaxError, TypeError, struct.error):  # TypeError: a size that is there twice, or empty
        return _NO_TEXTS
    authors, owners = (_SEPARATOR.join(map(_decoded, _several(datasets.get(number)))) for number in _IPTC_DATASETS)
    return authors, owners


def _several(values: object) -> list[bytes]:
    """Of a dataset that is there once, Pillow returns the value, else a list; None where it has no bytes."""
    values = values if isinstance(values, list) else [values]
    return [value for value in values if isinstance(value, bytes)]


def _decoded(text: bytes) -> str:
    """Text that is to be ASCII, and mostly is UTF-8 where it is not."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _cleaned(text: str) -> bytes:
    printable = "".join(character for character in text if character.isprintable())
    return printable.encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip().encode()
