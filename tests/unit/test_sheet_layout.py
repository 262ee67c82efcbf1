"""What a user says of its own CSV: fields read and refused, the columns found by them, the same file handed back."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from imagejobs.errors import OptionInvalid, SheetError, SheetTooLarge
from imagejobs.gzip_stream import packed
from imagejobs.limits import SheetLimits
from imagejobs.result_sheet import RESULT_COLUMNS, ImageOutcome, write_result
from imagejobs.sheet import SeparatorsSeen, check_sheet, read_sheet
from imagejobs.sheet_layout import MAX_COLUMNS_CHARACTERS, ColumnNames, SheetLayout
from tests.unit.sheet_helpers import HEADER, LIMITS, ROW, ChunkedStream, only_row, open_sheet, refusal_of, rows_of

SHEETS = Path(__file__).parents[1] / "sheets"
SHOP = "https://shop.example"
A, B, C = f"{SHOP}/a.jpg", f"{SHOP}/b.jpg", f"{SHOP}/c.jpg"
OWN = json.dumps({"id": "Handle", "name": "Title", "urls": ["Image Src", "Variant Image"]})
OWN_HEADER = "Handle,Title,Image Src,Variant Image\n"


def export_of(preset: str) -> str:
    """A shop's export, its pictures under `SHOP`."""
    return (SHEETS / f"{preset}.csv").read_text(encoding="utf-8").replace("{shop}", SHOP)


def table(text: str, separator: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))


def finished(data: str | bytes, failing: tuple[str, ...] = (), **fields: str) -> bytes:
    """The finished CSV: `<url>.new` for every image but those that fail."""
    sheet = open_sheet(data, **fields)
    rows = [(row, [_outcome(url, failing) for url in row.image_urls]) for row in sheet]
    return b"".join(write_result(sheet.form, rows))


def _outcome(url: str, failing: tuple[str, ...]) -> ImageOutcome:
    return ImageOutcome(None, "Gone.", None, None) if url in failing else ImageOutcome(f"{url}.new", None, 9, 4)


# ── The fields ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"preset": "shopify"},
        {"preset": "woocommerce", "result": "append"},
        {"columns": OWN, "column_separator": "tab", "result": "replace"},
        {"columns": '{"urls": ["Bild ü"]}'},
    ],
)
def test_what_was_read_is_said_again(fields):
    layout = SheetLayout.from_fields(fields)

    assert SheetLayout.from_fields(layout.to_fields()) == layout
    assert set(layout.to_fields()) == set(fields)


def test_one_column_of_urls_needs_no_list():
    layout = SheetLayout.from_fields({"columns": '{"urls": "Image Src"}'})

    assert layout.columns == ColumnNames(urls=("Image Src",))
    assert layout.headers() == (ColumnNames("S. No.", "Product Name", ("Image Src",)),)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "null", '{"url": "x"}', '{"id": ""}', '{"id": null}', '{"id": ["x"]}', '{"urls": []}'),
        *('{"urls": [1]}', '{"urls": {"x": 1}}', '{"urls": " "}', '{"urls": ["A b", "a B"]}', '{"id": "a\\u0000"}'),
        '{"id": "\\ud800"}',
        "[" * 3_000,
        json.dumps({"id": "x" * MAX_COLUMNS_CHARACTERS}),
    ],
)
def test_columns_that_cannot_be_used_are_refused_with_an_example(text):
    with pytest.raises(OptionInvalid, match=r"Option 'columns' is .*; a JSON object such as"):
        SheetLayout.from_fields({"columns": text})


@pytest.mark.parametrize(
    ("name", "value"), [("preset", "magento"), ("column_separator", ";"), ("result", "both"), ("layout", "x")]
)
def test_other_values_and_names_are_refused(name, value):
    with pytest.raises(OptionInvalid, match=name):
        SheetLayout.from_fields({name: value})


# ── Columns and rows ────────────────────────────────────────────────────────────────────────────────────────────────


def test_several_columns_of_urls_are_read_in_the_order_in_which_they_are_named():
    row = only_row(f'{OWN_HEADER}vase,Vase,{A},"{B};{C}"\n', columns=OWN)
    turned = only_row(
        f'{OWN_HEADER}vase,Vase,{A},"{B};{C}"\n',
        columns='{"id": "Handle", "name": "Title", "urls": ["variant image", "IMAGE SRC"]}',
    )

    assert (row.serial_number, row.product_name, row.image_urls) == ("vase", "Vase", (A, B, C))
    assert turned.image_urls == (B, C, A)


def test_rows_of_one_product_share_its_id_and_name():
    rows = rows_of(f"{OWN_HEADER}vase,Vase,{A},\nvase,,{B},\n,,{C},\nlamp,,{A},\nlamp,Lamp,{B},\n", columns=OWN)

    assert [(row.serial_number, row.product_name) for row in rows] == [
        *[("vase", "Vase")] * 3,
        ("lamp", ""),
        ("lamp", "Lamp"),
    ]
    assert not any(row.error for row in rows)


def test_neither_a_row_without_an_image_nor_one_without_an_id_to_follow_is_a_failure():
    empty, lost, good = rows_of(f"{OWN_HEADER},,,\n,Vase,{A},\nlamp,Lamp,{B},\n", columns=OWN)

    assert (empty.error, empty.image_urls) == (None, ())
    assert (lost.error, lost.serial_number, lost.product_name, lost.image_urls) == (None, "", "Vase", (A,))
    assert (good.error, good.image_urls) == (None, (B,))


def test_a_mapped_row_takes_as_many_images_as_any():
    row = only_row(f'{OWN_HEADER}vase,Vase,{A},"{",".join([B] * 200)}"\n', columns=OWN)

    assert row.error is not None
    assert row.error.message.startswith("Row 1 (line 2) names 201 images, and a row may name 200.")


def test_ids_may_repeat_and_serial_numbers_may_not():
    repeated = ROW * 2

    assert "stands on line 2 and again on line 3" in refusal_of(HEADER + repeated).message
    assert (
        check_sheet(
            lambda: io.BytesIO((HEADER + repeated).encode()), LIMITS, SheetLayout(columns=ColumnNames("S. No."))
        )
        == 2
    )


@pytest.mark.parametrize(
    ("header", "urls"),
    [
        ("Handle,Title,Image Src,Variant Image", ["Image Src", "Variant Image"]),
        ("Title,URL handle,Product image URL,Variant image URL", ["Product image URL", "Variant image URL"]),
        ("Handle,Title,Image Src", ["Image Src"]),
    ],
)
def test_a_preset_knows_the_forms_of_its_export(header, urls):
    form = open_sheet(f"{header}\n{',' * header.count(',')}\n", preset="shopify").form

    assert list(form.columns.names.urls) == urls
    assert [form.header[place] for place in form.columns.urls] == urls
    assert "handle" in form.header[form.columns.id].lower()


def test_a_column_may_be_named_beside_a_preset():
    row = only_row(f"ID,Name,Bilder\n7,Vase,{A}\n", preset="woocommerce", columns='{"urls": "Bilder"}')

    assert (row.serial_number, row.image_urls) == ("7", (A,))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"preset": "shopify"}, 'lacks the columns "Handle", "Title", "Image Src"; it has "a", "b"'),
        ({"columns": OWN}, 'lacks the columns "Handle", "Title", "Image Src", "Variant Image"; it has'),
        ({"columns": '{"id": "a", "urls": "b"}'}, 'lacks the column "Product Name"; it has'),
    ],
)
def test_missing_columns_are_named_as_the_user_has_them(fields, said):
    assert said in refusal_of("a,b\n1,2\n", **fields).message


# ── Separators ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "separator"), [("semicolon", ";"), ("tab", "\t")])
def test_columns_may_be_separated_otherwise_and_are_handed_back_so(name, separator):
    lines = [["S. No.", "Product Name", "Input Image Urls"], ["1", f"Vase{separator}big, blue", f"{A}|{B}"]]
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(lines)

    written = table(finished(text.getvalue(), column_separator=name).decode(), separator)

    assert written[0] == [*lines[0], *RESULT_COLUMNS]
    assert written[1][:4] == [*lines[1], f"{A}.new,{B}.new"]


@pytest.mark.parametrize(("name", "separator"), [("semicolon", ";"), ("tab", "\t"), ("comma", ",")])
def test_another_separator_than_was_said_is_named_with_what_to_send(name, separator):
    said = "comma" if name == "semicolon" else "semicolon"
    text = HEADER.replace(",", separator) + ROW.replace(",", separator)

    for data in (text, separator.join(f'"{column}"' for column in HEADER.strip().split(",")) + "\n"):
        message = refusal_of(data, column_separator=said).message
        assert message.endswith(f"{said}s between the columns. Or send it with column_separator={name}.")


@pytest.mark.parametrize("preset", ["shopify", "woocommerce"])
def test_an_export_without_its_preset_is_told_which(preset):
    other = {"shopify": "woocommerce", "woocommerce": "shopify"}[preset]

    for fields in ({}, {"preset": other}):
        assert refusal_of(export_of(preset), **fields).message.endswith(f"send it with preset={preset}.")


@pytest.mark.parametrize("said", [";", "\t"])
def test_another_separator_is_told_whatever_the_columns_are_called(said):
    message = refusal_of(said.join(["Article", "Label", "Photo"]) + "\n").message

    assert "Line 1: the columns are separated by" in message
    assert "Or send it with column_separator=" in message


def test_wrong_cells_are_told_in_the_words_of_the_separator():
    text = HEADER.replace(",", ";")

    row = only_row(f"{text}1;Vase;{A};{B}\n", column_separator="semicolon")
    refusal = refusal_of(f'{text}1;"Vase" x;{A}\n', column_separator="semicolon")

    assert row.error is not None
    assert "Put a cell that holds semicolons" in row.error.message
    assert "Put a semicolon there" in refusal.message


def test_what_stands_between_urls_is_gathered():
    sheet = open_sheet(f'{HEADER}1,Vase,{A}\n2,Vase,"{A}\n{B}"\n3,Vase,"{A}; {B}"\n4,Vase,"x|{A}"\n5,no images,"|"\n')
    seen = SeparatorsSeen(sheet.form)
    for row in sheet:
        seen.add(row)

    assert seen.found() == ["|", ";", "\n"]


# ── What comes back ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("preset", ["shopify", "woocommerce"])
def test_an_export_comes_back_with_new_urls_and_nothing_else_changed(preset):
    text = export_of(preset)
    fails = f"{SHOP}/lamp.jpg"
    sheet = open_sheet(text, preset=preset)
    urls = {url for row in sheet for url in row.image_urls}

    written = finished(text, failing=(fails,), preset=preset).decode()

    assert len(urls) == 5
    expected = text
    for url in urls - {fails}:
        expected = expected.replace(url, f"{url}.new")
    assert table(written) == table(expected)
    assert finished(text, failing=tuple(urls), preset=preset).decode().replace("\r\n", "\n") == text


def test_a_mapped_sheet_without_a_preset_gets_the_columns_beside_it():
    written = table(finished(f"{OWN_HEADER}vase,=1,{A},\ngift,Gift,,\n", columns=OWN).decode())

    assert written[1] == ["vase", "'=1", A, "", f"{A}.new", "COMPLETED", "", "9", "4", "0"]
    assert written[2] == ["gift", "Gift", *[""] * 8]


def test_new_urls_may_replace_old_ones_in_any_sheet():
    written = table(finished(f'{HEADER}1,=x,"{A} ;\n{B}, {C}"\n2,short\n', failing=(B,), result="replace").decode())

    assert written[1:] == [["1", "'=x", f"{A}.new ;\n{B}, {C}.new"], ["2", "short"]]


def test_a_preset_with_added_columns_keeps_the_users_cells_and_none_of_ours_runs():
    sheet = open_sheet(f"{OWN_HEADER}vase,=1,{A},\n", preset="shopify", result="append")
    rows = [(row, [ImageOutcome(None, "=2", None, None)]) for row in sheet]

    (line,) = table(b"".join(write_result(sheet.form, rows)).decode())[1:]

    assert line[:7] == ["vase", "=1", A, "", "", "FAILED", "'=2"]


# ── gzip ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sizes", [[1], [7, 2], [65_536]])
def test_a_gzip_is_read_whatever_comes_at_a_time(sizes):
    data = gzip.compress((HEADER + ROW).encode()) + gzip.compress(b"2,Table,http://e.com/b\n")

    sheet = read_sheet(ChunkedStream(data, sizes), LIMITS)

    assert sheet.form.is_gzip
    assert [row.image_urls for row in sheet] == [("https://example.com/a.jpg",), ("http://e.com/b",)]


def test_a_gzip_is_handed_back_as_one_the_same_each_time():
    data = gzip.compress((HEADER + ROW).encode())

    written = finished(data)

    assert written == finished(data)
    assert gzip.decompress(written) == finished(HEADER + ROW)


def test_bytes_count_unpacked():
    bomb = b"".join(packed([HEADER.encode(), *[ROW.encode() * 1_000] * 1_000]))
    limits = SheetLimits(max_rows=10_000_000, max_bytes=100_000)
    assert len(bomb) < limits.max_bytes * 2

    assert isinstance(refusal_of(bomb, limits), SheetTooLarge)


@pytest.mark.parametrize("cut", [3, 12, -5, -1])
def test_a_cut_gzip_is_refused(cut):
    error = refusal_of(gzip.compress((HEADER + ROW * 500).encode())[:cut])

    assert type(error) is SheetError
    assert error.message == "The file is gzip, and cut off or damaged. Pack it again."


@pytest.mark.parametrize("place", [2, 40])
def test_a_damaged_gzip_is_refused(place):
    data = bytearray(gzip.compress((HEADER + ROW).encode()))
    data[place] ^= 0xFF

    assert "cut off or damaged" in refusal_of(bytes(data)).message
