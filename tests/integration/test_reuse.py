"""Delta runs: what did not change becomes what it was, is given back to the day, and stays while anybody names it."""

from functools import partial
from uuid import uuid4

import pytest
from psycopg2.extras import Json

from imagejobs.codec import Codec
from imagejobs.database import Database
from imagejobs.steps import compress as compress_step
from imagejobs.steps.compress import REDELIVERY_SECONDS
from tests.integration.handlers import (
    api_event,
    beside,
    close,
    content_of,
    fanned_out,
    lease_row,
    row_body,
    sqs_event,
)
from tests.integration.jobs import images_of, job_of, query, sheet
from tests.unit.fetch_helpers import http_answer, says, scripted_origin, serves
from tests.unit.image_helpers import encode, noise

OLD, NEW = (encode(noise((64, 48), seed=seed), "JPEG", quality=97) for seed in (1, 2))
FRIDAY = "Fri, 20 Nov 2026 10:00:00 GMT"
MONDAY = "Mon, 23 Nov 2026 06:00:00 GMT"
DOWN = says(http_answer(status="503 Service Unavailable"))


@pytest.fixture
def shop(functions):
    """An origin with one picture everywhere, and an entity tag."""
    with scripted_origin(serves(OLD, ETag='"old"')) as server:
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


@pytest.fixture
def begin(functions, database, bucket):
    """Fans out a sheet of one row, with these URLs and options; the job's id."""

    def run(*urls, owner="shop", **options):
        return fanned_out(functions, database, bucket, sheet(",".join(urls)), owner=owner, options=Json(options))

    return run


@pytest.fixture
def compress(functions):
    """A worker's answer to the message of a job's only row."""
    return lambda request_id: functions.invoke("compress", sqs_event("compress", row_body(request_id, 1)))


@pytest.fixture
def run(begin, compress, database):
    """A job up to where its images are done; they."""

    def begin_and_compress(*urls, **fields):
        request_id = begin(*urls, **fields)
        compress(request_id)
        return images_of(database, request_id)

    return begin_and_compress


@pytest.fixture
def coded(monkeypatch):
    """What went through the codec."""
    bodies, compress = [], Codec.compress

    def spy(codec, body, *arguments):
        bodies.append(body)
        return compress(codec, body, *arguments)

    monkeypatch.setattr(Codec, "compress", spy)
    return bodies


def stored(bucket):
    """All versions of images."""
    listed = bucket._client.list_object_versions(Bucket=bucket.name, Prefix="images/")
    return [(found["Key"], found["VersionId"]) for found in listed.get("Versions", [])]


def preconditions(shop):
    """Of each request, its headers that make it conditional."""
    return [
        {name: value for name, value in request.headers.items() if name.startswith("if-")} for request in shop.requests
    ]


# ── What is reused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ({"ETag": '"a"', "Last_Modified": FRIDAY, "Date": MONDAY}, {"if-none-match": '"a"'}),
        ({"ETag": 'W/"a"'}, {"if-none-match": 'W/"a"'}),
        ({"Last_Modified": FRIDAY, "Date": MONDAY}, {"if-modified-since": FRIDAY}),
    ],
)
def test_what_its_origin_calls_unchanged_is_what_it_was(run, shop, bucket, coded, sent, asked):
    shop.answers["/a"] = [serves(OLD, **sent)]
    (first,) = run(shop.url("/a"))
    objects = stored(bucket)

    (second,), (third,) = run(shop.url("/a")), run(shop.url("/a"))

    assert preconditions(shop) == [{}, asked, asked]
    assert (first["reused"], second["reused"], third["reused"]) == (None, "not_modified", "not_modified")
    assert second == {**first, "image_id": second["image_id"], "cpu_ms": 0, "reused": "not_modified"}
    assert third == {**second, "image_id": third["image_id"]}
    assert (coded, stored(bucket)) == ([OLD], objects)


def test_the_job_counts_what_was_reused_and_says_so(run, begin, compress, functions, shop):
    shop.answers["/b"] = [serves(NEW)]
    run(shop.url("/a"))
    request_id = begin(shop.url("/a"), shop.url("/b"), shop.url("/a"))  # that of a repeated URL too

    compress(request_id)

    status = content_of(functions.invoke("api", api_event("status", request_id)))
    assert (status["images_completed"], status["images_reused"]) == (3, 2)
    assert status["bytes_before"] == len(OLD) * 2 + len(NEW)
    images = content_of(functions.invoke("api", api_event("images", request_id)))["images"]
    assert [image["reused"] for image in images] == ["not_modified", None, "not_modified"]


def test_the_same_bytes_are_known_under_another_url_and_another_tag(run, shop, bucket, coded):
    """And from then on under both."""
    (first,) = run(shop.url("/a"))
    objects = stored(bucket)
    shop.answers["/a"] = [serves(OLD, ETag='"touched"')]
    shop.answers["/b"] = [serves(OLD, ETag='"b"')]

    touched, other = run(shop.url("/a"), shop.url("/b"))
    again = run(shop.url("/a"), shop.url("/b"))

    assert (touched["reused"], other["reused"]) == ("same_content", "same_content")
    assert {each["image_url"] for each in (touched, other, *again)} == {first["image_url"]}
    assert [each["reused"] for each in again] == ["not_modified", "not_modified"]
    assert (coded, stored(bucket)) == ([OLD], objects)


def test_a_changed_picture_is_compressed_and_is_the_known_one_from_then_on(run, shop, coded):
    (first,) = run(shop.url("/a"))
    shop.answers["/a"] = [serves(NEW, ETag='"new"')]

    (changed,), (unchanged,) = run(shop.url("/a")), run(shop.url("/a"))

    assert (changed["reused"], unchanged["reused"]) == (None, "not_modified")
    assert changed["image_url"] == unchanged["image_url"] != first["image_url"]
    assert coded == [OLD, NEW]


def test_an_origin_that_calls_another_picture_unchanged_is_believed(run, shop, coded):
    run(shop.url("/a"))
    shop.answers["/a"] = [serves(NEW, ETag='"old"')]

    assert run(shop.url("/a"))[0]["reused"] == "not_modified"
    assert coded == [OLD]


@pytest.mark.parametrize(
    "fields",
    [{"owner": "another"}, {"quality": "60"}, {"format": "webp"}, {"reuse": "false"}],
    ids=lambda fields: next(iter(fields)),
)
def test_nothing_is_shared_between_callers_or_ways_to_compress_or_where_it_is_not_wanted(run, shop, coded, fields):
    (first,) = run(shop.url("/a"))

    (second,) = run(shop.url("/a"), **fields)

    assert second["reused"] is None
    assert second["image_url"] != first["image_url"]
    assert preconditions(shop) == [{}, {}]
    assert len(coded) == 2


def test_a_job_that_reused_nothing_is_known_to_the_next(run, shop):
    run(shop.url("/a"), reuse="false")

    assert run(shop.url("/a"))[0]["reused"] == "not_modified"


def test_an_image_that_failed_is_not_known(run, shop):
    shop.answers["/a"] = [says(http_answer(b"<html>", ETag='"old"')), serves(OLD, ETag='"old"')]

    (failed,), (second,) = run(shop.url("/a")), run(shop.url("/a"))

    assert (failed["status"], second["status"], second["reused"]) == ("FAILED", "COMPLETED", None)


def test_validators_go_to_the_url_that_gave_them_and_to_no_other(run, shop):
    """Where a redirect leads elsewhere today, yesterday's date says nothing of what is there."""
    leads_to = lambda path: says(http_answer(status="302 Found", Location=path))  # noqa: E731
    dated = {"Last_Modified": FRIDAY, "Date": MONDAY}
    shop.answers |= {"/a": [serves(OLD, **dated)], "/b": [serves(NEW, **dated)]}
    shop.answers["/latest"] = [leads_to("/a"), leads_to("/a"), leads_to("/b")]

    images = [run(shop.url("/latest"))[0] for _ in range(3)]

    assert [image["reused"] for image in images] == [None, "not_modified", None]
    assert preconditions(shop) == [{}, {}, {}, {"if-modified-since": FRIDAY}, {}, {}]


# ── Races ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_jobs_at_one_new_url_at_once_have_an_object_each(
    begin, compress, run, functions, shop, database, bucket, monkeypatch
):
    """And the next one has that of the job that was begun last."""
    first, second = begin(shop.url("/a")), begin(shop.url("/a"))
    others = [functions.restarted()]
    code = Codec.compress

    def compress_beside(codec, body, *arguments):
        if others:
            others.pop().invoke("compress", sqs_event("compress", row_body(second, 1)))
        return code(codec, body, *arguments)

    monkeypatch.setattr(Codec, "compress", compress_beside)
    compress(first)

    (one,), (two,) = images_of(database, first), images_of(database, second)
    assert (one["reused"], two["reused"]) == (None, None)
    assert len(stored(bucket)) == 2
    assert run(shop.url("/a"))[0]["image_url"] == two["image_url"]


def test_what_another_job_committed_meanwhile_is_known(begin, compress, functions, shop, database, coded):
    first, second = begin(shop.url("/a")), begin(shop.url("/b"))
    other = functions.restarted()

    def answer_late(request, wire):
        other.invoke("compress", sqs_event("compress", row_body(second, 1)))
        serves(OLD, ETag='"old"')(request, wire)

    shop.answers["/a"] = [answer_late]
    compress(first)

    assert images_of(database, first)[0]["reused"] == "same_content"
    assert coded == [OLD]


def delete_images(connect, request_id):
    """As a correction of the job does."""
    query(connect, "DELETE FROM compressed_images WHERE request_id = %s", request_id)


def test_an_image_whose_source_is_deleted_meanwhile_is_done_anew(begin, compress, run, shop, database, connect, coded):
    source = run(shop.url("/a"))
    request_id = begin(shop.url("/a"))

    def delete_and_answer(request, wire):
        delete_images(connect, source_request_id)
        serves(OLD, ETag='"old"')(request, wire)

    ((source_request_id,),) = query(
        connect, "SELECT request_id FROM compressed_images WHERE image_id = %s", source[0]["image_id"]
    )
    shop.answers["/a"] = [delete_and_answer, serves(OLD, ETag='"old"')]

    given_back = compress(request_id)["batchItemFailures"]

    assert len(given_back) == 1
    rests = "SELECT status, attempt, lease_token, extract(epoch FROM not_before - now())::float FROM compressed_images"
    ((*state, seconds),) = query(connect, rests)
    assert state == ["PENDING", 0, None]
    assert 0 < seconds <= REDELIVERY_SECONDS[0]
    query(connect, "UPDATE compressed_images SET not_before = now()")
    compress(request_id)
    (image,) = images_of(database, request_id)
    assert (image["status"], image["reused"]) == ("COMPLETED", None)
    assert job_of(database, request_id)["images_completed"] == 1
    assert len(coded) == 2


def test_a_source_that_is_being_deleted_is_not_waited_for(begin, compress, run, shop, database, connect):
    """Nor is one deleted that a commit has taken: the other images of the batch are done."""
    run(shop.url("/a"))
    run(shop.url("/b"))
    request_id = begin(shop.url("/a"), shop.url("/b"))
    deleter = connect()
    with deleter.cursor() as cursor:
        cursor.execute("DELETE FROM compressed_images WHERE source_url = %s AND url_key IS NOT NULL", [shop.url("/a")])

        compress(request_id)

    deleter.rollback()
    deleter.close()
    assert [image["reused"] for image in images_of(database, request_id)] == [None, "not_modified"]
    assert [image["status"] for image in images_of(database, request_id)] == ["PENDING", "COMPLETED"]


def test_an_object_stays_as_long_as_any_job_names_it(functions, begin, compress, shop, database, bucket, connect):
    """The image that it was made for is taken out of its job; then the others are."""
    shop.answers["/down"] = [DOWN]
    first = begin(shop.url("/a"), shop.url("/down"))
    second = begin(shop.url("/a"), shop.url("/a"))
    compress(first)
    compress(second)
    objects = stored(bucket)
    query(connect, "DELETE FROM compressed_images WHERE request_id = %s AND position = 1", first)
    query(connect, "UPDATE compressed_images SET attempt = 2 WHERE request_id = %s", first)  # its strays are looked for
    remove = partial(remove_strays, functions, first)

    assert (remove(), stored(bucket)) == (0, objects)
    query(connect, "DELETE FROM compressed_images WHERE request_id = %s AND position = 1", second)
    assert (remove(), stored(bucket)) == (0, objects)  # that of the repeated URL is left
    delete_images(connect, second)
    assert (remove(), stored(bucket)) == (1, [])


def remove_strays(functions, request_id):
    state = {"request_id": str(request_id), "generation": 1, "run": 1}
    return functions.invoke("finalize", {"step": "remove_strays", "state": state})["strays"]


def test_a_commit_whose_reply_was_lost_counts_once_and_takes_nothing(
    begin, compress, run, shop, database, bucket, monkeypatch
):
    run(shop.url("/a"))
    shop.answers["/b"] = [serves(NEW)]
    request_id = begin(shop.url("/a"), shop.url("/b"))
    objects, transact = stored(bucket), Database.transact

    def commit_twice(self, work):
        transact(self, work)
        return transact(self, work)

    monkeypatch.setattr(Database, "transact", commit_twice)
    assert compress(request_id) == {"batchItemFailures": []}

    job = job_of(database, request_id)
    assert (job["images_completed"], job["images_reused"]) == (2, 1)
    assert set(objects) < set(stored(bucket))
    assert len(stored(bucket)) == 2


def test_a_worker_whose_lease_was_taken_over_reuses_nothing(begin, compress, run, shop, database, bucket, connect):
    run(shop.url("/a"))
    request_id = begin(shop.url("/a"))

    def take_over_and_answer(request, wire):
        lease = "UPDATE compressed_images SET lease_token = %s, leased_until = now() + '1 minute' WHERE request_id = %s"
        query(connect, lease, uuid4(), request_id)
        serves(OLD, ETag='"old"')(request, wire)

    shop.answers["/a"] = [take_over_and_answer]
    compress(request_id)

    assert [image["status"] for image in images_of(database, request_id)] == ["PENDING"]
    assert job_of(database, request_id)["images_reused"] == 0
    assert len(stored(bucket)) == 1


def test_a_deletion_waits_for_the_commit_that_takes_from_what_it_deletes(begin, run, shop, database, connect):
    """So it comes before, and the image is done anew; or after, and finds the object shared."""
    (source,) = run(shop.url("/a"))
    request_id = begin(shop.url("/a"))
    token, (image,) = lease_row(database, request_id, 1)
    columns = {"image_id": str(image["image_id"]), "lease_token": str(token), "status": "COMPLETED"}
    columns |= {"reused": "not_modified", "source_id": str(source["image_id"])}
    reuse = partial(compress_step._settle, [], [columns], [], [request_id])
    delete = "DELETE FROM compressed_images WHERE image_id = %s RETURNING true"

    deleted = beside(connect, reuse, lambda: query(connect, delete, source["image_id"]))

    assert deleted == [(True,)]
    assert images_of(database, request_id)[0]["image_url"] == source["image_url"]


# ── What it costs ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def used(connect):
    """What is counted for today of the caller "shop", from ten images on."""
    query(connect, "INSERT INTO caller_usage VALUES ('shop', (now() AT TIME ZONE 'UTC')::date, 10)")
    return lambda: query(connect, "SELECT images FROM caller_usage WHERE owner = 'shop'")[0][0]


def test_reused_images_are_given_back_once_when_the_job_is_closed(functions, begin, compress, run, shop, used, bucket):
    run(shop.url("/a"))
    request_id = begin(shop.url("/a"), shop.url("/a"), shop.url("/b"))
    shop.answers["/b"] = [serves(NEW)]
    compress(request_id)
    assert used() == 10

    close(functions, request_id)
    assert used() == 8
    close(functions, request_id)
    assert used() == 8


def test_a_retry_gives_back_what_it_reused_itself(functions, begin, compress, run, shop, used, connect):
    run(shop.url("/a"))
    request_id = begin(shop.url("/a"), shop.url("/b"))
    shop.answers["/b"] = [says(http_answer(status="404 Not Found")), serves(OLD)]
    compress(request_id)
    close(functions, request_id)
    assert used() == 9

    assert functions.invoke("api", api_event("retry", request_id))["statusCode"] == 202
    assert used() == 10
    functions.invoke("compress", sqs_event("compress", row_body(request_id, 1, generation=2)))
    close(functions, request_id, generation=2)
    assert used() == 9


@pytest.mark.parametrize("counted_on", ["(now() AT TIME ZONE 'UTC')::date - 1", "NULL"])
def test_images_that_were_counted_on_another_day_or_not_at_all_give_nothing_back(
    functions, begin, compress, run, shop, used, connect, counted_on
):
    run(shop.url("/a"))
    request_id = begin(shop.url("/a"))
    compress(request_id)
    query(connect, f"UPDATE job_request SET counted_on = {counted_on}")

    close(functions, request_id)

    assert used() == 10


def test_no_more_is_given_back_than_is_counted(functions, begin, compress, run, shop, used, connect):
    query(connect, "UPDATE caller_usage SET images = 0")
    run(shop.url("/a"))
    request_id = begin(shop.url("/a"))
    compress(request_id)

    close(functions, request_id)

    assert used() == 0
