"""Step `compress`, before anything is decoded: what a file claims to be, and whether it is within the limits.

Pillow would answer most of this too, but only after it has allocated a canvas, read every frame or warned.
These readers look at a few bytes a chunk, so that a bomb costs no more than its download.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from imagejobs import errors

MAX_PIXELS = 50_000_000
"""Pixels of one frame: a 50 megapixel camera, and about 200 MB of memory once decoded."""

MAX_ANIMATION_PIXELS = 250_000_000
"""Pixels of all frames together: 1,000 frames of 500 by 500, or 4 minutes of 360p at 4 frames/s."""

MAX_FRAMES = 1_000

MAX_SCANS = 100
"""Scans of one JPEG. Encoders write 1 to about 20; every scan passes over all pixels again, so that 724 KB
with thousands of scans took over 30 s to decode."""

_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_JPEG_WITHOUT_LENGTH = frozenset({0x01, 0xD8})
_JPEG_END = 0xD9
_JPEG_SCAN = 0xDA
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

PNG_COLOUR_CHUNKS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
"""What says the colours of a PNG, beside its profile: the chunk's name and its one valid length in bytes."""

_GIF_BLOCK = re.compile(rb"[!,;]")

_MAGIC_BYTES = 64
"""What tells a format, or what a foreign file looks like."""

# What people upload by mistake, so that the refusal can say what it is: (offset, first bytes, name).
_FOREIGN_FORMATS = (
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyp", "a HEIC picture or a video"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<", "a web page (HTML or XML)"),
    (0, b"%PDF", "a PDF document"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says about itself.

    Attributes:
        format: "jpeg", "png", "webp" or "gif".
        width: Columns as stored, in pixels; orientation is not applied.
        height: Rows as stored, in pixels.
        frames: Frames of an animation; 1 for a still picture.
        scans: Scans of a JPEG, 1 for all other formats.
        lossless: True when every pixel is stored exactly.
        deep_rgb: True for a PNG of 16 bits a channel without alpha.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    scans: int = 1
    lossless: bool = True
    deep_rgb: bool = False


def read_header(body: bytes) -> ImageHeader:
    """Tell the format by its first bytes and read size, frames and scans.

    Raises:
        FormatUnsupported: Neither JPEG, PNG, WebP nor GIF.
        ImageUnreadable: Empty, or it ends within its header.
    """
    if not body:
        raise errors.ImageUnreadable("The file is empty: the server sent no bytes for this image.")
    reader = _READERS.get(format_of(body))
    if reader is None:
        raise errors.FormatUnsupported(_refusal(body))
    try:
        return reader(body)
    except (struct.error, IndexError) as error:
        raise errors.ImageUnreadable("The image is truncated or damaged: its header ends too early.") from error


def read_start(start: bytes) -> ImageHeader | None:
    """As `read_header`, by the start of a file; None when it takes more of the file than that.

    Frames and scans are no more than the start shows.

    Raises:
        FormatUnsupported: Neither JPEG, PNG, WebP nor GIF.
    """
    if len(start) < _MAGIC_BYTES:
        return None
    reader = _START_READERS.get(format_of(start))
    if reader is None:
        raise errors.FormatUnsupported(_refusal(start))
    try:
        header = reader(start)
    except (struct.error, IndexError):
        return None
    return header if header.width and header.height else None


def check_start(start: bytes, *, is_whole: bool) -> ImageHeader:
    """What a file claims to be, by as much of it as `is_enough`, and whether it would be begun with.

    Args:
        start: The first bytes of the file.
        is_whole: Whether there are no more.

    Raises:
        FormatUnsupported, ImageTooLarge, ImageUnreadable: What `image.compress` raises before it decodes anything, or
            must raise for want of a size.
    """
    header = read_header(start) if is_whole else read_start(start)
    if header is None or not (header.width and header.height):
        raise errors.ImageUnreadable("The image is truncated or damaged: its header says no size.")
    check_limits(header)
    return header


def is_enough(start: bytes) -> bool:
    """Whether the start of a file says what it is, or that it is nothing to go on with."""
    try:
        return read_start(start) is not None
    except errors.FormatUnsupported:
        return True


def check_limits(header: ImageHeader) -> None:
    """Refuse what would take too much memory or time to decode.

    Raises:
        ImageTooLarge: Over MAX_PIXELS, MAX_FRAMES, MAX_ANIMATION_PIXELS or MAX_SCANS.
    """
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        size = f"{header.width} x {header.height} pixels"
        raise errors.ImageTooLarge(f"The image has {size}; at most {MAX_PIXELS // 10**6} megapixels are accepted.")
    if header.frames > MAX_FRAMES:
        raise errors.ImageTooLarge(f"The animation has more than {MAX_FRAMES:,} frames, the most accepted.")
    if pixels * header.frames > MAX_ANIMATION_PIXELS:
        most = f"{MAX_ANIMATION_PIXELS // 10**6} megapixels over all frames"
        raise errors.ImageTooLarge(f"The animation's {header.frames:,} frames are too many for their size: {most}.")
    if header.scans > MAX_SCANS:
        raise errors.ImageTooLarge(f"The JPEG has more than {MAX_SCANS} scans. Save it anew to upload it.")


def format_of(body: bytes) -> str:
    """Return "jpeg", "png", "webp", "gif", "avif", or "" for anything else, by the first bytes alone.

    AVIF is written and not read: `read_header` refuses it.
    """
    if body.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if body.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if body[4:12] == b"ftypavif":
        return "avif"
    return "webp" if body.startswith(b"RIFF") and body[8:12] == b"WEBP" else ""


def png_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and data of every chunk that stands before the pixels."""
    position = 8
    while True:
        length, name = struct.unpack_from(">I4s", body, position)
        if name in {b"IDAT", b"IEND"}:
            return
        yield name, body[position + 8 : position + 8 + length]
        position += length + 12


def _refusal(body: bytes) -> str:
    start = body[:_MAGIC_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    for offset, magic, name in _FOREIGN_FORMATS:
        if start[offset : offset + len(magic)] == magic:
            return f"The file is not a JPEG, PNG, WebP or GIF: it looks like {name}."
    return "The file is not a JPEG, PNG, WebP or GIF."


def _read_jpeg(body: bytes, *, only_size: bool = False) -> ImageHeader:
    width = height = scans = position = 0
    while (marker := _JPEG_MARKER.search(body, position)) and scans <= MAX_SCANS:
        code, position = marker[1][0], marker.end()
        if code == _JPEG_END:
            break
        if code in _JPEG_WITHOUT_LENGTH:
            continue
        if code in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", body, position + 3)
            if only_size:
                break
        scans += code == _JPEG_SCAN
        position += struct.unpack_from(">H", body, position)[0]
    return ImageHeader("jpeg", width, height, scans=scans, lossless=False)


def _read_png(body: bytes) -> ImageHeader:
    width, height = struct.unpack_from(">II", body, 16)
    frames = 1
    for name, data in png_chunks(body):
        if name == b"acTL":
            frames = struct.unpack_from(">I", data)[0]
    return ImageHeader("png", width, height, frames, deep_rgb=body[24:26] == b"\x10\x02")


def _read_webp(body: bytes) -> ImageHeader:
    width, height = _webp_size(body)
    codecs = set()
    frames = 0
    position = 12
    while position + 8 <= len(body):
        name, length = struct.unpack_from("<4sI", body, position)
        if name == b"ANMF":
            frames += 1
            name = body[position + 24 : position + 28]
        codecs.add(name)
        position += 8 + length + length % 2
    lossless = b"VP8L" in codecs and not codecs & {b"VP8 ", b"ALPH"}
    return ImageHeader("webp", width, height, max(frames, 1), lossless=lossless)


def _webp_size(body: bytes) -> tuple[int, int]:
    match body[12:16]:
        case b"VP8X":
            low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", body, 24)
            return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
        case b"VP8L":
            bits = struct.unpack_from("<I", body, 21)[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = struct.unpack_from("<HH", body, 26)
            return width & 0x3FFF, height & 0x3FFF


def _read_gif(body: bytes, *, only_size: bool = False) -> ImageHeader:
    width, height, flags = struct.unpack_from("<HHB", body, 6)
    frames = 0
    position = 13 + _gif_palette_bytes(flags)
    # Bytes between the blocks are skipped as Pillow skips them: both must count the same frames.
    while (block := _GIF_BLOCK.search(body, position)) and block[0] != b";" and frames <= MAX_FRAMES:
        position = block.end()
        if block[0] == b"!":
            position = _gif_data_end(body, position + 1)
            continue
        left, top, columns, rows, flags = struct.unpack_from("<HHHHB", body, position)
        width, height = max(width, left + columns), max(height, top + rows)
        frames += 1
        if only_size:
            break
        position = _gif_data_end(body, position + 10 + _gif_palette_bytes(flags))
    return ImageHeader("gif", width, height, max(frames, 1))


def _gif_palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_data_end(body: bytes, position: int) -> int:
    while body[position]:
        position += body[position] + 1
    return position + 1


_READERS = {"jpeg": _read_jpeg, "png": _read_png, "webp": _read_webp, "gif": _read_gif}
_START_READERS: dict[str, Callable[[bytes], ImageHeader]] = {
    **_READERS,
    "jpeg": partial(_read_jpeg, only_size=True),
    "gif": partial(_read_gif, only_size=True),
}
