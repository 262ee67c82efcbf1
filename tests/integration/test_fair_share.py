"""How many images of one job are sent and not done: no more than those keep another caller's rows waiting."""

from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest

from imagejobs.bucket import ObjectVersion
from imagejobs.destinations import ANY_PUBLIC_HOST
from imagejobs.jobs import ring_for_more
from imagejobs.queries import statement
from imagejobs.steps.fan_out import FanOut
from tests.integration.handlers import completed, deliver, end_images, lease_row
from tests.integration.jobs import executions, job_of, plenty, query, received, rows_in, sheet, upload, urls

ROOM = 4
A, B = (f"https://shop.example/{name}.jpg" for name in "ab")
END_IMAGES = "UPDATE compressed_images SET status = 'FAILED', error_code = 'not_an_image', error_message = 'No image.'"


@pytest.fixture
def fan_out(database, bucket, row_queue, upload_queue, finalizer) -> FanOut:
    return FanOut(bucket, database, row_queue, upload_queue, ROOM, finalizer, "drop", 1000, "", ANY_PUBLIC_HOST)


def end_row(database, request_id, row_number):
    token, leased = lease_row(database, request_id, row_number)
    end_images(database, token, *map(completed, leased))


def bells(upload_queue):
    """The files that the fan-out is rung for."""
    records = [record for message in received(upload_queue) for record in message.body["Records"]]
    return [ObjectVersion.from_event_record(record) for record in records]


def test_no_more_rows_are_sent_than_there_is_room_for(fan_out, database, bucket, row_queue, upload_queue):
    request_id, source = upload(database, bucket, sheet(*urls(9)))

    fan_out.run(source, plenty)

    job = job_of(database, request_id)
    assert rows_in(received(row_queue)) == [1, 2, 3, 4]
    assert (job["rows_total"], job["rows_sent"], job["fan_out_token"]) == (9, 4, None)
    assert bells(upload_queue) == []


def test_a_row_of_many_images_is_sent_whole(fan_out, database, bucket, row_queue):
    _, source = upload(database, bucket, sheet(A, ",".join(urls(6)), B))

    fan_out.run(source, plenty)

    assert rows_in(received(row_queue)) == [1, 2]


def test_the_fan_out_is_rung_for_once_half_of_them_are_done(fan_out, database, bucket, row_queue, upload_queue):
    request_id, source = upload(database, bucket, sheet(*urls(9)))
    fan_out.run(source, plenty)
    received(row_queue)
    rung = []
    for row_number in (1, 2, 3):
        end_row(database, request_id, row_number)
        ring_for_more(database, upload_queue, [request_id], ROOM)
        rung.append(bells(upload_queue))

    assert rung == [[], [], [source]]
    fan_out.run(source, plenty)

    assert rows_in(received(row_queue)) == [5, 6, 7]


def test_a_job_is_sent_to_its_end_and_finalized(fan_out, database, bucket, row_queue, upload_queue):
    request_id, source = upload(database, bucket, sheet("", *urls(9), ""))
    fan_out.run(source, plenty)
    sent = []
    while rows := rows_in(received(row_queue)):
        sent += rows
        for row_number in rows:
            end_row(database, request_id, row_number)
        ring_for_more(database, upload_queue, [request_id], ROOM)
        for bell in bells(upload_queue):
            fan_out.run(bell, plenty)
    fan_out.finalizer.start_ready(database, [request_id])

    assert sent == list(range(2, 11))
    assert job_of(database, request_id)["rows_sent"] == 11
    assert executions() == [f"{request_id}-1"]


def test_bells_for_a_job_without_room_change_nothing(fan_out, database, bucket, row_queue):
    """Not even its age: by that the sweeper knows a job whose messages are lost."""
    request_id, source = upload(database, bucket, sheet(*urls(9)))
    fan_out.run(source, plenty)
    received(row_queue)
    before = job_of(database, request_id)

    fan_out.run(source, plenty)

    assert job_of(database, request_id) == before
    assert received(row_queue) == []


def test_images_that_were_done_while_the_fan_out_held_its_lease_are_not_missed(
    fan_out, database, bucket, upload_queue, monkeypatch
):
    """Their worker found the job in the fan-out's hands and rang for nothing."""
    request_id, source = upload(database, bucket, sheet(*urls(9)))
    execute = database.execute

    def finish_first(name, parameters=None):
        if name == "finish_sending":
            for row_number in (1, 2, 3, 4):
                end_row(database, request_id, row_number)
            ring_for_more(database, upload_queue, [request_id], ROOM)
            assert bells(upload_queue) == []
        return execute(name, parameters)

    monkeypatch.setattr(database, "execute", finish_first)
    fan_out.run(source, plenty)

    assert bells(upload_queue) == [source]


def test_a_worker_rings_for_a_job_that_has_room(functions, database, bucket, row_queue, upload_queue, fan_out):
    """All of its images are refused, which is done quickly."""
    request_id, source = upload(database, bucket, sheet(*urls(9, "http://10.0.0.1/a.jpg")))
    replace(fan_out, max_images_out=5).run(source, plenty)

    deliver(functions, "compress", row_queue)

    assert job_of(database, request_id)["images_failed"] == 5
    assert set(bells(upload_queue)) == {source}


@pytest.mark.parametrize("name", ["list_jobs_with_room", "lease_fan_out", "list_stalled_fan_outs", "list_rows_to_send"])
def test_what_is_out_is_counted_without_going_through_what_is_done(database, bucket, connect, fan_out, name):
    """As every batch asks for it, of jobs of up to a million images, whatever the statistics make Postgres believe."""
    request_id, source = upload(database, bucket, sheet(*urls(3000)))
    fan_out.run(source, plenty)
    query(connect, f"{END_IMAGES} WHERE row_number <= 2900")
    query(connect, "UPDATE job_request SET rows_sent = 2960, updated_at = now() - interval '1 hour'")
    parameters = {
        "request_id": request_id,
        "request_ids": [request_id],
        "source_version": source.version,
        "token": uuid4(),
        "lease_seconds": 45,
        "older_than_seconds": 45,
        "limit": 10,
        "max_images_out": 20,
    }
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE compressed_images")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement(name)}", parameters)
        ((plan,),) = cursor.fetchone()

    assert {scan["Index Name"] for scan in scans_of_images(plan["Plan"])} == {"compressed_images_pending"}
    assert max(scan["Actual Rows"] for scan in scans_of_images(plan["Plan"])) == 20


def scans_of_images(node):
    if node.get("Relation Name") == "compressed_images":
        yield {"Index Name": None, **node}
    for child in node.get("Plans", ()):
        yield from scans_of_images(child)


def test_a_sweep_rings_for_a_job_with_room_alone(
    functions, database, bucket, row_queue, upload_queue, fan_out, connect
):
    full, source = upload(database, bucket, sheet(*urls(201)))
    replace(fan_out, max_images_out=200).run(source, plenty)
    received(row_queue)
    for expected in ([], [source]):
        query(connect, "UPDATE job_request SET updated_at = now() - interval '1 minute'")
        functions.invoke("sweep", {})
        assert bells(upload_queue) == expected
        end_row(database, full, 1)
