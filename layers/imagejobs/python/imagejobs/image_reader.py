"""Step `compress`: opening a picture with Pillow, and turning it upright."""

import io
import struct
from typing import cast

# Importing WebPImagePlugin registers it too, which Pillow else does only together with forty other formats.
from PIL import ExifTags, GifImagePlugin, Image, ImageCms, ImageFile, WebPImagePlugin

from imagejobs.image_header import ImageHeader

# Frames that share one palette stay in it: converted to RGB, they could only be written back quantised.
GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY

MAX_PROFILE_BYTES = 4_000_000
"""Of an ICC profile: those of displays take a few KB, the largest of printers 2 or 3 MB."""

_UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(body: bytes, header: ImageHeader) -> ImageFile.ImageFile:
    """Open with the one reader that fits the first bytes; nothing is decoded yet.

    Raises:
        Exception: Whatever Pillow raises for a damaged file.
    """
    return Image.open(io.BytesIO(body), formats=[header.format.upper()])


def load(picture: ImageFile.ImageFile) -> None:
    """Decode the picture, or the first of its frames, and give back what only further frames would need.

    Raises:
        Exception: Whatever Pillow raises for a damaged file.
    """
    picture.load()
    if isinstance(picture, WebPImagePlugin.WebPImageFile):
        picture._decoder = None  # two canvases: 8 bytes a pixel, twice what the picture takes


def read_orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 as well when it is missing, damaged or means nothing."""
    if picture.format == "GIF":
        return 1  # it has no EXIF, and what editors leave in its XMP no viewer applies
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error):
        return 1
    return orientation if isinstance(orientation, int) and orientation in _UPRIGHT_BY else 1


def is_inexact(picture: Image.Image, header: ImageHeader) -> bool:
    """Tell whether Pillow reads a picture otherwise than it looks.

    Of a 16-bit RGB PNG it keeps the high bytes, so that a transparent colour given in 16 bits does not match; the
    one of 16-bit grey matches in no other mode.
    """
    return "transparency" in picture.info and (header.deep_rgb or picture.mode == "I;16")


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Turn a decoded picture as its EXIF orientation (1 to 8) asks."""
    return picture.transpose(_UPRIGHT_BY[orientation]) if orientation in _UPRIGHT_BY else picture


def read_profile(picture: Image.Image) -> bytes | None:
    """Return the ICC profile of an opened picture, or None without a usable one."""
    return usable_profile(cast("bytes | None", picture.info.get("icc_profile")))


def usable_profile(profile: bytes | None) -> bytes | None:
    """Return a profile cut to the length that it says, or None when no colour engine could use it."""
    if not profile or len(profile) < 128:
        return None
    length = int.from_bytes(profile[:4], "big")
    if not 128 <= length <= min(len(profile), MAX_PROFILE_BYTES):
        return None
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile[:length]))
    except (OSError, ValueError, TypeError):
        return None
    return profile[:length]
