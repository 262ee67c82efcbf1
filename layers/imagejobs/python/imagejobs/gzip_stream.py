"""Steps `api`, `fan_out` and `finalize`: CSVs that came as gzip (RFC 1952) and go back as such, a chunk at a time."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

from imagejobs.errors import SheetError

MAGIC = b"\x1f\x8b"
"""The first two bytes of every gzip member (RFC 1952, 2.3.1)."""

# zlib's number for a gzip container around a window of 32 KiB; its header has no time, so that a repeat is the same.
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS


class Unpacked:
    """The bytes of a file, those of a gzip unpacked as they are read; a flat amount of memory.

    Args:
        stream: The file; only `read(size)` is called.
        head_bytes: How much of it is read to tell whether it is packed.

    Attributes:
        is_gzip: Whether it was packed.
    """

    def __init__(self, stream: BinaryIO, head_bytes: int) -> None:
        whole = _Rest(stream)
        self.is_gzip = whole.begins_with(MAGIC, head_bytes)
        self._stream = gzip.GzipFile(fileobj=cast("BinaryIO", whole), mode="rb") if self.is_gzip else whole

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end.

        Raises:
            SheetError: The gzip is cut off or damaged.
        """
        try:
            return self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SheetError("The file is gzip, and cut off or damaged. Pack it again.") from error


class _Rest:
    """A stream whose first bytes were looked at."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._head = b""

    def begins_with(self, magic: bytes, head_bytes: int) -> bool:
        while len(self._head) < len(magic) and (chunk := self._stream.read(head_bytes)):
            self._head += chunk
        return self._head.startswith(magic)

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._stream.read(size)
        chunk, self._head = self._head[:size], self._head[size:]
        return chunk


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as one gzip member, the same bytes for the same chunks."""
    packer = zlib.compressobj(wbits=_GZIP_WINDOW_BITS)
    for chunk in chunks:
        yield packer.compress(chunk)
    yield packer.flush()
