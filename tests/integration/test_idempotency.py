"""Idempotency-Key: one upload sent more than once is one job, whatever became of the first."""

import base64
import threading
from functools import partial

import pytest

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database
from imagejobs.destinations import ANY_PUBLIC_HOST
from imagejobs.steps import api as api_step
from imagejobs.upload_form import parse_upload_form
from imagejobs.usage import Allowance
from tests.integration.handlers import (
    api_event,
    body_of,
    content_of,
    file_event,
    keys_in,
    upload_event,
    wait_until_blocked,
)
from tests.integration.jobs import images_of, job_of, query, received, rows_in, sheet

KEY = "2f6a7c1e-9a51-4a8e-8c0b-6f1d1c1a7e11"
A, B = (f"https://shop.example/{name}.jpg" for name in "ab")
FILE = sheet(A, B)
FIELDS = {"quality": "70", "webhook_url": "https://shop.example/hook"}


class Crash(BaseException):
    """Stands for a process that is killed at this point."""


def keyed(key=KEY, file=FILE, fields=FIELDS, owner="shop"):
    """An upload with a key, by a caller."""
    event = upload_event(file, fields)
    event["headers"]["Idempotency-Key"] = key
    event["multiValueHeaders"]["Idempotency-Key"] = [key]
    event["requestContext"]["authorizer"].update(owner=owner, principalId=owner)
    return event


def accepted(functions, event):
    """The request_id of an upload that is accepted."""
    answer = functions.invoke("api", event)
    assert answer["statusCode"] == 202, answer["body"]
    request_id = content_of(answer)["request_id"]
    assert answer["multiValueHeaders"]["Location"][0].endswith(f"/job/status/{request_id}")
    return request_id


def refused(functions, event):
    answer = functions.invoke("api", event)
    return answer["statusCode"], content_of(answer)["code"]


def job_ids(connect):
    return [str(request_id) for (request_id,) in query(connect, "SELECT request_id FROM job_request")]


def versions(bucket):
    listing = bucket._client.list_object_versions(Bucket=bucket.name)
    return [ObjectVersion(found["Key"], found["VersionId"]) for found in listing.get("Versions", [])]


# ── The same upload ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_upload_with_the_same_key_is_the_same_job(functions, bucket, connect):
    """Another boundary each time, and its fields in another order."""
    events = [keyed(), keyed(), keyed(fields=dict(reversed(FIELDS.items())))]
    assert len({event["headers"]["Content-Type"] for event in events}) == 3

    request_ids = {accepted(functions, event) for event in events}

    assert list(request_ids) == job_ids(connect)
    assert len(versions(bucket)) == 1


def test_without_a_key_every_upload_is_a_job_of_its_own(functions, bucket, connect):
    request_ids = {accepted(functions, upload_event(FILE, FIELDS)) for _ in range(2)}

    assert sorted(request_ids) == sorted(job_ids(connect))
    assert len(request_ids) == len(keys_in(bucket)) == 2


def test_another_key_is_another_job(functions, connect):
    assert len({accepted(functions, keyed(key)) for key in ("a", "A", "b")}) == 3


def test_another_callers_same_key_is_another_job(functions, connect):
    """What it holds is that caller's own."""
    first = accepted(functions, keyed())

    second = accepted(functions, keyed(file=sheet(B), owner="another"))

    assert first != second
    owners = query(connect, "SELECT owner, request_id::text FROM job_request ORDER BY owner DESC")
    assert owners == [("shop", first), ("another", second)]


def test_a_key_names_its_job_for_good(functions, database, connect):
    request_id = accepted(functions, keyed())
    assert functions.invoke("api", api_event("cancel", request_id))["statusCode"] == 202
    before = job_of(database, request_id)

    assert accepted(functions, keyed()) == request_id

    assert job_of(database, request_id) == before


# ── Another upload, or no key ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "other",
    [
        {"file": sheet(A)},
        {"file": FILE + b"\n"},
        {"fields": {**FIELDS, "quality": "71"}},
        {"fields": {**FIELDS, "webhook_url": "https://shop.example/other"}},
        {"fields": {"webhook_url": FIELDS["webhook_url"]}},
        {"fields": {}},
    ],
    ids=["file", "one byte", "option", "webhook", "no option", "no field"],
)
def test_a_key_that_comes_with_another_upload_is_refused(functions, database, bucket, connect, other):
    request_id = accepted(functions, keyed())
    before = job_of(database, request_id)

    assert refused(functions, keyed(**other)) == (409, "idempotency_key_reused")

    assert job_ids(connect) == [request_id]
    assert job_of(database, request_id) == before
    assert body_of(bucket, before["source_key"]) == FILE
    assert accepted(functions, keyed()) == request_id


@pytest.mark.parametrize("key", ["", " ", "two words", "a\tb", "line\n", "schlüssel", "\x7f", "x" * 256], ids=ascii)
def test_a_key_that_is_none_is_refused_and_leaves_nothing(functions, bucket, connect, key):
    assert refused(functions, keyed(key)) == (400, "request_invalid")

    assert (job_ids(connect), keys_in(bucket)) == ([], [])


@pytest.mark.parametrize("key", ["!", "~" * 255, '"quoted"', "a:b/c?d=%20"])
def test_a_key_may_be_any_text_without_spaces(functions, connect, key):
    assert accepted(functions, keyed(key)) == accepted(functions, keyed(key))


def test_a_bad_upload_uses_no_key_up(functions, connect):
    assert refused(functions, keyed(file=b"not,a,sheet\n")) == (400, "sheet_invalid")

    assert [accepted(functions, keyed())] == job_ids(connect)


# ── The first request did not get to its end ────────────────────────────────────────────────────────────────────────


def test_a_repeat_stores_the_csv_of_a_request_that_died_before_it(functions, database, bucket, connect, row_queue):
    name = functions.values["BUCKET_NAME"]
    functions.values["BUCKET_NAME"] = "no-such-bucket"
    assert refused(functions, keyed()) == (500, "internal_error")
    (request_id,) = job_ids(connect)
    functions.values["BUCKET_NAME"] = name

    assert accepted(functions.restarted(), keyed()) == request_id

    (source,) = versions(bucket)
    job = job_of(database, request_id)
    assert (job["source_key"], job["source_version"], job["status"]) == (source.key, source.version, "PENDING")
    functions.invoke("fan_out", file_event(source))
    assert rows_in(received(row_queue)) == [1, 2]


@pytest.mark.parametrize("first_event", [0, 1])
def test_of_two_stored_versions_one_is_the_job(functions, database, bucket, row_queue, monkeypatch, first_event):
    """The first request died when its file was stored and it had not said so; the event of either comes first."""
    execute = Database.execute

    def die_before_noting(self, name, parameters=None):
        if name == "accept_source":
            raise Crash
        return execute(self, name, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "execute", die_before_noting)
        with pytest.raises(Crash):
            functions.invoke("api", keyed())
    request_id = accepted(functions, keyed())
    stored = versions(bucket)
    assert len(stored) == 2

    for source in (stored[first_event], stored[1 - first_event]):
        functions.invoke("fan_out", file_event(source))

    assert len(images_of(database, request_id)) == 2
    assert rows_in(received(row_queue)) == [1, 2]
    assert job_of(database, request_id)["source_version"] in {source.version for source in stored}


def test_a_repeat_after_the_event_of_an_unnoted_file_stores_no_other(functions, bucket, connect, monkeypatch):
    put = Bucket.put

    def die_after(self, *arguments):
        version = put(self, *arguments)
        functions.invoke("fan_out", file_event(ObjectVersion(arguments[0], version)))
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put", die_after)
        with pytest.raises(Crash):
            functions.invoke("api", keyed())

    assert [accepted(functions, keyed())] == job_ids(connect)
    assert len(versions(bucket)) == 1


def test_a_job_whose_commit_reply_was_lost_is_one(functions, bucket, connect, monkeypatch):
    transact = Database.transact

    def commit_twice(self, work):
        transact(self, work)
        return transact(self, work)

    monkeypatch.setattr(Database, "transact", commit_twice)

    assert [accepted(functions, keyed())] == job_ids(connect)
    assert len(versions(bucket)) == 1


# ── At the same time ────────────────────────────────────────────────────────────────────────────────────────────────


class SlowToCommit(Database):
    """Has written its job row, and commits it when the other one waits for that."""

    def __init__(self, connect, while_uncommitted):
        super().__init__(connect)
        self._while_uncommitted = while_uncommitted

    def transact(self, work):
        if getattr(work, "func", None) is not api_step._insert_job:
            return super().transact(work)

        def insert(transaction):
            work(transaction)
            self._while_uncommitted()

        return super().transact(insert)


def test_racing_uploads_with_one_key_are_one_job(functions, database, bucket, connect, row_queue):
    event, answers = upload_event(FILE, FIELDS), []
    form = parse_upload_form(event["headers"]["Content-Type"], base64.b64decode(event["body"]))

    def send(own):
        shop = Allowance("shop", daily_images=1000, requests_per_minute=60)
        arguments = {"allowance": shop, "form": form, "destinations": ANY_PUBLIC_HOST, "idempotency_key": KEY}
        answers.append(api_step.accept_upload(own, bucket, **arguments))
        own.close()

    second = threading.Thread(target=partial(send, Database(connect)))

    def begin_second():
        second.start()
        wait_until_blocked(connect)

    send(SlowToCommit(connect, begin_second))
    second.join(30)

    assert len(answers) == 2
    assert {str(request_id) for request_id in answers} == set(job_ids(connect))
    for source in versions(bucket):
        functions.invoke("fan_out", file_event(source))
    assert rows_in(received(row_queue)) == [1, 2]
    assert len(images_of(database, answers[0])) == 2
