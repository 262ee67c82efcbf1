"""Line ends of every kind, in and out of quotes, wherever a chunk of the stream happens to end."""

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagejobs.errors import SheetError
from imagejobs.sheet import check_sheet, read_sheet
from tests.unit.sheet_helpers import HEADER, LIMITS, ROW, ChunkedStream, open_sheet, rows_of

COLUMNS = HEADER.strip().split(",")
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.text('\r\n",a é🪑=', max_size=6)
LINES = st.text('\r\n",;1a é🪑\0', max_size=60).map(str.encode) | st.binary(max_size=40)
SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=5)


def read_all(stream):
    """Everything that a reader of the stream sees, the error included."""
    try:
        sheet = read_sheet(stream, LIMITS)
        rows = [(row.line_number, row.cells, row.image_urls, row.error and row.error.message) for row in sheet]
    except SheetError as error:
        return type(error), error.message, error.line_number
    return sheet.form.header, sheet.form.has_byte_order_mark, rows


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inner", ["\n", "\r\n", "\r", "\n\n", "\r\r\n"])
def test_line_ends_are_counted_once_in_and_out_of_quotes(line_end, inner):
    data = HEADER + f'1,"a{inner}b",https://e.com/a\n' + "2,c,https://e.com/b\n"
    first, second = rows_of(
        HEADER.replace("\n", line_end) + data[len(HEADER) :].replace("e.com/a\n", "e.com/a" + line_end)
    )

    assert first.cells[1] == f"a{inner}b"
    assert first.line_number == 2
    assert second.line_number == 3 + len(inner.replace("\r\n", "\n"))


def test_line_ends_may_differ_in_one_file():
    rows = rows_of(HEADER + ROW.replace("\n", "\r") + ROW.replace("\n", "\r\n") + "\r" + ROW)

    assert [row.line_number for row in rows] == [2, 3, 5]


@given(st.booleans(), st.sampled_from([HEADER.encode(), b""]), LINES, SIZES)
@example(False, HEADER.encode(), b'1,"a\r\nb",c\r\n2,\xc3\xa9,d\r\r\n', [1])
@example(True, HEADER.encode(), b"1,\xf0\x9f\xaa\x91,http://e,http://e\r", [2, 3])
def test_chunks_of_the_stream_do_not_matter(mark, header, lines, sizes):
    data = (b"\xef\xbb\xbf" if mark else b"") + header + lines

    assert read_all(ChunkedStream(data, sizes)) == read_all(io.BytesIO(data))


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_csv_writes_is_read_back_with_its_lines(cells, line_end):
    text, lines = io.StringIO(newline=""), []
    writer = csv.writer(text, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    for record in [COLUMNS, *cells]:
        lines.append(1 + len(re.findall(r"\r\n|\r|\n", text.getvalue())))
        writer.writerow(record)

    sheet = open_sheet(text.getvalue())

    assert sheet.form.header == tuple(COLUMNS)
    assert [(row.line_number, row.cells) for row in sheet] == list(zip(lines[1:], cells, strict=True))


@given(st.binary(max_size=200) | LINES.map(lambda lines: HEADER.encode() + lines))
def test_no_bytes_raise_anything_but_a_sheet_error_with_a_line_of_the_file(data):
    refused = None
    try:
        check_sheet(lambda: io.BytesIO(data), LIMITS)
    except SheetError as error:
        refused = error

    assert refused is None or refused.message.endswith(".")
    assert refused is None or (refused.line_number or 1) in range(1, len(data.splitlines()) + 2)


def spectrum_files():
    folder = os.environ.get("MALFORMED_DIR")
    return sorted(Path(folder, "csv-spectrum", "csvs").glob("*.csv")) if folder else []


@pytest.mark.skipif(not spectrum_files(), reason="MALFORMED_DIR is not set")
@pytest.mark.parametrize("path", spectrum_files(), ids=lambda path: path.stem)
def test_csv_spectrum_is_read_as_its_json_says(path):
    expected = json.loads((path.parent.parent / "json" / f"{path.stem}.json").read_text("utf-8"))
    records = expected if isinstance(expected, list) else [expected]
    required = dict(zip(COLUMNS, ("1", "Chair", "https://example.com/a.jpg"), strict=True))

    sheet = open_sheet(beside(path.read_bytes(), required))
    found = [dict(zip(sheet.form.header, row.cells, strict=True)) for row in sheet]

    for record in [*found, *records]:
        # The collection's CSV and JSON hold different numbers here.
        record.pop("Contact Phone Number", None)
    assert found == [{**required, **record} for record in records]


def beside(data, required):
    """Put the required columns left of a file's own by text alone, so that the file's own cells stay raw."""
    text = data.decode()
    header, line_end, rest = text.partition("\r\n" if "\r\n" in text else "\n")
    lines = [",".join([*required, header]) + line_end]
    quoted = False
    for line in rest.splitlines(keepends=True):
        lines.append(line if quoted else ",".join([*required.values(), line]))
        quoted ^= line.count('"') % 2 == 1
    return "".join(lines).encode()
