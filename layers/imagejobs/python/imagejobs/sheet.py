"""Steps `api` and `fan_out`: reads and checks the user's CSV, row by row, in flat memory.

The bytes are cut into lines before they are decoded, so that an encoding error knows its line. That is
exact: in UTF-8 the bytes of CR and LF never stand inside another character.
"""

import codecs
import csv
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import BinaryIO

from imagejobs.errors import RowError, SheetError, SheetTooLarge
from imagejobs.gzip_stream import Unpacked
from imagejobs.limits import SheetLimits
from imagejobs.sheet_layout import PRESETS, SEPARATORS, ColumnNames, SheetLayout, normalized
from imagejobs.url_cell import URL_SEPARATORS, joints_of, urls_of

MAX_CELL_CHARACTERS = 131_072
"""Longest cell that is read: the default of `csv.field_size_limit` in Python's standard library."""

MAX_ROW_BYTES = 1_048_576
"""Longest row that is read, its line ends included: what keeps memory flat when a file is one line, or one
row of quoted newlines. It holds eight cells of the longest kind in ASCII."""

MAX_COLUMNS = 1_000
"""Columns of a header. Rows with fewer cells are filled up in what is handed back: by this, a million rows to 1 GB."""

MAX_IMAGES_PER_ROW = 200
"""A row is one message, and all of its images must be compressed within one invocation of `compress`."""

_CHUNK_BYTES = 262_144
_NONE: Mapping[int, Sequence[str]] = MappingProxyType({})

# The limit is global to the process; it is set here so that no other module's choice moves ours.
csv.field_size_limit(MAX_CELL_CHARACTERS)

_LEAST_COLUMNS = 3  # an id, a name and URLs

_SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_ONE_OF_THEM = {",": "a comma", ";": "a semicolon", "\t": "a tab"}

# UTF-32 before UTF-16: the little-endian mark of the first begins with that of the second.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One data row.

    Attributes:
        row_number: Data row, from 1; blank lines are not rows.
        line_number: Line of the file on which the row starts, from 1.
        cells: The cells exactly as in the file.
        serial_number: The id's cell without white space around it; empty when the row has too few or too many cells,
            since then nobody knows which cell is which. In a mapped sheet, an empty one is that of the row above.
        product_name: The name's cell, likewise; in a mapped sheet, an empty one is that of the row above with its id.
        image_urls: The URLs in the order of columns and cells, repeated ones repeated; empty when there is an error.
        error: Why the row cannot be used, or None.
    """

    row_number: int
    line_number: int
    cells: tuple[str, ...]
    serial_number: str
    product_name: str
    image_urls: tuple[str, ...]
    error: RowError | None


@dataclass(frozen=True, slots=True)
class FoundColumns:
    """The columns that are read.

    Attributes:
        names: As the layout has them, columns of URLs that the header lacks left out.
        id: Where that column stands in the header, from 0.
        name: Likewise.
        urls: Likewise, in the order of `names.urls`.
    """

    names: ColumnNames
    id: int
    name: int
    urls: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SheetForm:
    """What a CSV is, apart from its rows.

    Attributes:
        header: The column names as in the file.
        columns: Those that are read.
        layout: What it was read by.
        has_byte_order_mark: Whether the file began with the UTF-8 byte order mark.
        is_gzip: Whether it was packed.
    """

    header: tuple[str, ...]
    columns: FoundColumns
    layout: SheetLayout
    has_byte_order_mark: bool
    is_gzip: bool


class Sheet:
    """A CSV whose header was read and whose rows are read as they are iterated over, once.

    Iterating raises SheetError where the file cannot be read any further and at its end when it had no rows,
    and SheetTooLarge where a limit is passed.

    Attributes:
        form: The rest of it.
    """

    def __init__(self, form: SheetForm, rows: Iterator[SheetRow]) -> None:
        self.form = form
        self._rows = rows

    def __iter__(self) -> Iterator[SheetRow]:
        return self._rows


def read_sheet(
    stream: BinaryIO,
    limits: SheetLimits,
    layout: SheetLayout | None = None,
    corrections: Mapping[int, Sequence[str]] = _NONE,
) -> Sheet:
    """Read the header of a CSV in UTF-8, or of a gzip of one; the rows follow as the result is iterated over.

    Args:
        stream: The file; only `read(size)` is called, and nothing is read ahead of the rows but one chunk.
        limits: How large the file may be, unpacked.
        layout: What it looks like; None for a CSV of the service's own columns.
        corrections: The cells of rows that are read in the place of the file's own, by their row numbers.

    Raises:
        SheetError: The file has no header, or one without the columns that are to be read, or is not UTF-8, or is a
            gzip that cannot be unpacked.
        SheetTooLarge: A limit is passed before the header ends.
    """
    layout = layout or SheetLayout()
    file = _File(stream, limits, layout)
    line_number, header = next(file.records, (1, []))
    columns = _find_columns(header, layout, line_number, "".join(file.record.lines))
    form = SheetForm(tuple(header), columns, layout, has_byte_order_mark=file.has_byte_order_mark, is_gzip=file.is_gzip)
    return Sheet(form, _rows(file.records, form, limits.max_rows, corrections))


def read_records(stream: BinaryIO, limits: SheetLimits, layout: SheetLayout) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of any CSV, blank ones left out: the line on which each starts, and its cells.

    Args:
        stream: As for `read_sheet`.
        limits: How large it may be.
        layout: Of which the separator is used.

    Raises:
        SheetError, SheetTooLarge: As `read_sheet` and the iteration over its rows do.
    """
    for count, record in enumerate(_File(stream, limits, layout).records):
        if count > limits.max_rows:
            raise SheetTooLarge(f"The CSV has more than {limits.max_rows:,} rows.", record[0])
        yield record


class _File:
    """A CSV as its records, read as they are asked for."""

    def __init__(self, stream: BinaryIO, limits: SheetLimits, layout: SheetLayout) -> None:
        unpacked = Unpacked(stream, _CHUNK_BYTES)
        raw_lines = _raw_lines(unpacked, limits.max_bytes)
        first_line = next(raw_lines, b"")
        _refuse_wide_encoding(first_line)
        self.is_gzip = unpacked.is_gzip
        self.has_byte_order_mark = first_line.startswith(codecs.BOM_UTF8)
        self.record = _OpenRecord()
        lines = _text_lines(chain((first_line.removeprefix(codecs.BOM_UTF8),), raw_lines), self.record)
        self.records = _records(lines, self.record, layout)


class SeparatorsSeen:
    """What stands between URLs within the cells of a sheet, gathered a row at a time.

    Args:
        form: The sheet's.
    """

    def __init__(self, form: SheetForm) -> None:
        self._places = form.columns.urls
        self._seen: set[str] = set()

    def add(self, row: SheetRow) -> None:
        """Look at one row."""
        if len(row.image_urls) > 1:  # else nothing stands between
            for place in self._places:
                self._seen.update(*joints_of(row.cells[place]))

    def found(self) -> list[str]:
        """Those of `URL_SEPARATORS` that there are; none when no cell had two URLs."""
        return [separator for separator in URL_SEPARATORS if separator in self._seen]


def check_sheet(
    open_sheet: Callable[[], BinaryIO],
    limits: SheetLimits,
    layout: SheetLayout | None = None,
    corrections: Mapping[int, Sequence[str]] = _NONE,
    watch: Callable[[SheetRow], object] = lambda _row: None,
) -> int:
    """Check a whole CSV, with 8 bytes of memory a row; serial numbers included, but for a mapped one.

    Rows that cannot be used alone are no reason to refuse the file.

    Args:
        open_sheet: Opens the file at its beginning; called again when a serial number may be repeated.
        limits: How large the file may be, unpacked.
        layout: As for `read_sheet`.
        corrections: Likewise.
        watch: Called once with every row.

    Returns:
        The number of images that its rows name.

    Raises:
        SheetError: As `read_sheet` and the iteration do, and for a serial number that two rows share.
        SheetTooLarge: A limit is passed.
    """
    images = 0

    def serial_numbers(rows: Iterable[SheetRow]) -> Iterator[str]:
        nonlocal images
        for row in rows:
            images += len(row.image_urls)
            watch(row)
            yield "" if row_ids_repeat else row.serial_number

    row_ids_repeat = layout is not None and layout.is_mapped
    with open_sheet() as stream:
        repeated = _repeated_hashes(serial_numbers(read_sheet(stream, limits, layout, corrections)))
    if repeated:
        with open_sheet() as stream:
            _refuse_duplicates(read_sheet(stream, limits, layout, corrections), repeated)
    return images


def _refuse_duplicates(rows: Iterable[SheetRow], repeated: Collection[int]) -> None:
    first_lines: dict[str, int] = {}
    for row in rows:
        if row.serial_number and hash(row.serial_number) in repeated:
            first_line = first_lines.setdefault(row.serial_number, row.line_number)
            if first_line != row.line_number:
                raise _duplicate_serial_number(row.serial_number, first_line, row.line_number)


def _repeated_hashes(serial_numbers: Iterable[str]) -> set[int]:
    """Hashes that occur twice: of equal serial numbers, or rarely of two that only hash alike.

    A million strings in a set would take more memory than all else in the step; their hashes, kept unboxed
    and compared a 64th at a time, take 8 MB.
    """
    buckets = [array("q") for _ in range(64)]
    for serial_number in serial_numbers:
        if serial_number:
            digest = hash(serial_number)
            buckets[digest & 63].append(digest)
    return {digest for bucket in buckets for digest, count in Counter(bucket).items() if count > 1}


def _duplicate_serial_number(serial: str, first_line: int, second_line: int) -> SheetError:
    """Name the two lines whose rows share a serial number.

    Args:
        serial: The number that they share, as in `SheetRow.serial_number`.
        first_line: `SheetRow.line_number` of the earlier row.
        second_line: That of the later one, which becomes the error's line.
    """
    return SheetError(
        f"The serial number {_shown(serial)} stands on line {first_line} and again on line {second_line}. "
        "Give every row a serial number of its own.",
        second_line,
    )


class _OpenRecord:
    """The lines of the record that csv.reader has not finished yet, which its own errors do not tell."""

    __slots__ = ("at_end_of_file", "lines", "size_bytes")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size_bytes = 0
        self.at_end_of_file = False

    def clear(self) -> None:
        self.lines.clear()
        self.size_bytes = 0

    def quote_offset(self) -> int:
        """Count the lines before the one on which the last quoted cell opened.

        Inside a quoted cell every quote is doubled, so it is the last line with one that is not.
        """
        for offset in range(len(self.lines) - 1, -1, -1):
            if '"' in self.lines[offset].replace('""', ""):
                return offset
        return 0


def _raw_lines(stream: Unpacked, max_bytes: int) -> Iterator[bytes]:
    """Cut at CR, LF and CRLF only; a line over MAX_ROW_BYTES may come in pieces, the first one over it."""
    size_bytes = 0
    rest = b""
    while chunk := stream.read(_CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise SheetTooLarge(f"The CSV is over {max_bytes:,} bytes. Split it into smaller files.")
        lines = (rest + chunk).splitlines(keepends=True)
        # A CR at the very end may be the first half of a CRLF.
        rest = b"" if lines[-1].endswith(b"\n") or len(lines[-1]) > MAX_ROW_BYTES else lines.pop()
        yield from lines
    if rest:
        yield rest


def _text_lines(raw_lines: Iterable[bytes], record: _OpenRecord) -> Iterator[str]:
    for line_number, raw_line in enumerate(raw_lines, 1):
        record.size_bytes += len(raw_line)
        if record.size_bytes > MAX_ROW_BYTES:
            raise _row_too_long(line_number - len(record.lines))
        line = _decode(raw_line, line_number)
        record.lines.append(line)
        yield line
    record.at_end_of_file = True


def _records(lines: Iterator[str], record: _OpenRecord, layout: SheetLayout) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank with the line on which it starts."""
    reader = csv.reader(lines, delimiter=layout.separator, strict=True)
    line_number = 1
    try:
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield line_number, cells
            line_number = reader.line_num + 1
            record.clear()
    except csv.Error as error:
        raise _csv_error(error, line_number, record, layout) from error


def _rows(
    records: Iterator[tuple[int, list[str]]],
    form: SheetForm,
    max_rows: int,
    corrections: Mapping[int, Sequence[str]],
) -> Iterator[SheetRow]:
    row_number = 0
    read_row = _MappedRows(form).read if form.layout.is_mapped else partial(_read_row, form)
    for row_number, (line_number, cells_of_file) in enumerate(records, 1):
        cells = list(corrections[row_number]) if row_number in corrections else cells_of_file
        if row_number > max_rows:
            raise SheetTooLarge(f"The CSV has more than {max_rows:,} rows. Split it into smaller files.", line_number)
        if len(cells) != len(form.header):
            error = _cell_count_error(row_number, line_number, len(cells), form)
            yield SheetRow(row_number, line_number, tuple(cells), "", "", (), error)
        else:
            yield read_row(row_number, line_number, cells)
    if not row_number:
        raise SheetError("The CSV has a header but no rows. Add one row for each product.")


def _read_row(form: SheetForm, row_number: int, line_number: int, cells: list[str]) -> SheetRow:
    columns = form.columns
    serial_number, product_name = cells[columns.id].strip(), cells[columns.name].strip()
    image_urls = _image_urls(cells, columns)
    error = None
    if not (serial_number and 0 < len(image_urls) <= MAX_IMAGES_PER_ROW):
        error = _row_error(f"Row {row_number} (line {line_number})", serial_number, len(image_urls), columns.names)
        image_urls = ()
    return SheetRow(row_number, line_number, tuple(cells), serial_number, product_name, image_urls, error)


class _MappedRows:
    """Reads rows of a mapped sheet, where a product may have several, and only the first need say its id and name.

    What is wrong with a row never depends on another one: a corrected row must not mend or break those below.
    """

    def __init__(self, form: SheetForm) -> None:
        self._columns = form.columns
        self._serial_number = self._product_name = ""

    def read(self, row_number: int, line_number: int, cells: list[str]) -> SheetRow:
        self._follow(cells[self._columns.id].strip(), cells[self._columns.name].strip())
        image_urls, error = _image_urls(cells, self._columns), None
        if len(image_urls) > MAX_IMAGES_PER_ROW:
            error = _too_many_images(f"Row {row_number} (line {line_number})", len(image_urls))
            image_urls = ()
        return SheetRow(
            row_number, line_number, tuple(cells), self._serial_number, self._product_name, image_urls, error
        )

    def _follow(self, serial_number: str, product_name: str) -> None:
        if serial_number and serial_number != self._serial_number:
            self._serial_number, self._product_name = serial_number, product_name
        self._product_name = product_name or self._product_name


def _image_urls(cells: Sequence[str], columns: FoundColumns) -> tuple[str, ...]:
    if len(columns.urls) == 1:
        return tuple(urls_of(cells[columns.urls[0]]))
    return tuple([url for place in columns.urls for url in urls_of(cells[place])])


def _row_error(row: str, serial_number: str, image_count: int, columns: ColumnNames) -> RowError:
    if not serial_number:
        return RowError(f'{row} has no serial number. Fill in its "{columns.id}" cell.')
    if not image_count:
        return RowError(f'{row} names no image. Put at least one URL into its "{columns.urls[0]}" cell.')
    return _too_many_images(row, image_count)


def _too_many_images(row: str, image_count: int) -> RowError:
    return RowError(
        f"{row} names {image_count:,} images, and a row may name {MAX_IMAGES_PER_ROW}. Spread them over several rows."
    )


def _cell_count_error(row_number: int, line_number: int, found: int, form: SheetForm) -> RowError:
    expected = len(form.header)
    remedy = (
        "Add the cells that are missing."
        if found < expected
        else f"Put a cell that holds {_SEPARATOR_NAMES[form.layout.separator]}, such as one with several URLs, "
        "between double quotes."
    )
    cells = "1 cell" if found == 1 else f"{found:,} cells"
    row = f"Row {row_number} (line {line_number})"
    return RowError(f"{row} has {cells}, the header has {expected:,}. {remedy}")


def _find_columns(header: list[str], layout: SheetLayout, line_number: int, text: str) -> FoundColumns:
    """Those of the set of names of which the header has most."""
    found = Counter(map(normalized, header))
    names = max(layout.headers(), key=lambda names: sum(normalized(name) in found for name in _all_names(names)))
    if layout.may_lack_url_columns:
        present = tuple(name for name in names.urls if normalized(name) in found)
        names = ColumnNames(names.id, names.name, present or names.urls[:1])
    wanted = _all_names(names)
    if not header:
        raise SheetError(f"The CSV is empty. It needs a header with the columns {_listed(wanted)}.")
    if len(header) > MAX_COLUMNS:
        raise SheetError(
            f"Line {line_number}: the header has {len(header):,} columns, and a sheet may have {MAX_COLUMNS:,}. "
            "Leave out those that are not needed.",
            line_number,
        )
    missing = [name for name in wanted if normalized(name) not in found]
    if missing:
        _refuse_separator(text, line_number, layout, len(wanted) - len(missing))
        raise _missing_columns(missing, header, line_number, _columns_remedy(found.keys(), wanted, layout))
    for name in wanted:
        if found[normalized(name)] > 1:
            raise _repeated_column(name, found[normalized(name)], line_number)
    places = {normalized(name): place for place, name in enumerate(header)}
    id_place, name_place, *url_places = (places[normalized(name)] for name in wanted)
    return FoundColumns(names, id_place, name_place, tuple(url_places))


def _all_names(names: ColumnNames) -> list[str]:
    """Of a whole set, in the order id, name, URLs."""
    return [name for name in (names.id, names.name, *names.urls) if name]


def _refuse_separator(text: str, line_number: int, layout: SheetLayout, found_names: int) -> None:
    """Tell the user of another separator: cut there, the header has more of the columns, or is more than one cell."""
    is_one_cell = layout.separator not in text
    names = {normalized(name) for names in layout.headers() for name in _all_names(names)}
    for separator, plural in _SEPARATOR_NAMES.items():
        parts = [normalized(part.strip().strip('"')) for part in text.split(separator)]
        is_better = len(names.intersection(parts)) > found_names or (is_one_cell and len(parts) >= _LEAST_COLUMNS)
        if separator != layout.separator and is_better:
            raise SheetError(
                f"Line {line_number}: the columns are separated by {plural}. {_separator_remedy(separator, layout)}",
                line_number,
            )


def _separator_remedy(separator: str, layout: SheetLayout) -> str:
    save = f"Save the file as CSV with {_SEPARATOR_NAMES[layout.separator]} between the columns."
    options = [name for name, character in SEPARATORS.items() if character == separator]
    return f"{save} Or send it with column_separator={options[0]}." if options else save


def _columns_remedy(found: Collection[str], wanted: Sequence[str], layout: SheetLayout) -> str:
    """What to do about a header without the columns: name the shop whose export it is, or else its columns."""
    for preset, headers in () if layout.columns else PRESETS.items():
        if any({*map(normalized, _all_names(names)[:_LEAST_COLUMNS])} <= set(found) for names in headers):
            return f"It looks like an export of a shop: send it with preset={preset}."
    return f"The first line must name the columns {_listed(wanted)}; other names are said with the option columns."


def _missing_columns(missing: Sequence[str], header: Sequence[str], line_number: int, remedy: str) -> SheetError:
    columns = "column" if len(missing) == 1 else "columns"
    return SheetError(
        f"Line {line_number}: the header lacks the {columns} {_listed(missing)}; it has {_listed(header)}. {remedy}",
        line_number,
    )


def _repeated_column(column: str, count: int, line_number: int) -> SheetError:
    return SheetError(
        f'Line {line_number}: the header has the column "{column}" {count} times. '
        "Keep one of them, or rename the others.",
        line_number,
    )


def _listed(names: Sequence[str], max_names: int = 10) -> str:
    shown = ", ".join(map(_shown, names[:max_names]))
    return f"{shown} and {len(names) - max_names:,} more" if len(names) > max_names else shown


def _shown(text: str, max_characters: int = 40) -> str:
    """Quote the user's text, short and without a URL's query, which may hold a secret."""
    words = " ".join(text.split())
    if "://" in words:
        return "(a URL)"
    return f'"{words[:max_characters]}…"' if len(words) > max_characters else f'"{words}"'


def _csv_error(error: csv.Error, line_number: int, record: _OpenRecord, layout: SheetLayout) -> SheetError:
    quote_line = line_number + record.quote_offset()
    if record.at_end_of_file:
        return SheetError(
            f"Line {quote_line}: the quote that opens here is never closed. "
            "Close it, and write a quote inside a quoted cell twice.",
            quote_line,
        )
    # csv.Error has no code of its own to tell its cases apart.
    if "field limit" in str(error):
        return _cell_too_long(quote_line, quoted='"' in record.lines[-1] or len(record.lines) > 1)
    return _text_after_quote(line_number, line_number + len(record.lines) - 1, "".join(record.lines), layout)


def _text_after_quote(first_line: int, last_line: int, text: str, layout: SheetLayout) -> SheetError:
    _refuse_separator(text, last_line, layout, 0)
    remedy = f"Put {_ONE_OF_THEM[layout.separator]} there, or write a quote inside a quoted cell twice."
    if first_line != last_line:
        remedy += f" The row starts on line {first_line}: a quote of it may lack its closing one."
    return SheetError(f"Line {last_line}: text follows the quote that closes a cell. {remedy}", last_line)


def _cell_too_long(line_number: int, *, quoted: bool) -> SheetError:
    remedy = "Shorten it, or close its quote if that is missing." if quoted else "Shorten it."
    return SheetError(
        f"Line {line_number}: a cell that starts here is over {MAX_CELL_CHARACTERS:,} characters. {remedy}",
        line_number,
    )


def _row_too_long(line_number: int) -> SheetError:
    return SheetError(
        f"Line {line_number}: the row that starts here is over {MAX_ROW_BYTES:,} bytes. "
        "Shorten it, or close a quote that is missing.",
        line_number,
    )


def _decode(raw_line: bytes, line_number: int) -> str:
    if b"\0" in raw_line:
        raise SheetError(
            f"Line {line_number}: it holds a NUL character (U+0000). Remove it and send the file again.",
            line_number,
        )
    try:
        return raw_line.decode()
    except UnicodeDecodeError as error:
        raise _encoding_error(_likely_encoding(raw_line), line_number) from error


def _likely_encoding(raw_line: bytes) -> str | None:
    """Guess between the two that spreadsheets write; they differ in the bytes from 0x80 to 0x9F."""
    try:
        raw_line.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return "Windows-1252" if any(0x80 <= byte <= 0x9F for byte in raw_line) else "Latin-1 (ISO 8859-1)"


def _refuse_wide_encoding(first_line: bytes) -> None:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if first_line.startswith(mark):
            raise _encoding_error(encoding, 1)
    head = first_line[:100]
    # The column names are ASCII: in UTF-16 every second byte of theirs is NUL, and UTF-8 text holds none.
    if head.count(0) * 3 > len(head):
        raise _encoding_error("UTF-16", 1)


def _encoding_error(encoding: str | None, line_number: int) -> SheetError:
    guess = f", it looks like {encoding}" if encoding else ""
    return SheetError(
        f"Line {line_number}: the file is not UTF-8{guess}. Save it as CSV UTF-8.",
        line_number,
    )
