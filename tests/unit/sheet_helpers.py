"""Small CSVs and streams for the tests of sheet.py."""

import io

from imagejobs.errors import SheetError
from imagejobs.limits import SheetLimits
from imagejobs.sheet import Sheet, SheetRow, check_sheet, read_sheet

HEADER = "S. No.,Product Name,Input Image Urls\n"
ROW = "1,Chair,https://example.com/a.jpg\n"
LIMITS = SheetLimits(max_rows=1_000, max_bytes=10_000_000)


class ChunkedStream(io.RawIOBase):
    """Gives the data in pieces of the given sizes, over and over, and counts what was asked for."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = data
        self._sizes = sizes
        self._reads = 0
        self.given_bytes = 0

    def read(self, size: int = -1) -> bytes:
        wanted = min(size, self._sizes[self._reads % len(self._sizes)])
        self._reads += 1
        chunk = self._data[self.given_bytes : self.given_bytes + wanted]
        self.given_bytes += len(chunk)
        return chunk


def open_sheet(data: str | bytes, limits: SheetLimits = LIMITS) -> Sheet:
    return read_sheet(io.BytesIO(data.encode() if isinstance(data, str) else data), limits)


def rows_of(data: str | bytes, limits: SheetLimits = LIMITS) -> list[SheetRow]:
    return list(open_sheet(data, limits))


def only_row(data: str | bytes) -> SheetRow:
    (row,) = rows_of(data)
    return row


def refusal_of(data: str | bytes, limits: SheetLimits = LIMITS) -> SheetError:
    """Check the file and return why it is refused, which the streaming reader must agree with."""
    body = data.encode() if isinstance(data, str) else data
    try:
        check_sheet(lambda: io.BytesIO(body), limits)
    except SheetError as error:
        return error
    raise AssertionError("The file was accepted.")
