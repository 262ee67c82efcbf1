"""Throttled and failing AWS, a deadlock, a full disk: work is repeated until it is done, and done once."""

import json
from contextlib import closing, contextmanager
from random import Random
from threading import Thread
from types import SimpleNamespace

import pytest

from imagejobs import database as database_module
from imagejobs.database import Database
from tests.integration.handlers import completed, end_images, lease_row, upload_event
from tests.integration.jobs import query, sheet
from tests.integration.pipeline import Pipeline, assert_sound, outcome, shop, skip_delays, stored_sheets


@pytest.fixture(autouse=True)
def no_delays(monkeypatch):
    skip_delays(monkeypatch)


@pytest.fixture
def pipeline(functions, connect, bucket, upload_queue, row_queue):
    with shop(functions) as server:
        yield Pipeline(functions, connect, bucket, upload_queue, row_queue, server)


def run_job(pipeline):
    """A job of all kinds of images, with a webhook; what has come of it."""
    request_id = upload(pipeline)
    pipeline.run()
    return ended(pipeline, request_id)


def upload(pipeline):
    url = pipeline.shop.url
    pipeline.shop.answer.asked.clear()
    cells = (f"{url('/good-1')}, {url('/missing')}", url("/busy"), "", f"{url('/good-2')}, {url('/good-3')}")
    return pipeline.upload(sheet(*cells), {"webhook_url": url("/hook")})


def ended(pipeline, request_id):
    """The outcome of a job, which is sound."""
    found = outcome(pipeline, request_id)
    assert_sound(found)
    return found


# ── AWS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_job_ends_as_ever_while_aws_fails_one_call_in_so_many(pipeline, wire, share, seed):
    expected, random, failed = run_job(pipeline), Random(seed), []

    def fault(exchange):
        if random.random() >= share:
            return exchange.perform()
        failed.append(exchange.operation)
        return random.choice((exchange.unavailable, exchange.throttled))()

    wire.fault = fault
    pipeline.functions = pipeline.functions.restarted()

    for _ in range(3):
        assert run_job(pipeline) == expected
    assert failed


# ── Postgres ────────────────────────────────────────────────────────────────────────────────────────────────────────

TABLES = ("job_request", "compressed_images", "webhook_delivery")


@contextmanager
def full_disk(connect, *tables, events="INSERT OR UPDATE"):
    """Postgres has no room for another row version in these tables."""
    query(
        connect,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'No space left on device' USING ERRCODE = 'disk_full'; END $$",
    )
    for table in tables:
        query(connect, f"CREATE TRIGGER full_disk BEFORE {events} ON {table} EXECUTE FUNCTION refuse()")
    try:
        yield
    finally:
        query(connect, "DROP FUNCTION refuse CASCADE")


@pytest.mark.parametrize("tables", [TABLES, ("job_request",), ("compressed_images",)], ids=["all", "jobs", "images"])
@pytest.mark.parametrize("function", ["fan_out", "compress"])
def test_a_full_disk_costs_time_and_nothing_else(pipeline, connect, function, tables):
    expected = run_job(pipeline)
    request_id = upload(pipeline)
    pipeline.take_in()
    if function == "compress":
        pipeline.act()
        pipeline.take_in()
    messages = list(pipeline.bells)
    assert {bell.function for bell in messages} == {function}

    with full_disk(connect, *tables):
        pipeline.act()
        assert pipeline.bells == []
        assert [bell.message.message_id for bell in pipeline.resting] == [bell.message.message_id for bell in messages]
        pipeline.pause(120)
        pipeline.act()
    pipeline.run()

    assert ended(pipeline, request_id) == expected


def test_an_upload_that_finds_the_disk_full_is_refused_and_leaves_nothing(pipeline, connect, bucket):
    event = upload_event(sheet(pipeline.shop.url("/good")))

    with full_disk(connect, *TABLES):
        answer = pipeline.invoke("api", event)

    assert answer["statusCode"] == 500
    assert "internal_error" in answer["body"]
    assert query(connect, "SELECT 1 FROM job_request") == []
    assert stored_sheets(bucket) == []
    assert pipeline.invoke("api", event)["statusCode"] == 202


def test_an_upload_that_is_stored_when_the_disk_becomes_full_still_ends(pipeline, connect):
    with full_disk(connect, *TABLES, events="UPDATE"):
        pipeline.invoke("api", upload_event(sheet(pipeline.shop.url("/good"))))

    pipeline.run()

    ((request_id,),) = query(connect, "SELECT request_id FROM job_request")
    assert ended(pipeline, request_id)["job"]["status"] == "COMPLETED"


# ── Two transactions in each other's way ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def held_images(connect):
    """Makes a block in which each update of an image waits once it has its row.

    The plans are those of large tables, which are searched by their indexes.
    """
    ((name,),) = query(connect, "SELECT current_database()")
    for setting in ("enable_hashjoin = off", "enable_mergejoin = off", "enable_seqscan = off", "deadlock_timeout = 20"):
        query(connect, f"ALTER DATABASE {name} SET {setting}")
    query(
        connect,
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN new; END $$; "
        "CREATE TRIGGER hold BEFORE UPDATE ON compressed_images FOR EACH ROW EXECUTE FUNCTION hold()",
    )

    @contextmanager
    def held():
        with closing(connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(1)")
            yield

    return held


def wait_for_waiting(connect, count):
    """Until so many connections wait for a lock; fails after some ten seconds."""
    sql = "SELECT pg_sleep(0.005), count(*) FROM pg_locks WHERE NOT granted"
    for _ in range(2000):
        if query(connect, sql)[0][1] == count:
            return
    raise AssertionError("They do not wait for each other.")


def test_a_late_worker_and_the_sweeper_in_a_deadlock_both_get_through(pipeline, connect, held_images, monkeypatch):
    """Both update the same images: the worker in the table's order, the sweeper in the index's."""
    retries, failures = [], []
    monkeypatch.setattr(database_module, "time", SimpleNamespace(sleep=retries.append))
    request_id = pipeline.upload(sheet(f"{pipeline.shop.url('/good-1')}, {pipeline.shop.url('/good-2')}"))
    pipeline.take_in()
    pipeline.act()
    worker, sweeper = Database(connect), Database(connect)
    token, images = lease_row(worker, request_id, 1)
    for position in (2, 1):  # the order in which the table now has them
        query(connect, "UPDATE compressed_images SET leased_until = now() WHERE position = %s", position)

    def run(database, work):
        try:
            work()
        except Exception as failure:  # noqa: BLE001 - shown by the assertion below
            failures.append(failure)
        database.close()

    rung = {"rung": json.dumps([{"request_id": str(request_id), "row_number": 1}])}
    threads = [
        Thread(target=run, args=(worker, lambda: end_images(worker, token, *map(completed, images)))),
        Thread(target=run, args=(sweeper, lambda: sweeper.execute("clear_expired_leases", rung))),
    ]
    with held_images():
        for thread in threads:
            thread.start()
        wait_for_waiting(connect, 2)
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert len(retries) == 1
    states = query(connect, "SELECT status, lease_token IS NULL FROM compressed_images")
    assert states in ([("COMPLETED", True)] * 2, [("PENDING", True)] * 2)
    ended = query(connect, "SELECT images_completed, images_failed FROM job_request")
    assert ended == [(sum(status == "COMPLETED" for status, _ in states), 0)]
