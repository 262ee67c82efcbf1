"""api: what callers send, and what they get for it, through API Gateway's events."""

import json
import re
from datetime import UTC, datetime

import pytest
import requests

from imagejobs import database as database_module
from imagejobs.addresses import MAX_URL_CHARACTERS
from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database
from imagejobs.limits import MAX_PAGE_IMAGES, MAX_UPLOAD_BYTES
from tests.integration.handlers import (
    api_event,
    body_of,
    close,
    content_of,
    file_event,
    finish,
    keys_in,
    load_event,
    raw_upload_event,
    upload_event,
)
from tests.integration.jobs import HEADER, executions, images_of, job_of, query, received, sheet, upload, urls

URL = "https://images.shop.example/chair.jpg"
GOOD = sheet(URL)
HOST = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/dev"
UNKNOWN_ID = "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10"
# Lambda's limit of a synchronous payload: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024


@pytest.fixture
def no_delays(monkeypatch):
    """Repeats of a transaction follow at once."""
    monkeypatch.setattr(database_module, "FIRST_DELAY_SECONDS", 0)


def run_to_the_end(functions, database, bucket, *cells, failing=()):
    """A job of `cells`, from its file to its final status."""
    request_id, source = upload(database, bucket, sheet(*cells))
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id, failing=failing)
    functions.values["API_BASE_URL"] = HOST
    close(functions, request_id)
    return request_id


def jobs_in(connect):
    return query(connect, "SELECT request_id FROM job_request")


def assert_refused(answer, status, code):
    assert answer["statusCode"] == status
    content = content_of(answer)
    assert content.keys() == {"code", "message"}
    assert content["code"] == code
    assert len(content["message"]) > 20
    return content["message"]


def refusals(answers):
    """Status and code of each refusal; each has a message beside."""
    codes = {case: content_of(answer).get("code") for case, answer in answers.items()}
    for case, answer in answers.items():
        assert_refused(answer, answer["statusCode"], codes[case])
    return {case: (answer["statusCode"], codes[case]) for case, answer in answers.items()}


def assert_nothing_left(bucket, connect):
    assert jobs_in(connect) == []
    assert keys_in(bucket) == []


# ── POST /upload ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_upload_becomes_a_pending_job_and_an_object(functions, database, bucket, connect, row_queue):
    answer = functions.invoke("api", load_event("api-upload"))

    assert answer["statusCode"] == 202
    ((request_id,),) = jobs_in(connect)
    assert content_of(answer) == {"request_id": str(request_id)}
    assert answer["multiValueHeaders"]["Location"] == [f"{HOST}/job/status/{request_id}"]
    assert answer["multiValueHeaders"]["Cache-Control"] == ["no-store"]
    job = job_of(database, request_id)
    assert [job[name] for name in ("status", "owner", "completion_percentage")] == ["PENDING", "shop", 0]
    assert job["webhook_url"] == "https://shop.example/hooks/images"
    assert job["options"] == {"quality": "75"}
    assert job["source_key"] == f"uploads/{request_id}.csv"
    assert keys_in(bucket) == [job["source_key"]]
    assert body_of(bucket, job["source_key"]).startswith(b"S. No.,Product Name,Input Image Urls\r\n1,Oak chair")
    assert images_of(database, request_id) == []
    assert received(row_queue) == []


def test_the_stored_version_is_noted_at_once_so_that_a_lost_event_is_found_out(functions, database, bucket, connect):
    functions.invoke("api", upload_event(GOOD))

    ((request_id,),) = jobs_in(connect)
    job = job_of(database, request_id)
    stored = bucket._client.head_object(Bucket=bucket.name, Key=job["source_key"])
    assert job["source_version"] == stored["VersionId"]
    assert job["status"] == "PENDING"


def test_an_event_that_is_quicker_than_the_api_changes_nothing(functions, database, bucket, connect, monkeypatch):
    """S3 tells the queue before its answer has reached the API."""
    put = Bucket.put

    def put_and_tell(self, key, *arguments):
        version = put(self, key, *arguments)
        functions.invoke("fan_out", file_event(ObjectVersion(key, version)))
        return version

    monkeypatch.setattr(Bucket, "put", put_and_tell)
    assert functions.invoke("api", upload_event(GOOD))["statusCode"] == 202

    ((request_id,),) = jobs_in(connect)
    job = job_of(database, request_id)
    assert (job["status"], job["rows_sent"]) == ("PROCESSING", 1)


def test_statements_whose_commit_reply_was_lost_are_repeated_without_harm(functions, bucket, connect, monkeypatch):
    transact = Database.transact

    def commit_twice(self, work):
        transact(self, work)
        return transact(self, work)

    monkeypatch.setattr(Database, "transact", commit_twice)
    answer = functions.invoke("api", upload_event(GOOD))

    assert answer["statusCode"] == 202
    assert [str(request_id) for (request_id,) in jobs_in(connect)] == [content_of(answer)["request_id"]]
    assert len(keys_in(bucket)) == 1


def test_the_file_is_stored_byte_for_byte(functions, bucket):
    file = b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") + "2,Größe,https://shop.example/ü.jpg\n".encode()

    functions.invoke("api", upload_event(file))

    assert body_of(bucket, keys_in(bucket)[0]) == file


def test_the_webhook_is_optional(functions, database, connect):
    for fields in ({}, {"webhook_url": ""}, {"webhook_url": "  "}):
        assert functions.invoke("api", upload_event(GOOD, fields))["statusCode"] == 202

    jobs = [job_of(database, request_id) for (request_id,) in jobs_in(connect)]
    assert [job["webhook_url"] for job in jobs] == [None, None, None]
    assert [job["options"] for job in jobs] == [{}, {}, {}]


def test_an_api_with_a_domain_of_its_own_names_it(functions):
    functions.values["API_BASE_URL"] = "https://api.shop.example"

    answer = functions.invoke("api", upload_event(GOOD))

    request_id = content_of(answer)["request_id"]
    assert answer["multiValueHeaders"]["Location"] == [f"https://api.shop.example/job/status/{request_id}"]


def test_a_private_webhook_is_taken_when_the_operator_names_its_origin(functions):
    functions.values["PRIVATE_ORIGINS"] = "127.0.0.1:9100,127.0.0.1:9200"

    answer = functions.invoke("api", upload_event(GOOD, {"webhook_url": "http://127.0.0.1:9200/hook"}))

    assert answer["statusCode"] == 202


@pytest.mark.parametrize(
    ("variable", "hosts", "word"),
    [("DENIED_HOSTS", "*.shop.example,203.0.113.0/24", "denies"), ("ALLOWED_HOSTS", "img.shop.example", "allows")],
)
def test_a_webhook_on_a_host_that_the_operator_rules_out_is_refused(functions, bucket, connect, variable, hosts, word):
    functions.values[variable] = hosts

    answer = functions.invoke("api", upload_event(GOOD, {"webhook_url": "https://hooks.shop.example/?key=secret"}))

    message = assert_refused(answer, 400, "url_refused")
    assert f"the operator of this service {word}" in message
    assert "secret" not in message
    assert_nothing_left(bucket, connect)


ROW = f"1,Chair,{URL}\n"
BAD_SHEETS = {
    "header only": (HEADER.encode(), "sheet_invalid"),
    "no columns": (b"a,b,c\n1,2,3\n", "sheet_invalid"),
    "semicolons": ((HEADER + ROW).replace(",", ";").encode(), "sheet_invalid"),
    "UTF-16": ((HEADER + ROW).encode("utf-16"), "sheet_invalid"),
    "Latin-1": ((HEADER + ROW.replace("Chair", "Stühle")).encode("latin-1"), "sheet_invalid"),
    "NUL": ((HEADER + ROW.replace("Chair", "Ch\0air")).encode(), "sheet_invalid"),
    "unclosed quote": ((HEADER + ROW.replace("Chair", '"Chair')).encode(), "sheet_invalid"),
    "same serial number twice": ((HEADER + ROW + ROW).encode(), "sheet_invalid"),
    "cell too long": ((HEADER + ROW.replace("Chair", "x" * 131_073)).encode(), "sheet_invalid"),
    "empty": (b"", "upload_invalid"),
    "blank": (b"\r\n\r\n", "sheet_invalid"),
}


def test_bad_sheets_are_refused_and_leave_nothing(functions, bucket, connect):
    answers = {case: functions.invoke("api", upload_event(file)) for case, (file, _) in BAD_SHEETS.items()}

    assert refusals(answers) == {case: (400, code) for case, (_, code) in BAD_SHEETS.items()}
    assert_nothing_left(bucket, connect)


def test_a_refusal_names_the_line(functions):
    file = GOOD + b'2,"Chair,https://shop.example/b.jpg\n'

    message = assert_refused(functions.invoke("api", upload_event(file)), 400, "sheet_invalid")

    assert "ine 3" in message


BAD_FIELDS = {
    "unknown option": ({"qualty": "80"}, "option_invalid"),
    "quality out of range": ({"quality": "101"}, "option_invalid"),
    "quality not a number": ({"quality": "high"}, "option_invalid"),
    "file URL": ({"webhook_url": "file:///etc/passwd"}, "url_refused"),
    "no scheme": ({"webhook_url": "shop.example/hook"}, "url_refused"),
    "loopback": ({"webhook_url": "http://127.0.0.1/hook"}, "url_refused"),
    "loopback, short": ({"webhook_url": "http://127.1/hook"}, "url_refused"),
    "loopback, number": ({"webhook_url": "http://2130706433/hook"}, "url_refused"),
    "private network": ({"webhook_url": "https://10.1.2.3/hook"}, "url_refused"),
    "metadata service": ({"webhook_url": "http://169.254.169.254/latest"}, "url_refused"),
    "IPv6 loopback": ({"webhook_url": "http://[::1]/hook"}, "url_refused"),
    "IPv4 in IPv6": ({"webhook_url": "http://[::ffff:127.0.0.1]/hook"}, "url_refused"),
    "user name": ({"webhook_url": "https://user:pass1@shop.example/hook"}, "url_refused"),
    "other port": ({"webhook_url": "https://shop.example:8443/hook"}, "url_refused"),
    "line end": ({"webhook_url": "https://shop.example/hook\r\nX: y"}, "url_refused"),
    "NUL": ({"webhook_url": "https://shop.example/\0"}, "url_refused"),
}


def test_bad_fields_are_refused_and_leave_nothing(functions, bucket, connect):
    answers = {case: functions.invoke("api", upload_event(GOOD, fields)) for case, (fields, _) in BAD_FIELDS.items()}

    assert refusals(answers) == {case: (400, code) for case, (_, code) in BAD_FIELDS.items()}
    assert "pass1" not in str(answers)
    assert_nothing_left(bucket, connect)


FORM = b'--XX\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + GOOD + b"\r\n"
BAD_FORMS = {
    "JSON": (b'{"file": "a.csv"}', "application/json"),
    "the CSV itself": (GOOD, "text/csv"),
    "no content type": (FORM + b"--XX--\r\n", None),
    "no boundary": (FORM + b"--XX--\r\n", "multipart/form-data"),
    "another boundary": (FORM + b"--XX--\r\n", "multipart/form-data; boundary=YY"),
    "cut off": (FORM, "multipart/form-data; boundary=XX"),
    "file twice": (FORM + FORM + b"--XX--\r\n", "multipart/form-data; boundary=XX"),
    "no body": (b"", "multipart/form-data; boundary=XX"),
}


def test_what_is_not_the_form_is_refused_and_leaves_nothing(functions, bucket, connect):
    answers = {case: functions.invoke("api", raw_upload_event(*form)) for case, form in BAD_FORMS.items()}

    assert refusals(answers) == dict.fromkeys(BAD_FORMS, (400, "upload_invalid"))
    assert_nothing_left(bucket, connect)


def test_a_file_under_another_field_is_refused(functions, connect):
    event = upload_event(GOOD, file_field="csv")

    assert '"csv"' in assert_refused(functions.invoke("api", event), 400, "upload_invalid")
    assert jobs_in(connect) == []


def test_a_request_without_a_body_is_refused(functions):
    event = {**load_event("api-upload"), "body": None, "isBase64Encoded": False}

    assert_refused(functions.invoke("api", event), 400, "upload_invalid")


def sheet_of(size_bytes):
    """A good CSV of exactly so many bytes."""
    rows, length = [HEADER], len(HEADER)
    for number in range(1, size_bytes // 50_000):
        rows.append(f"{number},{'x' * 50_000},{URL}\n")
        length += len(rows[-1])
    while length > size_bytes - 100:
        length -= len(rows.pop())
    last = f"0,,{URL}\n"
    rows.append(f"0,{'x' * (size_bytes - length - len(last))},{URL}\n")
    return "".join(rows).encode()


def test_the_largest_upload_fits_lambdas_payload_and_is_taken(functions):
    event = upload_event(sheet_of(MAX_UPLOAD_BYTES))

    assert len(json.dumps(event)) < MAX_PAYLOAD_BYTES
    assert functions.invoke("api", event)["statusCode"] == 202


def test_a_larger_upload_is_told_the_way_for_larger_files(functions, bucket, connect):
    event = upload_event(sheet_of(MAX_UPLOAD_BYTES + 1))

    message = assert_refused(functions.invoke("api", event), 413, "sheet_too_large")

    assert "drop/" in message
    assert jobs_in(connect) == []
    assert keys_in(bucket) == []


def test_a_file_that_cannot_be_stored_leaves_no_job(functions, connect):
    functions.values["BUCKET_NAME"] = "no-such-bucket"

    message = assert_refused(functions.invoke("api", upload_event(GOOD)), 500, "internal_error")

    assert "bucket" not in message.lower()
    assert jobs_in(connect) == []


@pytest.mark.usefixtures("no_delays")
def test_a_database_that_cannot_be_reached_is_a_500_without_details(functions, bucket):
    functions.values["DATABASE_DSN"] = "host=/nowhere"

    for event in (upload_event(GOOD), *map(api_event, ROUTES + CONTROLS)):
        answer = functions.invoke("api", event)
        assert_refused(answer, 500, "internal_error")
        assert not re.search(r"nowhere|psycopg|postgres|socket|Traceback", answer["body"])

    assert keys_in(bucket) == []


# ── GET /job/status/<request_id> ────────────────────────────────────────────────────────────────────────────────────


def status_of(functions, request_id):
    answer = functions.invoke("api", api_event("status", request_id))
    assert answer["statusCode"] == 200
    return content_of(answer)


def test_the_status_of_a_job_that_waits(functions, database, bucket):
    request_id, _ = upload(database, bucket, GOOD)

    status = status_of(functions, request_id)

    for name in ("created_at", "updated_at"):
        moment = status.pop(name)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
        assert abs((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()) < 60
    assert status == {
        "request_id": str(request_id),
        "status": "PENDING",
        "completion_percentage": 0,
        "error_message": None,
        "generation": 1,
        "rows": None,
        "rows_failed": 0,
        "images": None,
        "images_completed": 0,
        "images_failed": 0,
        "images_unchanged": 0,
        "images_reused": 0,
        "bytes_before": 0,
        "bytes_after": 0,
        "sheet": None,
        "dry_run": False,
        "preflight": None,
        "result_url": None,
        "failures_url": None,
        "report_url": None,
    }


def test_the_status_is_in_utc_whatever_zone_the_database_keeps(functions, database, bucket, connect):
    request_id, _ = upload(database, bucket, GOOD)
    query(connect, "UPDATE job_request SET created_at = '2026-11-22T01:02:03.4+09:00'")
    ((database_name,),) = query(connect, "SELECT current_database()")
    query(connect, f"ALTER DATABASE {database_name} SET timezone = 'Asia/Tokyo'")

    assert status_of(functions, request_id)["created_at"] == "2026-11-21T16:02:03.400Z"


def test_the_status_of_a_job_in_work_never_says_100(functions, database, bucket):
    request_id, source = upload(database, bucket, sheet(*urls(3)))
    functions.invoke("fan_out", file_event(source))
    assert status_of(functions, request_id)["status"] == "PROCESSING"

    finish(database, request_id)

    status = status_of(functions, request_id)
    assert (status["status"], status["completion_percentage"], status["result_url"]) == ("PROCESSING", 99, None)


def test_the_status_of_a_job_that_ended(functions, database, bucket):
    request_id = run_to_the_end(functions, database, bucket, f"{URL}, {URL}?2", f"{URL}?3", "", failing={(1, 2)})

    status = status_of(functions, request_id)

    assert status["updated_at"] >= status["created_at"]
    assert {name: status[name] for name in status if not name.endswith("_at")} == {
        "request_id": str(request_id),
        "status": "COMPLETED",
        "completion_percentage": 100,
        "error_message": None,
        "generation": 1,
        "rows": 3,
        "rows_failed": 1,
        "images": 3,
        "images_completed": 2,
        "images_failed": 1,
        "images_unchanged": 0,
        "images_reused": 0,
        "bytes_before": 2000,
        "bytes_after": 800,
        "sheet": {
            "columns": {"id": "S. No.", "name": "Product Name", "urls": ["Input Image Urls"]},
            "column_separator": "comma",
            "url_separators": [","],
        },
        "dry_run": False,
        "preflight": None,
        "result_url": f"{HOST}/job/{request_id}/result",
        "failures_url": f"{HOST}/job/{request_id}/failures.csv",
        "report_url": None,
    }


def test_the_status_of_a_job_that_failed_says_why(functions, database, bucket):
    request_id = run_to_the_end(functions, database, bucket, URL, failing={(1, 1)})

    status = status_of(functions, request_id)

    assert (status["status"], status["completion_percentage"]) == ("FAILED", 100)
    assert status["error_message"].startswith("No image could be compressed (1 failed)")


ROUTES = ["status", "result", "report", "images", "events", "deliveries"]
CONTROLS = ["retry", "cancel", "redeliver"]


def test_a_malformed_id_is_a_400(functions):
    for route in ROUTES + CONTROLS:
        for request_id in ("1", "not-a-uuid", UNKNOWN_ID + "0", "%00", "é", "' OR 1=1 --", "x" * 5000):
            answer = functions.invoke("api", api_event(route, request_id))
            assert_refused(answer, 400, "request_id_invalid")


def test_an_unknown_job_is_a_404(functions):
    for route in ROUTES + CONTROLS:
        answer = functions.invoke("api", api_event(route, UNKNOWN_ID))
        assert UNKNOWN_ID in assert_refused(answer, 404, "job_not_found")


def test_another_callers_job_cannot_be_told_from_an_unknown_one(functions, database, bucket):
    request_id = run_to_the_end(functions, database, bucket, URL, failing={(1, 1)})
    before = job_of(database, request_id)

    for route in ROUTES + CONTROLS:
        unknown = functions.invoke("api", api_event(route, UNKNOWN_ID))
        answer = functions.invoke("api", api_event(route, request_id, owner="another"))
        assert answer["statusCode"] == unknown["statusCode"] == 404
        assert answer["body"].replace(str(request_id), UNKNOWN_ID) == unknown["body"]
    assert job_of(database, request_id) == before


# ── GET /job/<request_id>/result ────────────────────────────────────────────────────────────────────────────────────


def test_the_result_is_a_link_that_works_without_the_token(functions, database, bucket):
    request_id = run_to_the_end(functions, database, bucket, URL)

    answer = functions.invoke("api", api_event("result", request_id))

    assert answer["statusCode"] == 303
    (link,) = answer["multiValueHeaders"]["Location"]
    assert content_of(answer) == {"url": link}
    downloaded = requests.get(link, timeout=5)
    assert downloaded.content == body_of(bucket, f"results/{request_id}.csv")
    assert downloaded.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert downloaded.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{request_id}.csv"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 303),
        ("*/*", 303),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 303),
        ("application/json, text/plain, */*", 303),
        ("application/json;q=0.5, text/csv", 303),
        ("text/csv", 303),
        ("image/png", 303),
        ("application/json;q=0", 303),
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/*", 200),
        ("application/json, */*;q=0.1", 200),
        ("application/json, text/*;q=0.9;level=1", 200),
    ],
)
def test_a_client_that_wants_json_and_not_the_csv_gets_the_link_without_a_redirect(
    functions, database, bucket, accept, status
):
    request_id = run_to_the_end(functions, database, bucket, URL)
    event = api_event("result", request_id)
    event["headers"].pop("accept", None)
    event["headers"].update({"Accept": accept} if accept else {})

    answer = functions.invoke("api", event)

    assert answer["statusCode"] == status
    assert ("Location" in answer["multiValueHeaders"]) == (status == 303)
    assert content_of(answer)["url"].startswith("http")


def test_the_result_is_the_version_that_the_job_ended_with(functions, database, bucket):
    request_id = run_to_the_end(functions, database, bucket, URL)
    finished = body_of(bucket, f"results/{request_id}.csv")
    bucket.put(f"results/{request_id}.csv", b"something else", "text/csv")

    answer = functions.invoke("api", api_event("result", request_id))

    assert requests.get(content_of(answer)["url"], timeout=5).content == finished


def test_a_job_that_has_not_ended_has_no_result_yet(functions, database, bucket):
    request_id, _ = upload(database, bucket, GOOD)

    message = assert_refused(functions.invoke("api", api_event("result", request_id)), 409, "result_not_ready")

    assert "PENDING" in message


def test_a_job_without_a_result_says_why(functions, database, bucket):
    request_id, source = upload(database, bucket, b"not,a,sheet\n")
    functions.invoke("fan_out", file_event(source))
    functions.values["API_BASE_URL"] = HOST
    close(functions, request_id)

    message = assert_refused(functions.invoke("api", api_event("result", request_id)), 409, "result_not_ready")

    assert "FAILED" in message
    assert "Product Name" in message


# ── GET /job/<request_id>/images ────────────────────────────────────────────────────────────────────────────────────


def pages_of(functions, request_id, *, listing="images", owner="shop", **parameters):
    pages, after = [], None
    while not pages or after:
        asked = {**parameters, **({"after": after} if after else {})}
        answer = functions.invoke("api", api_event(listing, request_id, owner=owner, query=asked))
        assert answer["statusCode"] == 200
        page = content_of(answer)
        assert page.keys() == {listing, "next"}
        pages.append(page[listing])
        after = page["next"]
    return pages


def job_of_250_images(functions, database, bucket):
    request_id, source = upload(database, bucket, sheet(*[", ".join([URL] * 5)] * 50))
    functions.invoke("fan_out", file_event(source))
    return request_id


EXPECTED_ORDER = [(row, position) for row in range(1, 51) for position in range(1, 6)]


@pytest.mark.parametrize(
    ("parameters", "sizes"),
    [({}, [100, 100, 50]), ({"limit": "125"}, [125, 125]), ({"limit": "500"}, [250]), ({"limit": "249"}, [249, 1])],
)
def test_images_come_in_pages_in_the_sheets_order(functions, database, bucket, parameters, sizes):
    request_id = job_of_250_images(functions, database, bucket)
    upload(database, bucket, GOOD)

    pages = pages_of(functions, request_id, **parameters)

    assert [len(page) for page in pages] == sizes
    assert [(image["row_number"], image["position"]) for page in pages for image in page] == EXPECTED_ORDER


def test_an_image_says_what_became_of_it(functions, database, bucket):
    request_id, source = upload(database, bucket, sheet(f"{URL}?key=1, {URL}"))
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id, failing={(1, 2)})
    stored = [str(image["image_id"]) for image in images_of(database, request_id)]

    ((completed, failed),) = pages_of(functions, request_id)

    key = f"images/{request_id}/1-1.jpg"
    place = {"row_number": 1, "serial_number": "1", "product_name": "Product 1"}
    assert completed == {
        **place,
        "image_id": stored[0],
        "position": 1,
        "source_url": f"{URL}?key=1",
        "image_url": f"https://images.example/{key}",
        "status": "COMPLETED",
        "error_code": None,
        "error_message": None,
        "format": "jpeg",
        "outcome": "smaller",
        "width": 40,
        "height": 30,
        "bytes_before": 1000,
        "bytes_after": 400,
        "encoder": "jpeg",
        "encoder_quality": 74,
        "cpu_ms": 12,
        "score": 81.53,
        "content": "photograph",
        "reused": None,
        "human_url": None,
        "same_as_row_number": None,
        "same_as_position": None,
    }
    nothing = dict.fromkeys(completed.keys() - {*place, "image_id", "position", "source_url", "status"})
    assert failed == {
        **place,
        **nothing,
        "image_id": stored[1],
        "position": 2,
        "source_url": URL,
        "status": "FAILED",
        "error_code": "origin_refused",
        "error_message": "The origin answered 404.",
    }


def test_the_largest_page_fits_lambdas_payload(functions, database, bucket):
    """A page of the longest URLs and names that are kept, in ASCII."""
    url = f"{URL}?{'x' * MAX_URL_CHARACTERS}"[:MAX_URL_CHARACTERS]
    rows = "".join(f"{number},{'n' * 500},{url}\n" for number in range(1, MAX_PAGE_IMAGES + 1))
    request_id, source = upload(database, bucket, (HEADER + rows).encode())
    functions.invoke("fan_out", file_event(source))

    answer = functions.invoke("api", api_event("images", request_id, query={"limit": str(MAX_PAGE_IMAGES)}))

    assert len(content_of(answer)["images"]) == MAX_PAGE_IMAGES == 500
    assert len(json.dumps(answer)) < MAX_PAYLOAD_BYTES


def test_a_page_over_lambdas_payload_ends_earlier_and_says_where_to_go_on(functions, database, bucket):
    """The same in the characters that take the most bytes as JSON."""
    url = f"{URL}?{'🖼' * MAX_URL_CHARACTERS}"[:MAX_URL_CHARACTERS]
    rows = "".join(f"{number},{'🖼' * 500},{url}\n" for number in range(1, 61))
    request_id, source = upload(database, bucket, (HEADER + rows).encode())
    functions.invoke("fan_out", file_event(source))

    answer = functions.invoke("api", api_event("images", request_id, query={"limit": "500"}))

    assert MAX_PAYLOAD_BYTES / 2 < len(json.dumps(answer)) < MAX_PAYLOAD_BYTES
    pages = pages_of(functions, request_id, limit="500")
    assert [image["row_number"] for page in pages for image in page] == list(range(1, 61))
    assert len(pages) == 2


def test_a_job_that_waits_has_no_images_yet(functions, database, bucket):
    request_id, _ = upload(database, bucket, GOOD)

    assert pages_of(functions, request_id) == [[]]


def test_images_are_those_of_the_status_that_is_asked_for(functions, database, bucket):
    request_id, source = upload(database, bucket, sheet(f"{URL}, {URL}?2", f"{URL}?3", f"{URL}?4, {URL}?5"))
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id, failing={(1, 2), (3, 1), (3, 2)})

    def places(**parameters):
        return [
            [(image["row_number"], image["position"]) for image in page]
            for page in pages_of(functions, request_id, **parameters)
        ]

    assert places(status="FAILED", limit="2") == [[(1, 2), (3, 1)], [(3, 2)]]
    assert places(status="COMPLETED") == [[(1, 1), (2, 1)]]
    assert places(status="PENDING") == [[]]


BAD_LIMITS = ["0", "501", "1000", "-1", "1.5", "ten", "", "²", "٣", "1e2", "9" * 20, "9" * 5000]
BAD_PAGES = {
    ("images", "limit"): BAD_LIMITS,
    ("images", "after"): ["1", "1-", "-1", "1-2-3", "a-b", "1-2 ", "1-1000000000", "9" * 5000, ""],
    ("images", "status"): ["failed", "PROCESSING", "", "FAILED,PENDING"],
    ("events", "limit"): BAD_LIMITS,
    ("events", "after"): ["-1", "1-2", "a", "", " 1", "²", "9" * 16],
    ("jobs", "limit"): [*BAD_LIMITS, "101"],
    ("jobs", "after"): [
        "1",
        "_",
        f"_{UNKNOWN_ID}",
        f"1795358020123456_{UNKNOWN_ID}0",
        f"12345678901234567_{UNKNOWN_ID}",
        f"infinity_{UNKNOWN_ID}",
        "",
    ],
    ("jobs", "status"): ["failed", "", "DONE", "PENDING,PROCESSING"],
}


@pytest.mark.parametrize(("listing", "name"), BAD_PAGES)
def test_a_bad_parameter_is_a_400(functions, database, bucket, listing, name):
    request_id, _ = upload(database, bucket, GOOD)
    bad = BAD_PAGES[listing, name]

    answers = {value: functions.invoke("api", api_event(listing, request_id, query={name: value})) for value in bad}

    assert refusals(answers) == dict.fromkeys(bad, (400, "request_invalid"))
    assert all(f"`{name}`" in answer["body"] for answer in answers.values())


# ── GET /jobs ───────────────────────────────────────────────────────────────────────────────────────────────────────


def jobs_of(functions, **parameters):
    """Pages of request_ids."""
    return [[job["request_id"] for job in page] for page in pages_of(functions, None, listing="jobs", **parameters)]


def uploads(database, bucket, connect, count, **columns):
    """Jobs, from the oldest to the newest; the newest two of the same microsecond."""
    made = sorted(str(upload(database, bucket, GOOD, **columns)[0]) for _ in range(count))
    for seconds, request_id in enumerate(made):
        moment = f"now() - interval '1 hour' + interval '{min(seconds, count - 2)}.000001 s'"
        query(connect, f"UPDATE job_request SET created_at = {moment} WHERE request_id = %s", request_id)
    return made


def test_a_caller_without_jobs_has_an_empty_list(functions, database, bucket):
    upload(database, bucket, GOOD, owner="another")

    assert jobs_of(functions) == [[]]


@pytest.mark.parametrize(("parameters", "sizes"), [({}, [50, 3]), ({"limit": "1"}, [1] * 53), ({"limit": "53"}, [53])])
def test_jobs_come_in_pages_newest_first_and_are_the_callers_own(
    functions, database, bucket, connect, parameters, sizes
):
    made = uploads(database, bucket, connect, 53)
    upload(database, bucket, GOOD, owner="another")

    pages = jobs_of(functions, **parameters)

    assert [len(page) for page in pages] == sizes
    assert [request_id for page in pages for request_id in page] == made[::-1]


def test_jobs_are_those_of_the_status_that_is_asked_for(functions, database, bucket):
    ended = run_to_the_end(functions, database, bucket, URL)
    failed = run_to_the_end(functions, database, bucket, URL, failing={(1, 1)})
    waiting, _ = upload(database, bucket, GOOD)

    found = {status: jobs_of(functions, status=status) for status in ("PENDING", "PROCESSING", "COMPLETED", "FAILED")}

    expected = {"PENDING": waiting, "COMPLETED": ended, "FAILED": failed}
    assert found == {"PROCESSING": [[]], **{status: [[str(request_id)]] for status, request_id in expected.items()}}
    assert jobs_of(functions) == [[str(request_id) for request_id in (waiting, failed, ended)]]


def test_a_listed_job_is_what_its_status_says(functions, database, bucket):
    request_id = run_to_the_end(functions, database, bucket, URL, f"{URL}?2", failing={(2, 1)})

    (((listed,),), status) = pages_of(functions, None, listing="jobs"), status_of(functions, request_id)

    assert listed == status


# ── GET /job/<request_id>/deliveries ────────────────────────────────────────────────────────────────────────────────


def deliveries_of(functions, request_id):
    answer = functions.invoke("api", api_event("deliveries", request_id))
    assert answer["statusCode"] == 200
    return content_of(answer)


def test_a_job_without_a_webhook_has_no_deliveries(functions, database, bucket):
    request_id, _ = upload(database, bucket, GOOD)

    assert deliveries_of(functions, request_id) == {"webhook_url": None, "deliveries": []}


def test_deliveries_are_the_attempts_newest_first_over_all_generations(functions, database, bucket, connect):
    request_id, _ = upload(database, bucket, GOOD, webhook_url="https://shop.example/hook?signature=abc")
    told = {"request_id": request_id, "error_message": None}
    first = {**told, "event_id": f"evt_{request_id}-1"}
    unheard = {**first, "attempt": 1, "status_code": None, "error_message": "No answer.", "outcome": "retry"}
    database.execute("record_delivery", unheard)
    database.execute("record_delivery", {**first, "attempt": 2, "status_code": 410, "outcome": "gone"})
    second = {**told, "event_id": f"evt_{request_id}-2"}
    database.execute("record_delivery", {**second, "attempt": 1, "status_code": 200, "outcome": "delivered"})
    query(connect, "UPDATE webhook_delivery SET attempted_at = '2026-11-22T01:02:03.456789Z'")

    found = deliveries_of(functions, request_id)

    at = {"attempted_at": "2026-11-22T01:02:03.456Z"}
    second = {**at, "event_id": f"evt_{request_id}-2", "error_message": None}
    first = {**at, "event_id": f"evt_{request_id}-1"}
    assert found == {
        "webhook_url": "https://shop.example/hook",
        "deliveries": [
            {**second, "attempt": 1, "status_code": 200, "outcome": "delivered"},
            {**first, "attempt": 2, "status_code": 410, "error_message": None, "outcome": "gone"},
            {**first, "attempt": 1, "status_code": None, "error_message": "No answer.", "outcome": "retry"},
        ],
    }


# ── Anything else ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_path_outside_the_api_is_a_404(functions):
    for method, path in (
        ("GET", "/upload"),
        ("POST", "/job/status/1"),
        ("GET", f"/job/{UNKNOWN_ID}"),
        ("GET", "/job"),
        *(("GET", f"/job/{UNKNOWN_ID}/{control}") for control in CONTROLS),
    ):
        event = {**api_event("status"), "path": path, "httpMethod": method}
        assert_refused(functions.invoke("api", event), 404, "route_not_found")


def test_reading_starts_nothing(functions, database, bucket, row_queue, upload_queue):
    request_id, _ = upload(database, bucket, GOOD)

    for route in ROUTES:
        functions.invoke("api", api_event(route, request_id))

    assert received(row_queue) == received(upload_queue) == []
    assert not executions()


def test_the_log_of_a_refusal_holds_no_secret(functions, caplog):
    event = upload_event(GOOD, {"webhook_url": "https://user:password@shop.example/hook?signature=abc"})

    functions.invoke("api", event)

    logged = str([vars(record) for record in caplog.records])
    assert "request_refused" in logged
    assert not re.search("password|signature|example-token", logged)


def test_a_link_opens_the_objects_version(bucket):
    """What `result` answers is made of this: an older version stays reachable under its own link."""
    older = ObjectVersion("results/a.csv", bucket.put("results/a.csv", b"older", "text/csv"))
    bucket.put("results/a.csv", b"newer", "text/csv")

    assert requests.get(bucket.link(older, "a.csv"), timeout=5).content == b"older"
