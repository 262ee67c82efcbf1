"""fan_out: every row staged once and rung for at least once, however often it is begun and wherever it stops."""

from dataclasses import replace
from functools import partial
from urllib.parse import quote_plus

import boto3
import pytest
from botocore.exceptions import ClientError
from psycopg2.extras import Json

from imagejobs import sheet as sheet_module
from imagejobs.bucket import ObjectVersion
from imagejobs.destinations import ANY_PUBLIC_HOST
from imagejobs.steps import fan_out as fan_out_step
from imagejobs.steps.fan_out import MAX_ATTEMPTS, FanOut, Lease
from tests.integration.jobs import (
    executions,
    images_of,
    job_of,
    plenty,
    query,
    received,
    rows_in,
    sheet,
    upload,
)
from tests.unit.fetch_helpers import destinations

A, B, C = (f"https://shop.example/{name}.jpg" for name in "abc")


class Crash(BaseException):
    """Stands for a process that is killed at this point."""


@pytest.fixture
def fan_out(database, bucket, row_queue, upload_queue, finalizer) -> FanOut:
    return FanOut(
        bucket=bucket,
        database=database,
        row_queue=row_queue,
        upload_queue=upload_queue,
        max_images_out=100,
        finalizer=finalizer,
        drop_owner="drop",
        drop_daily_images=1_000_000,
        default_webhook_url="",
        destinations=ANY_PUBLIC_HOST,
    )


@pytest.fixture
def small_chunks(monkeypatch):
    """Many chunks of a small sheet."""
    monkeypatch.setattr(fan_out_step, "STAGE_CHARACTERS", 150)  # two rows of `sheet`
    monkeypatch.setattr(fan_out_step, "SEND_IMAGES", 2)


def expire_lease(connect):
    query(connect, "UPDATE job_request SET fan_out_leased_until = now() - interval '1 second'")


def positions(database, request_id):
    return [(image["row_number"], image["position"]) for image in images_of(database, request_id)]


def test_rows_are_staged_and_each_is_rung_for_once(fan_out, database, bucket, row_queue):
    request_id, source = upload(database, bucket, sheet(f"{A}, {B}", C, A))

    fan_out.run(source, plenty)

    job = job_of(database, request_id)
    assert [job[name] for name in ("status", "rows_total", "rows_failed", "images_total")] == [
        "PROCESSING",
        3,
        0,
        4,
    ]
    assert job["fan_out_token"] is None
    assert positions(database, request_id) == [(1, 1), (1, 2), (2, 1), (3, 1)]
    assert [image["source_url"] for image in images_of(database, request_id)] == [A, B, C, A]
    assert rows_in(received(row_queue)) == [1, 2, 3]
    assert not executions()


def test_a_repeated_event_changes_nothing(fan_out, database, bucket, row_queue):
    request_id, source = upload(database, bucket, sheet(A, B))
    fan_out.run(source, plenty)
    received(row_queue)

    fan_out.run(source, plenty)

    assert positions(database, request_id) == [(1, 1), (2, 1)]
    assert received(row_queue) == []


def test_a_fan_out_in_anothers_hands_is_left_alone(fan_out, database, bucket, row_queue, connect):
    request_id, source = upload(database, bucket, sheet(A))
    query(
        connect,
        "UPDATE job_request SET status = 'PROCESSING', source_version = %s, "
        "fan_out_token = gen_random_uuid(), fan_out_leased_until = now() + interval '1 minute'",
        source.version,
    )

    fan_out.run(source, plenty)

    assert images_of(database, request_id) == []
    assert received(row_queue) == []


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("chunks_before", [0, 1, 2])
def test_a_fan_out_killed_while_staging_goes_on_where_it_stopped(
    fan_out, database, bucket, row_queue, connect, monkeypatch, chunks_before
):
    request_id, source = upload(database, bucket, sheet(*[A] * 5))
    stage_chunk, staged = fan_out_step._stage_chunk, []

    def die_after(job, row_number, chunk, transaction):
        if len(staged) == chunks_before:
            raise Crash
        staged.append(chunk)
        stage_chunk(job, row_number, chunk, transaction)

    monkeypatch.setattr(fan_out_step, "_stage_chunk", die_after)
    with pytest.raises(Crash):
        fan_out.run(source, plenty)
    assert len(images_of(database, request_id)) == 2 * chunks_before
    monkeypatch.setattr(fan_out_step, "_stage_chunk", stage_chunk)
    expire_lease(connect)

    fan_out.run(source, plenty)

    assert positions(database, request_id) == [(row, 1) for row in range(1, 6)]
    assert job_of(database, request_id)["images_total"] == 5
    assert rows_in(received(row_queue)) == [1, 2, 3, 4, 5]


def test_a_chunk_whose_commit_reply_was_lost_is_not_staged_twice(fan_out, database, bucket, monkeypatch):
    request_id, source = upload(database, bucket, sheet(A, B))
    transact = database.transact

    def commit_twice(work):
        transact(work)
        return transact(work)

    monkeypatch.setattr(database, "transact", commit_twice)
    transact(lambda t: t.execute("accept_source", {"request_id": request_id, "source_version": source.version}))
    lease = Lease(database, request_id, plenty, plenty())
    fan_out._stage(lease.take(source, 100), source, lease)

    monkeypatch.setattr(database, "transact", transact)
    assert positions(database, request_id) == [(1, 1), (2, 1)]


@pytest.mark.usefixtures("small_chunks")
def test_a_fan_out_killed_between_ringing_and_its_cursor_rings_twice_rather_than_not(
    fan_out, database, bucket, row_queue, connect, monkeypatch
):
    _, source = upload(database, bucket, sheet(*[A] * 5))
    execute = database.execute

    def die_at_the_second(name, parameters=None):
        if name == "advance_rows_sent" and parameters["row_number"] == 4:
            raise Crash
        return execute(name, parameters)

    monkeypatch.setattr(database, "execute", die_at_the_second)
    with pytest.raises(Crash):
        fan_out.run(source, plenty)
    monkeypatch.setattr(database, "execute", execute)
    expire_lease(connect)

    fan_out.run(source, plenty)

    assert rows_in(received(row_queue)) == [1, 2, 3, 4, 3, 4, 5]


@pytest.mark.usefixtures("small_chunks")
def test_a_fan_out_short_of_time_hands_over_through_its_own_queue(
    fan_out, database, bucket, row_queue, upload_queue, monkeypatch
):
    """The time is looked at before each read and each page of messages; here it ends while staging, then sending."""
    monkeypatch.setattr(sheet_module, "_CHUNK_BYTES", 64)  # six reads of this sheet
    request_id, source = upload(database, bucket, sheet(*[A] * 7))
    staged, sent = [], []
    events = [source]
    while events:
        for event in events:
            fan_out.run(event, partial(next, iter([300.0] * 10), 0.0))
        job = job_of(database, request_id)
        staged.append(job["rows_staged"])
        sent.append(job["rows_sent"])
        assert job["fan_out_token"] is None
        assert len(sent) < 10
        events = [
            ObjectVersion.from_event_record(record)
            for message in received(upload_queue)
            for record in message.body["Records"]
        ]

    assert 0 < staged[0] < 7
    assert 0 < sent[1] < 7
    assert (staged[-1], sent[-1]) == (7, 7)
    assert positions(database, request_id) == [(row, 1) for row in range(1, 8)]
    assert rows_in(received(row_queue)) == list(range(1, 8))


def test_a_sheet_that_cannot_be_read_ends_its_job_with_the_reason(fan_out, database, bucket, row_queue):
    request_id, source = upload(database, bucket, sheet(A) + b'2,"never closed\n')

    fan_out.run(source, plenty)

    job = job_of(database, request_id)
    assert job["finalizable_at"] is not None
    assert job["error_message"].startswith("Line 3: ")
    assert images_of(database, request_id) == []
    assert received(row_queue) == []
    assert executions() == [f"{request_id}-1"]


def test_a_sheet_of_bad_rows_alone_is_finalized_at_once(fan_out, database, bucket):
    request_id, source = upload(database, bucket, sheet("", ""))

    fan_out.run(source, plenty)

    job = job_of(database, request_id)
    assert [job[name] for name in ("rows_total", "rows_failed", "images_total")] == [2, 2, 0]
    assert executions() == [f"{request_id}-1"]


def test_only_the_first_version_of_an_upload_is_its_job(fan_out, database, bucket, row_queue):
    request_id, source = upload(database, bucket, sheet(A))
    later = ObjectVersion(source.key, bucket.put(source.key, sheet(A, B, C), "text/csv"))
    fan_out.run(source, plenty)

    fan_out.run(later, plenty)

    assert positions(database, request_id) == [(1, 1)]
    assert rows_in(received(row_queue)) == [1]


@pytest.mark.parametrize("key", ["drop/products.csv", "drop/Frühling 2026/shoes + hats, 50%.CSV"])
def test_a_dropped_file_becomes_a_job_once_a_version(fan_out, connect, bucket, row_queue, key):
    versions = [bucket.put(key, sheet(A), "text/csv"), bucket.put(key, sheet(A, B), "text/csv")]
    events = [{"s3": {"object": {"key": quote_plus(key, safe="/"), "versionId": v}}} for v in versions]

    for event in [*events, *reversed(events)]:
        fan_out.run(ObjectVersion.from_event_record(event), plenty)

    jobs = query(connect, "SELECT owner, source_key, source_version, rows_total FROM job_request ORDER BY 4")
    assert jobs == [("drop", key, versions[0], 1), ("drop", key, versions[1], 2)]
    assert rows_in(received(row_queue)) == [1, 1, 2]


def drop_with_metadata(bucket, metadata):
    answer = boto3.client("s3").put_object(Bucket=bucket.name, Key="drop/a.csv", Body=sheet(A), Metadata=metadata)
    return ObjectVersion("drop/a.csv", answer["VersionId"])


@pytest.mark.parametrize("dash", ["-", "_"])
def test_a_dropped_files_metadata_carries_options_and_a_webhook(fan_out, connect, bucket, dash):
    metadata = {"max_width": "60", "dry_run": "true", "webhook_url": "https://shop.example/hook", "mtime": "17"}

    named = {name.replace("_", dash): value for name, value in metadata.items()}
    fan_out.run(drop_with_metadata(bucket, named), plenty)

    assert query(connect, "SELECT options, dry_run, webhook_url FROM job_request") == [
        ({"max_width": "60"}, True, "https://shop.example/hook")
    ]


def test_a_stack_default_webhook_serves_dropped_files_that_name_none(fan_out, connect, bucket):
    fan_out = replace(fan_out, default_webhook_url="https://shop.example/default")

    fan_out.run(drop_with_metadata(bucket, {}), plenty)

    assert query(connect, "SELECT webhook_url FROM job_request") == [("https://shop.example/default",)]


@pytest.mark.parametrize(
    ("metadata", "word"),
    [({"quality": "high"}, "quality"), ({"webhook-url": "http://10.0.0.1/"}, "10.0.0.1")],
)
def test_metadata_that_cannot_be_used_ends_the_job_with_the_reason(fan_out, connect, bucket, metadata, word):
    fan_out.run(drop_with_metadata(bucket, metadata), plenty)

    ((message, finalizable_at),) = query(connect, "SELECT error_message, finalizable_at FROM job_request")
    assert word in message
    assert finalizable_at is not None
    assert len(executions()) == 1


def test_a_dropped_files_webhook_on_a_denied_host_ends_the_job_with_the_reason(fan_out, connect, bucket):
    fan_out = replace(fan_out, destinations=destinations(denied="shop.example"))

    fan_out.run(drop_with_metadata(bucket, {"webhook-url": "https://shop.example/hook"}), plenty)

    ((message, webhook_url),) = query(connect, "SELECT error_message, webhook_url FROM job_request")
    assert "the operator of this service denies" in message
    assert webhook_url is None


@pytest.mark.parametrize("key", ["drop/", "drop/folder/", "images/x.jpg"])
def test_objects_that_are_no_sheets_are_passed_over(fan_out, connect, bucket, key):
    fan_out.run(ObjectVersion(key, bucket.put(key, b"", "text/csv")), plenty)

    assert query(connect, "SELECT count(*) FROM job_request") == [(0,)]


def test_any_text_survives_the_copy_into_postgres(fan_out, database, bucket):
    name = 'tab\tnewline\nbackslash \\N \\. quote " emoji 🪑 control \x01'
    quoted = name.replace('"', '""')
    body = f'S. No.,Product Name,Input Image Urls\n1,"{quoted}",{A}\n'.encode()
    request_id, source = upload(database, bucket, body, options=Json({}))

    fan_out.run(source, plenty)

    assert [image["product_name"] for image in images_of(database, request_id)] == [name]


def test_a_failure_gives_the_lease_up_so_that_the_next_delivery_goes_on(
    fan_out, database, bucket, row_queue, monkeypatch
):
    request_id, source = upload(database, bucket, sheet(A, B))
    ring_rows = type(row_queue).ring_rows
    monkeypatch.setattr(type(row_queue), "ring_rows", lambda *_: (_ for _ in ()).throw(ConnectionError("SQS is away")))
    with pytest.raises(ConnectionError):
        fan_out.run(source, plenty)
    monkeypatch.setattr(type(row_queue), "ring_rows", ring_rows)

    fan_out.run(source, plenty)

    assert positions(database, request_id) == [(1, 1), (2, 1)]
    assert rows_in(received(row_queue)) == [1, 2]


def test_a_sheet_that_can_never_be_read_is_given_up(fan_out, database, bucket):
    request_id, source = upload(database, bucket, sheet(A))
    boto3.client("s3").delete_object(Bucket=bucket.name, Key=source.key, VersionId=source.version)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(ClientError):
            fan_out.run(source, plenty)

    fan_out.run(source, plenty)

    job = job_of(database, request_id)
    assert "given up" in job["error_message"]
    assert executions() == [f"{request_id}-1"]


@pytest.mark.usefixtures("small_chunks")
def test_a_fan_out_whose_lease_was_taken_over_stops_and_stages_nothing_more(
    fan_out, database, bucket, row_queue, connect, monkeypatch
):
    request_id, source = upload(database, bucket, sheet(*[A] * 5))
    stage_chunk, staged = fan_out_step._stage_chunk, []

    def lose_the_lease_after_one(job, row_number, chunk, transaction):
        if staged:
            query(connect, "UPDATE job_request SET fan_out_token = gen_random_uuid()")
        staged.append(row_number)
        stage_chunk(job, row_number, chunk, transaction)

    monkeypatch.setattr(fan_out_step, "_stage_chunk", lose_the_lease_after_one)
    fan_out.run(source, plenty)

    assert positions(database, request_id) == [(1, 1), (2, 1)]
    assert received(row_queue) == []
    assert job_of(database, request_id)["fan_out_token"] is not None


def test_a_name_of_any_length_is_kept_short_beside_each_image(fan_out, database, bucket):
    long_name = "n" * 130_000
    body = f'S. No.,Product Name,Input Image Urls\n1,{long_name},"{A},{B}"\n'.encode()
    request_id, source = upload(database, bucket, body)

    fan_out.run(source, plenty)

    assert {image["product_name"] for image in images_of(database, request_id)} == {"n" * 500}


def test_a_key_too_long_for_its_result_ends_the_job_with_the_reason(fan_out, connect, bucket):
    key = "drop/" + "n" * 1000 + ".csv"

    fan_out.run(ObjectVersion(key, bucket.put(key, sheet(A), "text/csv")), plenty)

    ((message,),) = query(connect, "SELECT error_message FROM job_request")
    assert "longer than" in message


def test_bad_metadata_is_told_to_the_webhook_beside_it(fan_out, connect, bucket):
    metadata = {"quality": "999", "webhook-url": "https://shop.example/hook"}

    fan_out.run(drop_with_metadata(bucket, metadata), plenty)

    assert query(connect, "SELECT webhook_url, error_message IS NOT NULL FROM job_request") == [
        ("https://shop.example/hook", True)
    ]
