"""Small CSVs and streams for the tests of sheet.py."""

import io
from collections.abc import Sequence

from imagejobs.errors import SheetError
from imagejobs.limits import SheetLimits
from imagejobs.sheet import FoundColumns, Sheet, SheetForm, SheetRow, check_sheet, read_sheet
from imagejobs.sheet_layout import DEFAULT_COLUMNS, SheetLayout

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


def open_sheet(data: str | bytes, limits: SheetLimits = LIMITS, **fields: str) -> Sheet:
    """The sheet, read by the layout that form fields say."""
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return read_sheet(stream, limits, SheetLayout.from_fields(fields))


def rows_of(data: str | bytes, limits: SheetLimits = LIMITS, **fields: str) -> list[SheetRow]:
    return list(open_sheet(data, limits, **fields))


def only_row(data: str | bytes, **fields: str) -> SheetRow:
    (row,) = rows_of(data, **fields)
    return row


def form_of(header: Sequence[str], *, byte_order_mark: bool = False, is_gzip: bool = False, **fields: str) -> SheetForm:
    """What a CSV is apart from its rows; its first three columns are those that are read."""
    layout = SheetLayout.from_fields(fields)
    columns = FoundColumns(DEFAULT_COLUMNS, 0, 1, (2,))
    return SheetForm(tuple(header), columns, layout, has_byte_order_mark=byte_order_mark, is_gzip=is_gzip)


def refusal_of(data: str | bytes, limits: SheetLimits = LIMITS, **fields: str) -> SheetError:
    """Check the file and return why it is refused, which the streaming reader must agree with."""
    body = data.encode() if isinstance(data, str) else data
    try:
        check_sheet(lambda: io.BytesIO(body), limits, SheetLayout.from_fields(fields))
    except SheetError as error:
        return error
    raise AssertionError("The file was accepted.")
