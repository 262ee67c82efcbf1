"""Reading a good CSV: header, cells, URLs and rows that cannot be used alone."""

import pytest

from imagejobs.errors import RowError
from imagejobs.sheet import MAX_IMAGES_PER_ROW, read_sheet
from tests.unit.sheet_helpers import HEADER, LIMITS, ROW, ChunkedStream, only_row, open_sheet, rows_of


def test_reads_the_header_and_the_rows_in_order():
    sheet = open_sheet(HEADER + "1,Chair,https://example.com/a.jpg\n2,Table,https://example.com/b.jpg\n")

    first, second = sheet

    assert sheet.form.header == ("S. No.", "Product Name", "Input Image Urls")
    assert not sheet.form.has_byte_order_mark
    assert (first.row_number, first.line_number) == (1, 2)
    assert first.cells == ("1", "Chair", "https://example.com/a.jpg")
    assert (first.serial_number, first.product_name) == ("1", "Chair")
    assert first.image_urls == ("https://example.com/a.jpg",)
    assert first.error is None
    assert (second.row_number, second.line_number, second.serial_number) == (2, 3, "2")


@pytest.mark.parametrize(
    "header",
    [
        "s. no.,product name,input image urls",
        "S.No.,ProductName,InputImageUrls",
        ' s. no. ,"product  name",\tINPUT IMAGE URLS ',
        "S.\u00a0No.,Product\u00a0Name,Input Image Urls",
    ],
)
def test_header_may_differ_in_case_and_white_space(header):
    sheet = open_sheet(f"{header}\n{ROW}")

    (row,) = sheet

    assert sheet.form.header[0] == header.split(",")[0]
    assert row.image_urls == ("https://example.com/a.jpg",)


def test_columns_may_stand_in_any_order_and_extra_ones_are_kept():
    sheet = open_sheet("Notes,Input Image Urls,S. No.,Price,Product Name\nnew,https://example.com/a.jpg,7,-5,Chair\n")

    (row,) = sheet

    assert sheet.form.header == ("Notes", "Input Image Urls", "S. No.", "Price", "Product Name")
    assert row.cells == ("new", "https://example.com/a.jpg", "7", "-5", "Chair")
    assert (row.serial_number, row.product_name) == ("7", "Chair")
    assert row.image_urls == ("https://example.com/a.jpg",)


def test_cells_stay_as_they_are_and_values_lose_the_white_space_around_them():
    row = only_row(HEADER + ' 1 ,"  Big ""old"" Chair ", https://example.com/a.jpg \n')

    assert row.cells == (" 1 ", '  Big "old" Chair ', " https://example.com/a.jpg ")
    assert (row.serial_number, row.product_name) == ("1", 'Big "old" Chair')
    assert row.image_urls == ("https://example.com/a.jpg",)


def test_product_name_may_be_empty_or_look_like_a_formula():
    empty, formula = rows_of(HEADER + "1,,https://example.com/a.jpg\n2,=1+1,https://example.com/a.jpg\n")

    assert (empty.product_name, empty.error) == ("", None)
    assert (formula.product_name, formula.error) == ("=1+1", None)


@pytest.mark.parametrize(
    ("cell", "urls"),
    [
        ("http://e.com/a,http://e.com/b", ("http://e.com/a", "http://e.com/b")),
        ("http://e.com/a, \n https://e.com/b", ("http://e.com/a", "https://e.com/b")),
        ("HTTP://e.com/a,HttpS://e.com/b", ("HTTP://e.com/a", "HttpS://e.com/b")),
        ("http://e.com/w_1,h_2/a.jpg,http://e.com/b", ("http://e.com/w_1,h_2/a.jpg", "http://e.com/b")),
        ("http://e.com/a.jpg?at=1, 2", ("http://e.com/a.jpg?at=1, 2",)),
        (" ,http://e.com/a,, ,http://e.com/b , ,", ("http://e.com/a", "http://e.com/b")),
        ("http://e.com/a,http://e.com/a", ("http://e.com/a", "http://e.com/a")),
        ("ftp://e.com/a", ("ftp://e.com/a",)),
        ("not a url", ("not a url",)),
    ],
)
def test_urls_are_split_at_a_comma_before_a_scheme(cell, urls):
    assert only_row(HEADER + f'1,Chair,"{cell}"\n').image_urls == urls


def test_fifty_urls_in_a_cell_keep_their_order():
    urls = tuple(f"https://example.com/{number}.jpg" for number in range(50))

    assert only_row(HEADER + f'1,Chair,"{", ".join(urls)}"\n').image_urls == urls


@pytest.mark.parametrize("cell", ["," * 130_000, ", " * 65_000, " " * 130_000 + "x", ",http:/" * 18_000])
def test_splitting_takes_linear_time(cell):
    row = only_row(HEADER + f'1,Chair,"{cell}"\n')

    assert len(row.image_urls) <= 1


def test_blank_lines_are_not_rows_but_count_as_lines():
    first, second = rows_of(f'\n  \n{HEADER}\n\r\n""\n{ROW}\n   \n2,Table,https://example.com/b.jpg\n\n')

    assert (first.row_number, first.line_number) == (1, 7)
    assert (second.row_number, second.line_number) == (2, 10)


def test_last_line_needs_no_line_end():
    assert only_row(HEADER + ROW.rstrip("\n")).image_urls == ("https://example.com/a.jpg",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,Chair", "Row 1 (line 2) has 2 cells, the header has 3. Add the cells that are missing."),
        ("1", "Row 1 (line 2) has 1 cell, the header has 3. Add the cells that are missing."),
        (
            "1,Chair,http://e.com/a,http://e.com/b",
            (
                "Row 1 (line 2) has 4 cells, the header has 3. "
                "Put a cell that holds commas, such as one with several URLs, between double quotes."
            ),
        ),
    ],
)
def test_wrong_number_of_cells_fails_the_row_alone(line, message):
    broken, good = rows_of(f"{HEADER}{line}\n{ROW}")

    assert isinstance(broken.error, RowError)
    assert broken.error.message == message
    assert broken.cells == tuple(line.split(","))
    assert (broken.serial_number, broken.product_name, broken.image_urls) == ("", "", ())
    assert (good.row_number, good.error) == (2, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            " ,Chair,http://e.com/a",
            'Row 1 (line 2) has no serial number. Fill in its "S. No." cell.',
        ),
        (
            "1,Chair, ",
            'Row 1 (line 2) names no image. Put at least one URL into its "Input Image Urls" cell.',
        ),
        (
            '1,Chair," , ,"',
            'Row 1 (line 2) names no image. Put at least one URL into its "Input Image Urls" cell.',
        ),
    ],
)
def test_empty_serial_number_or_url_cell_fails_the_row_alone(line, message):
    broken, good = rows_of(f"{HEADER}{line}\n{ROW}")

    assert broken.error is not None
    assert broken.error.message == message
    assert broken.image_urls == ()
    assert good.error is None


def test_a_row_takes_200_images_and_not_one_more():
    def row_with(count: int):
        urls = ",".join(f"https://example.com/{number}.jpg" for number in range(count))
        return only_row(HEADER + f'1,Chair,"{urls}"\n')

    full, over = row_with(MAX_IMAGES_PER_ROW), row_with(MAX_IMAGES_PER_ROW + 1)

    assert (len(full.image_urls), full.error) == (200, None)
    assert over.image_urls == ()
    assert over.error is not None
    assert over.error.message.startswith("Row 1 (line 2) names 201 images, and a row may name 200.")


def test_rows_are_read_as_they_are_asked_for():
    data = (HEADER + ROW * 100_000).encode()
    stream = ChunkedStream(data, [65_536])

    next(iter(read_sheet(stream, LIMITS)))

    assert stream.given_bytes <= 2 * 65_536 < len(data)
