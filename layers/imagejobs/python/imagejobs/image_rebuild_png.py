"""A PNG in a new file: third edition of the W3C recommendation, which holds APNG."""

import itertools
import struct
import zlib
from collections.abc import Iterator

from imagejobs.image_colour import is_srgb
from imagejobs.image_header import PNG_COLOUR_CHUNKS
from imagejobs.image_reader import MAX_PROFILE_BYTES, usable_profile
from imagejobs.image_rebuild_common import NotRebuildable

_MAGIC = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset({b"IDAT", b"fdAT"})
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PALETTE_TYPE = 3
_KEY_BYTES = {0: 2, 2: 6}  # tRNS, by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE_BYTES = 16_384  # of input: a thousand times that comes out at most


def rebuild(body: bytes, exif: bytes) -> bytes:
    """As `image_rebuild.rebuild`; `exif` is in TIFF form, empty for none."""
    head, parts = _read(body)
    header = head[b"IHDR"]
    if len(header) != 13 or not set(header[10:12]) <= {0} or header[12] > 1:
        raise NotRebuildable("The PNG's header is damaged.")
    kept = [(b"IHDR", header), *_colours(head), *_palette(head)]
    if exif:
        kept.append((b"eXIf", exif))
    kept += _frames(header, head[b"acTL"], parts) if b"acTL" in head else _still(header, parts)
    return _MAGIC + b"".join(_chunk(name, data) for name, data in [*kept, (b"IEND", b"")])


def _read(body: bytes) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]:
    """Return the chunks before the pixels by name, and pixels and frame controls in their order."""
    head: dict[bytes, bytes] = {}
    parts: list[tuple[bytes, list[bytes]]] = []
    for name, data in _chunks(body):
        if name in _PIXELS and parts and parts[-1][0] == name:
            parts[-1][1].append(data)
        elif name in _PIXELS or name == b"fcTL":
            parts.append((name, [data]))
        elif any(earlier in _PIXELS for earlier, _ in parts):
            continue  # too late to count
        elif name in head:
            raise NotRebuildable(f"The PNG has its {name!r} twice.")
        else:
            head[name] = data
    return head, [(name, b"".join(pieces)) for name, pieces in parts]


_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"acTL", b"fcTL", *PNG_COLOUR_CHUNKS, *_PIXELS})


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what may be kept, its checksum checked; of fdAT, the data without the sequence number."""
    position, name = len(_MAGIC), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", body, position)
        if name in _KEPT:
            data = body[position + 8 : position + 8 + length]
            if struct.unpack_from(">I", body, position + 8 + length)[0] != zlib.crc32(name + data):
                raise NotRebuildable("A checksum of the PNG is wrong.")
            yield name, data[4:] if name == b"fdAT" else data
        position += length + 12


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), name) + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _colours(head: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    name, _, packed = head.get(b"iCCP", b"").partition(b"\0")
    profile = usable_profile(_inflated_profile(packed[1:])) if name else None
    if profile and is_srgb(profile) and b"cICP" not in head:
        return  # as without any of these, which otherwise count less than a profile
    if profile:
        yield b"iCCP", b"icc\0\0" + zlib.compress(profile, 9)
    for name, length in PNG_COLOUR_CHUNKS.items():
        if len(head.get(name, b"")) == length:
            yield name, head[name]


def _inflated_profile(packed: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(packed, MAX_PROFILE_BYTES)
    except zlib.error:
        return None  # decoders show the picture without it


def _palette(head: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield palette and transparency where they mean something; of true colour a palette is only a hint."""
    depth, colour_type = head[b"IHDR"][8:10]
    palette, transparency = head.get(b"PLTE", b""), head.get(b"tRNS", b"")
    if colour_type == _PALETTE_TYPE:
        if not palette or len(palette) % 3 or len(palette) > 3 << depth or len(transparency) > len(palette) // 3:
            raise NotRebuildable("The PNG's palette is damaged.")
        yield b"PLTE", palette
    elif transparency and len(transparency) != _KEY_BYTES.get(colour_type, len(transparency)):
        raise NotRebuildable("The PNG's transparency is damaged.")
    if transparency and (colour_type == _PALETTE_TYPE or colour_type in _KEY_BYTES):
        yield b"tRNS", transparency


def _still(header: bytes, parts: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    (pixels,) = (data for name, data in parts if name == b"IDAT")
    return [(b"IDAT", _deflated(pixels, _pixel_bytes(header, *struct.unpack_from(">II", header))))]


def _frames(header: bytes, control: bytes, parts: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield an animation's chunks: every control followed by its pixels, numbered anew."""
    count, _ = struct.unpack(">II", control)
    yield b"acTL", control
    whole = struct.unpack_from(">II", header)
    sizes: list[tuple[int, int]] = []
    sequence = itertools.count()
    pictures = 0
    for (before, _), (name, data) in itertools.pairwise([(b"", b""), *parts]):
        if name == b"fcTL":
            if len(sizes) == count:
                break
            sizes.append(_frame_size(data, whole))
            yield name, struct.pack(">I", next(sequence)) + data[4:]
            continue
        pictures += name == b"IDAT"
        size = sizes[-1] if before == b"fcTL" else whole
        if (name == b"IDAT" and (pictures > 1 or size != whole)) or (name == b"fdAT" and before != b"fcTL"):
            raise NotRebuildable("The frames of the PNG are out of order.")
        pixels = _deflated(data, _pixel_bytes(header, *size))
        yield name, pixels if name == b"IDAT" else struct.pack(">I", next(sequence)) + pixels
    if len(sizes) != count or not count or pictures != 1:
        raise NotRebuildable("The PNG has fewer frames than it says.")


def _frame_size(control: bytes, whole: tuple[int, ...]) -> tuple[int, int]:
    width, height, left, top = struct.unpack_from(">4I", control, 4)
    if len(control) != 26 or left + width > whole[0] or top + height > whole[1]:
        raise NotRebuildable("A frame of the PNG lies outside.")
    return width, height


def _pixel_bytes(header: bytes, width: int, height: int) -> int:
    """Return how many bytes the filtered rows of a picture are, over all passes of an interlaced one."""
    bits = header[8] * _SAMPLES[header[9]]
    total = 0
    for left, top, across, down in _ADAM7 if header[12] else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    return total


def _deflated(data: bytes, pixel_bytes: int) -> bytes:
    """Return a zlib stream without what follows its end.

    Raises:
        NotRebuildable: It has no end, or holds more or less than the pixels: decoders would not look at the rest.
        zlib.error: It is damaged.
    """
    inflater = zlib.decompressobj()
    count = 0
    for start in range(0, len(data), _INFLATED_AT_ONCE_BYTES):
        count += len(inflater.decompress(data[start : start + _INFLATED_AT_ONCE_BYTES]))
        if inflater.eof or count > pixel_bytes:
            break
    if not inflater.eof or count != pixel_bytes:
        raise NotRebuildable("The PNG does not hold as many pixels as it says.")
    return data[: start + _INFLATED_AT_ONCE_BYTES][: -len(inflater.unused_data) or None]
