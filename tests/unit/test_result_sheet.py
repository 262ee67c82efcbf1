"""The finished CSV: the user's cells, the outcome beside them, and nothing that a spreadsheet would run."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagejobs.errors import RowError
from imagejobs.limits import SheetLimits
from imagejobs.result_sheet import RESULT_COLUMNS, ImageOutcome, neutralize_formula, write_result
from imagejobs.sheet import SheetRow, read_sheet
from tests.unit.sheet_helpers import form_of

HEADER = ("S. No.", "Product Name", "Input Image Urls")
FULL_WIDTH_SIGNS = "\uff1d\uff0b\uff0d\uff20"
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.text(
    FULL_WIDTH_SIGNS + "=+-@ \t\r\n\"',;1.e", max_size=6
)


def row_of(*cells, error=None):
    return SheetRow(1, 2, cells, "1", "Chair", (), error)


def completed(name, before=100, after=60, *, is_reused=False):
    return ImageOutcome(f"https://images.example.com/{name}", None, before, after, is_reused)


def failed(sentence):
    return ImageOutcome(None, sentence, None, None)


def parse(chunks):
    return list(csv.reader(io.StringIO(b"".join(chunks).decode("utf-8-sig"), newline=""), strict=True))


def result_of(row, *outcomes, header=HEADER):
    first, second = parse(write_result(form_of(header), [(row, outcomes)]))
    assert first == [*header, *RESULT_COLUMNS]
    return second


def test_bytes_of_a_whole_file():
    rows = [
        (row_of("1", "Chair, red", "u"), [completed("a"), completed("b", 200, 90, is_reused=True)]),
        (row_of("2", "", "u"), [failed("It is not an image.")]),
    ]

    assert b"".join(write_result(form_of(HEADER), rows)).decode() == (
        "S. No.,Product Name,Input Image Urls,Output Image Urls,Status,Error,Bytes Before,Bytes After,Images Reused\r\n"
        '1,"Chair, red",u,"https://images.example.com/a,https://images.example.com/b",COMPLETED,,300,150,1\r\n'
        "2,,u,,FAILED,It is not an image.,,,0\r\n"
    )


@pytest.mark.parametrize("mark", [True, False])
def test_byte_order_mark_is_kept_and_not_added(mark):
    data = b"".join(write_result(form_of(HEADER, byte_order_mark=mark), []))

    assert data.startswith(b"\xef\xbb\xbfS. No." if mark else b"S. No.")


def test_failed_image_leaves_its_place_empty_and_is_named():
    cells = result_of(row_of("1", "Chair", "u"), completed("a"), failed("Gone."), completed("c"))

    assert cells[3:] == [
        "https://images.example.com/a,,https://images.example.com/c",
        "PARTIAL",
        "image 2: Gone.",
        "200",
        "120",
        "0",
    ]


def test_row_without_a_good_image_is_failed():
    cells = result_of(row_of("1", "Chair", "u"), failed("Gone."), failed("It is empty."))

    assert cells[3:] == [",", "FAILED", "image 1: Gone.; image 2: It is empty.", "", "", "0"]


def test_error_of_the_row_is_its_outcome():
    cells = result_of(row_of("1", "Chair", "", error=RowError("Row 1 (line 2) names no image.")))

    assert cells[3:] == ["", "FAILED", "Row 1 (line 2) names no image.", "", "", ""]


def test_bytes_of_failed_images_do_not_count():
    outcome = ImageOutcome(None, "It is too large.", 5_000, None)

    assert result_of(row_of("1", "Chair", "u"), outcome, completed("b", 70, 0))[6:] == ["70", "0", "0"]


def test_row_that_is_too_short_is_filled_up_to_the_new_columns():
    cells = result_of(row_of("1", error=RowError("Too few.")))

    assert cells == ["1", "", "", "", "FAILED", "Too few.", "", "", ""]


def test_cells_beyond_the_header_come_after_the_new_columns():
    cells = result_of(row_of("1", "Chair", "u", "more", "", error=RowError("Too many.")))

    assert cells == ["1", "Chair", "u", "", "FAILED", "Too many.", "", "", "", "more", ""]


@pytest.mark.parametrize("sign", "=+-@" + FULL_WIDTH_SIGNS)
@pytest.mark.parametrize("before", ["", " ", "\t", "\r", "\n", " \u00a0 ", "\x01", "\ufeff"])
def test_formula_gets_an_apostrophe(sign, before):
    assert neutralize_formula(f"{before}{sign}SUM(A1)") == f"'{before}{sign}SUM(A1)"


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "-",
            "+",
            "=1",
            "@1",
            "-1+1",
            "+1-1",
            "--1",
            "-1e",
            "-e5",
            "-,",
            "-1;2",
            "- 5",
            "\uff0d5",
            "-\u0665",
        ),
        *("-A1", "-1/2", "+49 170", "-1%+2", "-5\n", "\t-5", "\tx", "\rx", "\nx", "=cmd|' /C calc'!A0"),
    ],
)
def test_what_is_not_a_plain_number_gets_an_apostrophe(cell):
    assert neutralize_formula(cell) == "'" + cell


@pytest.mark.parametrize(
    "cell",
    [
        *("-5", "+3.2", "-1e5", "-1,234.50", "-1.234,50", "+.5", "-2E-3", " -5 ", "+4917012345", "5"),
        *("", " ", "a=1", "1-2", "'=1", "https://example.com/?a=-1", "\u2013 dash", "|x"),
    ],
)
def test_numbers_and_other_text_stay_as_they_are(cell):
    assert neutralize_formula(cell) == cell


def test_header_extra_cells_and_errors_are_neutralized_too():
    data = write_result(form_of(("=A", "b")), [(row_of("@x", "-1", "=y"), [failed("-x")])])

    assert parse(data) == [
        ["'=A", "b", *RESULT_COLUMNS],
        ["'@x", "-1", "", "FAILED", "'-x", "", "", "0", "'=y"],
    ]


@pytest.mark.parametrize("cell", ["=" + " " * 130_000, " " * 131_000 + "x", "-" + "1," * 65_000 + "x"])
def test_neutralizing_takes_linear_time(cell):
    assert neutralize_formula(cell).endswith(cell)


@given(
    st.lists(CELL, min_size=2, max_size=4),
    st.lists(st.lists(CELL, min_size=1, max_size=6).filter(lambda cells: cells != [""]), max_size=4),
)
@example(["S. No.", "\ufeff=1"], [["=1+1", "-5"], ['"', "\r"]])
def test_users_cells_come_back_but_for_the_apostrophe(header, rows):
    sheet_rows = [(row_of(*cells), [completed("a")]) for cells in rows]

    first, *others = parse(write_result(form_of(header, byte_order_mark=True), sheet_rows))

    width = len(header)
    assert first == [*map(neutralize_formula, header), *RESULT_COLUMNS]
    for cells, written in zip(rows, others, strict=True):
        padded = [*cells, *[""] * (width - len(cells))]
        users = [*written[:width], *written[width + len(RESULT_COLUMNS) :]]
        assert [without_apostrophe(cell, came) for cell, came in zip(users, padded, strict=True)] == padded
        assert written[width + 1] == "COMPLETED"
    assert not any(begins_formula(cell) for cells in [first, *others] for cell in cells)


def without_apostrophe(written, came):
    return written[1:] if written == "'" + came else written


def begins_formula(cell):
    """The rule once more, in plain steps."""
    bare = "".join(char for char in cell if char >= " " and char != "\ufeff").strip()
    if cell[:1] in ("\t", "\r", "\n") or bare[:1] in set("=@" + FULL_WIDTH_SIGNS):
        return bool(cell)
    return bare[:1] in ("+", "-") and not is_number(bare[1:])


def is_number(text):
    mantissa, has_exponent, exponent = text.lower().partition("e")
    digits = exponent[1:] if exponent[:1] in ("+", "-") else exponent
    return (
        set(mantissa) <= set("0123456789.,")
        and any(map(str.isdigit, mantissa))
        and (not has_exponent or (digits.isascii() and digits.isdigit()))
    )


def test_output_comes_in_chunks_as_the_rows_are_read():
    taken = []

    def rows():
        for number in range(10_000):
            taken.append(number)
            yield row_of(str(number), "Chair", "u"), [completed("a")]

    chunks = write_result(form_of(HEADER), rows())

    assert 65_536 <= len(next(chunks)) < 66_000
    assert len(taken) < 2_000
    assert sum(1 for _ in chunks) < 20
    assert len(taken) == 10_000


def test_what_was_read_is_written_back_with_its_rows_in_order():
    data = "S. No.,Note,Product Name,Input Image Urls\r\n" + "".join(
        f'{number},"a ""b""\n{number}",-{number},"http://e/a, http://e/b"\r\n' for number in range(1, 301)
    )
    sheet = read_sheet(io.BytesIO(data.encode()), SheetLimits(max_rows=1_000, max_bytes=100_000))

    written = parse(write_result(sheet.form, ((row, [completed("a")] * 2) for row in sheet)))

    assert [cells[:4] for cells in written] == parse([data.encode()])
    assert {cells[5] for cells in written[1:]} == {"COMPLETED"}
