"""POST /uploads: a job whose CSV goes to S3 by itself, for files larger than a request."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from imagejobs.bucket import UPLOAD_FORM_SECONDS, ObjectVersion
from imagejobs.limits import SHEET_LIMITS
from imagejobs.metrics import Metric
from imagejobs.steps.sweep import MISSING_SHEET_SECONDS, STUCK_SECONDS
from tests.integration.emf import metrics_in
from tests.integration.handlers import api_event, content_of, file_event, keys_in, load_event, upload_event
from tests.integration.jobs import images_of, job_of, query, received, rows_in, sheet

A, B = (f"https://shop.example/{name}.jpg" for name in "ab")
FIELDS = {"quality": "75", "webhook_url": "https://shop.example/hooks/images"}


def request(fields=None, *, key=None, daily_images=None, content_type="application/json"):
    """A request for a form."""
    event = load_event("api-uploads")
    event["body"] = None if fields is None else json.dumps(fields)
    event["headers"]["Content-Type"] = content_type
    event["headers"].pop("Idempotency-Key")
    if key:
        event["headers"]["Idempotency-Key"] = key
    if daily_images is not None:
        event["requestContext"]["authorizer"]["daily_images"] = str(daily_images)
    return event


def opened(functions, event):
    answer = functions.invoke("api", event)
    assert answer["statusCode"] == 201, answer["body"]
    content = content_of(answer)
    assert content.keys() == {"request_id", "url", "fields", "expires_at"}
    assert answer["multiValueHeaders"]["Location"][0].endswith(f"/job/status/{content['request_id']}")
    return content


def arrive(functions, bucket, content, body):
    """The form is sent: the object is there, and S3 tells of it."""
    source = ObjectVersion(content["fields"]["key"], bucket.put(content["fields"]["key"], body, "text/csv"))
    functions.invoke("fan_out", file_event(source))
    return source


def age(connect, seconds):
    query(connect, "UPDATE job_request SET updated_at = updated_at - make_interval(secs => %s)", seconds)


def used(connect):
    return query(connect, "SELECT owner, images FROM caller_usage")


# ── The form ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_form_takes_one_object_of_a_limited_size_for_an_hour(functions, database, bucket, connect):
    before = datetime.now(UTC)

    form = opened(functions, load_event("api-uploads"))

    job = job_of(database, form["request_id"])
    assert [job[name] for name in ("status", "owner", "source_version")] == ["PENDING", "shop", None]
    assert (job["options"], job["webhook_url"]) == ({"quality": "75"}, "https://shop.example/hooks/images")
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    assert {"key": f"uploads/{form['request_id']}.csv"} in policy["conditions"]
    assert {"bucket": bucket.name} in policy["conditions"]
    assert ["content-length-range", 1, SHEET_LIMITS.max_bytes] in policy["conditions"]
    for moment in (policy["expiration"], form["expires_at"]):
        after = datetime.fromisoformat(moment) - before - timedelta(seconds=UPLOAD_FORM_SECONDS)
        assert abs(after) < timedelta(seconds=10)
    assert keys_in(bucket) == []
    assert used(connect) == []


def test_the_fields_may_come_as_a_form_or_not_at_all(functions, database):
    form = upload_event(b"", FIELDS)
    event = {**request(), **{name: form[name] for name in ("body", "isBase64Encoded", "headers", "multiValueHeaders")}}
    body = base64.b64decode(event["body"]).replace(b'name="file"; filename="products.csv"', b'name="effort"')
    event["body"] = base64.b64encode(body.replace(b"Content-Type: text/csv\r\n\r\n", b"\r\nmax")).decode()

    sent, none = opened(functions, event), opened(functions, request())

    assert job_of(database, sent["request_id"])["options"] == {"effort": "max", "quality": "75"}
    assert job_of(database, none["request_id"])["options"] == {}


BAD = {
    "unknown option": ({"qualty": 80}, "option_invalid"),
    "quality out of range": ({"quality": 101}, "option_invalid"),
    "quality a list": ({"quality": [80]}, "option_invalid"),
    "the file itself": ({"file": "S. No."}, "option_invalid"),
    "private webhook": ({"webhook_url": "http://127.0.0.1/"}, "url_refused"),
    "half a character": ({"webhook_url": "https://shop.example/\ud800"}, "url_refused"),
    "NUL": ({"webhook_url": "https://shop.example/\0"}, "url_refused"),
    "a list": ([FIELDS], "upload_invalid"),
}


def test_bad_fields_are_refused_and_leave_nothing(functions, connect):
    answers = {case: functions.invoke("api", request(fields)) for case, (fields, _) in BAD.items()}

    found = {case: (answer["statusCode"], content_of(answer)["code"]) for case, answer in answers.items()}
    assert found == {case: (400, code) for case, (_, code) in BAD.items()}
    assert query(connect, "SELECT 1 FROM job_request") == []


# ── The file arrives ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_version_that_arrives_first_is_the_job(functions, database, bucket, connect, row_queue):
    form = opened(functions, request({}))
    first = arrive(functions, bucket, form, sheet(A, B))

    arrive(functions, bucket, form, sheet(A, B, f"{A}?3"))

    job = job_of(database, form["request_id"])
    assert (job["source_version"], job["status"], job["rows_total"]) == (first.version, "PROCESSING", 2)
    assert len(images_of(database, form["request_id"])) == 2
    assert rows_in(received(row_queue)) == [1, 2]


def test_its_images_are_counted_against_the_callers_day_once_it_is_read(functions, database, bucket, connect):
    forms = [opened(functions, request({}, daily_images=3)) for _ in range(2)]
    source = arrive(functions, bucket, forms[0], sheet(f"{A},{B}"))
    functions.invoke("fan_out", file_event(source))
    assert used(connect) == [("shop", 2)]

    arrive(functions, bucket, forms[1], sheet(f"{A},{B}"))

    assert used(connect) == [("shop", 2)]
    job = job_of(database, forms[1]["request_id"])
    assert job["error_message"].startswith("These 2 images are more than is left of the day's 3")
    assert job["finalizable_at"]
    assert images_of(database, forms[1]["request_id"]) == []


def test_its_images_count_for_the_day_on_which_it_is_read(functions, database, bucket, connect):
    """What is reused of them is given back to that day."""
    form = opened(functions, request({}, daily_images=3))
    query(connect, "UPDATE job_request SET counted_on = counted_on - 1")

    arrive(functions, bucket, form, sheet(A))

    assert query(connect, "SELECT used.images FROM job_request JOIN caller_usage AS used ON day = counted_on") == [(1,)]


def test_a_sheet_that_cannot_be_read_fails_its_job_with_the_line(functions, database, bucket):
    form = opened(functions, request({}))

    arrive(functions, bucket, form, sheet(A) + b'2,"Chair,https://shop.example/b.jpg\n')

    assert "ine 3" in job_of(database, form["request_id"])["error_message"]


def test_a_job_that_was_cancelled_before_its_file_came_stays_so(functions, database, bucket, row_queue):
    form = opened(functions, request({}))
    assert functions.invoke("api", api_event("cancel", form["request_id"]))["statusCode"] == 202

    arrive(functions, bucket, form, sheet(A))

    assert job_of(database, form["request_id"])["error_message"] == "cancelled"
    assert received(row_queue) == []


# ── It never arrives ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_that_nobody_sends_ends_its_job_and_alarms_nobody(functions, database, connect, capsys):
    form = opened(functions, request({}))
    assert MISSING_SHEET_SECONDS > UPLOAD_FORM_SECONDS
    age(connect, max(STUCK_SECONDS, UPLOAD_FORM_SECONDS) + 10)
    capsys.readouterr()
    functions.invoke("sweep", load_event("sweep"))
    assert [line[Metric.JOBS_STUCK] for line in metrics_in(capsys.readouterr().out)] == [[0]]
    assert job_of(database, form["request_id"])["finalizable_at"] is None

    age(connect, MISSING_SHEET_SECONDS)
    functions.invoke("sweep", load_event("sweep"))

    assert job_of(database, form["request_id"])["error_message"].startswith("The CSV never arrived")
    assert job_of(database, form["request_id"])["finalizable_at"]


# ── Idempotency-Key ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_key_is_the_same_job_with_a_new_form_and_new_time(functions, database, connect):
    first = opened(functions, request(FIELDS, key="a"))
    age(connect, MISSING_SHEET_SECONDS - 10)

    again = opened(functions, request({**FIELDS, "quality": 75}, key="a"))
    age(connect, UPLOAD_FORM_SECONDS)
    functions.invoke("sweep", load_event("sweep"))

    assert again["request_id"] == first["request_id"]
    assert again["fields"]["key"] == first["fields"]["key"]
    assert job_of(database, first["request_id"])["finalizable_at"] is None
    assert query(connect, "SELECT count(*) FROM job_request") == [(1,)]


def test_a_key_whose_file_has_come_names_its_job_for_good(functions, database, bucket):
    form = opened(functions, request(FIELDS, key="a"))
    arrive(functions, bucket, form, sheet(A))
    before = job_of(database, form["request_id"])

    assert opened(functions, request(FIELDS, key="a"))["request_id"] == form["request_id"]

    assert job_of(database, form["request_id"]) == before


def test_a_key_whose_job_has_ended_without_a_file_gets_no_form(functions, database):
    """A file that is sent by one would be lost."""
    form = opened(functions, request(FIELDS, key="a"))
    assert functions.invoke("api", api_event("cancel", form["request_id"]))["statusCode"] == 202

    answer = functions.invoke("api", request(FIELDS, key="a"))

    assert (answer["statusCode"], content_of(answer)["code"]) == (409, "job_ended")
    assert "new one" in content_of(answer)["message"]


@pytest.mark.parametrize("other", [request({}, key="a"), request({**FIELDS, "quality": "80"}, key="a")])
def test_a_key_that_comes_with_other_fields_or_a_file_is_refused(functions, connect, other):
    opened(functions, request(FIELDS, key="a"))
    with_file = upload_event(sheet(A), FIELDS)
    with_file["headers"]["Idempotency-Key"] = "a"

    for event in (other, with_file):
        answer = functions.invoke("api", event)
        assert (answer["statusCode"], content_of(answer)["code"]) == (409, "idempotency_key_reused")
    assert query(connect, "SELECT count(*) FROM job_request") == [(1,)]
