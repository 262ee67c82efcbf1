"""Step `finalize`: writes the finished CSV, the user's own columns and rows with the outcome beside them."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from imagejobs.sheet import SheetRow

RESULT_COLUMNS = ("Output Image Urls", "Status", "Error", "Bytes Before", "Bytes After", "Images Reused")

_CHUNK_CHARACTERS = 65_536

_FORMULA = re.compile(r"[\t\r\n]|[\s\0-\x1f\ufeff]*[=+\-@＝＋－＠]")  # noqa: RUF001
_SIGNED_NUMBER = re.compile(r"[+-](?=[.,]*[0-9])[0-9.,]+(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What became of one image.

    Attributes:
        output_url: Where the compressed image is; None when it failed.
        error: Why it failed, a sentence; None means that it is completed.
        bytes_before: Size of the original in bytes; None when it is not known.
        bytes_after: Size of the compressed image in bytes; None when there is none.
        is_reused: Whether it is what an earlier image became, since it did not change.
    """

    output_url: str | None
    error: str | None
    bytes_before: int | None
    bytes_after: int | None
    is_reused: bool = False


def write_result(
    header: Sequence[str],
    rows: Iterable[tuple[SheetRow, Sequence[ImageOutcome]]],
    *,
    byte_order_mark: bool,
) -> Iterator[bytes]:
    """Yield the finished CSV in UTF-8, line ends CRLF (RFC 4180), in chunks of about 64 KiB.

    The new columns stand right of the header's. A row with too few cells is filled up with empty ones, and
    the cells that a row has too many come after the new columns, so that those are always under their names
    and no cell is lost.

    Every header and cell that a spreadsheet would run as a formula gets a leading apostrophe
    (`neutralize_formula`).

    Args:
        header: The user's column names, as in the file.
        rows: Each row with its images' outcomes in the order of its URLs; none for a row with an error.
        byte_order_mark: Whether to begin with the UTF-8 byte order mark, as the user's own file did.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    if byte_order_mark:
        buffer.write("\ufeff")
    writer.writerow(map(neutralize_formula, (*header, *RESULT_COLUMNS)))
    for row, outcomes in rows:
        writer.writerow(map(neutralize_formula, _result_cells(row, outcomes, len(header))))
        if buffer.tell() >= _CHUNK_CHARACTERS:
            yield _take(buffer)
    yield _take(buffer)


def neutralize_formula(cell: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would run as a formula.

    After OWASP, "CSV Injection" (https://owasp.org/www-community/attacks/CSV_Injection): a cell that begins
    with `=`, `+`, `-`, `@`, their full-width forms, a tab, CR or LF. White space and control characters
    before such a sign are looked through, since spreadsheets drop them. A signed number is left alone: after
    its sign come digits, points, commas and an exponent, nothing that could name a cell or a function.
    """
    if _FORMULA.match(cell) and not _SIGNED_NUMBER.fullmatch(cell.strip(" ")):
        return "'" + cell
    return cell


def _result_cells(row: SheetRow, outcomes: Sequence[ImageOutcome], width: int) -> tuple[str, ...]:
    completed = [outcome for outcome in outcomes if outcome.error is None]
    return (
        *row.cells[:width],
        *[""] * (width - len(row.cells)),
        ",".join(outcome.output_url or "" for outcome in outcomes),
        _status(len(completed), len(outcomes)),
        row.error.message if row.error else _errors(outcomes),
        _sum([outcome.bytes_before for outcome in completed]),
        _sum([outcome.bytes_after for outcome in completed]),
        str(sum(outcome.is_reused for outcome in outcomes)) if outcomes else "",
        *row.cells[width:],
    )


def _status(completed: int, images: int) -> str:
    if not completed:
        return "FAILED"
    return "COMPLETED" if completed == images else "PARTIAL"


def _errors(outcomes: Sequence[ImageOutcome]) -> str:
    if len(outcomes) == 1:
        return outcomes[0].error or ""
    return "; ".join(f"image {place}: {each.error}" for place, each in enumerate(outcomes, 1) if each.error)


def _sum(sizes: Sequence[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    return str(sum(known)) if known else ""


def _take(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
