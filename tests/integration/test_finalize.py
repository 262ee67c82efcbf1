"""finalize: the finished CSV, the final status, the webhook's event and the record of its attempts; each step twice."""

import csv
import io
import json

import pytest
import yaml

from imagejobs.bucket import ObjectVersion
from imagejobs.database import StatementFailed
from imagejobs.steps import finalize as finalize_step
from imagejobs.webhook import RETRY_DELAYS_SECONDS
from tests.integration.handlers import (
    PROJECT,
    body_of,
    event_to_send,
    fanned_out,
    file_event,
    finish,
    keys_in,
    load_event,
)
from tests.integration.jobs import HEADER, images_of, job_of, query, sheet, upload

A, B, C, D, E, F = (f"https://shop.example/{name}.jpg" for name in "abcdef")
HOOK = "https://shop.example/hooks/images"
API = "https://api.shop.example"
STEPS = ["write_result", "remove_strays", "close_job", "record_attempt"]
NEW_COLUMNS = ["Output Image Urls", "Status", "Error", "Bytes Before", "Bytes After", "Images Reused"]


@pytest.fixture(autouse=True)
def api_base_url(functions):
    functions.values["API_BASE_URL"] = API


def dropped(functions, bucket, connect, key, body):
    """A job whose CSV was dropped and fanned out."""
    version = bucket.put(key, body, "text/csv")
    functions.invoke("fan_out", file_event(ObjectVersion(key, version)))
    ((request_id,),) = query(connect, "SELECT request_id FROM job_request WHERE source_version = %s", version)
    return request_id


def write_result(functions, request_id, generation=1):
    event = load_event("finalize-write_result")
    event["state"].update(request_id=str(request_id), generation=generation)
    return functions.invoke("finalize", event)


def close_job(functions, request_id, result, generation=1):
    event = load_event("finalize-close_job")
    event["state"].update(request_id=str(request_id), generation=generation, result=result)
    return functions.invoke("finalize", event)


def closed(functions, request_id):
    """The job closed: what `close_job` returned."""
    return close_job(functions, request_id, write_result(functions, request_id))


def table(body):
    return list(csv.reader(io.StringIO(body.decode())))


def output_url(request_id, row, position):
    return f"https://images.example/images/{request_id}/{row}-{position}.jpg"


# ── write_result ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_finished_csv_is_the_users_own_with_the_outcome_beside_it(functions, database, bucket):
    header = "Shop,Product Name,Input Image Urls,S. No.,Note\n"
    rows = [
        f'Nord,Stühle,"{A}, {B}",7,"two\nlines"\n',
        "Nord,no image,,8,\n",
        f"Süd,=1+1,{C},9,-5\n",
        f"Süd,Lampe,{D},10,\n",
        "Süd,short\n",
    ]
    request_id = fanned_out(functions, database, bucket, (header + "".join(rows)).encode())
    finish(database, request_id, failing={(1, 2), (3, 1)})

    result = write_result(functions, request_id)

    key = f"results/{request_id}.csv"
    assert result == {
        "result_key": key,
        "result_version": result["result_version"],
        "failures_version": result["failures_version"],
        "preflight": None,
        "error_message": None,
    }
    written = table(body_of(bucket, key))
    assert written[0] == ["Shop", "Product Name", "Input Image Urls", "S. No.", "Note", *NEW_COLUMNS]
    chairs, empty, formula, lamp, short = written[1:]
    assert chairs[:5] == ["Nord", "Stühle", f"{A}, {B}", "7", "two\nlines"]
    assert chairs[5:7] == [f"{output_url(request_id, 1, 1)},", "PARTIAL"]
    assert "404" in chairs[7]
    assert chairs[8:] == ["1000", "400", "0"]
    assert empty[5:7] == ["", "FAILED"]
    assert "names no image" in empty[7]
    assert formula[1] == "'=1+1"
    assert formula[4:7] == ["-5", "", "FAILED"]
    assert lamp[5:] == [output_url(request_id, 4, 1), "COMPLETED", "", "1000", "400", "0"]
    assert short[:6] == ["Süd", "short", "", "", "", ""]
    assert short[6] == "FAILED"


def test_the_result_is_a_csv_in_utf_8(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    finish(database, request_id)

    result = write_result(functions, request_id)

    stored = bucket._client.get_object(Bucket=bucket.name, Key=result["result_key"])
    assert stored["ContentType"] == "text/csv; charset=utf-8"
    assert stored["VersionId"] == result["result_version"]


@pytest.mark.parametrize("images_a_page", [1, 2, 3, 5])
def test_images_are_paired_with_their_rows_across_pages(functions, database, bucket, monkeypatch, images_a_page):
    monkeypatch.setattr(finalize_step, "PAGE_IMAGES", images_a_page)
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}", "", C, f"{D}, {E}, {F}"))
    finish(database, request_id)

    write_result(functions, request_id)

    outputs = [row[3] for row in table(body_of(bucket, f"results/{request_id}.csv"))[1:]]
    expected = [[(1, 1), (1, 2)], [], [(3, 1)], [(4, 1), (4, 2), (4, 3)]]
    assert outputs == [",".join(output_url(request_id, *place) for place in places) for places in expected]


@pytest.mark.parametrize(
    "name",
    [
        "products.csv",
        "Küche + Bäder/März 2026.csv",
        "100% & more?.csv",
        "日本語.csv",
        "no extension",
        "A.CSV",
        "uploads/a.csv",
        "drop/a.csv",
        "uploads/drop/uploads/a.csv",
        "results/a.csv",
    ],
)
def test_a_dropped_file_gets_its_result_under_the_same_name(functions, database, bucket, connect, name):
    request_id = dropped(functions, bucket, connect, f"drop/{name}", sheet(A))
    finish(database, request_id)

    result = write_result(functions, request_id)

    assert result["result_key"] == f"results/{name}"
    assert table(body_of(bucket, f"results/{name}"))[1][3:5] == [output_url(request_id, 1, 1), "COMPLETED"]


def test_the_result_is_made_from_the_version_that_is_the_job(functions, database, bucket, connect):
    request_id = dropped(functions, bucket, connect, "drop/products.csv", sheet(A))
    bucket.put("drop/products.csv", b"quite another file", "text/csv")
    finish(database, request_id)

    write_result(functions, request_id)

    assert table(body_of(bucket, "results/products.csv"))[0][:3] == HEADER.strip().split(",")


def test_a_refused_sheet_gets_an_error_file_instead(functions, database, bucket, connect):
    request_id = dropped(functions, bucket, connect, "drop/Küche 1.csv", b"a;b;c\n1;2;3\n")
    message = job_of(database, request_id)["error_message"]

    result = write_result(functions, request_id)

    assert result == {"result_key": None, "result_version": None, "failures_version": None, "error_message": None}
    assert sorted(keys_in(bucket)) == ["drop/Küche 1.csv", "results/Küche 1.csv.error.json"]
    assert json.loads(body_of(bucket, "results/Küche 1.csv.error.json")) == {
        "request_id": str(request_id),
        "status": "FAILED",
        "message": message,
    }
    assert "separated by semicolons" in message


def test_the_finished_csv_takes_the_place_of_an_earlier_files_error(functions, database, bucket, connect):
    """A listing of results/ says how the last file of that name ended."""
    refused = dropped(functions, bucket, connect, "drop/products.csv", b"a;b;c\n1;2;3\n")
    write_result(functions, refused)
    mended = dropped(functions, bucket, connect, "drop/products.csv", sheet(A))
    finish(database, mended)
    assert "results/products.csv.error.json" in keys_in(bucket)

    write_result(functions, mended)

    assert sorted(keys_in(bucket)) == ["drop/products.csv", "results/products.csv"]


def test_writing_the_result_twice_gives_the_same_bytes(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}", C))
    finish(database, request_id, failing={(1, 1)})

    first = write_result(functions, request_id)
    body = body_of(bucket, first["result_key"])
    second = write_result(functions, request_id)

    assert second["result_key"] == first["result_key"]
    assert body_of(bucket, first["result_key"]) == body


def test_writing_the_result_of_a_closed_job_again_gives_the_same_bytes(functions, database, bucket):
    """A redriven execution may come back to the first step after another one has closed the job."""
    request_id = fanned_out(functions, database, bucket, sheet(A))
    finish(database, request_id, failing={(1, 1)})
    first = write_result(functions, request_id)
    body = body_of(bucket, first["result_key"])
    close_job(functions, request_id, first)

    second = write_result(functions, request_id)

    assert second["result_key"] == first["result_key"]
    assert body_of(bucket, first["result_key"]) == body
    assert f"results/{request_id}.csv.error.json" not in keys_in(bucket)


# ── close_job ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_with_any_image_is_completed(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}", C))
    finish(database, request_id, failing={(1, 1), (2, 1)})
    result = write_result(functions, request_id)

    close_job(functions, request_id, result)

    job = job_of(database, request_id)
    assert (job["status"], job["completion_percentage"], job["error_message"]) == ("COMPLETED", 100, None)
    assert (job["result_key"], job["result_version"]) == (result["result_key"], result["result_version"])


@pytest.mark.parametrize(
    ("cells", "failing", "reason"),
    [
        ([f"{A}, {B}"], {(1, 1), (1, 2)}, "No image could be compressed (2 failed)"),
        (["", ""], set(), "None of the 2 rows names an image"),
    ],
)
def test_a_job_without_any_image_failed_and_has_its_csv(functions, database, bucket, cells, failing, reason):
    request_id = fanned_out(functions, database, bucket, sheet(*cells))
    finish(database, request_id, failing=failing)

    closed(functions, request_id)

    job = job_of(database, request_id)
    assert (job["status"], job["completion_percentage"]) == ("FAILED", 100)
    assert job["error_message"].startswith(reason)
    assert {row[4] for row in table(body_of(bucket, job["result_key"]))[1:]} == {"FAILED"}


def test_a_refused_sheet_failed_with_the_message_of_its_error_file(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A) + b'2,"x\n')
    message = job_of(database, request_id)["error_message"]

    closed(functions, request_id)

    job = job_of(database, request_id)
    assert (job["status"], job["completion_percentage"], job["result_key"]) == ("FAILED", 100, None)
    assert job["error_message"] == message
    assert "ine 3" in message
    assert images_of(database, request_id) == []


def test_closing_twice_says_and_leaves_the_same(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}"), webhook_url=HOOK)
    finish(database, request_id)
    result = write_result(functions, request_id)

    first = close_job(functions, request_id, result)
    job = job_of(database, request_id)
    second = close_job(functions, request_id, {**result, "result_version": "a later one"})

    assert event_to_send(functions, second) == event_to_send(functions, first)
    assert second["attempt"] == first["attempt"]
    assert job_of(database, request_id) == job


def unwritable():
    """What the state machine passes on when every attempt to write the result has failed."""
    definition = yaml.safe_load((PROJECT / "statemachine" / "finalizer.asl.yaml").read_text(encoding="utf-8"))
    return definition["States"]["ResultUnwritable"]["Result"]


def test_a_job_whose_result_cannot_be_written_failed_and_says_so(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A, B), webhook_url=HOOK)
    finish(database, request_id)

    body = json.loads(event_to_send(functions, close_job(functions, request_id, unwritable()))["body"])

    job = job_of(database, request_id)
    assert (job["status"], job["completion_percentage"], job["result_key"]) == ("FAILED", 100, None)
    assert job["error_message"].startswith("The finished CSV could not be written; ")
    assert (body["status"], body["message"], body["result_url"]) == ("FAILED", job["error_message"], None)
    assert body["images_completed"] == 2


def test_a_result_that_is_written_after_all_does_not_change_how_the_job_ended(functions, database, bucket):
    """Its caller may have been told already."""
    request_id = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    finish(database, request_id)
    first = close_job(functions, request_id, unwritable())
    job = job_of(database, request_id)

    second = close_job(functions, request_id, write_result(functions, request_id))

    assert event_to_send(functions, second) == event_to_send(functions, first)
    assert job_of(database, request_id) == job


def test_a_refused_sheet_whose_error_file_cannot_be_written_keeps_a_reason(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, b"a,b\n1,2\n")
    reason = job_of(database, request_id)["error_message"]

    close_job(functions, request_id, unwritable())

    job = job_of(database, request_id)
    assert (job["status"], job["error_message"]) == ("FAILED", reason)


@pytest.fixture
def of_generation_2(functions, database, bucket, connect):
    """A job whose first finalizer failed, its second one under way; its id, and what the first step wrote."""
    request_id = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    finish(database, request_id)
    query(connect, "UPDATE job_request SET generation = 2")
    return request_id, write_result(functions, request_id)


def test_an_execution_of_an_older_generation_closes_nothing(functions, database, of_generation_2):
    request_id, result = of_generation_2

    close_job(functions, request_id, result, generation=1)
    assert job_of(database, request_id)["status"] == "PROCESSING"

    close_job(functions, request_id, result, generation=2)
    assert job_of(database, request_id)["status"] == "COMPLETED"


def test_an_execution_of_an_older_generation_tells_nobody_and_settles_nothing(functions, database, of_generation_2):
    request_id, result = of_generation_2

    early = close_job(functions, request_id, result, generation=1)
    event = close_job(functions, request_id, result, generation=2)
    late = close_job(functions, request_id, result, generation=1)

    assert event["webhook"]["event_id"] == f"evt_{request_id}-2"
    assert early == late == {"webhook": None, "attempt": 0}
    assert job_of(database, request_id)["settled_at"] is None


def test_a_job_with_work_left_is_not_closed(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A, B))

    early = close_job(functions, request_id, load_event("finalize-close_job")["state"]["result"])

    assert early == {"webhook": None, "attempt": 0}
    job = job_of(database, request_id)
    assert (job["status"], job["completion_percentage"], job["result_key"]) == ("PROCESSING", 0, None)
    assert job["settled_at"] is None


def test_a_job_without_a_webhook_is_settled_when_it_is_closed(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    finish(database, request_id)

    result = write_result(functions, request_id)
    assert job_of(database, request_id)["settled_at"] is None
    assert close_job(functions, request_id, result) == {"webhook": None, "attempt": 0}
    settled_at = job_of(database, request_id)["settled_at"]
    close_job(functions, request_id, result)

    assert settled_at
    assert job_of(database, request_id)["settled_at"] == settled_at


def test_a_job_with_a_webhook_is_not_settled_before_it_is_told(functions, database, told):
    assert told["attempt"] == 1
    assert job_of(database, told["request_id"])["settled_at"] is None


@pytest.mark.parametrize("recorded", [1, 3, 9])
def test_closing_again_goes_on_with_the_attempt_that_was_not_recorded_yet(functions, told, recorded):
    """Another execution takes over the schedule of the one that stopped."""
    for attempt in range(1, recorded + 1):
        record(functions, told["request_id"], attempt)

    again = close_again(functions, told)
    assert again["attempt"] == recorded + 1
    assert event_to_send(functions, again) == event_to_send(functions, told)


@pytest.mark.parametrize(("attempt", "status_code"), [(1, 200), (2, 410), (10, 503)])
def test_closing_again_sends_nothing_once_the_sending_has_ended(functions, told, attempt, status_code):
    record(functions, told["request_id"], attempt, status_code)

    assert close_again(functions, told) == {"webhook": None, "attempt": 0}


def test_closing_again_settles_a_job_whose_last_delivery_did_not(functions, database, connect, told):
    record(functions, told["request_id"], 1, 200)
    query(connect, "UPDATE job_request SET settled_at = NULL")

    assert close_again(functions, told) == {"webhook": None, "attempt": 0}

    assert job_of(database, told["request_id"])["settled_at"]


def test_the_attempts_of_an_older_generation_do_not_count(functions, connect, told):
    record(functions, told["request_id"], 1, 200)
    query(connect, "UPDATE job_request SET generation = 2, settled_at = NULL")

    again = close_job(functions, told["request_id"], told["result"], generation=2)

    assert again["webhook"]["event_id"] == f"evt_{told['request_id']}-2"
    assert again["attempt"] == 1


@pytest.fixture
def told(functions, database, bucket):
    """A job that was closed and has a webhook to send: its id, its result, and what `close_job` returned."""
    request_id = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    finish(database, request_id)
    result = write_result(functions, request_id)
    return {"request_id": request_id, "result": result, **close_job(functions, request_id, result)}


def close_again(functions, told):
    return close_job(functions, told["request_id"], told["result"])


# ── The webhook's event ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_without_a_webhook_has_no_event(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    finish(database, request_id)

    assert closed(functions, request_id) == {"webhook": None, "attempt": 0}


def test_the_event_of_a_completed_job(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}", C), webhook_url=HOOK)
    finish(database, request_id)

    webhook = event_to_send(functions, closed(functions, request_id))

    body = json.loads(webhook.pop("body"))
    assert webhook == {"url": HOOK, "owner": "shop", "event_id": f"evt_{request_id}-1"}
    assert body == {
        "request_id": str(request_id),
        "status": "COMPLETED",
        "message": "CSV and image processing completed successfully.",
        "generation": 1,
        "rows": 2,
        "rows_failed": 0,
        "images": 3,
        "images_completed": 3,
        "images_failed": 0,
        "images_unchanged": 0,
        "images_reused": 0,
        "bytes_before": 3000,
        "bytes_after": 1200,
        "dry_run": False,
        "preflight": None,
        "result_url": f"{API}/job/{request_id}/result",
        "failures_url": None,
    }


def test_the_event_of_a_partly_completed_job_says_how_many_failed(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}", C, ""), webhook_url=HOOK)
    finish(database, request_id, failing={(1, 2)})

    body = json.loads(event_to_send(functions, closed(functions, request_id))["body"])

    assert body["status"] == "COMPLETED"
    assert "1 of 3 images failed" in body["message"]
    assert (body["rows_failed"], body["images_completed"], body["images_failed"]) == (1, 2, 1)
    assert (body["bytes_before"], body["bytes_after"]) == (2000, 800)
    assert body["failures_url"] == f"{API}/job/{request_id}/failures.csv"


def test_the_event_of_a_refused_sheet_says_why(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, b"a,b\n1,2\n", webhook_url=HOOK)

    body = json.loads(event_to_send(functions, closed(functions, request_id))["body"])

    assert body["status"] == "FAILED"
    assert "Product Name" in body["message"]
    assert body["result_url"] is None


def test_the_event_of_a_job_without_any_image_says_why_and_where(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    finish(database, request_id, failing={(1, 1)})

    body = json.loads(event_to_send(functions, closed(functions, request_id))["body"])

    assert body["status"] == "FAILED"
    assert body["message"].startswith("No image could be compressed (1 failed)")
    assert body["result_url"] == f"{API}/job/{request_id}/result"


# ── record_attempt ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def request_id(database, bucket):
    """A job whose webhook is sent."""
    return upload(database, bucket, sheet(A), webhook_url=HOOK)[0]


def record(
    functions, request_id, attempt, status_code=503, *, retry_after_seconds=None, error_message=None, generation=1
):
    event = load_event("finalize-record_attempt")
    event["state"].update(request_id=str(request_id), generation=generation)
    event["state"]["closed"]["attempt"] = attempt
    event["state"]["closed"]["webhook"]["event_id"] = f"evt_{request_id}-{generation}"
    event["state"]["answer"] = {
        "status_code": status_code,
        "retry_after_seconds": retry_after_seconds,
        "error_message": error_message,
    }
    return functions.invoke("finalize", event)


def deliveries(connect):
    return query(
        connect, "SELECT attempt, status_code, error_message, outcome FROM webhook_delivery ORDER BY delivery_id"
    )


def test_an_accepted_attempt_ends_the_sending(functions, connect, request_id):
    assert record(functions, request_id, 3, 204)["outcome"] == "delivered"

    assert deliveries(connect) == [(3, 204, None, "delivered")]


def test_a_receiver_that_is_gone_ends_the_sending(functions, connect, request_id):
    assert record(functions, request_id, 1, 410)["outcome"] == "gone"

    assert deliveries(connect) == [(1, 410, None, "gone")]


@pytest.mark.parametrize("status_code", [302, 503, None])
def test_any_other_answer_is_tried_again(functions, connect, request_id, status_code):
    following = record(functions, request_id, 1, status_code, error_message="Why." if status_code is None else None)

    assert following["outcome"] == "retry"
    assert following["delay_seconds"] > 0
    assert deliveries(connect) == [(1, status_code, None if status_code else "Why.", "retry")]


def test_ten_attempts_follow_the_standards_schedule_and_then_it_is_exhausted(functions, connect, request_id):
    for attempt, planned in enumerate(RETRY_DELAYS_SECONDS, start=1):
        following = record(functions, request_id, attempt)
        assert following["outcome"] == "retry"
        assert 0.9 * planned <= following["delay_seconds"] <= 1.1 * planned + 1

    assert record(functions, request_id, 10)["outcome"] == "exhausted"

    recorded = deliveries(connect)
    assert [attempt for attempt, *_ in recorded] == list(range(1, 11))
    assert [outcome for *_, outcome in recorded] == ["retry"] * 9 + ["exhausted"]


def test_a_receiver_may_ask_for_patience(functions, request_id):
    assert record(functions, request_id, 1, 429, retry_after_seconds=600.0)["delay_seconds"] == 600
    assert record(functions, request_id, 2, 503, retry_after_seconds=1.0)["delay_seconds"] >= 270


def test_the_schedule_is_scaled_by_the_stacks_parameter(functions, request_id):
    functions.values["WEBHOOK_TIME_SCALE"] = "0.01"

    assert record(functions, request_id, 3)["delay_seconds"] in range(16, 21)
    assert record(functions, request_id, 1)["delay_seconds"] == 1


def test_a_receivers_wish_is_not_scaled(functions, request_id):
    functions.values["WEBHOOK_TIME_SCALE"] = "0.01"

    assert record(functions, request_id, 1, 429, retry_after_seconds=600.0)["delay_seconds"] == 600


def test_a_delay_is_what_a_wait_state_takes(functions, request_id):
    delays = [record(functions, request_id, attempt)["delay_seconds"] for attempt in range(1, 11)]

    assert all(isinstance(delay, int) and 0 <= delay <= 99_999_999 for delay in delays)


def test_an_attempt_is_recorded_once(functions, connect, request_id):
    first = record(functions, request_id, 1, 200)
    second = record(functions, request_id, 1, 200)

    assert first["outcome"] == second["outcome"] == "delivered"
    assert deliveries(connect) == [(1, 200, None, "delivered")]


def test_attempts_of_another_generation_are_recorded_beside(functions, connect, request_id):
    record(functions, request_id, 1)
    query(connect, "UPDATE webhook_delivery SET event_id = %s", f"evt_{request_id}-0")

    record(functions, request_id, 1)

    assert len(deliveries(connect)) == 2


@pytest.mark.parametrize(
    ("attempt", "status_code", "is_settled"),
    [(1, 200, True), (1, 410, True), (10, 503, True), (1, 503, False), (9, None, False), (3, 302, False)],
)
def test_the_attempt_that_ends_the_sending_settles_the_job(functions, database, told, attempt, status_code, is_settled):
    before = job_of(database, told["request_id"])

    record(functions, told["request_id"], attempt, status_code)

    after = job_of(database, told["request_id"])
    assert (after.pop("settled_at") is not None) == is_settled
    assert after == {name: value for name, value in before.items() if name != "settled_at"}


def test_an_attempt_of_an_older_generation_does_not_settle_the_job(functions, database, connect, told):
    query(connect, "UPDATE job_request SET generation = 2")

    assert record(functions, told["request_id"], 1, 200, generation=1)["outcome"] == "delivered"

    assert job_of(database, told["request_id"])["settled_at"] is None
    assert deliveries(connect) == [(1, 200, None, "delivered")]


def test_a_job_is_settled_with_the_record_of_the_attempt_or_not_at_all(functions, connect, told):
    query(connect, "ALTER TABLE job_request ADD CONSTRAINT unsettled CHECK (settled_at IS NULL)")
    with pytest.raises(StatementFailed, match="settle_job"):
        record(functions, told["request_id"], 1, 200)

    assert deliveries(connect) == []


# ── The state machine ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_state_machine_names_the_steps_that_there_are():
    definition = yaml.safe_load((PROJECT / "statemachine" / "finalizer.asl.yaml").read_text(encoding="utf-8"))
    steps = [state.get("Parameters", {}).get("step") for state in definition["States"].values()]

    events = {path.stem.partition("-")[2] for path in (PROJECT / "events").glob("finalize-*.json")}
    assert {step for step in steps if step} == events == set(STEPS)


def test_a_step_that_there_is_not_fails(functions):
    with pytest.raises(KeyError):
        functions.invoke("finalize", {"step": "no_such_step", "state": load_event("finalize-write_result")["state"]})


@pytest.mark.parametrize("event", [f"finalize-{step}" for step in STEPS])
def test_a_job_that_there_is_not_fails(functions, event):
    with pytest.raises(LookupError, match="There is no job 3f0c9e5e"):
        functions.invoke("finalize", load_event(event))
