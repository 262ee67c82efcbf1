"""api: a job's images in the order in which they became terminal, for who does not want to wait for its end."""

import json
from contextlib import closing
from threading import Thread

from imagejobs.database import Database
from imagejobs.steps.control import Control
from imagejobs.steps.look import list_events
from tests.integration.handlers import (
    api_event,
    close,
    completed,
    content_of,
    end_images,
    failed,
    file_event,
    finish,
    lease_row,
    row_body,
    sqs_event,
    wait_until_blocked,
)
from tests.integration.jobs import query, sheet, upload, urls

A = "https://shop.example/a.jpg"


def staged(functions, database, bucket, *cells):
    """A job whose images wait."""
    request_id, source = upload(database, bucket, sheet(*cells))
    functions.invoke("fan_out", file_event(source))
    return request_id


def ask(functions, request_id, **parameters):
    answer = functions.invoke("api", api_event("events", request_id, query=parameters))
    assert answer["statusCode"] == 200
    content = content_of(answer)
    assert content.keys() == {"images", "next", "job"}
    return content


def follow(functions, request_id, after="0", **parameters):
    """Row and position of every image that comes, until an answer has none; and the last cursor."""
    found = []
    while page := (answer := ask(functions, request_id, after=after, **parameters))["images"]:
        assert len(page) <= int(parameters.get("limit", 100))
        assert answer["next"] != after
        found += [(image["row_number"], image["position"]) for image in page]
        after = answer["next"]
    assert answer["next"] == after
    return found, after


def outcome(image):
    return {"finished": json.dumps([{**completed(image), "lease_token": str(image["lease_token"])}])}


# ── The order of commits ────────────────────────────────────────────────────────────────────────────────────────────


def test_who_commits_later_comes_later_and_nobody_reads_past_what_is_not_committed(
    functions, database, bucket, connect
):
    """It waits for the first one's commit with its number, too, so that no reader sees it before."""
    request_id = staged(functions, database, bucket, f"{A}?1", f"{A}?2")
    (first,), (second,) = (lease_row(database, request_id, row)[1] for row in (1, 2))
    other = Database(connect)
    later = Thread(target=other.execute, args=("finish_images", outcome(first)))

    def meanwhile(transaction):
        transaction.execute("finish_images", outcome(second))
        later.start()
        wait_until_blocked(connect)
        assert follow(functions, request_id) == ([], "0")

    Database(connect).transact(meanwhile)
    later.join(30)
    other.close()

    assert follow(functions, request_id) == ([(2, 1), (1, 1)], "2")


def test_a_reader_beside_many_writers_sees_every_image_once(functions, database, bucket, connect):
    request_id = staged(functions, database, bucket, *urls(40))
    leased = [lease_row(database, request_id, row)[1][0] for row in range(1, 41)]

    def write(images):
        own = Database(connect)
        for image in images:
            own.execute("finish_images", outcome(image))
        own.close()

    writers = [Thread(target=write, args=(leased[start::4],)) for start in range(4)]
    for writer in writers:
        writer.start()
    seen, after = [], "0"
    while len(seen) < 40 and any(writer.is_alive() for writer in writers):
        fresh, after = follow(functions, request_id, after)
        seen += fresh
    for writer in writers:
        writer.join(30)
    seen += follow(functions, request_id, after)[0]

    assert sorted(seen) == [(row, 1) for row in range(1, 41)]
    for start in range(4):
        own = [(image["row_number"], 1) for image in leased[start::4]]
        assert [place for place in seen if place in own] == own


# ── Every way to become terminal ────────────────────────────────────────────────────────────────────────────────────


def test_an_image_is_shown_as_in_the_listing_beside_its_job(functions, database, bucket):
    request_id = staged(functions, database, bucket, f"{A}?1", f"{A}?2")
    token, (image,) = lease_row(database, request_id, 2)
    end_images(database, token, failed(image))

    found = ask(functions, request_id)

    listing = content_of(functions.invoke("api", api_event("images", request_id)))["images"]
    assert found["images"] == listing[1:]
    assert found["job"] == content_of(functions.invoke("api", api_event("status", request_id)))
    assert (found["next"], found["job"]["completion_percentage"]) == ("1", 50)


def test_an_outcome_that_is_written_twice_comes_once(functions, database, bucket):
    request_id = staged(functions, database, bucket, A)
    _, (image,) = lease_row(database, request_id, 1)

    for _ in range(2):
        database.execute("finish_images", outcome(image))

    assert follow(functions, request_id) == ([(1, 1)], "1")


def test_repeated_urls_and_what_was_given_up_come_too(functions, database, bucket):
    request_id = staged(functions, database, bucket, f"{A}?1", f"{A}?1", f"{A}?2")
    token, (image,) = lease_row(database, request_id, 1)
    end_images(database, token, completed(image))
    database.execute("finish_repeated_urls", {"request_ids": [request_id], "row_numbers": [2]})
    functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 3)))

    assert follow(functions, request_id, limit="1") == ([(1, 1), (2, 1), (3, 1)], "3")


def test_a_cancellation_comes_in_parts_with_pages_across_them(
    functions, database, bucket, connect, upload_queue, finalizer
):
    request_id = staged(
        functions, database, bucket, *[", ".join(urls(100, f"{A}?{row}")) for row in range(12)], f"{A}?x"
    )
    token, (*_, image) = lease_row(database, request_id, 13)
    end_images(database, token, completed(image))
    Control(database, upload_queue, finalizer).cancel("shop", request_id)

    found, last = follow(functions, request_id, limit="149")

    assert found[0] == (13, 1)
    assert sorted(found) == [*((row, place) for row in range(1, 13) for place in range(1, 101)), (13, 1)]
    assert last == "1201"
    parts = query(connect, "SELECT cardinality(image_ids), last_number FROM job_event ORDER BY last_number")
    assert max(images for images, _ in parts) <= 500
    assert [sum(images for images, _ in parts[: n + 1]) for n in range(len(parts))] == [number for _, number in parts]


def test_an_image_that_a_retry_does_again_comes_again(functions, database, bucket, upload_queue, finalizer):
    request_id = staged(functions, database, bucket, f"{A}?1", f"{A}?2")
    finish(database, request_id, failing={(2, 1)})
    functions.values["API_BASE_URL"] = "https://api.shop.example"
    close(functions, request_id)
    found, after = follow(functions, request_id)
    assert found == [(1, 1), (2, 1)]

    Control(database, upload_queue, finalizer).retry("shop", request_id)
    assert follow(functions, request_id, after) == ([], after)
    statuses = [image["status"] for image in ask(functions, request_id)["images"]]
    finish(database, request_id)

    assert statuses == ["COMPLETED", "PENDING"]
    assert follow(functions, request_id, after) == ([(2, 1)], "3")
    assert {image["status"] for image in ask(functions, request_id)["images"]} == {"COMPLETED"}


def test_an_image_that_is_gone_is_passed_over_and_ends_nothing(functions, database, bucket, connect):
    request_id = staged(functions, database, bucket, *urls(5))
    finish(database, request_id)
    query(connect, "DELETE FROM compressed_images WHERE row_number < 5")

    assert follow(functions, request_id, limit="2") == ([(5, 1)], "5")


def test_very_many_that_are_gone_take_few_statements(functions, database, bucket, connect, monkeypatch):
    """A correction of a whole sheet: one at a time, an answer would take minutes."""
    request_id = staged(functions, database, bucket, *urls(60))
    finish(database, request_id)
    query(connect, "DELETE FROM compressed_images WHERE row_number < 60")
    statements, fetch_all = [], Database.fetch_all
    monkeypatch.setattr(
        Database, "fetch_all", lambda self, name, values: statements.append(name) or fetch_all(self, name, values)
    )

    (image,) = ask(functions, request_id, limit="1")["images"]

    assert image["row_number"] == 60
    assert statements.count("list_events") <= 7


# ── Jobs from before events were kept ───────────────────────────────────────────────────────────────────────────────


def forget_events(connect, *, but=0):
    """As code from before migration 0013 ended images."""
    query(connect, "DELETE FROM job_event WHERE last_number > %s", but)
    query(connect, "UPDATE job_request SET event_count = %s", but)


def test_a_job_from_before_shows_all_of_its_images_when_it_has_ended(functions, database, bucket, connect):
    request_id = staged(functions, database, bucket, *urls(3))
    finish(database, request_id)
    forget_events(connect)

    first = follow(functions, request_id, limit="2")

    assert sorted(first[0]) == [(1, 1), (2, 1), (3, 1)]
    assert follow(functions, request_id, limit="2") == first


def test_of_a_job_at_work_during_the_deployment_what_was_not_noted_comes_at_its_end(
    functions, database, bucket, connect
):
    request_id = staged(functions, database, bucket, *urls(3))
    for row in (1, 2):
        token, (image,) = lease_row(database, request_id, row)
        end_images(database, token, completed(image))
    forget_events(connect, but=1)
    assert follow(functions, request_id) == ([(1, 1)], "1")
    finish(database, request_id)

    found, last = follow(functions, request_id, "1")

    assert set(found) == {(1, 1), (2, 1), (3, 1)}
    assert follow(functions, request_id, last) == ([], last)


def test_two_who_ask_for_such_a_job_at_once_note_its_images_once(functions, database, bucket, connect):
    request_id = staged(functions, database, bucket, *urls(3))
    finish(database, request_id)
    forget_events(connect)

    def read():
        own = Database(connect)
        list_events(own, owner="shop", request_id=request_id, after=0, limit=100, base_url="https://api.shop.example")
        own.close()

    readers = [Thread(target=read) for _ in range(2)]
    with closing(connect()) as keeper, keeper.cursor() as cursor:
        cursor.execute("SELECT FROM job_request FOR UPDATE")
        for reader in readers:
            reader.start()
        wait_until_blocked(connect, len(readers))
        keeper.rollback()
    for reader in readers:
        reader.join(30)

    assert query(connect, "SELECT event_count FROM job_request") == [(3,)]
    assert len(follow(functions, request_id)[0]) == 3
