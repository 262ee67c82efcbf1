"""bury: whatever was dead-lettered gets its final outcome, and holds nobody up."""

import json
from functools import partial
from io import StringIO
from uuid import uuid4

import pytest
from psycopg2.extras import Json

from imagejobs import database as database_module
from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database
from imagejobs.jobs import refuse_sheet
from imagejobs.steps.bury import FILE_MESSAGE, ROW_MESSAGE
from tests.integration.handlers import (
    beside,
    completed,
    end_images,
    fanned_out,
    file_event,
    finish,
    keys_in,
    lease_row,
    load_event,
    row_body,
    s3_event,
    sqs_event,
)
from tests.integration.jobs import executions, images_of, job_of, query, sheet, upload

A, B, C = (f"https://shop.example/{name}.jpg" for name in "abc")
BURIED = {"batchItemFailures": []}
COME_BACK = {"batchItemFailures": [{"itemIdentifier": "message-1"}]}


def bury_rows(functions, request_id, *row_numbers):
    bodies = [row_body(request_id, row_number) for row_number in row_numbers]
    return functions.invoke("bury", sqs_event("bury-row", *bodies))


def bury_file(functions, source):
    return functions.invoke("bury", file_event(source, "bury-upload"))


def outcomes(database, request_id):
    return [(image["row_number"], image["status"], image["error_code"]) for image in images_of(database, request_id)]


# ── Rows ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_buried_row_fails_and_the_others_go_on(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}", C))

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
    request_id = fanned_out(functions, database, bucket, sheet(A, B))

    assert bury_rows(functions, request_id, 1, 2) == BURIED

    job = job_of(database, request_id)
    assert (job["images_failed"], job["completion_percentage"]) == (2, 99)
    assert executions() == [f"{request_id}-1"]


def test_what_a_row_has_done_already_stays(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}, {C}"))
    finish(database, request_id, failing={(1, 2)})
    query(
        connect,
        "UPDATE compressed_images SET status = 'PENDING', image_url = NULL, object_key = NULL, format = NULL, "
        "outcome = NULL, width = NULL, height = NULL, bytes_before = NULL, bytes_after = NULL, encoder = NULL, "
        "encoder_quality = NULL, cpu_ms = NULL, score = NULL, content = NULL, perceptual_hash = NULL "
        "WHERE position = 3",
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
    request_id = fanned_out(functions, database, bucket, sheet(A, B))

    bury_rows(functions, request_id, 1, 1)
    bury_rows(functions, request_id, 1)

    assert job_of(database, request_id)["images_failed"] == 1


def test_a_row_of_a_closed_job_is_left_alone(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    finish(database, request_id)
    result = {"result_key": "results/a.csv", "result_version": "1", "failures_version": None, "preflight": None}
    ending = {**result, "status": "COMPLETED", "error_message": None}
    database.execute("close_job", {"request_id": request_id, "generation": 1, **ending})
    before = job_of(database, request_id)

    assert bury_rows(functions, request_id, 1) == BURIED

    assert job_of(database, request_id) == before
    assert not executions()


def test_a_worker_whose_lease_ran_out_cannot_write_over_the_burial(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    token, (image,) = lease_row(database, request_id, 1, seconds=-1)
    assert bury_rows(functions, request_id, 1) == BURIED

    end_images(database, token, completed(image))

    assert outcomes(database, request_id) == [(1, "FAILED", "image_abandoned")]
    job = job_of(database, request_id)
    assert (job["images_completed"], job["images_failed"]) == (0, 1)
    assert executions() == [f"{request_id}-1"]


def test_a_row_that_is_being_worked_on_is_left_to_its_worker_and_the_letter_comes_back(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    token, (image,) = lease_row(database, request_id, 1)
    before = job_of(database, request_id)

    assert bury_rows(functions, request_id, 1) == COME_BACK

    assert outcomes(database, request_id) == [(1, "PENDING", None)]
    assert job_of(database, request_id) == before
    end_images(database, token, completed(image))
    assert bury_rows(functions, request_id, 1) == BURIED
    assert outcomes(database, request_id) == [(1, "COMPLETED", None)]
    assert job_of(database, request_id)["images_completed"] == 1


def test_of_a_row_in_part_worked_on_the_rest_is_buried(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}"))
    lease_row(database, request_id, 1, limit=1)

    assert bury_rows(functions, request_id, 1) == COME_BACK
    assert outcomes(database, request_id) == [(1, "PENDING", None), (1, "FAILED", "image_abandoned")]
    assert not executions()

    query(connect, "UPDATE compressed_images SET leased_until = now() WHERE lease_token IS NOT NULL")
    assert bury_rows(functions, request_id, 1) == BURIED
    assert [status for _, status, _ in outcomes(database, request_id)] == ["FAILED", "FAILED"]
    assert job_of(database, request_id)["images_failed"] == 2
    assert executions() == [f"{request_id}-1"]


def test_a_row_that_rests_before_its_next_attempt_is_buried(functions, database, bucket, connect):
    """Nobody holds it, and its message is spent."""
    request_id = fanned_out(functions, database, bucket, sheet(A))
    query(connect, "UPDATE compressed_images SET not_before = now() + '5 minutes'")

    assert bury_rows(functions, request_id, 1) == BURIED

    assert outcomes(database, request_id) == [(1, "FAILED", "image_abandoned")]


def test_a_letter_that_comes_back_does_not_keep_others_waiting(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
    lease_row(database, request_id, 1)

    assert bury_rows(functions, request_id, 1, 2) == COME_BACK

    assert outcomes(database, request_id) == [(1, "PENDING", None), (2, "FAILED", "image_abandoned")]


def test_a_row_that_there_is_not_is_buried_in_peace(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A))

    assert functions.invoke("bury", load_event("bury-row")) == BURIED
    assert bury_rows(functions, request_id, 7) == BURIED

    assert outcomes(database, request_id) == [(1, "PENDING", None)]


# ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_buried_upload_ends_its_job_and_tells_why(functions, database, bucket):
    request_id, source = upload(database, bucket, sheet(A))

    assert bury_file(functions, source) == BURIED

    job = job_of(database, request_id)
    assert (job["error_message"], job["source_version"]) == (FILE_MESSAGE, source.version)
    assert executions() == [f"{request_id}-1"]


def test_a_later_version_of_an_upload_is_buried_without_its_job(functions, database, bucket):
    """The first version that was noted is the job; what is put over it by hand is nobody's."""
    request_id, source = upload(database, bucket, sheet(A))
    database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
    before = job_of(database, request_id)

    assert bury_file(functions, ObjectVersion(source.key, bucket.put(source.key, b"x", "text/csv"))) == BURIED

    assert job_of(database, request_id) == before


def test_a_buried_upload_that_was_staged_leaves_no_rows(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
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


@pytest.mark.parametrize(("default", "told"), [("", None), ("https://shop.example/hook", "https://shop.example/hook")])
def test_a_buried_drop_reports_where_drops_do(functions, bucket, connect, default, told):
    functions.values["DEFAULT_WEBHOOK_URL"] = default
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", sheet(A), "text/csv"))

    bury_file(functions, source)

    assert query(connect, "SELECT webhook_url, options FROM job_request") == [(told, {})]


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
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
    before = job_of(database, request_id)

    answer = bury_file(functions, ObjectVersion(f"uploads/{request_id}.csv", before["source_version"]))

    assert answer == BURIED
    assert job_of(database, request_id) == before
    assert outcomes(database, request_id) == [(1, "PENDING", None), (2, "PENDING", None)]


def test_a_file_whose_rows_are_done_although_the_fan_out_never_said_so_is_buried(functions, database, bucket, connect):
    """The fan-out rang for rows and died before its cursor moved, again and again; workers answered the bell."""
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
    query(connect, "UPDATE job_request SET rows_sent = 0")
    token, leased = lease_row(database, request_id, 1)
    end_images(database, token, *map(completed, leased))

    before = job_of(database, request_id)

    assert bury_file(functions, ObjectVersion(f"uploads/{request_id}.csv", before["source_version"])) == BURIED

    assert job_of(database, request_id) == before
    assert outcomes(database, request_id) == [(1, "COMPLETED", None), (2, "PENDING", None)]
    assert before["images_completed"] == 1


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


# ── A sheet that is refused while somebody stages it ────────────────────────────────────────────────────────────────


@pytest.fixture
def staging(database, bucket, connect):
    """A job whose fan-out has staged row 1 under a lease of its own."""
    request_id, source = upload(database, bucket, sheet(A, B))
    database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
    lease = {"request_id": request_id, "token": uuid4()}
    database.execute(
        "lease_fan_out", {**lease, "source_version": source.version, "lease_seconds": 60, "max_images_out": 100}
    )
    database.transact(partial(stage_row, lease, 1))
    return lease, source


def stage_row(lease, row_number, transaction):
    """One row, as the fan-out stages it."""
    assert transaction.fetch_one("hold_fan_out", lease)
    transaction.execute("advance_rows_staged", {**lease, "row_number": row_number})
    transaction.copy("copy_images", StringIO(f"{lease['request_id']}\t{row_number}\t1\t1\tChair\t{A}\n"))


def let_the_lease_run_out(connect):
    query(connect, "UPDATE job_request SET fan_out_leased_until = now()")


def refuse_beside(connect, lease, source, work):
    """Refuse the sheet on a connection of its own while `work` is in a transaction; it is made to wait for that."""
    own = Database(connect)
    beside(connect, work, partial(refuse_sheet, own, lease["request_id"], source.version, FILE_MESSAGE))
    own.close()


def test_a_refusal_that_waits_for_a_staging_leaves_none_of_its_rows(database, connect, staging):
    lease, source = staging
    let_the_lease_run_out(connect)

    refuse_beside(connect, lease, source, partial(stage_row, lease, 2))

    job = job_of(database, lease["request_id"])
    assert (job["error_message"], job["rows_total"], job["rows_staged"]) == (FILE_MESSAGE, 0, 0)
    assert images_of(database, lease["request_id"]) == []


def test_a_refusal_that_waits_for_the_totals_changes_nothing(database, connect, staging):
    lease, source = staging
    let_the_lease_run_out(connect)

    def stage_the_last(transaction):
        stage_row(lease, 2, transaction)
        transaction.execute(
            "declare_totals", {**lease, "rows_total": 2, "rows_failed": 0, "images_total": 2, "sheet_found": None}
        )

    refuse_beside(connect, lease, source, stage_the_last)

    job = job_of(database, lease["request_id"])
    assert (job["error_message"], job["rows_total"], job["finalizable_at"]) == (None, 2, None)
    assert outcomes(database, lease["request_id"]) == [(1, "PENDING", None), (2, "PENDING", None)]


def test_a_sheet_under_anothers_fan_out_is_not_refused(functions, database, staging):
    lease, source = staging
    before = job_of(database, lease["request_id"])

    assert bury_file(functions, source) == BURIED
    refuse_sheet(database, lease["request_id"], source.version, "Another's reason.", uuid4())

    assert job_of(database, lease["request_id"]) == before
    assert outcomes(database, lease["request_id"]) == [(1, "PENDING", None)]
    assert not executions()


def test_a_sheet_whose_fan_out_died_is_refused(functions, database, connect, staging):
    lease, source = staging
    let_the_lease_run_out(connect)

    assert bury_file(functions, source) == BURIED

    assert job_of(database, lease["request_id"])["error_message"] == FILE_MESSAGE
    assert images_of(database, lease["request_id"]) == []


def test_a_fan_out_refuses_the_sheet_that_it_holds(database, staging):
    lease, source = staging

    refuse_sheet(database, lease["request_id"], source.version, "No sheet.", lease["token"])

    job = job_of(database, lease["request_id"])
    assert (job["error_message"], job["fan_out_token"], job["fan_out_leased_until"]) == ("No sheet.", None, None)
    assert images_of(database, lease["request_id"]) == []


def test_a_fan_out_whose_sheet_was_refused_has_lost_its_lease(database, connect, staging):
    lease, source = staging
    let_the_lease_run_out(connect)
    refuse_sheet(database, lease["request_id"], source.version, FILE_MESSAGE)

    assert database.fetch_one("hold_fan_out", lease) is None


@pytest.mark.parametrize("version", [None, "another"])
def test_a_refusal_of_another_version_changes_nothing(database, connect, staging, version):
    lease, _ = staging
    let_the_lease_run_out(connect)
    before = job_of(database, lease["request_id"])

    refuse_sheet(database, lease["request_id"], version, FILE_MESSAGE)

    assert job_of(database, lease["request_id"]) == before
    assert outcomes(database, lease["request_id"]) == [(1, "PENDING", None)]


def test_a_sheet_is_refused_once_with_the_first_reason(database, connect, staging):
    lease, source = staging
    let_the_lease_run_out(connect)
    for reason in ("The first.", "The second."):
        refuse_sheet(database, lease["request_id"], source.version, reason)

    assert job_of(database, lease["request_id"])["error_message"] == "The first."


# ── Batches ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", ["not JSON", {"request_id": "no-uuid", "row_number": 1}, {"Records": [{"s3": {}}]}])
def test_one_bad_message_does_not_take_others_along(functions, database, bucket, bad):
    request_id = fanned_out(functions, database, bucket, sheet(A, B))

    answer = functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1), bad, row_body(request_id, 2)))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-2"}]}
    assert [status for _, status, _ in outcomes(database, request_id)] == ["FAILED", "FAILED"]
    assert executions() == [f"{request_id}-1"]


def test_rows_and_files_of_several_jobs_in_one_batch(functions, database, bucket):
    one, two = (fanned_out(functions, database, bucket, sheet(A)) for _ in range(2))
    three, source = upload(database, bucket, sheet(A))

    answer = functions.invoke("bury", sqs_event("bury-row", row_body(one, 1), row_body(two, 1), s3_event(source)))

    assert answer == BURIED
    assert executions() == sorted(f"{request_id}-1" for request_id in (one, two, three))


def test_a_database_that_cannot_be_reached_keeps_the_letters(functions, monkeypatch):
    monkeypatch.setattr(database_module, "FIRST_DELAY_SECONDS", 0)
    functions.values["DATABASE_DSN"] = "host=/nowhere"

    answer = functions.invoke("bury", load_event("bury-row"))

    assert answer == {"batchItemFailures": [{"itemIdentifier": load_event("bury-row")["Records"][0]["messageId"]}]}


def test_files_are_left_where_they_are(functions, bucket):
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", sheet(A), "text/csv"))

    bury_file(functions, source)

    assert keys_in(bucket) == ["drop/a.csv"]
