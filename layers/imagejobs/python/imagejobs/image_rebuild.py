"""Step `compress`: a new file around a coded picture that is kept, with nothing in it but what a decoder needs.

    body ─► rebuild ─► size known ─► is a coding anew smaller? ─► no ─► has_slack? ─► no ─► kept

`rebuild` copies by allow-lists: the coded pixels, their tables, timing and what says which colours are meant. All
else (comments, EXIF, XMP, thumbnails, second pictures, private and unknown parts, what follows the end) is left out.
`has_slack` asks the decoder itself whether it needs the coded data to their end, for there a payload can hide too.
"""

import struct
import zlib

from imagejobs import image_rebuild_gif, image_rebuild_jpeg, image_rebuild_png, image_rebuild_webp
from imagejobs.image_header import format_of
from imagejobs.image_metadata import NO_NAMES, Names, tiff
from imagejobs.image_rebuild_common import NotRebuildable

_REBUILDERS = {
    "jpeg": image_rebuild_jpeg.rebuild,
    "png": image_rebuild_png.rebuild,
    "gif": image_rebuild_gif.rebuild,
    "webp": image_rebuild_webp.rebuild,
}


def rebuild(body: bytes, orientation: int, names: Names = NO_NAMES) -> bytes:
    """Write a file anew: the same coded pixels, frames, timing, loop and colours, and nothing else.

    Args:
        body: A JPEG, PNG, WebP or GIF file that is within the limits of `image_header`.
        orientation: 1 to 8, as in EXIF; written into the file unless it is 1.
        names: Of author and owner, to be written into it; a GIF and a WebP of the simple form have no place for them.

    Returns:
        The file, never larger than `body`.

    Raises:
        NotRebuildable: It must be coded anew, or refused.
    """
    try:
        rebuilt = _REBUILDERS[format_of(body)](body, tiff(orientation, names))
    except (struct.error, IndexError, KeyError, ValueError, zlib.error) as error:
        raise NotRebuildable("The file is damaged.") from error
    if len(rebuilt) > len(body):
        raise NotRebuildable("The file would grow.")
    return rebuilt


def has_slack(rebuilt: bytes) -> bool:
    """Tell whether more than a few bytes within the coded data are, or may be, of no use to the decoder.

    Args:
        rebuilt: What `rebuild` returned, of a picture that can be decoded.
    """
    match format_of(rebuilt):
        case "jpeg":
            return image_rebuild_jpeg.has_slack(rebuilt)
        case "webp":
            return image_rebuild_webp.has_slack(rebuilt)
        case _:
            return False  # of PNG and GIF, `rebuild` has cut it off
