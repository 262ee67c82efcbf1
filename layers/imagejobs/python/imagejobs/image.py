"""Step `compress`: one image in, a smaller one of the same format out. Pure: no files, no network, no log.

    body ─► read_header, check_limits ─► open, decode ─► upright, RGB ─► encode ─► smaller? ─► CompressedImage
            (image_header)               (image_reader)                  (image_encoders, image_animation)

When rules meet, safe comes before upright, upright before right colours, right colours before small.
An output is never larger than its input.
"""

import dataclasses
import warnings
from dataclasses import dataclass

from PIL import Image

from imagejobs import errors, image_encoders
from imagejobs.image_animation import encode_animation
from imagejobs.image_header import ImageHeader, check_limits, read_header
from imagejobs.image_reader import open_picture, read_orientation, upright
from imagejobs.options import CompressionOptions

_MEDIA_TYPES = {
    "jpeg": ("image/jpeg", "jpg"),
    "png": ("image/png", "png"),
    "webp": ("image/webp", "webp"),
    "gif": ("image/gif", "gif"),
}

_SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class CompressedImage:
    """What becomes of an image.

    Attributes:
        body: The coded picture.
        format: "jpeg", "png", "webp" or "gif", as the input's.
        content_type: Its media type, such as "image/jpeg".
        extension: Of a file name, without the dot: "jpg", "png", "webp" or "gif".
        width: Columns in pixels, as a person sees it.
        height: Rows in pixels, as a person sees it.
        outcome: "smaller", or "unchanged" when `body` is the input's own bytes.
    """

    body: bytes
    format: str
    content_type: str
    extension: str
    width: int
    height: int
    outcome: str


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
        if header.format == "gif" or header.frames > 1:
            coded = encode_animation(body, header, options.quality, orientation)
        else:
            coded = _encode_still(picture, body, header, options.quality, orientation)
        width, height = picture.size
    if orientation in _SIDEWAYS:
        width, height = height, width
    content_type, extension = _MEDIA_TYPES[header.format]
    outcome = "unchanged" if coded is None else "smaller"
    return CompressedImage(coded or body, header.format, content_type, extension, width, height, outcome)


def _encode_still(
    picture: Image.Image, body: bytes, header: ImageHeader, quality: int, orientation: int
) -> bytes | None:
    """Return the first coding that is smaller than `body`, or None to keep it as it is.

    An upright RGB picture is coded once: when that is not smaller, the input was well compressed. One that
    had to be turned or converted goes down the ladder of qualities. At its end (a picture of a few bytes, or
    at the least quality already) the input stays, and viewers turn it by the orientation it still carries.
    """
    if image_encoders.is_inexact(picture, header):
        return None
    subsampling = image_encoders.chroma_subsampling(picture)
    image = upright(picture, orientation)
    must_change = orientation != 1 or picture.mode == "CMYK"
    if picture.mode == "CMYK":
        image = image_encoders.to_rgb(image)
    for coded in image_encoders.encodings(image, body, header, quality, subsampling):
        if len(coded) < len(body):
            return coded
        if not must_change:
            return None
    return None
