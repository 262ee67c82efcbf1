"""A JPEG in a new file: ITU T.81, JFIF 1.02, ICC.1 annex B.4, and Adobe's APP14 as libjpeg reads it."""

import io
import itertools
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from imagejobs.image_colour import telling_profile
from imagejobs.image_rebuild_common import SLACK_BYTES, NotRebuildable

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


def rebuild(body: bytes, exif: bytes) -> bytes:
    """As `image_rebuild.rebuild`; `exif` is in TIFF form, empty for none."""
    frame, scans, applications = _read(body)
    used = _used_tables(frame.content, scans)
    parts = [b"\xff\xd8", *_applications(applications, exif), _segment(frame.code, frame.content)]
    restart = bytes(2)
    for scan in scans:
        for code in _TABLES:
            tables = [content for key, content in scan.tables.items() if key[0] == code and key in used]
            parts.append(_segment(code, b"".join(tables)) if tables else b"")
        parts.append(_segment(_DRI, scan.restart) if scan.restart != restart else b"")
        restart = scan.restart
        parts += [_segment(_SOS, scan.header), scan.data]
    return b"".join([*parts, b"\xff\xd9"])


def _read(body: bytes) -> tuple[_Segment, list[_Scan], list[_Segment]]:
    """Return the frame header, the scans, and the application segments that count: those before the first scan."""
    frames: list[_Segment] = []
    scans: list[_Scan] = []
    applications: list[_Segment] = []
    tables: dict[tuple[int, int], bytes] = {}
    restart = bytes(2)
    for segment in _segments(body):
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


def _segments(body: bytes) -> Iterator[_Segment]:
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


def _applications(segments: list[_Segment], exif: bytes) -> Iterator[bytes]:
    """Yield fresh segments for what changes colours or turns the picture."""
    contents = [(segment.code, segment.content) for segment in segments]
    if any(code == _APP0 and content[:5] == b"JFIF\0" and len(content) >= 14 for code, content in contents):
        yield _segment(_APP0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    if exif:
        yield _segment(_APP1, b"Exif\0\0" + exif)
    profile = telling_profile(_profile(contents)) or b""
    pieces = [profile[start : start + _ICC_PIECE_BYTES] for start in range(0, len(profile), _ICC_PIECE_BYTES)]
    for number, piece in enumerate(pieces, start=1):
        yield _segment(_APP2, _ICC_MARK + bytes((number, len(pieces))) + piece)
    adobe = [content[11] for code, content in contents if code == _APP14 and content[:5] == b"Adobe" and content[11:]]
    if adobe:
        yield _segment(_APP14, b"Adobe\0\x64\0\0\0\0" + bytes(adobe[-1:]))


def _profile(contents: list[tuple[int, bytes]]) -> bytes | None:
    pieces = sorted(content for code, content in contents if code == _APP2 and content[:12] == _ICC_MARK)
    numbers = [(piece[12], piece[13]) for piece in pieces]
    if numbers != [(number, len(pieces)) for number in range(1, len(pieces) + 1)]:
        return None
    return b"".join(piece[14:] for piece in pieces)


def _segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def has_slack(body: bytes) -> bool:
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
    for end in _runs(body):
        idle = 0
        for stop in range(end - SLACK_BYTES - 2, end - SLACK_BYTES + 1):
            rest, position = rest + body[position:stop], stop
            taken, _ = decoder.decode(rest)
            rest = rest[taken:]
            idle += not rest
            if taken < 0 or idle == 3:
                return True
    return False


def _runs(body: bytes) -> Iterator[int]:
    """Yield the end of every run of entropy-coded data that is long enough to hide something."""
    for segment in _segments(body):
        start = segment.data_start
        for marker in [*_RESTART.finditer(body, start, segment.data_end), None]:
            end = marker.start() if marker else segment.data_end
            if end - start > 2 * SLACK_BYTES:
                yield end
            start = end + 2
