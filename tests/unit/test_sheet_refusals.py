"""A CSV that cannot be read as a whole is refused with the line and what to do."""

import csv
import io

import pytest

from imagejobs.errors import SheetError, SheetTooLarge
from imagejobs.limits import SheetLimits
from imagejobs.sheet import MAX_CELL_CHARACTERS, MAX_COLUMNS, MAX_ROW_BYTES, check_sheet, read_sheet
from tests.unit.sheet_helpers import HEADER, LIMITS, ROW, ChunkedStream, only_row, refusal_of, rows_of

GOOD = "https://example.com/a.jpg"


@pytest.mark.parametrize("data", ["", "\n", "\r\n \n\t\n\n", "\ufeff", "\ufeff\n"])
def test_empty_file_is_refused(data):
    error = refusal_of(data)

    assert type(error) is SheetError
    assert error.message.startswith('The CSV is empty. It needs a header with the columns "S. No.", ')


@pytest.mark.parametrize("data", [HEADER, HEADER.rstrip(), HEADER + "\n \n\r\n"])
def test_header_without_rows_is_refused(data):
    assert refusal_of(data).message == "The CSV has a header but no rows. Add one row for each product."


def test_missing_columns_are_named_with_those_that_were_found():
    one = refusal_of("\nS. No.,Name,Input Image Urls\n" + ROW)
    two = refusal_of("id,Product Name,url\n" + ROW)

    assert one.line_number == 2
    assert one.message.startswith(
        'Line 2: the header lacks the column "Product Name"; it has "S. No.", "Name", "Input Image Urls".'
    )
    assert 'lacks the columns "S. No.", "Input Image Urls"; it has "id", "Product Name", "url".' in two.message


def test_file_without_a_header_is_refused_without_showing_its_urls():
    error = refusal_of("1,Chair,https://user:pw@example.com/a.jpg?signature=secret," + "x" * 90 + ",a" * 20)

    assert 'it has "1", "Chair", (a URL), "' + "x" * 40 + '…", "a", ' in error.message
    assert error.message.count('"a"') == 6
    assert "and 14 more." in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize("column", ["S. No.", "Product Name", "Input Image Urls"])
def test_required_column_twice_is_refused(column):
    error = refusal_of(HEADER.strip() + f",{column.upper()}\n1,2,3,4\n")

    assert error.message.startswith(f'Line 1: the header has the column "{column}" 2 times.')


@pytest.mark.parametrize(("separator", "named"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("extra", ["", "Price, net"])
def test_other_separator_is_named(separator, named, quote, extra):
    columns = ["S. No.", "Product Name", "Input Image Urls", extra]
    line = separator.join(f"{quote}{column}{quote}" for column in columns)

    error = refusal_of(f"{line}\n1{separator}Chair{separator}{GOOD}{separator}\n")

    assert error.line_number == 1
    assert error.message.startswith(f"Line 1: the columns are separated by {named}. Save the file as CSV")


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (f'1,"Chair,{GOOD}\n', 2),
        (f'1,"Chair,{GOOD}', 2),
        (f'1,"a\nb",{GOOD}\n2,"c ""d""\ne ""f""\n""\n\n', 4),
        (f'1,"a\nb","c\n3,Table,{GOOD}\n', 3),
        (f'1,"a\r\nb","""c\r\n3,Table,{GOOD}\r\n', 3),
        ('"', 2),
        (f'1,"{"x" * 500}\n' + "y\n" * 5_000, 2),
    ],
)
def test_unclosed_quote_is_refused_with_the_line_on_which_it_opened(rows, line):
    error = refusal_of(HEADER + rows)

    assert error.line_number == line
    assert error.message.startswith(f"Line {line}: the quote that opens here is never closed.")


def test_a_header_of_too_many_columns_is_refused_with_their_number():
    header = HEADER.strip() + ",x" * (MAX_COLUMNS - 3)
    row = ROW.strip() + "," * (MAX_COLUMNS - 3)
    assert len(list(read_sheet(io.BytesIO(f"{header}\n{row}\n".encode()), LIMITS))) == 1

    error = refusal_of(f"{header},x\n{row},\n")

    assert error.line_number == 1
    assert "the header has 1,001 columns, and a sheet may have 1,000" in error.message


def test_unclosed_quote_in_the_header_is_refused():
    assert refusal_of('"S. No.,Product Name,Input Image Urls\n' + ROW).line_number == 1


def test_unclosed_quote_before_a_long_rest_is_refused_with_the_line_on_which_it_opened():
    error = refusal_of(HEADER + ROW + f'2,"Chair,{GOOD}\n' + ROW * 50_000)

    assert error.line_number == 3
    assert "Line 3: a cell that starts here is over 131,072 characters." in error.message
    assert "close its quote" in error.message


def test_text_after_a_closing_quote_is_refused_with_its_line():
    error = refusal_of(HEADER + ROW + f'2,"12" Disk",{GOOD}\n')

    assert error.line_number == 3
    assert error.message == (
        "Line 3: text follows the quote that closes a cell. "
        "Put a comma there, or write a quote inside a quoted cell twice."
    )


def test_text_after_a_quote_that_was_opened_lines_before_names_both_lines():
    error = refusal_of(HEADER + f'1,"Chair,{GOOD}\n2,"Table,{GOOD}\n')

    assert error.line_number == 3
    assert "The row starts on line 2: a quote of it may lack its closing one." in error.message


def test_longest_cell_is_read_and_one_character_more_is_refused():
    longest = "ä" * MAX_CELL_CHARACTERS

    assert only_row(HEADER + f"1,{longest},{GOOD}\n").product_name == longest
    error = refusal_of(HEADER + f"1,{longest}x,{GOOD}\n")
    assert error.line_number == 2
    assert error.message == "Line 2: a cell that starts here is over 131,072 characters. Shorten it."


def test_limit_of_a_cell_is_the_default_of_the_standard_library():
    assert csv.field_size_limit() == MAX_CELL_CHARACTERS == 131_072


@pytest.mark.parametrize(("start", "repeated"), [(b"", b"1,"), (b"", b'"\n",'), (b'1,"a",', b'"",'), (b"", b"\xff")])
def test_endless_row_is_refused_long_before_its_end(start, repeated):
    endless = start + repeated * (20_000_000 // len(repeated))
    stream = ChunkedStream(HEADER.encode() + ROW.encode() + endless, [65_536])

    with pytest.raises(SheetError, match="the row that starts here is over 1,048,576 bytes") as caught:
        list(read_sheet(stream, SheetLimits(max_rows=10, max_bytes=100_000_000)))

    assert caught.value.line_number == 3
    assert stream.given_bytes < 2 * MAX_ROW_BYTES


def test_endless_first_line_is_refused_long_before_its_end():
    stream = ChunkedStream(b"x" * 20_000_000, [262_144])

    with pytest.raises(SheetError, match="Line 1: the row that starts here is over"):
        read_sheet(stream, SheetLimits(max_rows=10, max_bytes=100_000_000))

    assert stream.given_bytes < 2 * MAX_ROW_BYTES


def test_serial_number_of_two_rows_is_refused_with_both_lines():
    error = refusal_of(HEADER + f'1,"a\nb",{GOOD}\n2,b,{GOOD}\n\n 1 ,c,{GOOD}\n')

    assert error.line_number == 6
    assert error.message == (
        'The serial number "1" stands on line 2 and again on line 6. Give every row a serial number of its own.'
    )


def test_rows_without_a_serial_number_are_no_duplicates(tmp_path):
    path = tmp_path / "products.csv"
    path.write_text(HEADER + f",a,{GOOD}\n,b,{GOOD}\n1,c\n1,d\n1,e,{GOOD}\n")

    check_sheet(lambda: io.BytesIO(path.read_bytes()), LIMITS)

    assert [row.error is None for row in rows_of(path.read_bytes())] == [False, False, False, False, True]


def test_as_many_rows_as_the_limit_are_read_and_one_more_is_too_large():
    limits = SheetLimits(max_rows=3, max_bytes=1_000)
    rows = [f"{number},Chair,{GOOD}\n" for number in range(1, 5)]

    assert len(rows_of(HEADER + "\n".join(rows[:3]), limits)) == 3
    error = refusal_of(HEADER + "".join(rows), limits)
    assert isinstance(error, SheetTooLarge)
    assert error.line_number == 5
    assert error.message == "The CSV has more than 3 rows. Split it into smaller files."


def test_as_many_bytes_as_the_limit_are_read_and_one_more_is_too_large():
    data = HEADER + ROW

    assert rows_of(data, SheetLimits(max_rows=3, max_bytes=len(data)))
    error = refusal_of(data, SheetLimits(max_rows=3, max_bytes=len(data) - 1))
    assert isinstance(error, SheetTooLarge)
    assert error.message == f"The CSV is over {len(data) - 1} bytes. Split it into smaller files."


def test_bytes_over_the_limit_are_not_read():
    stream = ChunkedStream((HEADER + ROW * 100_000).encode(), [65_536])

    with pytest.raises(SheetTooLarge):
        list(read_sheet(stream, SheetLimits(max_rows=1_000_000, max_bytes=100_000)))

    assert stream.given_bytes == 2 * 65_536
