"""sweep: standing work is rung for again, and only that."""

import json
from threading import Barrier, Thread

import boto3
import pytest
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database, StatementFailed, Transaction
from imagejobs.executions import STOPPED
from imagejobs.steps import sweep as sweep_step
from imagejobs.steps.sweep import MISSING_SHEET_SECONDS, OLDER_THAN_SECONDS, UNMOVED_SECONDS, Sweeper
from tests.integration.handlers import completed, end_images, fanned_out, file_event, finish, lease_row, load_event
from tests.integration.jobs import executions, images_of, job_of, query, received, rows_in, sheet, upload, urls

A, B, C, D = (f"https://shop.example/{name}.jpg" for name in "abcd")
KINDS = ["missing_sheets", "unmoved_jobs", "stalled_fan_outs", "expired_leases", "finalizable_jobs"]
NOTHING = dict.fromkeys(KINDS, 0)
HOOK = "https://shop.example/hook"


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


def in_work(functions, database, bucket, row_queue, *cells, **columns):
    """A job in work, its first messages received."""
    request_id = fanned_out(functions, database, bucket, sheet(*cells), **columns)
    received(row_queue)
    return request_id


def done_but_not_started(functions, database, bucket, row_queue, **columns):
    """A job whose last image ended in an invocation that died before it could start the finalizer."""
    started = executions()
    request_id = in_work(functions, database, bucket, row_queue, A, **columns)
    finish(database, request_id)
    assert executions() == started
    return request_id


def close(database, request_id):
    """The job's final status, as the finalizer writes it; its webhook is still to be told."""
    result = {"result_key": "results/a.csv", "result_version": "1", "failures_version": None, "preflight": None}
    ending = {**result, "status": "COMPLETED", "error_message": None}
    database.execute("close_job", {"request_id": request_id, "generation": 1, **ending})


def settle(database, request_id):
    assert database.execute("settle_job", {"request_id": request_id, "generation": 1}) == 1


def stop_execution(name, status="ABORTED"):
    """End an execution, which moto never does by itself."""
    region = boto3.client("stepfunctions").meta.region_name
    (machine,) = get_backend("stepfunctions")[DEFAULT_ACCOUNT_ID][region].state_machines
    (execution,) = [execution for execution in machine.executions if execution.name == name]
    execution.status = status


def assert_nothing_sent(row_queue, upload_queue):
    assert received(row_queue) == received(upload_queue) == []
    assert not executions()


# ── Nothing stands ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_database_has_nothing_to_sweep(functions, row_queue, upload_queue):
    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


def test_young_work_is_left_alone(functions, database, bucket, connect, row_queue, upload_queue):
    in_work(functions, database, bucket, row_queue, A, B)
    lease_rows(connect, 5, 1)
    waiting, source = upload(database, bucket, sheet(A))
    database.execute("accept_source", {"request_id": waiting, "source_version": source.version})
    upload(database, bucket, sheet(A))
    age(connect, OLDER_THAN_SECONDS - 5)
    done_but_not_started(functions, database, bucket, row_queue)

    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


def test_jobs_that_are_settled_are_left_alone(functions, database, bucket, connect, row_queue, upload_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    close(database, request_id)
    settle(database, request_id)
    age(connect, 1_000_000, finalizable_at=True)

    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


def test_rows_that_wait_in_the_queue_are_left_alone(functions, database, bucket, connect, row_queue, upload_queue):
    in_work(functions, database, bucket, row_queue, A, B)
    age(connect, UNMOVED_SECONDS - 60)

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


def test_a_sheet_whose_version_was_noted_is_there_and_is_rung_for_instead(
    functions, database, bucket, connect, upload_queue
):
    """The API noted it; S3's event was lost."""
    request_id, source = upload(database, bucket, sheet(A))
    database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
    age(connect, MISSING_SHEET_SECONDS + 1)

    assert sweep(functions) == {**NOTHING, "stalled_fan_outs": 1}

    assert job_of(database, request_id)["error_message"] is None
    (message,) = received(upload_queue)
    assert ObjectVersion.from_event_record(message.body["Records"][0]) == source


# ── Jobs that do not move ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_that_has_not_moved_for_hours_is_sent_again(
    functions, database, bucket, connect, row_queue, upload_queue
):
    """Its messages are lost, all else is in order: the rows that are left get new ones."""
    request_id = in_work(functions, database, bucket, row_queue, A, B, C)
    finish_rows(database, request_id, 2)
    age(connect, UNMOVED_SECONDS + 1)

    assert sweep(functions) == {**NOTHING, "unmoved_jobs": 1}
    assert sweep(functions) == NOTHING
    age(connect, OLDER_THAN_SECONDS + 1)
    assert sweep(functions) == {**NOTHING, "stalled_fan_outs": 1}
    (message,) = received(upload_queue)
    functions.invoke("fan_out", {"Records": [sqs_record(message)]})

    assert rows_in(received(row_queue)) == [1, 3]
    job = job_of(database, request_id)
    assert (job["status"], job["rows_sent"], job["images_completed"]) == ("PROCESSING", 3, 1)
    age(connect, OLDER_THAN_SECONDS + 1)
    assert sweep(functions) == NOTHING


def finish_rows(database, request_id, *row_numbers):
    for row_number in row_numbers:
        token, leased = lease_row(database, request_id, row_number)
        end_images(database, token, *map(completed, leased))


def test_a_job_that_somebody_works_on_is_not_sent_again(functions, database, bucket, connect, row_queue):
    request_id = in_work(functions, database, bucket, row_queue, A, B)
    lease_rows(connect, 60, 2)
    age(connect, UNMOVED_SECONDS + 1)

    assert sweep(functions) == NOTHING
    assert job_of(database, request_id)["rows_sent"] == 2


@pytest.mark.parametrize("is_settled", [False, True])
def test_a_job_whose_work_is_done_is_not_sent_again(
    functions, database, bucket, connect, row_queue, upload_queue, is_settled
):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    if is_settled:
        close(database, request_id)
        settle(database, request_id)
    age(connect, UNMOVED_SECONDS + 1)

    assert sweep(functions) == NOTHING

    assert_nothing_sent(row_queue, upload_queue)


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
    request_id = in_work(functions, database, bucket, row_queue, f"{A}, {B}", D, C)
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
    in_work(functions, database, bucket, row_queue, A)
    lease_rows(connect, -1, 1)

    sweep(functions)

    assert query(connect, "SELECT attempt FROM compressed_images") == [(1,)]


def test_a_lost_lease_counts_as_a_crash_of_its_image_alone(functions, database, bucket, connect, row_queue):
    """The next worker takes what may have killed this one by itself."""
    in_work(functions, database, bucket, row_queue, A, B, C)
    lease_rows(connect, -1, 1)
    lease_rows(connect, 60, 2)

    sweep(functions)
    sweep(functions)

    assert query(connect, "SELECT row_number, crashes FROM compressed_images ORDER BY 1") == [(1, 1), (2, 0), (3, 0)]


def test_a_queue_that_refuses_leaves_the_leases_for_the_next_sweep(functions, database, bucket, connect, row_queue):
    in_work(functions, database, bucket, row_queue, A)
    lease_rows(connect, -1, 1)
    url = functions.values["ROW_QUEUE_URL"]
    functions.values["ROW_QUEUE_URL"] = url + "-deleted"
    assert sweep(functions)["expired_leases"] == 0
    assert query(connect, "SELECT crashes, lease_token IS NULL FROM compressed_images") == [(0, False)]

    functions.values["ROW_QUEUE_URL"] = url
    assert sweep(functions.restarted())["expired_leases"] == 1
    assert rows_in(received(row_queue)) == [1]


# ── Jobs that are done and not settled ───────────────────────────────────────────────────────────────────────────────


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
    job = job_of(database, request_id)
    assert (job["generation"], job["finalizer_run"]) == (1, 1)


def test_every_way_to_stop_is_known():
    """All but the two that go on: https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html"""
    statuses = boto3.client("stepfunctions", "us-east-1").meta.service_model.shape_for("ExecutionStatus").enum

    assert set(statuses) - STOPPED == {"RUNNING", "PENDING_REDRIVE"}


@pytest.mark.parametrize("status", sorted(STOPPED))
def test_a_finalizer_that_stopped_is_followed_by_the_next_run_of_the_same_generation(
    functions, database, bucket, connect, row_queue, status
):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    sweep(functions)
    stop_execution(f"{request_id}-1", status)

    assert sweep(functions) == {**NOTHING, "finalizable_jobs": 1}

    assert executions() == [f"{request_id}-1", f"{request_id}-1-2"]
    job = job_of(database, request_id)
    assert (job["generation"], job["finalizer_run"]) == (1, 2)
    sweep(functions)
    assert executions() == [f"{request_id}-1", f"{request_id}-1-2"]


def test_every_run_is_told_which_it_is(functions, database, bucket, connect, row_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    for name in (f"{request_id}-1", f"{request_id}-1-2"):
        sweep(functions)
        stop_execution(name)
    sweep(functions)

    job = {"request_id": str(request_id), "generation": 1}
    assert inputs() == {
        f"{request_id}-1": {**job, "run": 1},
        f"{request_id}-1-2": {**job, "run": 2},
        f"{request_id}-1-3": {**job, "run": 3},
    }


def inputs():
    """What each execution was started with."""
    client = boto3.client("stepfunctions")
    arn = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    found = client.list_executions(stateMachineArn=arn)["executions"]
    described = [client.describe_execution(executionArn=execution["executionArn"]) for execution in found]
    return {execution["name"]: json.loads(execution["input"]) for execution in described}


def test_a_next_run_whose_start_was_lost_is_started_by_the_next_sweep(functions, database, bucket, connect, row_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    query(connect, "UPDATE job_request SET finalizer_run = 2")
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)

    sweep(functions)
    sweep(functions)

    assert executions() == [f"{request_id}-1-2"]
    assert job_of(database, request_id)["finalizer_run"] == 2


def test_a_new_generation_is_started_under_its_own_name(functions, database, bucket, connect, row_queue):
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    query(connect, "UPDATE job_request SET generation = 2")
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)

    sweep(functions)

    assert executions() == [f"{request_id}-2"]


@pytest.mark.parametrize("status", ["FAILED", "SUCCEEDED"])
def test_a_closed_job_whose_webhook_was_not_told_gets_another_run(
    functions, database, bucket, connect, row_queue, status
):
    request_id = done_but_not_started(functions, database, bucket, row_queue, webhook_url=HOOK)
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    sweep(functions)
    close(database, request_id)
    sweep(functions)
    assert executions() == [f"{request_id}-1"]
    stop_execution(f"{request_id}-1", status)

    assert sweep(functions) == {**NOTHING, "finalizable_jobs": 1}

    assert executions() == [f"{request_id}-1", f"{request_id}-1-2"]
    settle(database, request_id)
    stop_execution(f"{request_id}-1-2", status)
    assert sweep(functions) == NOTHING
    assert executions() == [f"{request_id}-1", f"{request_id}-1-2"]


def test_a_job_that_is_settled_after_it_was_listed_gets_no_other_run(functions, database, bucket, connect, row_queue):
    """Its execution succeeded between the sweeper's two questions."""
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    listed = job_of(database, request_id)
    close(database, request_id)
    settle(database, request_id)

    assert database.fetch_one("next_finalizer_run", listed) is None
    assert job_of(database, request_id)["finalizer_run"] == 1


def test_executions_that_run_do_not_crowd_out_one_that_stopped(
    functions, database, bucket, connect, row_queue, monkeypatch
):
    """A webhook's schedule lasts for days, and a sweep looks at so many jobs only."""
    monkeypatch.setattr(sweep_step, "LIMIT", 2)
    jobs = [done_but_not_started(functions, database, bucket, row_queue) for _ in range(5)]
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    for _ in range(3):
        assert sweep(functions)["finalizable_jobs"] == 2
    assert executions() == sorted(f"{request_id}-1" for request_id in jobs)

    for request_id in jobs:
        stop_execution(f"{request_id}-1")
        sweeps = [sweep(functions)["finalizable_jobs"] for _ in range(3)]
        assert sweeps == [2, 2, 2]
        assert f"{request_id}-1-2" in executions()


# ── One kind that fails ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def all_kinds(functions, database, bucket, connect, row_queue, upload_queue):
    """A database with one thing of each kind to sweep."""
    unmoved = in_work(functions, database, bucket, row_queue, A)
    leased = in_work(functions, database, bucket, row_queue, A)
    query(
        connect,
        "UPDATE compressed_images SET lease_token = gen_random_uuid(), attempt = 1, leased_until = now() "
        "WHERE request_id = %s",
        leased,
    )
    done_but_not_started(functions, database, bucket, row_queue)
    missing, _ = upload(database, bucket, sheet(A))
    stalled, source = upload(database, bucket, sheet(A))
    database.execute("accept_source", {"request_id": stalled, "source_version": source.version})
    age(connect, OLDER_THAN_SECONDS + 1, finalizable_at=True)
    query(
        connect,
        "UPDATE job_request SET updated_at = now() - make_interval(secs => %s) WHERE request_id IN (%s, %s)",
        max(UNMOVED_SECONDS, MISSING_SHEET_SECONDS) + 1,
        unmoved,
        missing,
    )


@pytest.mark.usefixtures("all_kinds")
def test_all_kinds_are_swept_at_once(functions):
    assert sweep(functions) == dict.fromkeys(KINDS, 1)


@pytest.mark.usefixtures("all_kinds")
@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        ("expired_leases", "ROW_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/no-such-queue"),
        ("stalled_fan_outs", "UPLOAD_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/no-such-queue"),
        ("finalizable_jobs", "FINALIZER_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:no-such-machine"),
    ],
)
def test_one_kind_that_fails_does_not_keep_the_others_waiting(functions, caplog, kind, setting, value):
    right = functions.values[setting]
    functions.values[setting] = value
    assert sweep(functions) == {**dict.fromkeys(KINDS, 1), kind: 0}

    (logged,) = [record for record in caplog.records if record.getMessage() == "sweep_failed"]
    assert (logged.kind, logged.levelname, logged.exc_info is not None) == (kind, "ERROR", True)
    functions.values[setting] = right
    assert sweep(functions.restarted())[kind] == 1


@pytest.mark.usefixtures("all_kinds")
@pytest.mark.parametrize(
    ("kind", "statement"), [("missing_sheets", "list_missing_sheets"), ("unmoved_jobs", "rewind_unmoved_jobs")]
)
def test_one_statement_that_fails_does_not_keep_the_others_waiting(functions, monkeypatch, kind, statement):
    execute = Transaction.execute

    def fail(self, name, parameters=None):
        if name == statement:
            raise StatementFailed(f"{name}: it was refused")
        return execute(self, name, parameters)

    monkeypatch.setattr(Transaction, "execute", fail)
    monkeypatch.setattr(Transaction, "fetch_all", lambda self, *a: (fail(self, *a), self._cursor.fetchall())[1])
    assert sweep(functions) == {**dict.fromkeys(KINDS, 1), kind: 0}

    monkeypatch.undo()
    assert sweep(functions)[kind] == 1


# ── Several at once ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sweep_takes_no_more_than_its_limit_and_the_next_goes_on(
    functions, database, bucket, connect, row_queue, upload_queue, monkeypatch
):
    monkeypatch.setattr(sweep_step, "LIMIT", 2)
    in_work(functions, database, bucket, row_queue, *urls(3))
    lease_rows(connect, -1, 1, 2, 3)

    assert [sweep(functions)["expired_leases"] for _ in range(3)] == [2, 1, 0]
    assert sorted(rows_in(received(row_queue))) == [1, 2, 3]


def test_two_sweeps_at_once_do_no_harm(functions, database, bucket, connect, row_queue, upload_queue, finalizer):
    stopped = done_but_not_started(functions, database, bucket, row_queue)
    finalizer.start(job_of(database, stopped))
    stop_execution(f"{stopped}-1")
    leased = in_work(functions, database, bucket, row_queue, *urls(5))
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

    assert executions() == [f"{stopped}-1", f"{stopped}-1-2"]
    assert job_of(database, stopped)["finalizer_run"] == 2
    assert set(rows_in(received(row_queue))) == {1, 2, 3, 4, 5}
    assert {message.body["Records"][0]["s3"]["object"]["versionId"] for message in received(upload_queue)} == {
        source.version
    }
    assert job_of(database, missing)["error_message"].startswith("The CSV never arrived")
    assert [image["status"] for image in images_of(database, leased)] == ["PENDING"] * 5
    assert query(
        connect,
        "SELECT DISTINCT crashes, lease_token FROM compressed_images WHERE leased_until IS NULL AND request_id = %s",
        leased,
    ) == [(1, None)]
    assert query(connect, "SELECT count(*) FROM compressed_images WHERE lease_token IS NOT NULL") == [(0,)]


def test_a_sweep_that_saw_an_older_run_moves_on_to_the_newest(functions, database, bucket, row_queue):
    """Of two sweepers that see the same execution stopped, the slower one does not go past the quicker."""
    request_id = done_but_not_started(functions, database, bucket, row_queue)
    seen = job_of(database, request_id)

    runs = [database.fetch_one("next_finalizer_run", seen)["finalizer_run"] for _ in range(2)]

    assert runs == [2, 2]


def sweep_at_once(count, connect, row_queue, upload_queue, finalizer):
    """So many sweeps in threads, each with a connection of its own; fails when one fails."""
    start, failures = Barrier(count), []

    def run():
        database = Database(connect)
        sweeper = Sweeper(database, row_queue, upload_queue, 100, finalizer)
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
