"""UTF-8 with and without its mark is read; other encodings are named, with the line that shows them."""

import pytest

from imagejobs.limits import SheetLimits
from tests.unit.sheet_helpers import HEADER, ROW, open_sheet, refusal_of, rows_of

LARGE = SheetLimits(max_rows=100_000, max_bytes=10_000_000)


@pytest.mark.parametrize("header", [HEADER, HEADER.replace("S. No.", '"S. No."'), "\n" + HEADER])
def test_byte_order_mark_is_accepted_and_remembered(header):
    sheet = open_sheet(b"\xef\xbb\xbf" + (header + ROW).encode())

    (row,) = sheet

    assert sheet.form.has_byte_order_mark
    assert sheet.form.header[0] == "S. No."
    assert row.serial_number == "1"


@pytest.mark.parametrize(
    ("encoding", "mark", "named"),
    [
        ("utf-16-le", b"\xff\xfe", "UTF-16"),
        ("utf-16-be", b"\xfe\xff", "UTF-16"),
        ("utf-16-le", b"", "UTF-16"),
        ("utf-16-be", b"", "UTF-16"),
        ("utf-32-le", b"\xff\xfe\0\0", "UTF-32"),
        ("utf-32-be", b"\0\0\xfe\xff", "UTF-32"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_utf_16_and_utf_32_are_named(encoding, mark, named, line_end):
    error = refusal_of(mark + (HEADER + ROW).replace("\n", line_end).encode(encoding))

    assert error.line_number == 1
    assert error.message == (f"Line 1: the file is not UTF-8, it looks like {named}. Save it as CSV UTF-8.")


@pytest.mark.parametrize(
    ("encoding", "name", "named"),
    [
        ("latin-1", "Café", "Latin-1 (ISO 8859-1)"),
        ("cp1252", "Stuhl „Wien“ 20 €", "Windows-1252"),
    ],
)
def test_one_byte_encodings_are_named_with_the_line(encoding, name, named):
    lines = HEADER + ROW + f"2,{name},https://example.com/b.jpg\n3,ok,https://example.com/c.jpg\n"

    error = refusal_of(lines.encode(encoding))

    assert error.line_number == 3
    assert error.message == (f"Line 3: the file is not UTF-8, it looks like {named}. Save it as CSV UTF-8.")


def test_encoding_that_cannot_be_guessed_is_refused_without_a_name():
    error = refusal_of((HEADER + "1,椅子、机,https://example.com/a.jpg\n").encode("cp932"))

    assert error.message == "Line 2: the file is not UTF-8. Save it as CSV UTF-8."


def test_a_lone_surrogate_is_refused_with_its_line():
    half_a_character = "\ud800".encode(errors="surrogatepass")

    assert refusal_of((HEADER + ROW + "2,Va").encode() + half_a_character).line_number == 3


def test_line_of_a_wrong_byte_is_right_far_into_a_large_file():
    rows = "".join(f"{number},Größe,https://example.com/a.jpg\r\n" for number in range(1, 20_001))
    data = HEADER.encode() + rows.encode() + b"x,Caf\xe9,y\r\n" + rows.encode()

    assert refusal_of(data, LARGE).line_number == 20_002


def test_character_cut_off_at_the_end_of_the_file_is_refused():
    assert refusal_of((HEADER + "1,Caf").encode() + "é".encode()[:1]).line_number == 2


@pytest.mark.parametrize(
    "text", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\x01", "\x7f", "\ufeff", "🪑"]
)
def test_only_cr_and_lf_end_a_line_and_other_characters_stay(text):
    first, second = rows_of(HEADER + f"1,a{text}b,https://example.com/a.jpg\n2,c,https://example.com/b.jpg\n")

    assert first.cells[1] == f"a{text}b"
    assert second.line_number == 3


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (HEADER + ROW + "2,a\0b,https://example.com/b.jpg\n", 3),
        (HEADER + '1,"a\n\0",https://example.com/b.jpg\n', 3),
        (HEADER.replace("Name", "Na\0me") + ROW, 1),
    ],
)
def test_nul_is_refused_with_its_line(data, line):
    error = refusal_of(data)

    assert error.line_number == line
    assert error.message.startswith(f"Line {line}: it holds a NUL character")
