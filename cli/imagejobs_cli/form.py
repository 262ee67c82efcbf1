"""A multipart form that reads its file while it is sent: a sheet of 256 MB must not stand in memory, twice at that."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

from urllib3.filepost import encode_multipart_formdata

_CHUNK_BYTES = 1 << 20


class FormBody:
    """The body of one request; may be sent again.

    Args:
        fields: The form's fields but the file, which comes last: S3 takes nothing after it.
        file: Its content is the part `file`.

    Attributes:
        content_type: The request's Content-Type.
    """

    def __init__(self, fields: Mapping[str, str], file: Path) -> None:
        boundary = uuid4().hex
        parts: list[tuple[str, str | tuple[str, bytes]]] = [*fields.items(), ("file", (file.name, b""))]
        encoded, self.content_type = encode_multipart_formdata(parts, boundary)
        self._end = f"\r\n--{boundary}--\r\n".encode()
        self._start = encoded.removesuffix(self._end)
        self._file = file
        self._length = len(encoded) + file.stat().st_size

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        yield self._start
        with self._file.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
        yield self._end
