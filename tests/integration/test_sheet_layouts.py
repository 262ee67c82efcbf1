"""A CSV in its user's own form, from the upload or the drop to the finished CSV, and what its owner is told of it."""

import csv
import gzip
import io
import json
from pathlib import Path

import boto3
import pytest

from imagejobs.bucket import ObjectVersion
from tests.integration.handlers import (
    api_event,
    body_of,
    close,
    content_of,
    file_event,
    finish,
    upload_event,
)
from tests.integration.jobs import HEADER, images_of, job_of, query, sheet, upload

SHEETS = Path(__file__).parents[1] / "sheets"
A, B = "https://shop.example/a.jpg", "https://shop.example/b.jpg"
COLUMNS = json.dumps({"id": "Handle", "name": "Title", "urls": ["Image Src", "Variant Image"]})


def uploaded(functions, database, file, **fields):
    """A job that was uploaded and fanned out."""
    request_id = content_of(functions.invoke("api", upload_event(file, fields)))["request_id"]
    job = job_of(database, request_id)
    functions.invoke("fan_out", file_event(ObjectVersion(job["source_key"], job["source_version"])))
    return request_id


def dropped(functions, bucket, connect, key, body, metadata):
    """A job whose CSV was dropped with metadata, and fanned out."""
    put = boto3.client("s3").put_object(Bucket=bucket.name, Key=key, Body=body, Metadata=metadata)
    functions.invoke("fan_out", file_event(ObjectVersion(key, put["VersionId"])))
    ((request_id,),) = query(connect, "SELECT request_id FROM job_request WHERE source_version = %s", put["VersionId"])
    return request_id


def status_of(functions, request_id):
    return content_of(functions.invoke("api", api_event("status", request_id)))


def table(text, separator=","):
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))


@pytest.mark.parametrize(
    ("preset", "images", "ids"),
    [("shopify", 6, {"stoneware-vase", "desk-lamp"}), ("woocommerce", 5, {"44", "45", "47"})],
)
def test_a_shops_export_is_uploaded_and_comes_back_with_new_urls(functions, database, bucket, preset, images, ids):
    text = (SHEETS / f"{preset}.csv").read_text(encoding="utf-8").replace("{shop}", "https://shop.example")
    request_id = uploaded(functions, database, text.encode(), preset=preset)
    staged = images_of(database, request_id)
    finish(database, request_id, failing={(1, 1)})
    close(functions, request_id)

    written = table(body_of(bucket, f"results/{request_id}.csv").decode())

    assert len(staged) == images
    assert {image["serial_number"] for image in staged} == ids
    assert {image["product_name"] for image in staged if image["row_number"] == 2} & {
        "Stoneware Vase - Ink",
        "Stoneware Vase",
    }
    expected = table(text)
    for before, after in zip(expected, written, strict=True):
        assert [cell for cell in after if "images.example" not in cell] == [
            old for old, new in zip(before, after, strict=True) if "images.example" not in new
        ]
    outcomes = [image["image_url"] or image["source_url"] for image in images_of(database, request_id)]
    assert [url for line in written for cell in line for url in cell.split(", ") if url in outcomes] == outcomes
    job = status_of(functions, request_id)
    assert (job["rows"], job["rows_failed"], job["images"], job["images_failed"]) == (len(expected) - 1, 0, images, 1)


def test_the_status_says_what_was_found(functions, database, bucket):
    text = f"Title\tImage Src\tHandle\tVariant Image\nVase\t{A} | {B}\tvase\t\n"
    answer = functions.invoke("api", upload_event(text.encode(), {"columns": COLUMNS, "column_separator": "tab"}))
    request_id = content_of(answer)["request_id"]
    before = status_of(functions, request_id)["sheet"]
    job = job_of(database, request_id)
    functions.invoke("fan_out", file_event(ObjectVersion(job["source_key"], job["source_version"])))

    found = status_of(functions, request_id)["sheet"]

    assert before is None
    assert found == {"columns": json.loads(COLUMNS), "column_separator": "tab", "url_separators": ["|"]}


def test_a_dropped_gzip_says_its_form_in_its_metadata(functions, database, bucket, connect):
    text = f"Handle;Title;Image Src;Variant Image\nvase;=Vase;{A};\ngift;Gift;;\n"
    form = {"columns": COLUMNS, "column_separator": "semicolon", "result": "replace", "other-tool": "x"}
    request_id = dropped(functions, bucket, connect, "drop/a.csv", gzip.compress(text.encode()), form)
    finish(database, request_id)
    state = close(functions, request_id)

    written = table(gzip.decompress(body_of(bucket, "results/a.csv.gz")).decode(), ";")

    assert state["result"]["result_key"] == "results/a.csv.gz"
    stored = boto3.client("s3").head_object(Bucket=bucket.name, Key="results/a.csv.gz")
    assert stored["ContentType"] == "application/gzip"
    new_url = f"https://images.example/images/{request_id}/1-1.jpg"
    assert written == [*table(text, ";")[:1], ["vase", "'=Vase", new_url, ""], ["gift", "Gift", "", ""]]


def test_a_gzip_of_that_name_keeps_it(functions, database, bucket, connect):
    request_id = dropped(functions, bucket, connect, "drop/a.csv.gz", gzip.compress(sheet(A)), {})
    finish(database, request_id)

    assert close(functions, request_id)["result"]["result_key"] == "results/a.csv.gz"


def test_metadata_that_cannot_be_used_is_its_owners_to_know(functions, database, bucket, connect):
    request_id = dropped(functions, bucket, connect, "drop/a.csv", sheet(A), {"columns": "Image Src"})
    close(functions, request_id)

    assert "Option 'columns' is 'Image Src'; a JSON object such as" in job_of(database, request_id)["error_message"]
    assert "Option 'columns'" in body_of(bucket, "results/a.csv.error.json").decode()


def test_why_rows_cannot_be_used_is_kept_with_their_lines(functions, database, bucket, connect):
    body = f'{HEADER}1,"two\nlines",{A}\n2,Chair,\n3,short\n'.encode()
    request_id, source = upload(database, bucket, body)

    functions.invoke("fan_out", file_event(source))
    functions.invoke("fan_out", file_event(source))

    errors = query(connect, "SELECT row_number, line_number, error_message FROM row_error ORDER BY row_number")
    assert [error[:2] for error in errors] == [(2, 4), (3, 5)]
    assert "names no image" in errors[0][2]
    assert job_of(database, request_id)["rows_failed"] == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"preset": "magento"}, "option_invalid"),
        ({"columns": "x"}, "option_invalid"),
        ({"preset": "shopify"}, "sheet_invalid"),
        ({"column_separator": "semicolon"}, "sheet_invalid"),
    ],
)
def test_an_upload_in_another_form_than_it_says_is_refused(functions, fields, code):
    answer = functions.invoke("api", upload_event(sheet(A), fields))

    assert (answer["statusCode"], content_of(answer)["code"]) == (400, code)
