"""A WebP in a new file: RFC 9649; VP8: RFC 6386."""

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL.WebPImagePlugin import WebPImageFile

from imagejobs.image_colour import telling_profile
from imagejobs.image_rebuild_common import SLACK_BYTES, NotRebuildable

_PICTURES = frozenset({b"VP8 ", b"VP8L"})
_PROFILE, _ALPHA, _EXIF, _ANIMATION = 0x20, 0x10, 0x08, 0x02
_VP8_TAG_BYTES = 10


class _Frame(NamedTuple):
    size: bytes  # width and height less one, 24 bits each, as VP8X and ANMF have them
    chunks: list[tuple[bytes, bytes]]


def rebuild(body: bytes, exif: bytes) -> bytes:
    """As `image_rebuild.rebuild`; `exif` is in TIFF form, empty for none."""
    chunks = _chunks(body)
    name, extended = chunks[0]
    if name in _PICTURES:
        return _riff(chunks[:1])  # decoders of the simple format look no further
    if name != b"VP8X" or len(extended) != 10:
        raise NotRebuildable("The WebP's header is damaged.")
    moves = extended[0] & _ANIMATION
    profile = telling_profile(next((data for name, data in chunks if name == b"ICCP"), None))
    flags = extended[0] & _ALPHA | moves
    flags |= _PROFILE if profile else 0
    flags |= _EXIF if exif else 0
    kept = [(b"VP8X", bytes((flags, 0, 0, 0)) + extended[4:])]
    kept += [(b"ICCP", profile)] if profile else []
    kept += _animation(chunks) if moves else _picture(chunks)
    kept += [(b"EXIF", exif)] if exif else []
    return _riff(kept)


def _chunks(body: bytes) -> list[tuple[bytes, bytes]]:
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


def _picture(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the first picture of a file or a frame, with the alpha that stands before it."""
    names = [name for name, _ in chunks]
    index = next(index for index, name in enumerate([*names, b"VP8 "]) if name in _PICTURES)
    alpha = [chunk for chunk in chunks[:index] if chunk[0] == b"ALPH"] if names[index] == b"VP8 " else []
    return [*alpha[:1], chunks[index]]


def _animation(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [(name, data[:6]) for name, data in chunks if name == b"ANIM"][:1]
    for data in (data for name, data in chunks if name == b"ANMF"):
        frame = b"".join(map(_riff_chunk, _picture(list(_riff_chunks(data[16:])))))
        kept.append((b"ANMF", data[:15] + bytes((data[15] & 3,)) + frame))
    return kept


def _frames(body: bytes) -> Iterator[_Frame]:
    chunks = _chunks(body)
    animated = [data for name, data in chunks if name == b"ANMF"]
    for data in animated:
        yield _Frame(data[6:12], list(_riff_chunks(data[16:])))
    if not animated:
        yield _Frame(chunks[0][1][4:10], _picture(chunks))


def has_slack(body: bytes) -> bool:
    """As `image_rebuild.has_slack`, of a WebP."""
    return any(map(_frame_has_slack, _frames(body)))


def _frame_has_slack(frame: _Frame) -> bool:
    """Decode with each part of the coded data a little shorter: where that works, its end was of no use.

    To libwebp a lack of memory is damage. So where the whole cannot be decoded either, that shows nothing, and the
    frame counts as having slack.
    """
    extended = (b"VP8X", bytes((_ALPHA, 0, 0, 0)) + frame.size)
    head = [extended] if len(frame.chunks) > 1 else []
    for index, (name, data) in enumerate(frame.chunks):
        for shorter in _shortened(name, data):
            if _decodes([*head, *frame.chunks[:index], (name, shorter), *frame.chunks[index + 1 :]]):
                return True
    return not _decodes([*head, *frame.chunks])


def _shortened(name: bytes, data: bytes) -> Iterator[bytes]:
    if len(data) > SLACK_BYTES:
        yield data[:-SLACK_BYTES]
    if name == b"VP8 ":
        tag = int.from_bytes(data[:3], "little")
        end = _VP8_TAG_BYTES + (tag >> 5)  # of the first partition; the coefficients follow
        if tag >> 5 > SLACK_BYTES:
            shorter = (tag - (SLACK_BYTES << 5)).to_bytes(3, "little")
            yield shorter + data[3 : end - SLACK_BYTES] + data[end:]


def _decodes(chunks: list[tuple[bytes, bytes]]) -> bool:
    try:
        # `load` would do the same, and then need the memory of two copies of the pixels.
        WebPImageFile(io.BytesIO(_riff(chunks)))._get_next()
    except (OSError, EOFError):
        return False
    return True
