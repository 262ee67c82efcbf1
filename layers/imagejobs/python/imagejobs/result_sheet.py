"""Step `finalize`: writes the finished CSV, the user's own columns and rows with the outcome beside them."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol, TypeVar

from imagejobs.gzip_stream import packed
from imagejobs.sheet import SheetForm, SheetRow
from imagejobs.url_cell import with_urls

RESULT_COLUMNS = ("Output Image Urls", "Status", "Error", "Bytes Before", "Bytes After", "Images Reused")

HUMAN_URLS_COLUMN = "Human Image Urls"
"""Right of those, where the job asked for human URLs."""

FAILURE_COLUMNS = ("Row", "Error")
"""Right of the user's own columns; the first names the row when the file comes back corrected."""

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
        human_url: Where it is under the sheet's own numbers; None unless the job asked for that.
    """

    output_url: str | None
    error: str | None
    bytes_before: int | None
    bytes_after: int | None
    is_reused: bool = False
    human_url: str | None = None


Result = tuple[SheetRow, Sequence[ImageOutcome]]
"""A row with its images' outcomes in the order of its URLs; with none if it has an error."""


def write_result(form: SheetForm, rows: Iterable[Result], *, human_urls: bool = False) -> Iterator[bytes]:
    """Yield the finished CSV in UTF-8, line ends CRLF (RFC 4180), in chunks of some 64 KiB; packed if the user's was.

    Where the layout appends, the new columns stand right of the header's. A row with too few cells is filled up with
    empty ones, and the cells that a row has too many come after the new columns, so that those are always under their
    names and no cell is lost. Where it replaces, each URL whose image is completed gives its place to the new one, and
    nothing else changes.

    Every header and cell that a spreadsheet would run as a formula gets a leading apostrophe (`neutralize_formula`),
    the user's own only where the layout does not keep them.

    Args:
        form: Of the user's CSV.
        rows: All of its rows.
        human_urls: Whether the new columns have one for human URLs.
    """
    if form.layout.replaces:
        return _written(form, _replaced(form, rows))
    columns: tuple[str, ...] = RESULT_COLUMNS
    cells = _result_cells
    if human_urls:
        columns, cells = (*RESULT_COLUMNS, HUMAN_URLS_COLUMN), _cells_with_human_urls
    return write_beside(form, columns, ((row, cells(row, outcomes)) for row, outcomes in rows))


def write_beside(
    form: SheetForm, columns: Sequence[str], rows: Iterable[tuple[SheetRow, Sequence[str]]]
) -> Iterator[bytes]:
    """Yield the user's CSV with other columns right of its own, whatever the layout says, else as `write_result` does.

    Args:
        form: Of the user's CSV.
        columns: The names of the new columns.
        rows: All of its rows, each with its cells under them.
    """
    return _written(form, _appended(form, columns, rows))


def _appended(
    form: SheetForm, columns: Sequence[str], rows: Iterable[tuple[SheetRow, Sequence[str]]]
) -> Iterator[Iterable[str]]:
    yield (*_users_cells(form)(form.header), *columns)
    for row, added in rows:
        yield _with_cells(form, row, added)


def _with_cells(form: SheetForm, row: SheetRow, added: Iterable[str]) -> Iterator[str]:
    users, width = _users_cells(form), len(form.header)
    yield from users(row.cells[:width])
    yield from [""] * (width - len(row.cells))
    yield from map(neutralize_formula, added)
    yield from users(row.cells[width:])


def _replaced(form: SheetForm, rows: Iterable[Result]) -> Iterator[Iterable[str]]:
    users = _users_cells(form)
    yield users(form.header)
    for row, outcomes in rows:
        yield users(_with_outcomes(row, outcomes, form.columns.urls) if outcomes else row.cells)


def _with_outcomes(row: SheetRow, outcomes: Sequence[ImageOutcome], places: Sequence[int]) -> list[str]:
    now = iter([outcome.output_url or url for outcome, url in zip(outcomes, row.image_urls, strict=True)])
    cells = list(row.cells)
    for place in places:
        cells[place] = with_urls(cells[place], now)
    return cells


def failure_header(form: SheetForm) -> list[str]:
    """The header of the CSV of the rows that failed."""
    return [*_users_cells(form)(form.header), *FAILURE_COLUMNS]


class _Outcome(Protocol):
    @property
    def error(self) -> str | None: ...


Told = TypeVar("Told", bound=_Outcome)


class FailureSheet:
    """The CSV of the rows that failed, for a person to correct: the user's own cells and form, and why they failed.

    It is never packed. A row with too few cells is filled up with empty ones; those that it has too many come last.

    Args:
        form: Of the user's CSV.
        file: Where it is written to.

    Attributes:
        rows: How many rows it has.
    """

    def __init__(self, form: SheetForm, file: BinaryIO) -> None:
        self.rows = 0
        self._form = form
        self._file = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._file.write("\ufeff" if form.has_byte_order_mark else "")
        self._writer = csv.writer(self._file, delimiter=form.layout.separator, lineterminator="\r\n")
        self._writer.writerow(failure_header(form))

    def watch(self, rows: Iterable[tuple[SheetRow, Sequence[Told]]]) -> Iterator[tuple[SheetRow, Sequence[Told]]]:
        """Pass all rows on, and write those that failed."""
        for row, outcomes in rows:
            error = row.error.message if row.error else by_image([outcome.error for outcome in outcomes])
            if error:
                self.rows += 1
                self._writer.writerow(_with_cells(self._form, row, (str(row.row_number), error)))
            yield row, outcomes

    def detach(self) -> None:
        """Nothing more is written; the file stays open."""
        self._file.detach()


def _users_cells(form: SheetForm) -> Callable[[Sequence[str]], Iterable[str]]:
    return tuple if form.layout.keeps_cells else partial(map, neutralize_formula)


def _written(form: SheetForm, lines: Iterable[Iterable[str]]) -> Iterator[bytes]:
    chunks = _encoded(form, lines)
    return packed(chunks) if form.is_gzip else chunks


def _encoded(form: SheetForm, lines: Iterable[Iterable[str]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=form.layout.separator, lineterminator="\r\n")
    if form.has_byte_order_mark:
        buffer.write("\ufeff")
    for line in lines:
        writer.writerow(line)
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


def without_apostrophe(cell: str) -> str:
    """What `neutralize_formula` made this of; one that had the apostrophe before loses it, and gets it back there."""
    return cell[1:] if cell.startswith("'") and neutralize_formula(cell[1:]) == cell else cell


def _cells_with_human_urls(row: SheetRow, outcomes: Sequence[ImageOutcome]) -> tuple[str, ...]:
    return (*_result_cells(row, outcomes), ",".join(outcome.human_url or "" for outcome in outcomes))


def _result_cells(row: SheetRow, outcomes: Sequence[ImageOutcome]) -> tuple[str, ...]:
    completed = [outcome for outcome in outcomes if outcome.error is None]
    return (
        ",".join(outcome.output_url or "" for outcome in outcomes),
        row_status(row, len(completed), len(outcomes)),
        row.error.message if row.error else by_image([outcome.error for outcome in outcomes]),
        _sum([outcome.bytes_before for outcome in completed]),
        _sum([outcome.bytes_after for outcome in completed]),
        str(sum(outcome.is_reused for outcome in outcomes)) if outcomes else "",
    )


def row_status(row: SheetRow, completed: int, images: int) -> str:
    """COMPLETED, PARTIAL or FAILED, by how many of the row's images are completed."""
    if not images and row.error is None:
        return ""  # of a mapped sheet, and names no image
    if not completed:
        return "FAILED"
    return "COMPLETED" if completed == images else "PARTIAL"


def by_image(texts: Sequence[str | None]) -> str:
    """What is told of some of a row's images, in one cell; where it has several, with the place of each."""
    if len(texts) == 1:
        return texts[0] or ""
    return "; ".join(f"image {place}: {text}" for place, text in enumerate(texts, 1) if text)


def _sum(sizes: Sequence[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    return str(sum(known)) if known else ""


def _take(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
