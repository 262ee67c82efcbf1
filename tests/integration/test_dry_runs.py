"""Dry runs: images are looked at, and nothing is compressed, stored or taken from what may be compressed that day."""

import csv
import io
import json

import boto3
import pytest
from psycopg2.extras import Json

from imagejobs.bucket import ObjectVersion
from imagejobs.fetch import START_BYTES
from imagejobs.preflight_sheet import PREFLIGHT_COLUMNS
from imagejobs.steps import compress as compress_step
from tests.integration.emf import series, sums
from tests.integration.handlers import (
    api_event,
    close,
    content_of,
    event_to_send,
    fanned_out,
    file_event,
    row_body,
    sqs_event,
    upload_event,
)
from tests.integration.jobs import images_of, job_of, query, sheet
from tests.unit.fetch_helpers import http_answer, says, scripted_origin, serves
from tests.unit.image_helpers import encode, noise
from tests.unit.test_image_limits import jpeg_claiming

JPEG = encode(noise((64, 48)), "JPEG", quality=97)
PNG = encode(noise((48, 36)), "PNG")
LARGE = jpeg_claiming(300, 400) + bytes(2_000_000)


@pytest.fixture
def shop(functions, monkeypatch):
    """An origin with one picture everywhere, and an entity tag."""
    monkeypatch.setattr(compress_step, "RETRY_DELAYS_SECONDS", (0.0, 0.0))
    with scripted_origin(serves(JPEG, ETag='"1"')) as server:
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


@pytest.fixture
def begin(functions, database, bucket):
    """Fans out a sheet with a row for each cell; the job's id."""

    def run(*cells, **columns):
        return fanned_out(functions, database, bucket, sheet(*cells), **{"dry_run": True, **columns})

    return run


@pytest.fixture
def work(functions):
    """A worker's answer to a batch of the first rows of these jobs."""

    def run(*request_ids, rows=1):
        bodies = [row_body(request_id, row) for request_id in request_ids for row in range(1, rows + 1)]
        return functions.invoke("compress", sqs_event("compress", *bodies))["batchItemFailures"]

    return run


def stored():
    """Keys of compressed images."""
    return boto3.client("s3").list_objects_v2(Bucket="imagejobs", Prefix="images/").get("Contents", [])


# ── One image ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_is_looked_at_and_nothing_is_stored(begin, work, database, shop):
    shop.answers["/large.jpg"] = [says(http_answer(LARGE))]
    shop.answers["/small.png"] = [says(http_answer(PNG))]
    request_id = begin(f"{shop.url('/large.jpg')},{shop.url('/small.png')}")

    assert work(request_id) == []

    images = images_of(database, request_id)
    seen = ("status", "outcome", "format", "width", "height", "bytes_before")
    assert [tuple(image[name] for name in seen) for image in images] == [
        ("COMPLETED", "checked", "jpeg", 300, 400, len(LARGE)),
        ("COMPLETED", "checked", "png", 48, 36, len(PNG)),
    ]
    made = ("image_url", "bytes_after", "encoder", "encoder_quality", "cpu_ms", "score", "content", "reused")
    assert {image[name] for image in images for name in made} == {None}
    assert stored() == []
    job = job_of(database, request_id)
    assert (job["images_completed"], job["bytes_before"], job["bytes_after"]) == (2, len(LARGE) + len(PNG), 0)
    assert {request.headers["range"] for request in shop.requests} == {f"bytes=0-{START_BYTES - 1}"}


def test_a_bad_image_fails_with_the_code_and_the_sentence_of_a_real_run(begin, work, database, shop):
    shop.answers["/gone.jpg"] = [says(http_answer(status="404 Not Found"))]
    shop.answers["/page.jpg"] = [says(http_answer(b"<!doctype html><title>Sorry</title>"))]
    shop.answers["/empty.jpg"] = [says(http_answer(b""))]
    shop.answers["/huge.jpg"] = [says(http_answer(jpeg_claiming(60_000, 60_000)))]
    shop.answers["/long.jpg"] = [says(b"HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n")]
    paths = ("/gone.jpg", "/page.jpg", "/empty.jpg", "/huge.jpg", "/long.jpg")
    cell = ",".join([*map(shop.url, paths), "http://10.0.0.1/a.jpg"])
    found = []
    for dry_run in (True, False):
        request_id = begin(cell, dry_run=dry_run)
        work(request_id)
        found.append([(image["error_code"], image["error_message"]) for image in images_of(database, request_id)])

    assert found[0] == found[1]
    assert [code for code, _ in found[0]] == [
        "origin_refused",
        "format_unsupported",
        "image_unreadable",
        "image_too_large",
        "image_too_large",
        "url_refused",
    ]


RESTS = "SELECT attempt, not_before > now(), lease_token FROM compressed_images WHERE request_id = %s"


def test_an_origin_that_is_busy_is_asked_again_later(begin, work, connect, shop):
    shop.answers["/busy.jpg"] = [says(http_answer(status="503 Busy"))]
    request_id = begin(shop.url("/busy.jpg"))

    work(request_id)

    assert query(connect, RESTS, request_id) == [(1, True, None)]


@pytest.mark.parametrize("options", [{}, {"human_urls": "true"}])
def test_a_repeated_url_is_looked_at_once(begin, work, database, shop, options):
    request_id = begin(shop.url("/a.jpg"), f"{shop.url('/b.jpg')},{shop.url('/a.jpg')}", options=Json(options))

    work(request_id, rows=2)

    assert sorted(request.resource for request in shop.requests) == ["/a.jpg", "/b.jpg"]
    repeated = images_of(database, request_id)[2]
    assert (repeated["outcome"], repeated["cpu_ms"], repeated["same_as_row_number"]) == ("checked", None, 1)


# ── Beside real runs ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("reuse", "told"), [("true", "not_modified"), ("false", None)])
def test_what_a_real_run_would_reuse_is_told_and_a_look_is_reused_by_nobody(begin, work, database, shop, reuse, told):
    jobs = [begin(shop.url("/a"))]
    work(jobs[-1])
    jobs.append(begin(shop.url("/a"), dry_run=False))
    work(jobs[-1])
    jobs.append(begin(shop.url("/a"), options=Json({} if reuse == "true" else {"reuse": "false"})))
    work(jobs[-1])

    assert [images_of(database, each)[0]["reused"] for each in jobs] == [None, None, told]


def test_a_real_run_whose_source_is_gone_is_tried_again_beside_a_dry_run(begin, work, database, connect, shop):
    """Of one batch, as many images say that they are reused as there were to be, and yet not all of them are."""
    source = begin(shop.url("/a"), dry_run=False)
    work(source)
    dry, real = begin(shop.url("/a")), begin(shop.url("/a"), dry_run=False)

    def answer_without_source(request, wire):
        query(connect, "DELETE FROM compressed_images WHERE request_id = %s", source)
        serves(JPEG, ETag='"1"')(request, wire)

    shop.answers["/a"] = [answer_without_source, serves(JPEG, ETag='"1"')]
    work(dry, real)

    (looked_at,), (compressed,) = images_of(database, dry), images_of(database, real)
    assert (looked_at["outcome"], looked_at["reused"]) == ("checked", "not_modified")
    assert compressed["status"] == "PENDING"
    assert query(connect, RESTS, real) == [(0, True, None)]


def test_a_preflight_is_an_upload_that_is_a_dry_run(functions, database):
    answers = [
        functions.invoke("api", upload_event(sheet("https://shop.example/a.jpg"), fields, name=name))
        for name, fields in (("preflight", {"quality": "60"}), ("upload", {"dry_run": "true"}), ("upload", {}))
    ]

    jobs = [job_of(database, content_of(answer)["request_id"]) for answer in answers]
    assert [answer["statusCode"] for answer in answers] == [202] * 3
    assert [(job["dry_run"], job["options"]) for job in jobs] == [(True, {"quality": "60"}), (True, {}), (False, {})]


def test_a_dropped_file_says_so_in_its_metadata(functions, database, bucket, connect):
    for value in ("true", "perhaps"):
        boto3.client("s3").put_object(
            Bucket=bucket.name,
            Key=f"drop/{value}.csv",
            Body=sheet("https://shop.example/a"),
            Metadata={"dry_run": value},
        )
        version = boto3.client("s3").head_object(Bucket=bucket.name, Key=f"drop/{value}.csv")["VersionId"]
        functions.invoke("fan_out", file_event(ObjectVersion(f"drop/{value}.csv", version)))

    jobs = query(connect, "SELECT dry_run, error_message FROM job_request ORDER BY source_key DESC")
    assert jobs == [
        (True, None),
        (False, "Option 'dry_run' is 'perhaps'; true and false are allowed."),
    ]
    assert query(connect, "SELECT owner, images, images_checked FROM caller_usage") == [("drop", 0, 1)]


def used(connect):
    """Of the shop's day: images compressed, and images looked at."""
    return query(connect, "SELECT images, images_checked FROM caller_usage WHERE owner = 'shop'")


def test_images_that_are_looked_at_have_a_quota_of_their_own(functions, begin, work, connect, shop):
    file = sheet(f"{shop.url('/a')},{shop.url('/b')}")
    for fields, expected in (({"dry_run": "true"}, (0, 2)), ({}, (2, 2)), ({"dry_run": "false"}, (4, 2))):
        assert functions.invoke("api", upload_event(file, fields))["statusCode"] == 202
        assert used(connect) == [expected]
    event = upload_event(sheet(*[shop.url("/a")] * 3), {"dry_run": "true"})
    event["requestContext"]["authorizer"]["daily_images"] = "4"

    refused = functions.invoke("api", event)

    assert (refused["statusCode"], content_of(refused)["code"]) == (429, "quota_exceeded")
    assert used(connect) == [(4, 2)]


def test_what_would_be_reused_is_not_given_back(functions, begin, work, connect, shop):
    query(
        connect, "INSERT INTO caller_usage (owner, day, images) VALUES ('shop', (now() AT TIME ZONE 'UTC')::date, 10)"
    )
    real, dry = begin(shop.url("/a"), dry_run=False), begin(shop.url("/a"))
    work(real)
    work(dry)

    close(functions, dry)

    assert used(connect) == [(10, 0)]


# ── The whole job ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ended(functions, begin, work, shop):
    """A dry run of three rows that has ended: its id, and the state of its finalizer."""
    shop.answers["/gone.jpg"] = [says(http_answer(status="404 Not Found"))]
    shop.answers["/b.png"] = [says(http_answer(PNG))]
    shop.answers["/large.jpg"] = [says(http_answer(LARGE))]
    cells = [shop.url("/large.jpg"), ",".join(map(shop.url, ("/b.png", "/large.jpg", "/gone.jpg"))), ""]
    request_id = begin(*cells, webhook_url="https://shop.example/hook")
    work(request_id, rows=2)
    return request_id, close(functions, request_id)


SUMMARY = {
    "rows": 3,
    "images": 4,
    "images_failed_by_code": {"origin_refused": 1},
    "images_reused": 0,
    "duplicates": 1,
    "warnings": {"small": 1, "large": 0},
    "bytes_before": 2 * len(LARGE) + len(PNG),
    "formats": {"jpeg": {"images": 2, "bytes": 2 * len(LARGE)}, "png": {"images": 1, "bytes": len(PNG)}},
}


def test_the_status_and_the_webhook_have_the_summary(functions, ended):
    request_id, state = ended
    status = content_of(functions.invoke("api", api_event("status", request_id)))
    told = json.loads(event_to_send(functions, state["closed"])["body"])

    for document in (status, told):
        estimate = document["preflight"].pop("estimate")
        assert (document["dry_run"], document["preflight"]) == (True, SUMMARY)
        assert 0 < estimate["bytes_after"] < SUMMARY["bytes_before"]
        assert estimate["seconds"] > 0
        assert estimate["usd"] > 0
    assert status["status"] == "COMPLETED"
    assert (
        told["message"] == "Preflight completed: 1 of 4 images would fail, see the finished CSV. None was compressed."
    )


def test_the_finished_csv_says_it_row_by_row(database, bucket, ended, shop):
    job = job_of(database, ended[0])
    body = boto3.client("s3").get_object(Bucket=bucket.name, Key=job["result_key"])["Body"].read().decode()
    header, *rows = csv.reader(io.StringIO(body))

    assert header[3:] == list(PREFLIGHT_COLUMNS)
    assert [row[3:] for row in rows] == [
        ["COMPLETED", "", str(len(LARGE)), "300x400", "jpeg", "", ""],
        [
            "PARTIAL",
            f"image 3: The origin answered 404 for {shop.url('/gone.jpg')}; check that the image is there.",
            str(len(PNG) + len(LARGE)),
            "48x36,300x400,",
            "png,jpeg,",
            "image 2: 1",
            "image 1: small: a side has under 250 pixels",
        ],
        ["FAILED", rows[2][4], "", "", "", "", ""],
    ]


def test_a_retry_looks_again_and_the_summary_is_that_of_the_whole(functions, ended, database, work, shop, connect):
    request_id, _ = ended
    shop.answers["/gone.jpg"] = [says(http_answer(JPEG))]

    assert functions.invoke("api", api_event("retry", request_id))["statusCode"] == 202

    assert job_of(database, request_id)["preflight"] is None
    assert used(connect) == [(0, 1)]
    functions.invoke("compress", sqs_event("compress", row_body(request_id, 2, generation=2)))
    close(functions, request_id, generation=2)
    summary = job_of(database, request_id)["preflight"]
    assert (summary["images_failed_by_code"], summary["formats"]["jpeg"]["images"]) == ({}, 3)


def test_a_dry_run_counts_in_no_metric_of_real_ones(begin, work, shop, capsys):
    shop.answers["/gone.jpg"] = [says(http_answer(status="404 Not Found"))]
    request_id = begin(f"{shop.url('/a')},{shop.url('/gone.jpg')}")
    capsys.readouterr()

    work(request_id)

    assert sums(capsys.readouterr().out) == {series("ImagesChecked", "compress"): 2}
