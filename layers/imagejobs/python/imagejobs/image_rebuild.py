"""Step `compress`: a new file around a coded picture that is kept, with nothing in it but what a decoder needs.

    body ─► rebuild ─► size known ─► is a coding anew smaller? ─► no ─► has_slack? ─► no ─► kept

`rebuild` copies by allow-lists: the coded pixels, their tables, timing and what says which colours are meant. All
else (comments, EXIF, XMP, thumbnails, second pictures, private and unknown parts, what follows the end) is left out.
`has_slack` asks the decoder itself whether it needs the coded data to their end, for there a payload can hide too.
"""

import io
import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from imagejobs.image_header import format_of
from imagejobs.image_metadata import NO_NAMES, Names, tiff
from imagejobs.image_reader import MAX_PROFILE_BYTES, usable_profile

PNG_COLOUR_CHUNKS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
"""What says the colours of a PNG, beside its profile: the chunk's name and its one valid length in bytes."""

# Encoders pad with up to 4 bytes, and decoders look up to 8 ahead.
_SLACK_BYTES = 16


class NotRebuildable(Exception):
    """The file is damaged, of a kind that browsers do not show, or would grow; the message says which."""


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
    """Tell whether more than a few bytes within the coded data are of no use to the decoder.

    Args:
        rebuilt: What `rebuild` returned, of a picture that can be decoded.
    """
    match format_of(rebuilt):
        case "jpeg":
            return _jpeg_has_slack(rebuilt)
        case "webp":
            return any(map(_webp_frame_has_slack, _webp_frames(rebuilt)))
        case _:
            return False  # of PNG and GIF, `rebuild` has cut it off


# JPEG: ITU T.81, JFIF 1.02, ICC.1 annex B.4, and Adobe's APP14 as libjpeg reads it.

# Neither stuffed (00), nor a fill byte (ff), nor a restart (d0 to d7); a fixed first byte is searched at 1 GB/s.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_APP0, _APP1, _APP2, _APP14, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive: browsers show no other
_TABLES = (_DQT, _DHT)
_WITHOUT_LENGTH = frozenset({0x01, _SOI})
_DROPPED = frozenset({*range(0xE0, 0xF0), _COM})

_ICC_MARK = b"ICC_PROFILE\0"
_ICC_PIECE_BYTES = 65_519


class _Segment(NamedTuple):
    code: int
    content: bytes
    data_start: int  # entropy-coded data follow a scan's header only
    data_end: int


class _Scan(NamedTuple):
    tables: dict[tuple[int, int], bytes]  # by marker and slot, new since the scan before
    restart: bytes
    header: bytes
    data: bytes


def _jpeg(body: bytes, exif: bytes) -> bytes:
    frame, scans, applications = _read_jpeg(body)
    used = _used_tables(frame.content, scans)
    parts = [b"\xff\xd8", *_jpeg_applications(applications, exif), _segment(frame.code, frame.content)]
    restart = bytes(2)
    for scan in scans:
        for code in _TABLES:
            tables = [content for key, content in scan.tables.items() if key[0] == code and key in used]
            parts.append(_segment(code, b"".join(tables)) if tables else b"")
        parts.append(_segment(_DRI, scan.restart) if scan.restart != restart else b"")
        restart = scan.restart
        parts += [_segment(_SOS, scan.header), scan.data]
    return b"".join([*parts, b"\xff\xd9"])


def _read_jpeg(body: bytes) -> tuple[_Segment, list[_Scan], list[_Segment]]:
    """Return the frame header, the scans, and the application segments that count: those before the first scan."""
    frames: list[_Segment] = []
    scans: list[_Scan] = []
    applications: list[_Segment] = []
    tables: dict[tuple[int, int], bytes] = {}
    restart = bytes(2)
    for segment in _jpeg_segments(body):
        if segment.code in _FRAMES:
            frames.append(_checked_frame(segment))
        elif segment.code in _TABLES:
            tables |= _read_tables(segment)
        elif segment.code == _DRI:
            (restart,) = struct.unpack("2s", segment.content)
        elif segment.code == _SOS:
            scans.append(_read_scan(segment, body, tables, restart))
            tables = {}
        elif segment.code not in _DROPPED:
            raise NotRebuildable(f"The JPEG has a segment {segment.code:02x}, which browsers do not read.")
        elif not scans:
            applications.append(segment)
    (frame,) = frames
    return frame, scans, applications


def _jpeg_segments(body: bytes) -> Iterator[_Segment]:
    """Yield what stands between start and end; stray bytes between segments are passed over, as decoders do."""
    position = 2
    while (marker := _next_marker(body, position))[1][0] != _EOI:
        position = marker.end()
        if marker[1][0] in _WITHOUT_LENGTH:
            continue
        end = position + int(struct.unpack_from(">H", body, position)[0])
        data_end = _next_marker(body, end).start() if marker[1][0] == _SOS else end
        yield _Segment(marker[1][0], body[position + 2 : end], end, data_end)
        position = data_end


def _next_marker(body: bytes, position: int) -> re.Match[bytes]:
    marker = _MARKER.search(body, position)
    if marker is None:
        raise NotRebuildable("The JPEG has no end.")
    return marker


def _checked_frame(segment: _Segment) -> _Segment:
    components = segment.content[5]
    if components not in {1, 3, 4} or len(segment.content) != 6 + 3 * components:
        raise NotRebuildable("The JPEG's frame header is damaged.")
    return segment


def _read_tables(segment: _Segment) -> dict[tuple[int, int], bytes]:
    """Split a segment into its tables; a second one for the same slot replaces the first."""
    tables = {}
    content = segment.content
    while content:
        slot = content[0]
        if segment.code == _DQT:
            length, slot = 1 + (128 if slot & 0xF0 else 64), slot & 0x0F
        else:
            length = 17 + sum(content[1:17])
        if len(content) < length:
            raise NotRebuildable("A table of the JPEG is cut off.")
        tables[segment.code, slot], content = content[:length], content[length:]
    return tables


def _read_scan(segment: _Segment, body: bytes, tables: dict[tuple[int, int], bytes], restart: bytes) -> _Scan:
    if len(segment.content) != 4 + 2 * segment.content[0]:
        raise NotRebuildable("A scan header of the JPEG is damaged.")
    data = body[segment.data_start : segment.data_end].rstrip(b"\xff")  # fill bytes, here and within
    if b"\xff\xff" in data:
        data = re.sub(rb"\xff{2,}", b"\xff", data)
    restarts = [marker[1][0] & 7 for marker in _RESTART.finditer(data)]
    if restarts != list(itertools.islice(itertools.cycle(range(8)), len(restarts))) or (restarts and not any(restart)):
        raise NotRebuildable("The restart markers of the JPEG are not in order.")
    return _Scan(tables, restart, segment.content, data)


def _used_tables(frame: bytes, scans: list[_Scan]) -> set[tuple[int, int]]:
    used = {(_DQT, slot) for slot in frame[8::3]}
    for scan in scans:
        for slots in scan.header[2 : 1 + 2 * scan.header[0] : 2]:
            used |= {(_DHT, slots >> 4), (_DHT, 0x10 | slots & 0x0F)}
    return used


def _jpeg_applications(segments: list[_Segment], exif: bytes) -> Iterator[bytes]:
    """Yield fresh segments for what changes colours or turns the picture."""
    contents = [(segment.code, segment.content) for segment in segments]
    if any(code == _APP0 and content[:5] == b"JFIF\0" and len(content) >= 14 for code, content in contents):
        yield _segment(_APP0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    if exif:
        yield _segment(_APP1, b"Exif\0\0" + exif)
    profile = usable_profile(_jpeg_profile(contents)) or b""
    pieces = [profile[start : start + _ICC_PIECE_BYTES] for start in range(0, len(profile), _ICC_PIECE_BYTES)]
    for number, piece in enumerate(pieces, start=1):
        yield _segment(_APP2, _ICC_MARK + bytes((number, len(pieces))) + piece)
    adobe = [content[11] for code, content in contents if code == _APP14 and content[:5] == b"Adobe" and content[11:]]
    if adobe:
        yield _segment(_APP14, b"Adobe\0\x64\0\0\0\0" + bytes(adobe[-1:]))


def _jpeg_profile(contents: list[tuple[int, bytes]]) -> bytes | None:
    pieces = sorted(content for code, content in contents if code == _APP2 and content[:12] == _ICC_MARK)
    numbers = [(piece[12], piece[13]) for piece in pieces]
    if numbers != [(number, len(pieces)) for number in range(1, len(pieces) + 1)]:
        return None
    return b"".join(piece[14:] for piece in pieces)


def _segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def _jpeg_has_slack(body: bytes) -> bool:
    """Decode with pauses shortly before the end of every run of entropy-coded data.

    libjpeg wants a few bytes more than it has used while it is at the pixels. When it has taken all bytes that
    there are, three times running, it is passing over what is none of them; or it has ended already.
    """
    with Image.open(io.BytesIO(body), formats=["JPEG"]) as picture:
        picture.draft(None, (1, 1))  # an eighth of the size, which saves time and memory
        decoder = Image._getdecoder(picture.mode, "jpeg", picture.tile[0].args, picture.decoderconfig)
        canvas = Image.new(picture.mode, picture.size)
    decoder.setimage(canvas.im, (0, 0, *canvas.size))
    rest, position = b"", 0
    for end in _jpeg_runs(body):
        idle = 0
        for stop in range(end - _SLACK_BYTES - 2, end - _SLACK_BYTES + 1):
            rest, position = rest + body[position:stop], stop
            taken, _ = decoder.decode(rest)
            rest = rest[taken:]
            idle += not rest
            if taken < 0 or idle == 3:
                return True
    return False


def _jpeg_runs(body: bytes) -> Iterator[int]:
    """Yield the end of every run of entropy-coded data that is long enough to hide something."""
    for segment in _jpeg_segments(body):
        start = segment.data_start
        for marker in [*_RESTART.finditer(body, start, segment.data_end), None]:
            end = marker.start() if marker else segment.data_end
            if end - start > 2 * _SLACK_BYTES:
                yield end
            start = end + 2


# PNG: third edition of the W3C recommendation, which holds APNG.

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IDAT", b"fdAT"})
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_PNG_PALETTE_TYPE = 3
_PNG_KEY_BYTES = {0: 2, 2: 6}  # tRNS, by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE_BYTES = 16_384  # of input: a thousand times that comes out at most


def _png(body: bytes, exif: bytes) -> bytes:
    head, parts = _read_png(body)
    header = head[b"IHDR"]
    if len(header) != 13 or not set(header[10:12]) <= {0} or header[12] > 1:
        raise NotRebuildable("The PNG's header is damaged.")
    kept = [(b"IHDR", header), *_png_colours(head), *_png_palette(head)]
    if exif:
        kept.append((b"eXIf", exif))
    kept += _png_frames(header, head[b"acTL"], parts) if b"acTL" in head else _png_still(header, parts)
    return _PNG_MAGIC + b"".join(_png_chunk(name, data) for name, data in [*kept, (b"IEND", b"")])


def _read_png(body: bytes) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]:
    """Return the chunks before the pixels by name, and pixels and frame controls in their order."""
    head: dict[bytes, bytes] = {}
    parts: list[tuple[bytes, list[bytes]]] = []
    for name, data in _png_chunks(body):
        if name in _PNG_PIXELS and parts and parts[-1][0] == name:
            parts[-1][1].append(data)
        elif name in _PNG_PIXELS or name == b"fcTL":
            parts.append((name, [data]))
        elif any(earlier in _PNG_PIXELS for earlier, _ in parts):
            continue  # too late to count
        elif name in head:
            raise NotRebuildable(f"The PNG has its {name!r} twice.")
        else:
            head[name] = data
    return head, [(name, b"".join(pieces)) for name, pieces in parts]


_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"acTL", b"fcTL", *PNG_COLOUR_CHUNKS, *_PNG_PIXELS})


def _png_chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield what may be kept, its checksum checked; of fdAT, the data without the sequence number."""
    position, name = len(_PNG_MAGIC), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", body, position)
        if name in _PNG_KEPT:
            data = body[position + 8 : position + 8 + length]
            if struct.unpack_from(">I", body, position + 8 + length)[0] != zlib.crc32(name + data):
                raise NotRebuildable("A checksum of the PNG is wrong.")
            yield name, data[4:] if name == b"fdAT" else data
        position += length + 12


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), name) + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def _png_colours(head: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    name, _, packed = head.get(b"iCCP", b"").partition(b"\0")
    profile = usable_profile(_inflated_profile(packed[1:])) if name else None
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


def _png_palette(head: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield palette and transparency where they mean something; of true colour a palette is only a hint."""
    depth, colour_type = head[b"IHDR"][8:10]
    palette, transparency = head.get(b"PLTE", b""), head.get(b"tRNS", b"")
    if colour_type == _PNG_PALETTE_TYPE:
        if not palette or len(palette) % 3 or len(palette) > 3 << depth or len(transparency) > len(palette) // 3:
            raise NotRebuildable("The PNG's palette is damaged.")
        yield b"PLTE", palette
    elif transparency and len(transparency) != _PNG_KEY_BYTES.get(colour_type, len(transparency)):
        raise NotRebuildable("The PNG's transparency is damaged.")
    if transparency and (colour_type == _PNG_PALETTE_TYPE or colour_type in _PNG_KEY_BYTES):
        yield b"tRNS", transparency


def _png_still(header: bytes, parts: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    (pixels,) = (data for name, data in parts if name == b"IDAT")
    return [(b"IDAT", _deflated(pixels, _png_pixel_bytes(header, *struct.unpack_from(">II", header))))]


def _png_frames(header: bytes, control: bytes, parts: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
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
            sizes.append(_png_frame_size(data, whole))
            yield name, struct.pack(">I", next(sequence)) + data[4:]
            continue
        pictures += name == b"IDAT"
        size = sizes[-1] if before == b"fcTL" else whole
        if (name == b"IDAT" and (pictures > 1 or size != whole)) or (name == b"fdAT" and before != b"fcTL"):
            raise NotRebuildable("The frames of the PNG are out of order.")
        pixels = _deflated(data, _png_pixel_bytes(header, *size))
        yield name, pixels if name == b"IDAT" else struct.pack(">I", next(sequence)) + pixels
    if len(sizes) != count or not count or pictures != 1:
        raise NotRebuildable("The PNG has fewer frames than it says.")


def _png_frame_size(control: bytes, whole: tuple[int, ...]) -> tuple[int, int]:
    width, height, left, top = struct.unpack_from(">4I", control, 4)
    if len(control) != 26 or left + width > whole[0] or top + height > whole[1]:
        raise NotRebuildable("A frame of the PNG lies outside.")
    return width, height


def _png_pixel_bytes(header: bytes, width: int, height: int) -> int:
    """Return how many bytes the filtered rows of a picture are, over all passes of an interlaced one."""
    bits = header[8] * _PNG_SAMPLES[header[9]]
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


# GIF: GIF89a, and Netscape's extension for loops.

_GIF_BLOCK = re.compile(rb"[!,;]")
_GIF_CONTROL, _GIF_APPLICATION = 0xF9, 0xFF
_GIF_SUB_BLOCK_BYTES = 255
_GIF_END_CODE_BYTES = 2  # the end code, of at most 12 bits, may begin in the byte that completes the picture


def _gif(body: bytes, _exif: bytes) -> bytes:
    table_end = 13 + _gif_table_bytes(body[10])
    parts = [body[:12], b"\0", body[13:table_end]]
    loop = control = b""
    position = table_end
    frames = 0
    # Bytes between the blocks are skipped as Pillow skips them. Some files have no end mark.
    while (block := _GIF_BLOCK.search(body, position)) and block[0] != b";":
        position = block.end()
        if block[0] == b",":
            frame, position = _gif_frame(body, position)
            parts += [loop, control, frame]
            loop = control = b""
            frames += 1
            continue
        label = body[position]
        blocks, position = _gif_sub_blocks(body, position + 1)
        if label == _GIF_CONTROL:
            if control:
                raise NotRebuildable("A frame of the GIF has two controls.")
            control = _gif_control(blocks)
        elif label == _GIF_APPLICATION:
            loop = _gif_loop(blocks) or loop
    if not frames:
        raise NotRebuildable("The GIF has no frame.")
    return b"".join([*parts, block[0] if block else b""])


def _gif_table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_sub_blocks(body: bytes, position: int) -> tuple[list[bytes], int]:
    """Return the sub-blocks that begin at a position, and the position behind their end mark."""
    blocks = []
    while length := body[position]:
        blocks.append(body[position + 1 : position + 1 + length])
        position += 1 + length
    return blocks, position + 1


def _gif_control(blocks: list[bytes]) -> bytes:
    flags, delay, transparent = struct.unpack("<BHB", blocks[0])
    return struct.pack("<3sBHBB", b"!\xf9\4", flags & 0x1F, delay, transparent, 0)


def _gif_loop(blocks: list[bytes]) -> bytes:
    match blocks:
        case [b"NETSCAPE2.0", bytes(data), *_] if len(data) >= 3 and data[0] == 1:
            return b"!\xff\x0bNETSCAPE2.0\3\1" + data[1:3] + b"\0"
    return b""


def _gif_frame(body: bytes, position: int) -> tuple[bytes, int]:
    left_top, width, height, flags = struct.unpack_from("<4sHHB", body, position)
    table_end = position + 9 + _gif_table_bytes(flags)
    blocks, end = _gif_sub_blocks(body, table_end + 1)
    code_bits = body[table_end]
    data = b"".join(blocks)
    data = data[: _gif_data_bytes(data, (width, height), code_bits)]
    header = b"," + left_top + struct.pack("<HHB", width, height, flags & 0xE7)
    coded = [bytes((len(block),)) + block for block in _pieces(data, _GIF_SUB_BLOCK_BYTES)]
    return b"".join([header, body[position + 9 : table_end], bytes((code_bits,)), *coded, b"\0"]), end


def _pieces(data: bytes, most_bytes: int) -> list[bytes]:
    return [data[start : start + most_bytes] for start in range(0, len(data), most_bytes)]


def _gif_data_bytes(data: bytes, size: tuple[int, int], code_bits: int) -> int:
    """Return after how many bytes the picture and its end code are complete."""
    blocks = _pieces(data, _GIF_SUB_BLOCK_BYTES)
    last = _gif_last_piece(blocks, size, code_bits)
    # Once more with the last block byte by byte, for the decoder does not say where in it the end was.
    byte = _gif_last_piece([*blocks[:last], *_pieces(blocks[last], 1)], size, code_bits) - last
    return last * _GIF_SUB_BLOCK_BYTES + byte + 1 + _GIF_END_CODE_BYTES


def _gif_last_piece(pieces: list[bytes], size: tuple[int, int], code_bits: int) -> int:
    """Return the index of the piece that completes the picture."""
    canvas = Image.new("L", size)
    decoder = Image._getdecoder("L", "gif", (code_bits, 0, -1))
    decoder.setimage(canvas.im, (0, 0, *size))
    for index, piece in enumerate(pieces):
        taken, error = decoder.decode(bytes((len(piece),)) + piece)
        if error:
            break
        if taken < 0:
            return index
    raise NotRebuildable("A frame of the GIF is damaged.")


# WebP: RFC 9649; VP8: RFC 6386.

_WEBP_PICTURES = frozenset({b"VP8 ", b"VP8L"})
_WEBP_PROFILE, _WEBP_ALPHA, _WEBP_EXIF, _WEBP_ANIMATION = 0x20, 0x10, 0x08, 0x02
_VP8_TAG_BYTES = 10


class _WebpFrame(NamedTuple):
    size: bytes  # width and height less one, 24 bits each, as VP8X and ANMF have them
    chunks: list[tuple[bytes, bytes]]


def _webp(body: bytes, exif: bytes) -> bytes:
    chunks = _webp_chunks(body)
    name, extended = chunks[0]
    if name in _WEBP_PICTURES:
        return _riff(chunks[:1])  # decoders of the simple format look no further
    if name != b"VP8X" or len(extended) != 10:
        raise NotRebuildable("The WebP's header is damaged.")
    moves = extended[0] & _WEBP_ANIMATION
    profile = usable_profile(next((data for name, data in chunks if name == b"ICCP"), None))
    flags = extended[0] & _WEBP_ALPHA | moves
    flags |= _WEBP_PROFILE if profile else 0
    flags |= _WEBP_EXIF if exif else 0
    kept = [(b"VP8X", bytes((flags, 0, 0, 0)) + extended[4:])]
    kept += [(b"ICCP", profile)] if profile else []
    kept += _webp_animation(chunks) if moves else _webp_picture(chunks)
    kept += [(b"EXIF", exif)] if exif else []
    return _riff(kept)


def _webp_chunks(body: bytes) -> list[tuple[bytes, bytes]]:
    (size,) = struct.unpack_from("<I", body, 4)
    if size + 8 > len(body):
        raise NotRebuildable("The WebP is cut off.")
    return list(_riff_chunks(body[12 : size + 8]))


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        position += 8
        if position + length > len(data):
            raise NotRebuildable("A chunk of the WebP is cut off.")
        yield name, data[position : position + length]
        position += length + length % 2


def _riff(chunks: list[tuple[bytes, bytes]]) -> bytes:
    content = b"".join(map(_riff_chunk, chunks))
    return struct.pack("<4sI4s", b"RIFF", len(content) + 4, b"WEBP") + content


def _riff_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, data = chunk
    return struct.pack("<4sI", name, len(data)) + data + bytes(len(data) % 2)


def _webp_picture(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the first picture of a file or a frame, with the alpha that stands before it."""
    names = [name for name, _ in chunks]
    index = next(index for index, name in enumerate([*names, b"VP8 "]) if name in _WEBP_PICTURES)
    alpha = [chunk for chunk in chunks[:index] if chunk[0] == b"ALPH"] if names[index] == b"VP8 " else []
    return [*alpha[:1], chunks[index]]


def _webp_animation(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [(name, data[:6]) for name, data in chunks if name == b"ANIM"][:1]
    for data in (data for name, data in chunks if name == b"ANMF"):
        frame = b"".join(map(_riff_chunk, _webp_picture(list(_riff_chunks(data[16:])))))
        kept.append((b"ANMF", data[:15] + bytes((data[15] & 3,)) + frame))
    return kept


def _webp_frames(body: bytes) -> Iterator[_WebpFrame]:
    chunks = _webp_chunks(body)
    animated = [data for name, data in chunks if name == b"ANMF"]
    for data in animated:
        yield _WebpFrame(data[6:12], list(_riff_chunks(data[16:])))
    if not animated:
        yield _WebpFrame(chunks[0][1][4:10], _webp_picture(chunks))


def _webp_frame_has_slack(frame: _WebpFrame) -> bool:
    """Decode with each part of the coded data a little shorter: where that works, its end was of no use."""
    extended = (b"VP8X", bytes((_WEBP_ALPHA, 0, 0, 0)) + frame.size)
    head = [extended] if len(frame.chunks) > 1 else []
    for index, (name, data) in enumerate(frame.chunks):
        for shorter in _shortened(name, data):
            if _decodes(_riff([*head, *frame.chunks[:index], (name, shorter), *frame.chunks[index + 1 :]])):
                return True
    return False


def _shortened(name: bytes, data: bytes) -> Iterator[bytes]:
    if len(data) > _SLACK_BYTES:
        yield data[:-_SLACK_BYTES]
    if name == b"VP8 ":
        tag = int.from_bytes(data[:3], "little")
        end = _VP8_TAG_BYTES + (tag >> 5)  # of the first partition; the coefficients follow
        if tag >> 5 > _SLACK_BYTES:
            shorter = (tag - (_SLACK_BYTES << 5)).to_bytes(3, "little")
            yield shorter + data[3 : end - _SLACK_BYTES] + data[end:]


def _decodes(body: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(body), formats=["WEBP"]) as picture:
            picture.load()
    except (OSError, EOFError):
        return False
    return True


_REBUILDERS = {"jpeg": _jpeg, "png": _png, "gif": _gif, "webp": _webp}
