"""Leases are short, and kept up while the work goes on: a dead owner is found soon, a slow one is left alone."""

from dataclasses import replace
from threading import Event
from types import SimpleNamespace
from uuid import uuid4

import psycopg2
import pytest

from imagejobs.database import Database
from imagejobs.fetch import Fetcher
from imagejobs.limits import lease_seconds
from imagejobs.steps import fan_out as fan_out_step
from imagejobs.steps import sweep as sweep_step
from imagejobs.steps.compress import RowWorker
from imagejobs.steps.fan_out import FanOut
from tests.integration.handlers import file_event, row_body, sqs_event, wait_until
from tests.integration.jobs import executions, images_of, job_of, plenty, query, received, rows_in, sheet, upload
from tests.template.expansion import expand
from tests.unit.fetch_helpers import destinations, http_answer, origin, says
from tests.unit.image_helpers import encode, noise

A = "https://shop.example/a.jpg"
PICTURE = encode(noise((160, 120)), "JPEG", quality=98)
FOUND_WITHIN_SECONDS = 120
SWEEPS = {"rate(1 minute)": 60}


@pytest.fixture
def shop():
    """An origin of one picture; a test says what happens before the answer."""
    with origin(says(http_answer(PICTURE))) as server:
        yield server


@pytest.fixture
def fan_out(database, bucket, row_queue, upload_queue, finalizer, shop) -> FanOut:
    return FanOut(
        bucket, database, row_queue, upload_queue, 100, finalizer, "drop", 1000, "", destinations(shop.origin)
    )


@pytest.fixture
def worker(database, bucket, row_queue, upload_queue, finalizer, shop, codec) -> RowWorker:
    fetcher = Fetcher(destinations(shop.origin))
    return RowWorker(
        database, bucket, fetcher, row_queue, upload_queue, 100, finalizer, "https://images.example", codec
    )


def fanned_out(fan_out, database, bucket, *cells):
    request_id, source = upload(database, bucket, sheet(*cells))
    fan_out.run(source, plenty)
    return request_id


# ── compress ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_slow_image_keeps_its_lease_for_longer_than_it_lasts(
    worker, fan_out, database, bucket, row_queue, shop, connect
):
    """The origin answers when the first lease would have run out; another worker that asks then gets nothing."""
    total_seconds, refused = 24.0, []
    request_id = fanned_out(fan_out, database, bucket, f"{shop.url('/slow')}, {shop.url('/quick')}")
    (message,) = received(row_queue)
    other = replace(worker, database=Database(connect))

    def answer(request, wire):
        if request.resource == "/slow":
            query(connect, "CREATE TABLE began AS SELECT now() AS at")
            wait_until(connect, "SELECT now() > at + make_interval(secs => %s) FROM began", total_seconds / 6)
            refused.extend(other.run([message], lambda: total_seconds))
        wire.sendall(http_answer(PICTURE))

    shop.answer = answer
    assert worker.run([message], lambda: total_seconds) == []
    other.database.close()

    assert refused == [message]
    assert [image["status"] for image in images_of(database, request_id)] == ["COMPLETED", "COMPLETED"]
    assert len(shop.requests) == 2
    assert query(connect, "SELECT DISTINCT attempt, crashes FROM compressed_images") == [(1, 0)]


def test_a_renewal_that_fails_does_not_end_the_batch(worker, fan_out, database, bucket, row_queue, shop, monkeypatch):
    """Its outcome may still come in time; if not, it is refused like any other that comes too late."""
    request_id = fanned_out(fan_out, database, bucket, shop.url("/a"), shop.url("/b"))
    messages, tried = received(row_queue), Event()
    execute = Database.execute

    def fail_to_renew(self, name, parameters=None):
        if name != "renew_leases":
            return execute(self, name, parameters)
        tried.set()
        raise psycopg2.OperationalError("the connection is gone")

    def answer(request, wire):
        assert tried.wait(20)
        wire.sendall(http_answer(PICTURE))

    monkeypatch.setattr(Database, "execute", fail_to_renew)
    shop.answer = answer
    assert worker.run(messages, lambda: 18.0) == []

    assert [image["status"] for image in images_of(database, request_id)] == ["COMPLETED", "COMPLETED"]
    assert executions() == [f"{request_id}-1"]


def test_a_renewal_leaves_the_lease_of_another_alone(worker, fan_out, database, bucket, row_queue, shop, connect):
    """It was taken over; the batch mate is renewed all the same."""
    total_seconds = 18.0
    request_id = fanned_out(fan_out, database, bucket, shop.url("/taken"), shop.url("/kept"))
    query(connect, "CREATE TABLE other AS SELECT %s::uuid AS token, now() + '7 seconds' AS until", uuid4())

    def answer(request, wire):
        if request.resource == "/taken":
            take = "UPDATE compressed_images SET lease_token = token, leased_until = until FROM other"
            query(connect, f"{take} WHERE row_number = 1")
        before = "SELECT leased_until FROM compressed_images WHERE row_number = 2"
        ((until,),) = query(connect, before)
        wait_until(connect, f"SELECT ({before}) > %s", until)
        wire.sendall(http_answer(PICTURE))

    shop.answer = answer
    worker.run(received(row_queue), lambda: total_seconds)

    assert [image["status"] for image in images_of(database, request_id)] == ["PENDING", "COMPLETED"]
    untouched = "SELECT token = lease_token AND until = leased_until FROM compressed_images, other"
    assert query(connect, f"{untouched} WHERE row_number = 1") == [(True,)]


# ── fan_out ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def passing(monkeypatch):
    """A clock that a test moves on: `passing.seconds` beyond the real one."""
    clock = SimpleNamespace(seconds=0.0)
    monotonic = fan_out_step.time.monotonic
    monkeypatch.setattr(fan_out_step, "time", SimpleNamespace(monotonic=lambda: monotonic() + clock.seconds))
    return clock


class Reads:
    """A stream that calls something before each read."""

    def __init__(self, stream, before):
        self._stream, self._before = stream, before

    def read(self, size):
        self._before()
        return self._stream.read(size)

    def close(self):
        self._stream.close()


@pytest.fixture
def before_each_read(bucket, monkeypatch):
    def call(work):
        opened = bucket.open
        monkeypatch.setattr(bucket, "open", lambda source: Reads(opened(source), work))

    return call


LEFT = "SELECT extract(epoch FROM fan_out_leased_until - now())::float FROM job_request"


def let_pass(connect, passing, seconds):
    """So much time passes, for the fan-out and for its lease."""
    passing.seconds += seconds
    moved = "fan_out_leased_until = fan_out_leased_until - make_interval(secs => %s)"
    query(connect, f"UPDATE job_request SET {moved}", seconds)


def test_a_long_sheet_is_read_under_a_lease_that_is_kept_up(
    fan_out, database, bucket, row_queue, connect, passing, before_each_read
):
    """Twenty seconds a read: a lease of 45 s would have run out at the third."""
    left = []

    def pass_time():
        left.append(query(connect, LEFT)[0][0])
        let_pass(connect, passing, 20)

    before_each_read(pass_time)
    request_id, source = upload(database, bucket, sheet(*[A] * 3))

    fan_out.run(source, plenty)

    assert len(left) >= 4
    assert all(seconds > 40 for seconds in left)
    assert rows_in(received(row_queue)) == [1, 2, 3]
    assert job_of(database, request_id)["rows_sent"] == 3


def test_rows_are_rung_for_under_a_lease_that_is_kept_up(
    fan_out, database, bucket, row_queue, connect, passing, monkeypatch
):
    monkeypatch.setattr(fan_out_step, "SEND_IMAGES", 1)
    ring_rows, left = type(row_queue).ring_rows, []

    def ring_slowly(self, rows):
        left.append(query(connect, LEFT)[0][0])
        let_pass(connect, passing, 20)
        ring_rows(self, rows)

    monkeypatch.setattr(type(row_queue), "ring_rows", ring_slowly)
    _, source = upload(database, bucket, sheet(*[A] * 4))

    fan_out.run(source, plenty)

    assert len(left) == 4
    assert all(seconds > 40 for seconds in left)
    assert rows_in(received(row_queue)) == [1, 2, 3, 4]


def test_a_fan_out_that_lost_its_lease_while_it_read_stops(
    fan_out, database, bucket, row_queue, connect, passing, before_each_read
):
    """Neither as a sheet that cannot be read nor as a failure: another has the job, and goes on with it."""
    request_id, source = upload(database, bucket, sheet(A, A))
    token, reads = uuid4(), []

    def take_over():
        reads.append(token)
        query(connect, "UPDATE job_request SET fan_out_token = %s, fan_out_leased_until = now() + '1 minute'", token)
        passing.seconds += 20

    before_each_read(take_over)
    fan_out.run(source, plenty)

    assert len(reads) == 1
    job = job_of(database, request_id)
    assert (job["fan_out_token"], job["rows_staged"], job["error_message"]) == (token, 0, None)
    assert (images_of(database, request_id), received(row_queue), executions()) == ([], [], [])


# ── How long ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def stack():
    """The template with the defaults of its parameters."""
    return expand({})


@pytest.mark.parametrize("step", ["compress", "fan_out"])
def test_at_the_templates_time_outs_a_killed_owner_is_found_within_two_minutes(stack, step):
    """A lease from its last renewal on, then the sweep of the minute."""
    (rule,) = stack.of_type("AWS::Events::Rule").values()
    lease = lease_seconds(stack.functions()[step]["Timeout"])

    assert max(lease, sweep_step.OLDER_THAN_SECONDS) + SWEEPS[rule["ScheduleExpression"]] <= FOUND_WITHIN_SECONDS


def test_a_worker_leases_for_no_longer_than_that(functions, stack, shop, database, bucket, connect):
    functions.values["PRIVATE_ORIGINS"] = shop.origin
    time_out, left = stack.functions()["compress"]["Timeout"], []
    request_id, source = upload(database, bucket, sheet(shop.url()))
    functions.invoke("fan_out", file_event(source))

    def look(request, wire):
        left.extend(query(connect, "SELECT extract(epoch FROM leased_until - now())::float FROM compressed_images"))
        wire.sendall(http_answer(PICTURE))

    shop.answer = look
    functions.invoke("compress", sqs_event("compress", row_body(request_id, 1)), remaining_seconds=time_out)

    assert 0 < left[0][0] <= lease_seconds(time_out)


def test_a_fan_out_leases_for_no_longer_than_that(functions, stack, database, bucket, connect, monkeypatch):
    time_out, left = stack.functions()["fan_out"]["Timeout"], []
    stage_chunk = fan_out_step._stage_chunk

    def look(*arguments):
        left.extend(query(connect, LEFT))
        stage_chunk(*arguments)

    monkeypatch.setattr(fan_out_step, "_stage_chunk", look)
    _, source = upload(database, bucket, sheet(A))

    functions.invoke("fan_out", file_event(source), remaining_seconds=time_out)

    assert 0 < left[0][0] <= lease_seconds(time_out)
