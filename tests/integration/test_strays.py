"""Objects that no image names: what workers that were killed have stored goes at the job's end, and only that."""

from collections import Counter
from functools import partial
from uuid import uuid4

import pytest
from psycopg2.extras import Json

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database
from imagejobs.jobs import image_place
from imagejobs.steps import compress as compress_step
from imagejobs.steps.compress import RowWorker
from tests.integration.handlers import (
    api_event,
    close,
    completed,
    content_of,
    fanned_out,
    finish,
    load_event,
    row_body,
    sqs_event,
)
from tests.integration.jobs import images_of, job_of, query, sheet
from tests.unit.fetch_helpers import http_answer, says, scripted_origin
from tests.unit.image_helpers import encode, noise

# The same size and another content each: nothing but a digest tells their keys apart.
OLD, NEW = (encode(noise((64, 48), seed=seed), "JPEG", quality=97) for seed in (1, 2))
NOT_FOUND = says(http_answer(status="404 Not Found"))


class Crash(BaseException):
    """Stands for a worker that is killed at this point."""


@pytest.fixture
def shop(functions):
    """An origin that the operator allows: it answers each path with the next of its answers, the last one for good."""
    with scripted_origin(says(http_answer(OLD))) as server:
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


@pytest.fixture
def killed(monkeypatch):
    """Runs something in which every worker dies when all of its images are stored and none is committed."""

    def run(work):
        with monkeypatch.context() as patch:
            patch.setattr(RowWorker, "_settle", lambda *_: die())
            with pytest.raises(Crash):
                work()

    return run


def die():
    raise Crash


def compress(functions, request_id, *row_numbers):
    """A worker's answer to messages of these rows."""
    return functions.invoke("compress", sqs_event("compress", *[row_body(request_id, row) for row in row_numbers]))


def expire_leases(connect):
    query(connect, "UPDATE compressed_images SET leased_until = now() - interval '1 second' WHERE status = 'PENDING'")


def versions(bucket, prefix="images/"):
    """All versions under a prefix; there is no deletion that left a version behind."""
    listing = bucket._client.list_object_versions(Bucket=bucket.name, Prefix=prefix)
    assert "DeleteMarkers" not in listing
    return {ObjectVersion(found["Key"], found["VersionId"]) for found in listing.get("Versions", [])}


def keys(bucket):
    return sorted({version.key for version in versions(bucket)})


def named(database, request_id):
    """Keys of the objects that a job's images name."""
    urls = [image["image_url"] for image in images_of(database, request_id) if image["image_url"]]
    return sorted(url.removeprefix("https://images.example/") for url in urls)


# ── At the job's end ────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_killed_worker_stored_is_removed_when_the_image_came_to_be_another(
    functions, shop, database, bucket, connect, killed
):
    """The origin has a new picture by the time that the next worker asks."""
    shop.answers["/a"] = [says(http_answer(OLD)), says(http_answer(NEW))]
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a"), shop.url("/b")))
    killed(partial(compress, functions, request_id, 1, 2))
    expire_leases(connect)
    for _ in range(2):
        compress(functions, request_id, 1, 2)
    assert len(keys(bucket)) == 3
    kept = {version for version in versions(bucket) if version.key in named(database, request_id)}

    close(functions, request_id)

    assert versions(bucket) == kept
    assert keys(bucket) == named(database, request_id)
    assert Counter(image_place(key) for key in keys(bucket)) == {(1, 1): 1, (2, 1): 1}


def refuse(functions, shop, request_id, connect):
    expire_leases(connect)
    shop.answers["/a"] = [NOT_FOUND]
    compress(functions, request_id, 1)


def bury(functions, shop, request_id, connect):
    expire_leases(connect)
    functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1)))


def cancel(functions, shop, request_id, connect):
    expire_leases(connect)
    assert functions.invoke("api", api_event("cancel", request_id))["statusCode"] == 202


def cancel_under_the_lease(functions, shop, request_id, connect):
    assert functions.invoke("api", api_event("cancel", request_id))["statusCode"] == 202
    expire_leases(connect)
    compress(functions, request_id, 1)


@pytest.mark.parametrize(
    "ending",
    [
        (refuse, "origin_refused"),
        (bury, "image_abandoned"),
        (cancel, "cancelled"),
        (cancel_under_the_lease, "cancelled"),
    ],
    ids=lambda ending: ending[0].__name__,
)
def test_what_a_killed_worker_stored_is_removed_when_the_image_failed(
    functions, shop, database, bucket, connect, killed, ending
):
    end, error_code = ending
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    killed(partial(compress, functions, request_id, 1))
    assert len(versions(bucket)) == 1

    end(functions, shop, request_id, connect)

    assert [image["error_code"] for image in images_of(database, request_id)] == [error_code]
    close(functions, request_id)
    assert versions(bucket) == set()


def test_an_object_that_an_image_names_stays_in_every_version(functions, shop, database, bucket, connect, killed):
    """Killed, and done again from the same bytes: the same key."""
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    killed(partial(compress, functions, request_id, 1))
    expire_leases(connect)
    compress(functions, request_id, 1)
    before = versions(bucket)

    close(functions, request_id)

    assert len(before) == 2
    assert versions(bucket) == before
    assert keys(bucket) == named(database, request_id)


def test_objects_of_other_jobs_stay(functions, shop, database, bucket, connect, killed):
    """Also of one at work, whose worker has not committed yet."""
    at_work = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    killed(partial(compress, functions, at_work, 1))
    others = versions(bucket)
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    killed(partial(compress, functions, request_id, 1))
    assert len(versions(bucket)) == 2
    query(
        connect,
        "UPDATE compressed_images SET leased_until = now() - interval '1 second' WHERE request_id = %s",
        request_id,
    )
    functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1)))

    close(functions, request_id)

    assert versions(bucket) == others


def test_a_listing_of_several_pages_is_gone_through(functions, shop, database, bucket, connect, killed, monkeypatch):
    cells = [shop.url(f"/{number}") for number in range(5)]
    for number in range(5):
        shop.answers[f"/{number}"] = [says(http_answer(OLD)), says(http_answer(NEW))]
    request_id = fanned_out(functions, database, bucket, sheet(*cells), options=Json({"reuse": "false"}))
    killed(partial(compress, functions, request_id, *range(1, 6)))
    expire_leases(connect)
    for _ in range(6):
        compress(functions, request_id, *range(1, 6))
    assert len(versions(bucket)) == 10
    pages = []
    list_versions = Bucket.list_versions

    def list_in_small_pages(self, prefix):
        self._client.meta.events.register(
            "provide-client-params.s3.ListObjectVersions", lambda params, **_: {**params, "MaxKeys": 3}
        )
        for page in list_versions(self, prefix):
            pages.append(len(page))
            yield page

    monkeypatch.setattr(Bucket, "list_versions", list_in_small_pages)
    close(functions, request_id)

    assert pages == [3, 3, 3, 1]
    assert keys(bucket) == named(database, request_id)
    assert len(versions(bucket)) == 5


@pytest.fixture
def no_listing(monkeypatch):
    """Whoever lists the bucket fails."""
    monkeypatch.setattr(Bucket, "list_versions", lambda *_: die())


@pytest.mark.usefixtures("no_listing")
def test_a_job_whose_workers_all_lived_is_not_listed(functions, shop, database, bucket):
    """A listing for each job would cost more than all strays."""
    shop.answers["/gone"] = [NOT_FOUND]
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a"), shop.url("/gone"), ""))
    compress(functions, request_id, 1, 2)

    close(functions, request_id)

    assert job_of(database, request_id)["status"] == "COMPLETED"


@pytest.mark.usefixtures("no_listing")
def test_images_that_were_cancelled_before_anybody_began_them_are_not_looked_for(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, sheet("https://shop.example/a.jpg"))
    functions.invoke("api", api_event("cancel", request_id))

    close(functions, request_id)

    assert job_of(database, request_id)["status"] == "FAILED"


def test_an_execution_of_the_generation_before_removes_nothing_of_the_present_one(
    functions, shop, database, bucket, connect, killed
):
    """A worker of the present one has stored its object and not committed yet."""
    shop.answers["/a"] = [NOT_FOUND, says(http_answer(NEW))]
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    compress(functions, request_id, 1)
    close(functions, request_id)
    functions.invoke("api", api_event("retry", request_id))
    query(connect, "UPDATE compressed_images SET attempt = 2")
    killed(partial(compress, functions, request_id, 1))
    (stored,) = versions(bucket)

    state = {"request_id": str(request_id), "generation": 1, "run": 1}

    assert functions.invoke("finalize", {"step": "remove_strays", "state": state}) == {"strays": 0}
    assert versions(bucket) == {stored}


@pytest.mark.usefixtures("no_listing")
def test_a_closed_job_is_not_gone_through_again(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, sheet("https://shop.example/a.jpg"))
    finish(database, request_id)
    close(functions, request_id)
    query(connect, "UPDATE compressed_images SET attempt = 2")

    close(functions, request_id)

    assert job_of(database, request_id)["status"] == "COMPLETED"


def test_the_event_as_it_stands_says_how_many_were_removed(functions, shop, database, bucket, connect, killed):
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    killed(partial(compress, functions, request_id, 1))
    expire_leases(connect)
    functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1)))
    event = load_event("finalize-remove_strays")
    event["state"]["request_id"] = str(request_id)

    assert [functions.invoke("finalize", event)["strays"] for _ in range(2)] == [1, 0]


# ── By the worker itself ────────────────────────────────────────────────────────────────────────────────────────────


def take_over(connect, request_id, row_number):
    """Another worker takes the row's images, as if their lease had run out; its token."""
    token = uuid4()
    query(
        connect,
        "UPDATE compressed_images SET lease_token = %s, leased_until = now() + interval '1 minute' "
        "WHERE request_id = %s AND row_number = %s",
        token,
        request_id,
        row_number,
    )
    return token


@pytest.fixture
def after_put(monkeypatch):
    """Calls something with each image's key and version when a worker has stored it, before it is committed."""

    def call(work):
        put = Bucket.put

        def put_and_call(self, key, *arguments):
            version = put(self, key, *arguments)
            if key.startswith("images/"):
                work(key, version)
            return version

        monkeypatch.setattr(Bucket, "put", put_and_call)

    return call


def test_a_worker_whose_lease_was_taken_over_deletes_what_it_stored_and_no_more(
    functions, shop, database, bucket, connect, after_put
):
    """The row beside was its own until the end."""
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a"), shop.url("/b")))
    after_put(lambda key, _: take_over(connect, request_id, 1) if image_place(key) == (1, 1) else None)

    compress(functions, request_id, 1, 2)

    assert [image["status"] for image in images_of(database, request_id)] == ["PENDING", "COMPLETED"]
    assert keys(bucket) == named(database, request_id)
    assert len(versions(bucket)) == 1


def test_a_version_of_the_same_key_that_another_worker_stored_stays(
    functions, shop, database, bucket, connect, after_put
):
    """That worker has not committed it yet, so that no image names the key."""
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    others = []

    def overtake(key, _):
        take_over(connect, request_id, 1)
        version = bucket._client.put_object(Bucket=bucket.name, Key=key, Body=b"the same")["VersionId"]
        others.append(ObjectVersion(key, version))

    after_put(overtake)

    compress(functions, request_id, 1)

    assert versions(bucket) == set(others)


@pytest.mark.parametrize("has_same_key", [True, False])
def test_what_another_worker_committed_stays(functions, shop, database, bucket, connect, after_put, has_same_key):
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a")))
    others = []

    def overtake(key, _):
        token = take_over(connect, request_id, 1)
        other = key if has_same_key else key.replace(key[-20:-4], "0" * 16)
        others.append(ObjectVersion(other, bucket._client.put_object(Bucket=bucket.name, Key=other)["VersionId"]))
        (image,) = query(connect, "SELECT image_id FROM compressed_images")
        columns = completed({"request_id": request_id, "row_number": 1, "position": 1, "image_id": image[0]})
        columns |= {"object_key": other, "image_url": f"https://images.example/{other}", "lease_token": str(token)}
        own = Database(connect)
        own.transact(partial(compress_step._settle, [columns], [], [], [request_id]))
        own.close()

    after_put(overtake)
    compress(functions, request_id, 1)

    assert set(others) <= versions(bucket)
    assert keys(bucket) == [others[0].key] == named(database, request_id)


def test_a_commit_whose_reply_was_lost_deletes_nothing(functions, shop, database, bucket, connect, monkeypatch):
    """Its second run finds nothing to do any more."""
    request_id = fanned_out(functions, database, bucket, sheet(shop.url("/a"), shop.url("/b")))
    transact = Database.transact

    def commit_twice(self, work):
        transact(self, work)
        return transact(self, work)

    monkeypatch.setattr(Database, "transact", commit_twice)
    assert compress(functions, request_id, 1, 2) == {"batchItemFailures": []}

    status = content_of(functions.invoke("api", api_event("status", request_id)))
    assert (status["images_completed"], status["images_failed"]) == (2, 0)
    assert keys(bucket) == named(database, request_id)
    assert len(versions(bucket)) == 2
