"""sweep: standing work is rung for again, and only that."""

import json
from threading import Barrier, Thread

import boto3
import pytest
from botocore.exceptions import ClientError

from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database
from imagejobs.steps import sweep as sweep_step
from imagejobs.steps.sweep import MISSING_SHEET_SECONDS, OLDER_THAN_SECONDS, Sweeper
from tests.integration.handlers import file_event, load_event
from tests.integration.jobs import executions, finish, images_of, job_of, query, received, rows_in, sheet, upload

A, B, C = (f"https://shop.example/{name}.jpg" for name in "abc")
NOTHING = {"missing_sheets": 0, "stalled_fan_outs": 0, "expired_leases": 0, "finalizable_jobs": 0}


def sweep(functions):
    return functions.invoke("sweep", load_event("sweep"))


def age(connect, seconds, **columns):
    """Let time pass for every job: nothing has touched it for `seconds`."""
    names = ["updated_at", *(name for name, wanted in columns.items() if wanted)]
    moved = ", ".join(f"{name} = {name} - make_interval(secs => {seconds})" for name in names)
    query(connect, f"UPDATE job_request SET {moved}")


def lease_rows(connect, seconds, *row_numbers):
    """Somebody works on these rows; the lease has `seconds` left."""
    query(
        connect,
        "UPDATE compressed_images SET lease_token = gen_random_uuid(), attempt = attempt + 1, "
        "leased_until = now() + make_interval(secs => %s) WHERE status = 'PENDING' AND row_number = ANY(%s)",
        seconds,
        list(row_numbers),
    )


def fanned_out(functions, database, bucket, row_queue, *cells):
    """A job in work, its first messages received."""
    request_id, source = upload(database, bucket, sheet(*cells))
    functions.invoke("fan_out", file_event(source))
    received(row_queue)
    return request_id


def done_but_not_started(functions, database, bucket, row_queue):
    """A job whose last image ended in an invocation that died before it could start the finalizer."""
    request_id = fanned_out(functions, database, bucket, row_queue, A)
    finish(database, request_id)
    assert not executions()
    return request_id


def stop_execution(name, status="ABORTED"):
    client = boto3.client("stepfunctions")
    arn = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    client.stop_execution(executionArn=f"{arn.replace(':stateMachine:', ':execution:')}:{name}")


def assert_nothing_sent(row_queue, upload_queue):
    assert received(row_queue) == received(upload_queue) == []
    assert not executions()


# ── Nothing stands ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_database_has_nothing_to_sweep(functions, row_queue, upload_queue):
    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


def test_young_work_is_left_alone(functions, database, bucket, connect, row_queue, upload_queue):
    fanned_out(functions, database, bucket, row_queue, A, B)
    lease_rows(connect, 5, 1)
    waiting, source = upload(database, bucket, sheet(A))
    database.execute("accept_source", {"request_id": waiting, "source_version": source.version})
    upload(database, bucket, sheet(A))
    age(connect, OLDER_THAN_SECONDS - 5)
    done_but_not_started(functions, database, bucket, row_queue)

    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


def test_jobs_that_ended_are_left_alone(functions, database, bucket, connect, row_queue, upload_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    result = {"result_key": "results/a.csv", "result_version": "1", "status": "COMPLETED", "error_message": None}
    database.execute("close_job", {"request_id": request_id, "generation": 1, **result})
    age(connect, 1_000_000, finalizable_at=True)

    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


def test_rows_that_wait_in_the_queue_are_left_alone(functions, database, bucket, connect, row_queue, upload_queue):
    fanned_out(functions, database, bucket, row_queue, A, B)
    age(connect, 1_000_000)

    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


# ── Missing sheets ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_whose_sheet_never_arrived_ends_failed(functions, database, bucket, connect):
    request_id, _ = upload(database, bucket, sheet(A))
    age(connect, MISSING_SHEET_SECONDS + 1)

    assert sweep(functions) == {**NOTHING, "missing_sheets": 1}
    job = job_of(database, request_id)
    assert job["error_message"].startswith("The CSV never arrived")
    assert job["finalizable_at"]
    assert sweep(functions) == NOTHING

    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    assert sweep(functions) == {**NOTHING, "finalizable_jobs": 1}
    assert executions() == [f"{request_id}-1"]


def test_a_sheet_may_take_a_while_to_arrive(functions, database, bucket, connect):
    request_id, _ = upload(database, bucket, sheet(A))
    age(connect, MISSING_SHEET_SECONDS - 5)

    assert sweep(functions) == NOTHING
    assert job_of(database, request_id)["error_message"] is None


def test_a_sheet_that_arrives_after_all_changes_nothing_any_more(functions, database, bucket, connect, row_queue):
    request_id, source = upload(database, bucket, sheet(A))
    age(connect, MISSING_SHEET_SECONDS + 1)
    sweep(functions)

    functions.invoke("fan_out", file_event(source))

    assert job_of(database, request_id)["error_message"].startswith("The CSV never arrived")
    assert images_of(database, request_id) == []
    assert received(row_queue) == []


# ── Stalled fan-outs ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fan_out_that_nobody_began_is_rung_for_and_ends(functions, database, bucket, connect, upload_queue):
    request_id, source = upload(database, bucket, sheet(A, B))
    database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
    age(connect, OLDER_THAN_SECONDS + 1)

    assert sweep(functions) == {**NOTHING, "stalled_fan_outs": 1}

    (message,) = received(upload_queue)
    (record,) = message.body["Records"]
    assert ObjectVersion.from_event_record(record) == source
    functions.invoke("fan_out", {"Records": [sqs_record(message)]})
    assert job_of(database, request_id)["rows_sent"] == 2


def sqs_record(message):
    return {
        **load_event("fan_out")["Records"][0],
        "messageId": message.message_id,
        "receiptHandle": message.receipt,
        "body": json.dumps(message.body),
    }


@pytest.mark.parametrize("key", ["drop/Küche + Bäder/März 2026.csv", "drop/100% & more?.csv"])
def test_a_dropped_file_is_rung_for_under_its_own_name(functions, database, bucket, connect, upload_queue, key):
    source = ObjectVersion(key, bucket.put(key, sheet(A), "text/csv"))
    functions.invoke("fan_out", file_event(source))
    query(connect, "UPDATE job_request SET rows_sent = 0")
    age(connect, OLDER_THAN_SECONDS + 1)

    sweep(functions)

    (message,) = received(upload_queue)
    assert ObjectVersion.from_event_record(message.body["Records"][0]) == source


@pytest.mark.parametrize(("seconds_left", "rung"), [(-1, 1), (30, 0)])
def test_a_fan_out_is_rung_for_when_its_lease_has_run_out(
    functions, database, bucket, connect, upload_queue, seconds_left, rung
):
    request_id, source = upload(database, bucket, sheet(A))
    database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
    query(
        connect,
        "UPDATE job_request SET status = 'PROCESSING', fan_out_token = gen_random_uuid(), "
        "fan_out_leased_until = now() + make_interval(secs => %s)",
        seconds_left,
    )
    age(connect, OLDER_THAN_SECONDS + 1)

    assert sweep(functions) == {**NOTHING, "stalled_fan_outs": rung}
    assert len(received(upload_queue)) == rung


# ── Expired leases ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_whose_lease_has_run_out_are_rung_for_once(functions, database, bucket, connect, row_queue):
    request_id = fanned_out(functions, database, bucket, row_queue, f"{A}, {B}", B, C)
    lease_rows(connect, -1, 1, 3)
    lease_rows(connect, 60, 2)

    assert sweep(functions) == {**NOTHING, "expired_leases": 2}

    messages = received(row_queue)
    assert sorted(rows_in(messages)) == [1, 3]
    assert {message.row.request_id for message in messages} == {request_id}
    leased = query(connect, "SELECT DISTINCT row_number FROM compressed_images WHERE lease_token IS NOT NULL")
    assert leased == [(2,)]
    assert sweep(functions) == NOTHING


def test_attempts_of_a_lost_lease_still_count(functions, database, bucket, connect, row_queue):
    fanned_out(functions, database, bucket, row_queue, A)
    lease_rows(connect, -1, 1)

    sweep(functions)

    assert query(connect, "SELECT attempt FROM compressed_images") == [(1,)]


def test_a_queue_that_refuses_leaves_the_leases_for_the_next_sweep(functions, database, bucket, connect, row_queue):
    fanned_out(functions, database, bucket, row_queue, A)
    lease_rows(connect, -1, 1)
    url = functions.values["ROW_QUEUE_URL"]
    functions.values["ROW_QUEUE_URL"] = url + "-deleted"
    with pytest.raises(ClientError, match="NonExistentQueue"):
        sweep(functions)

    functions.values["ROW_QUEUE_URL"] = url
    assert sweep(functions.restarted())["expired_leases"] == 1
    assert rows_in(received(row_queue)) == [1]


# ── Jobs that are done and not closed ───────────────────────────────────────────────────────────────────────────────


def test_a_finalizer_that_was_not_started_is_started(functions, database, bucket, connect, row_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)

    assert sweep(functions) == {**NOTHING, "finalizable_jobs": 1}

    assert executions() == [f"{request_id}-1"]


def test_a_finalizer_that_runs_is_left_to_run(functions, database, bucket, connect, row_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)

    for _ in range(3):
        sweep(functions)

    assert executions() == [f"{request_id}-1"]
    assert job_of(database, request_id)["generation"] == 1


def test_a_finalizer_that_stopped_is_followed_by_the_next_generation(functions, database, bucket, connect, row_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    sweep(functions)
    stop_execution(f"{request_id}-1")

    assert sweep(functions) == {**NOTHING, "finalizable_jobs": 1}

    assert executions() == [f"{request_id}-1", f"{request_id}-2"]
    assert job_of(database, request_id)["generation"] == 2
    sweep(functions)
    assert executions() == [f"{request_id}-1", f"{request_id}-2"]


def test_a_new_generation_whose_start_was_lost_is_started_by_the_next_sweep(
    functions, database, bucket, connect, row_queue
):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    query(connect, "UPDATE job_request SET generation = 2")
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)

    sweep(functions)

    assert executions() == [f"{request_id}-2"]


# ── Several at once ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sweep_takes_no_more_than_its_limit_and_the_next_goes_on(
    functions, database, bucket, connect, row_queue, upload_queue, monkeypatch
):
    monkeypatch.setattr(sweep_step, "LIMIT", 2)
    fanned_out(functions, database, bucket, row_queue, *[A] * 3)
    lease_rows(connect, -1, 1, 2, 3)

    assert [sweep(functions)["expired_leases"] for _ in range(3)] == [2, 1, 0]
    assert sorted(rows_in(received(row_queue))) == [1, 2, 3]


def test_two_sweeps_at_once_do_no_harm(functions, database, bucket, connect, row_queue, upload_queue, finalizer):
    stopped = done_but_not_started(functions, database, bucket, row_queue)
    finalizer.start(stopped, 1)
    stop_execution(f"{stopped}-1")
    leased = fanned_out(functions, database, bucket, row_queue, *[A] * 5)
    lease_rows(connect, -1, *range(1, 6))
    stalled, source = upload(database, bucket, sheet(A))
    database.execute("accept_source", {"request_id": stalled, "source_version": source.version})
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    missing, _ = upload(database, bucket, sheet(A))
    query(
        connect,
        "UPDATE job_request SET updated_at = now() - make_interval(secs => %s) WHERE request_id = %s",
        MISSING_SHEET_SECONDS + 1,
        missing,
    )

    sweep_at_once(2, connect, row_queue, upload_queue, finalizer)

    assert executions() == [f"{stopped}-1", f"{stopped}-2"]
    assert job_of(database, stopped)["generation"] == 2
    assert set(rows_in(received(row_queue))) == {1, 2, 3, 4, 5}
    assert {message.body["Records"][0]["s3"]["object"]["versionId"] for message in received(upload_queue)} == {
        source.version
    }
    assert job_of(database, missing)["error_message"].startswith("The CSV never arrived")
    assert [image["status"] for image in images_of(database, leased)] == ["PENDING"] * 5
    assert query(connect, "SELECT count(*) FROM compressed_images WHERE lease_token IS NOT NULL") == [(0,)]


def sweep_at_once(count, connect, row_queue, upload_queue, finalizer):
    """So many sweeps in threads, each with a connection of its own; fails when one fails."""
    start, failures = Barrier(count), []

    def run():
        database = Database(connect)
        sweeper = Sweeper(database=database, row_queue=row_queue, upload_queue=upload_queue, finalizer=finalizer)
        try:
            start.wait(10)
            sweeper.sweep()
        except BaseException as failure:  # noqa: BLE001 - shown by the assertion below
            failures.append(failure)
        finally:
            database.close()

    threads = [Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
