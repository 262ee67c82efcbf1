"""Step `compress`: one image in, a smaller one of the same format out. Pure: no files, no network, no log.

    body ─► read_header, check_limits ─► open, decode ─► upright, RGB ─► encode ─► smaller? ─► CompressedImage
            (image_header)               (image_reader)      │           (image_encoders,          ▲
                                                             │            image_animation)         │ no
                                                             └─► the coded picture in a new file ──┘
                                                                 (image_rebuild)

When rules meet, safe comes before upright, upright before right colours, right colours before small.
An output is never larger than its input, and never holds what its input held beside the picture.
"""

import dataclasses
import warnings
from collections.abc import Iterator
from functools import partial

from PIL import Image
from PIL.ImageFile import ImageFile

from imagejobs import errors, image_encoders, image_rebuild
from imagejobs.image_animation import encode_animation
from imagejobs.image_header import ImageHeader, check_limits, read_header
from imagejobs.image_reader import open_picture, read_orientation, upright
from imagejobs.image_result import MEDIA_TYPES, CompressedImage
from imagejobs.options import CompressionOptions

_SIDEWAYS = frozenset({5, 6, 7, 8})


def compress(body: bytes, options: CompressionOptions) -> CompressedImage:
    """Compress one image; the same bytes and options always give the same bytes.

    Args:
        body: A JPEG, PNG, WebP or GIF file.
        options: How to compress.

    Raises:
        FormatUnsupported: The content is in none of the four formats.
        ImageTooLarge: Over a limit of `image_header`.
        ImageUnreadable: Empty, truncated or damaged.
    """
    header = read_header(body)
    check_limits(header)
    try:
        # Pillow's warnings are of damaged metadata, which is dropped; a size it warns of was refused above.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _compress(body, header, options)
    except errors.ImageError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise errors.ImageTooLarge("The image needs more memory than there is to decode it.") from error
    except Exception as error:
        # A damaged file makes Pillow raise ValueError, SyntaxError, RuntimeError, struct.error and more.
        raise errors.ImageUnreadable(
            f"The {header.format.upper()} image is truncated or damaged and cannot be decoded."
        ) from error


def _compress(body: bytes, header: ImageHeader, options: CompressionOptions) -> CompressedImage:
    with open_picture(body, header) as picture:
        # Pillow's reading of the size may differ from the header's in a forged file.
        check_limits(dataclasses.replace(header, width=picture.width, height=picture.height))
        # Before the EXIF is looked for: there Pillow would load a PNG too, and a failure would be hidden.
        picture.load()
        orientation = read_orientation(picture)
        coded, outcome = _encode_or_keep(picture, body, header, options.quality, orientation)
        width, height = picture.size
    if orientation in _SIDEWAYS:
        width, height = height, width
    content_type, extension = MEDIA_TYPES[header.format]
    return CompressedImage(coded, header.format, content_type, extension, width, height, outcome)


def _encode_or_keep(
    picture: ImageFile, body: bytes, header: ImageHeader, quality: int, orientation: int
) -> tuple[bytes, str]:
    """Return a smaller coding, or else the coded picture in a new file, and which of the two it is.

    Raises:
        ImageUnreadable: Neither is possible: a damaged file is not handed on as it came.
    """
    encode = partial(_encode, picture, body, header, quality, orientation)
    kept = _rebuilt(body, orientation)
    coded = encode(kept)
    if coded is None and kept is not None:
        if not image_rebuild.has_slack(kept):
            return kept, "unchanged"
        coded = encode(None)
    if coded is None:
        damage = f"The {header.format.upper()} image is damaged: it can be read, but not made smaller"
        raise errors.ImageUnreadable(f"{damage}. Save it anew to upload it.")
    return coded, "smaller"


def _rebuilt(body: bytes, orientation: int) -> bytes | None:
    try:
        return image_rebuild.rebuild(body, orientation)
    except image_rebuild.NotRebuildable:
        return None


def _encode(
    picture: ImageFile, body: bytes, header: ImageHeader, quality: int, orientation: int, kept: bytes | None
) -> bytes | None:
    """Return a coding smaller than what would be `kept`; or than `body`, when that cannot stay as it is."""
    must_change = kept is None or orientation != 1 or picture.mode == "CMYK"
    most_bytes = len(body) if kept is None or must_change else len(kept)
    if header.format == "gif" or header.frames > 1:
        return encode_animation(body, header, quality, orientation, most_bytes)
    if image_encoders.is_inexact(picture, header):
        return None
    for coded in _still_encodings(picture, body, header, quality, orientation):
        if len(coded) < most_bytes:
            return coded
        if not must_change:
            return None
    return None


def _still_encodings(
    picture: ImageFile, body: bytes, header: ImageHeader, quality: int, orientation: int
) -> Iterator[bytes]:
    """Yield codings down the ladder of qualities.

    An upright RGB picture takes the first only: when that is not smaller, the input was well compressed. One that
    has to be turned or converted may go on to the end. There (a picture of a few bytes, or at the least quality
    already) the coded picture stays, and viewers turn it by the orientation that the new file still carries.
    """
    subsampling = image_encoders.chroma_subsampling(picture)
    image = upright(picture, orientation)
    if picture.mode == "CMYK":
        image = image_encoders.to_rgb(image)
    return image_encoders.encodings(image, body, header, quality, subsampling)
