"""Steps `api` and `finalize`: rows of a job's CSV as its owner corrected them, laid over it by their numbers.

What comes is the CSV of the rows that failed (`result_sheet.FailureSheet`), its cells corrected.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from imagejobs.errors import SheetError
from imagejobs.limits import SheetLimits
from imagejobs.result_sheet import FAILURE_COLUMNS, failure_header, without_apostrophe
from imagejobs.sheet import SheetForm, read_records
from imagejobs.sheet_layout import normalized

Corrections = Mapping[int, Sequence[str]]
"""The cells of rows, by their numbers."""

_ROW_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class CorrectedRow:
    """One row of the corrected file.

    Attributes:
        line_number: Its line in that file, from 1.
        cells: As they are to stand in the job's own CSV.
    """

    line_number: int
    cells: tuple[str, ...]


def read_corrections(stream: BinaryIO, limits: SheetLimits, form: SheetForm) -> dict[int, CorrectedRow]:
    """Read a corrected file.

    Args:
        stream: The file, or a gzip of it; its columns are those of the failures, the last of them optional.
        limits: How large it may be.
        form: Of the job's own CSV.

    Returns:
        The rows by their numbers in the job's CSV.

    Raises:
        SheetError: It is not such a file, with the line.
        SheetTooLarge: A limit is passed.
    """
    records = read_records(stream, limits, form.layout)
    _check_header(*next(records, (1, [])), form)
    rows: dict[int, CorrectedRow] = {}
    for line_number, cells in records:
        row_number, row = _read_row(line_number, cells, form)
        if row_number in rows:
            first = rows[row_number].line_number
            raise SheetError(
                f"Line {line_number}: row {row_number} stands on line {first}, too. Keep one.", line_number
            )
        rows[row_number] = row
    if not rows:
        raise SheetError("The file has a header but no rows. Send the rows that you have corrected.")
    return rows


def _check_header(line_number: int, header: list[str], form: SheetForm) -> None:
    wanted = failure_header(form)
    found = list(map(normalized, _without_empty_end(header, 0)))
    if found not in (list(map(normalized, wanted)), list(map(normalized, wanted[:-1]))):
        raise SheetError(
            f"Line {line_number}: this is not the header of the job's failures.csv: your own columns in their order, "
            f'then "{FAILURE_COLUMNS[0]}" and "{FAILURE_COLUMNS[1]}". Correct its cells and keep its columns.',
            line_number,
        )


def _read_row(line_number: int, cells: list[str], form: SheetForm) -> tuple[int, CorrectedRow]:
    width = len(form.header)
    kept = _without_empty_end(cells, width + len(FAILURE_COLUMNS))
    if not width < len(kept) <= width + len(FAILURE_COLUMNS):
        raise SheetError(
            f"Line {line_number}: it has {len(kept):,} cells, the file's header {width + len(FAILURE_COLUMNS):,}. "
            "A cell that holds the columns' separator stands between double quotes.",
            line_number,
        )
    row = kept[width].strip()
    if not _ROW_NUMBER.fullmatch(row):
        raise SheetError(
            f'Line {line_number}: its cell under "{FAILURE_COLUMNS[0]}" is not the number that it had. '
            "It says which row is corrected; leave it as it is.",
            line_number,
        )
    users = kept[:width] if form.layout.keeps_cells else map(without_apostrophe, kept[:width])
    return int(row), CorrectedRow(line_number, tuple(users))


def _without_empty_end(cells: list[str], at_least: int) -> list[str]:
    """A spreadsheet writes all rows as long as the longest."""
    end = len(cells)
    while end > at_least and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def to_json(corrections: Corrections) -> bytes:
    """As they are stored."""
    return json.dumps({number: list(cells) for number, cells in sorted(corrections.items())}).encode()


def from_json(stored: bytes) -> Corrections:
    """What `to_json` made of them."""
    return {int(number): cells for number, cells in json.loads(stored).items()}
