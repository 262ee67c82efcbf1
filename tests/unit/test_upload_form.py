"""The multipart form of an upload, as clients send it and as they get it wrong."""

import re
import tempfile

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from imagejobs.errors import UploadInvalid
from imagejobs.upload_form import UploadForm, parse_fields, parse_upload_form

CSV = "S. No.,Product Name,Input Image Urls\r\n1,Stühle,https://example.com/a.jpg\r\n".encode()
TYPE = "multipart/form-data; boundary=XX"
EXAMPLE = "Send it like this: curl -F file=@products.csv"


PIECES = [b"--XX", b"\r\n", b"--", b":", b"a", b'--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\n']


def part(name, content, *, filename=None):
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + b"--XX--\r\n"


def refusal_of(content_type, body):
    with pytest.raises(UploadInvalid) as caught:
        parse_upload_form(content_type, body)
    assert caught.value.http_status == 400
    return caught.value.message


def test_file_and_fields_of_a_real_client():
    files = {"file": ("Stühle.csv", CSV, "text/csv")}
    fields = {"webhook_url": "https://example.com/hook", "note": "Größe\n2", "empty": ""}
    request = requests.Request("POST", "http://localhost/upload", data=fields, files=files).prepare()

    parsed = parse_upload_form(request.headers["Content-Type"], request.body)

    assert parsed == UploadForm(CSV, fields)


@pytest.mark.parametrize("content_type", ['Multipart/Form-Data; boundary="XX"', TYPE + "; charset=utf-8"])
def test_content_type_may_be_spelled_otherwise(content_type):
    assert parse_upload_form(content_type, form(part("file", CSV, filename="a.csv"))).file == CSV


def test_file_may_be_sent_as_plain_text():
    assert parse_upload_form(TYPE, form(part("file", CSV))) == UploadForm(CSV, {})


def test_file_is_kept_byte_for_byte():
    content = bytes(range(256)) + b"\r\n--X\r\n--YY\r\n\r\n"

    assert parse_upload_form(TYPE, form(part("file", content, filename=""))).file == content


@pytest.mark.parametrize("excess", range(-80, 4))
def test_size_of_the_body_does_not_matter(excess):
    content = b"x" * (65_536 + excess)

    assert parse_upload_form(TYPE, form(part("file", content))).file == content


def test_six_megabytes_stay_in_memory(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("A temporary file was made.")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    content = b"\r\n--X" * 1_200_000

    assert parse_upload_form(TYPE, form(part("file", content, filename="a.csv"))).file == content


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        (None, "there is none"),
        ("", "there is none"),
        ("text/csv", 'it is "text/csv"'),
        ("application/x-www-form-urlencoded; charset=utf-8", 'it is "application/x-www-form-urlencoded"'),
        ("multipart/mixed; boundary=XX", 'it is "multipart/mixed"'),
    ],
)
def test_other_content_type_is_refused(content_type, said):
    assert refusal_of(content_type, form(part("file", CSV))) == (
        f"The Content-Type must be multipart/form-data; {said}. {EXAMPLE}"
    )


@pytest.mark.parametrize("parameter", ["", "; boundary=", '; boundary=""', "; charset=utf-8"])
def test_missing_boundary_is_refused(parameter):
    message = refusal_of("multipart/form-data" + parameter, form(part("file", CSV)))

    assert message.startswith("The Content-Type multipart/form-data lacks its boundary.")
    assert message.endswith(EXAMPLE)


def test_other_field_name_is_refused_with_the_fields_that_were_found():
    body = form(part("csv", CSV, filename="a.csv"), part("webhook_url", b"https://example.com/?key=secret"))

    assert refusal_of(TYPE, body) == (
        'The form lacks the part "file" with the CSV; the fields are "csv", "webhook_url". ' + EXAMPLE
    )


def test_form_without_fields_is_refused():
    assert "it has no fields" in refusal_of(TYPE, b"--XX--\r\n")


@pytest.mark.parametrize("filename", [None, "", "a.csv"])
def test_empty_file_is_refused(filename):
    body = form(part("file", b"", filename=filename))

    assert refusal_of(TYPE, body) == f'The part "file" is empty. {EXAMPLE}'


@pytest.mark.parametrize("name", ["file", "webhook_url"])
def test_field_that_is_sent_twice_is_refused(name):
    body = form(part("file", CSV), part("webhook_url", b"a"), part(name, b"b", filename="b.csv"))

    assert refusal_of(TYPE, body) == f'The field "{name}" is sent 2 times. Send it once.'


def test_field_that_is_not_utf_8_is_refused():
    body = form(part("file", CSV), part("note", "Größe".encode("latin-1")))

    assert refusal_of(TYPE, body).startswith('The field "note" is not UTF-8 text.')


@pytest.mark.parametrize(
    "body",
    [
        b"",
        CSV,
        form(part("file", CSV)).removesuffix(b"--\r\n"),
        form(part("file", CSV))[:-20],
        form(part("file", CSV)).replace(b"\r\n", b"\n"),
        b"junk" + form(part("file", CSV)),
        form(b"--XX\r\nContent-Type: text/csv\r\n\r\na\r\n"),
        form(b"--XX\r\nContent-Disposition: attachment; name=file\r\n\r\na\r\n"),
        form(b"--XX\r\nContent-Disposition: form-data\r\n\r\na\r\n"),
        form(part("file", CSV)).replace(b'"file"', b'"\xff"'),
    ],
)
def test_broken_body_is_refused_with_the_reason(body):
    message = refusal_of(TYPE, body)

    assert message.startswith("The multipart body cannot be read (")
    assert message.endswith(f"). {EXAMPLE}")


@pytest.mark.parametrize(
    "body",
    [
        form(*[part(f"field{number}", b"a") for number in range(65)]),
        form(part("x" * 5_000, b"a")),
    ],
)
def test_too_many_parts_or_long_headers_are_refused(body):
    assert refusal_of(TYPE, body).startswith("The form has more than 64 parts, or a part's headers are too long.")


def test_long_names_are_shown_short():
    assert f'"{"x" * 40}…"' in refusal_of(TYPE, form(part("x" * 1_000, b"a")))


@given(
    st.one_of(st.none(), st.just(TYPE), st.text(max_size=40), st.text(max_size=9).map(f"{TYPE}{{}}".format)),
    st.binary(max_size=80) | st.lists(st.sampled_from(PIECES)).map(b"".join),
)
@example('multipart/form-data; boundary="\ud800"', b"--XX")
def test_nothing_raises_anything_but_a_refusal(content_type, body):
    try:
        parsed = parse_upload_form(content_type, body)
    except UploadInvalid:
        return
    assert parsed.file


# ── Fields without a file ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", {}),
        (
            b' {"quality": 80, "keep_metadata": true, "format": "webp"}',
            {"quality": "80", "keep_metadata": "true", "format": "webp"},
        ),
        (b'{"quality": 80.0, "max_width": 4e3}', {"quality": "80", "max_width": "4000"}),
        (b'{"quality": 80.5, "max_width": 1e999}', {"quality": "80.5", "max_width": "Infinity"}),
        (
            b'{"columns": {"id": "Gr\xc3\xb6\xc3\x9fe"}}',
            {"columns": '{"id": "Gr\\u00f6\\u00dfe"}'},
        ),
    ],
)
def test_fields_of_json_are_the_text_that_a_form_has_for_them(body, fields):
    assert parse_fields("application/json; charset=utf-8", body) == fields


def test_fields_of_a_form_are_its_parts():
    assert parse_fields(TYPE, form(part("quality", b"80"), part("note", "Größe".encode()))) == {
        "quality": "80",
        "note": "Größe",
    }


@pytest.mark.parametrize("content_type", [None, "application/json", TYPE])
def test_no_body_is_no_fields(content_type):
    assert parse_fields(content_type, b"") == {}


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/json", b"{", "not JSON"),
        ("application/json", b"[" * 100_000, "not JSON"),
        ("application/json", b"\xff\xfe{", "not JSON"),
        ("application/json", b'{"quality": ' + b"9" * 5000 + b"}", "not JSON"),
        ("application/json", b'["quality"]', "no object"),
        ("application/x-www-form-urlencoded", b"quality=80", "application/json or as multipart/form-data"),
        (None, b"{}", "application/json or as multipart/form-data"),
        (TYPE, form(part("file", CSV, filename="a.csv")), 'The part "file" is sent here'),
        (TYPE, form(part("quality", b"1"), part("quality", b"2")), 'The field "quality" is sent 2 times'),
    ],
)
def test_what_is_not_fields_is_refused(content_type, body, reason):
    with pytest.raises(UploadInvalid, match=re.escape(reason)):
        parse_fields(content_type, body)
