"""bury: whatever was dead-lettered gets its final outcome, and holds nobody up."""

import json

import pytest
from psycopg2.extras import Json

from imagejobs import database as database_module
from imagejobs.bucket import ObjectVersion
from imagejobs.steps.bury import FILE_MESSAGE, ROW_MESSAGE
from tests.integration.handlers import (
    file_event,
    keys_in,
    load_event,
    row_body,
    s3_event,
    sqs_event,
)
from tests.integration.jobs import executions, finish, images_of, job_of, query, sheet, upload

A, B, C = (f"https://shop.example/{name}.jpg" for name in "abc")
BURIED = {"batchItemFailures": []}


def fanned_out(functions, database, bucket, *cells):
    request_id, source = upload(database, bucket, sheet(*cells))
    functions.invoke("fan_out", file_event(source))
    return request_id


def bury_rows(functions, request_id, *row_numbers):
    bodies = [row_body(request_id, row_number) for row_number in row_numbers]
    return functions.invoke("bury", sqs_event("bury-row", *bodies))


def bury_file(functions, source):
    return functions.invoke("bury", file_event(source, "bury-upload"))


def outcomes(database, request_id):
    return [(image["row_number"], image["status"], image["error_code"]) for image in images_of(database, request_id)]


# ── Rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_buried_row_fails_and_the_others_go_on(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, f"{A}, {B}", C)

    assert bury_rows(functions, request_id, 1) == BURIED

    assert outcomes(database, request_id) == [
        (1, "FAILED", "image_abandoned"),
        (1, "FAILED", "image_abandoned"),
        (2, "PENDING", None),
    ]
    assert images_of(database, request_id)[0]["error_message"] == ROW_MESSAGE
    job = job_of(database, request_id)
    assert (job["images_failed"], job["completion_percentage"], job["finalizable_at"]) == (2, 66, None)
    assert not executions()


def test_the_last_row_ends_the_jobs_work(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, A, B)

    assert bury_rows(functions, request_id, 1, 2) == BURIED

    job = job_of(database, request_id)
    assert (job["images_failed"], job["completion_percentage"]) == (2, 99)
    assert executions() == [f"{request_id}-1"]


def test_what_a_row_has_done_already_stays(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, f"{A}, {B}, {C}")
    finish(database, request_id, failing={(1, 2)})
    query(
        connect,
        "UPDATE compressed_images SET status = 'PENDING', image_url = NULL, object_key = NULL, format = NULL, "
        "outcome = NULL, width = NULL, height = NULL, bytes_before = NULL, bytes_after = NULL WHERE position = 3",
    )
    query(
        connect,
        "UPDATE job_request SET images_completed = 1, bytes_before = 1000, bytes_after = 400, finalizable_at = NULL",
    )
    before = images_of(database, request_id)[:2]

    bury_rows(functions, request_id, 1)

    assert images_of(database, request_id)[:2] == before
    assert outcomes(database, request_id)[2] == (1, "FAILED", "image_abandoned")
    job = job_of(database, request_id)
    assert (job["images_completed"], job["images_failed"]) == (1, 2)
    assert (job["bytes_before"], job["bytes_after"]) == (1000, 400)


def test_burying_a_row_twice_counts_it_once(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, A, B)

    bury_rows(functions, request_id, 1, 1)
    bury_rows(functions, request_id, 1)

    assert job_of(database, request_id)["images_failed"] == 1


def test_a_row_of_a_closed_job_is_left_alone(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, A)
    finish(database, request_id)
    result = {"result_key": "results/a.csv", "result_version": "1", "status": "COMPLETED", "error_message": None}
    database.execute("close_job", {"request_id": request_id, "generation": 1, **result})
    before = job_of(database, request_id)

    assert bury_rows(functions, request_id, 1) == BURIED

    assert job_of(database, request_id) == before
    assert not executions()


def test_a_worker_that_still_holds_the_row_cannot_write_over_the_burial(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, A)
    token = "6f9619ff-8b86-4d01-b42d-00c04fc964ff"
    keys = {"request_ids": [request_id], "row_numbers": [1]}
    (image,) = database.fetch_all("lease_images", {**keys, "token": token, "lease_seconds": 60})
    bury_rows(functions, request_id, 1)

    late = {"image_id": str(image["image_id"]), "status": "FAILED", "error_code": "late", "error_message": "Late."}
    database.execute("finish_images", {"finished": json.dumps([late]), "token": token})

    assert outcomes(database, request_id) == [(1, "FAILED", "image_abandoned")]
    assert job_of(database, request_id)["images_failed"] == 1


def test_a_row_that_there_is_not_is_buried_in_peace(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, A)

    assert functions.invoke("bury", load_event("bury-row")) == BURIED
    assert bury_rows(functions, request_id, 7) == BURIED

    assert outcomes(database, request_id) == [(1, "PENDING", None)]


# ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_buried_upload_ends_its_job_and_tells_why(functions, database, bucket):
    request_id, source = upload(database, bucket, sheet(A))

    assert bury_file(functions, source) == BURIED

    job = job_of(database, request_id)
    assert job["error_message"] == FILE_MESSAGE
    assert executions() == [f"{request_id}-1"]


def test_a_buried_upload_that_was_staged_leaves_no_rows(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, A, B)
    source = ObjectVersion(f"uploads/{request_id}.csv", job_of(database, request_id)["source_version"])
    query(connect, "UPDATE job_request SET rows_sent = 0, rows_total = NULL, images_total = NULL")

    bury_file(functions, source)

    assert images_of(database, request_id) == []
    job = job_of(database, request_id)
    assert (job["rows_total"], job["images_total"], job["error_message"]) == (0, 0, FILE_MESSAGE)


def test_a_dropped_file_without_a_job_gets_one_that_failed(functions, database, bucket, connect):
    key = "drop/Küche + Bäder.csv"
    source = ObjectVersion(key, bucket.put(key, sheet(A), "text/csv"))

    assert bury_file(functions, source) == BURIED

    ((request_id,),) = query(connect, "SELECT request_id FROM job_request")
    job = job_of(database, request_id)
    assert [job[name] for name in ("owner", "source_key", "source_version", "error_message")] == [
        "drop",
        key,
        source.version,
        FILE_MESSAGE,
    ]
    assert executions() == [f"{request_id}-1"]


def test_a_dropped_file_with_a_job_keeps_it(functions, database, bucket, connect):
    """The fan-out wrote the job and died: its webhook is told."""
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", sheet(A), "text/csv"))
    functions.invoke("fan_out", file_event(source))
    query(
        connect,
        "UPDATE job_request SET rows_sent = 0, rows_total = NULL, images_total = NULL, webhook_url = %s, options = %s",
        "https://shop.example/hook",
        Json({"quality": "60"}),
    )

    bury_file(functions, source)

    ((webhook_url, options, message),) = query(connect, "SELECT webhook_url, options, error_message FROM job_request")
    assert (webhook_url, options, message) == ("https://shop.example/hook", {"quality": "60"}, FILE_MESSAGE)


def test_a_file_whose_rows_are_under_way_is_left_to_them(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, A, B)
    before = job_of(database, request_id)

    answer = bury_file(functions, ObjectVersion(f"uploads/{request_id}.csv", before["source_version"]))

    assert answer == BURIED
    assert job_of(database, request_id) == before
    assert outcomes(database, request_id) == [(1, "PENDING", None), (2, "PENDING", None)]


def test_a_file_whose_rows_are_done_although_the_fan_out_never_said_so_is_buried(functions, database, bucket, connect):
    """The fan-out rang for rows and died before its cursor moved, again and again; workers answered the bell."""
    request_id = fanned_out(functions, database, bucket, A, B)
    query(connect, "UPDATE job_request SET rows_sent = 0")
    finish_row(database, request_id, 1)

    answer = bury_file(
        functions, ObjectVersion(f"uploads/{request_id}.csv", job_of(database, request_id)["source_version"])
    )

    assert answer == BURIED
    assert ("COMPLETED" in [image["status"] for image in images_of(database, request_id)]) == (
        job_of(database, request_id)["images_completed"] == 1
    )


def finish_row(database, request_id, row_number):
    token = "6f9619ff-8b86-4d01-b42d-00c04fc964ff"
    keys = {"request_ids": [request_id], "row_numbers": [row_number]}
    (image,) = database.fetch_all("lease_images", {**keys, "token": token, "lease_seconds": 60})
    place = {"image_url": "https://images.example/a.jpg", "object_key": "images/a.jpg"}
    picture = {"format": "jpeg", "outcome": "smaller", "width": 3, "height": 2, "bytes_before": 9, "bytes_after": 8}
    finished = {"image_id": str(image["image_id"]), "status": "COMPLETED", **place, **picture}
    database.execute("finish_images", {"finished": json.dumps([finished]), "token": token})


def test_a_file_of_a_job_that_ended_is_left_alone(functions, database, bucket):
    request_id, source = upload(database, bucket, b"no,sheet\n")
    functions.invoke("fan_out", file_event(source))
    before = job_of(database, request_id)
    assert before["error_message"]

    bury_file(functions, source)

    assert job_of(database, request_id) == before
    assert executions() == [f"{request_id}-1"]


def test_an_upload_without_a_job_is_buried_in_peace(functions, connect):
    assert functions.invoke("bury", load_event("bury-upload")) == BURIED

    assert query(connect, "SELECT 1 FROM job_request") == []


def test_an_object_that_the_api_did_not_name_is_buried_in_peace(functions, bucket, connect):
    version = bucket.put("uploads/readme.txt", b"put here by hand", "text/plain")

    assert bury_file(functions, ObjectVersion("uploads/readme.txt", version)) == BURIED

    assert query(connect, "SELECT 1 FROM job_request") == []


def test_s3s_test_event_is_buried_in_peace(functions, connect):
    body = json.loads(load_event("fan_out-test-event")["Records"][0]["body"])

    assert functions.invoke("bury", sqs_event("bury-upload", body)) == BURIED

    assert query(connect, "SELECT 1 FROM job_request") == []
    assert not executions()


# ── Batches ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", ["not JSON", {"request_id": "no-uuid", "row_number": 1}, {"Records": [{"s3": {}}]}])
def test_one_bad_message_does_not_take_others_along(functions, database, bucket, bad):
    request_id = fanned_out(functions, database, bucket, A, B)

    answer = functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1), bad, row_body(request_id, 2)))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-2"}]}
    assert [status for _, status, _ in outcomes(database, request_id)] == ["FAILED", "FAILED"]
    assert executions() == [f"{request_id}-1"]


def test_rows_and_files_of_several_jobs_in_one_batch(functions, database, bucket):
    one, two = (fanned_out(functions, database, bucket, A) for _ in range(2))
    three, source = upload(database, bucket, sheet(A))

    answer = functions.invoke("bury", sqs_event("bury-row", row_body(one, 1), row_body(two, 1), s3_event(source)))

    assert answer == BURIED
    assert executions() == sorted(f"{request_id}-1" for request_id in (one, two, three))


def test_a_database_that_cannot_be_reached_keeps_the_letters(functions, monkeypatch):
    monkeypatch.setattr(database_module, "FIRST_DELAY_SECONDS", 0)
    functions.values["DATABASE_HOST"] = "/nowhere"

    answer = functions.invoke("bury", load_event("bury-row"))

    assert answer == {"batchItemFailures": [{"itemIdentifier": load_event("bury-row")["Records"][0]["messageId"]}]}


def test_files_are_left_where_they_are(functions, bucket):
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", sheet(A), "text/csv"))

    bury_file(functions, source)

    assert keys_in(bucket) == ["drop/a.csv"]
