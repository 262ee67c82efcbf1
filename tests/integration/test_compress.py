"""compress: every image one outcome, every job's counters exact, whoever works on it and however often."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import boto3
import pytest
from PIL import Image
from psycopg2.extras import Json

from imagejobs.codec import Codec
from imagejobs.database import Database
from imagejobs.fetch import Fetcher
from imagejobs.steps import compress as compress_step
from imagejobs.steps.compress import MAX_ATTEMPTS, MAX_CRASHES, Clock, RowWorker
from imagejobs.steps.fan_out import FanOut
from tests.integration.handlers import deliver, wait_until
from tests.integration.jobs import executions, images_of, job_of, plenty, query, received, rows_in, sheet, upload
from tests.unit.fetch_helpers import destinations, http_answer, says, scripted_origin
from tests.unit.image_helpers import encode, noise
from tests.unit.misbehaving_codec import order

JPEG = encode(noise((320, 240)), "JPEG", quality=97)
NOT_FOUND = says(http_answer(status="404 Not Found"))
UNAVAILABLE = says(http_answer(status="503 Service Unavailable"))


class Crash(BaseException):
    """Stands for a worker that is killed at this point."""


@pytest.fixture
def shop():
    """An origin that answers each path with the next of its answers, the last one for good; a JPEG by default."""
    with scripted_origin(says(http_answer(JPEG))) as server:
        yield server


@pytest.fixture
def fan_out(database, bucket, row_queue, upload_queue, finalizer, shop):
    """Makes a job of a sheet, up to the messages of its rows."""
    step = FanOut(
        bucket, database, row_queue, upload_queue, 100, finalizer, "drop", 1000, "", destinations(shop.origin)
    )

    def run(*cells, **columns):
        request_id, source = upload(database, bucket, sheet(*cells), **columns)
        step.run(source, plenty)
        return request_id

    return run


@pytest.fixture
def worker(database, bucket, row_queue, upload_queue, finalizer, shop, codec, monkeypatch) -> RowWorker:
    monkeypatch.setattr(compress_step, "RETRY_DELAYS_SECONDS", (0.0, 0.0))
    fetcher = Fetcher(destinations(shop.origin))
    return RowWorker(database, bucket, fetcher, row_queue, upload_queue, 100, finalizer, "https://cdn.example", codec)


def statuses(database, request_id):
    return [image["status"] for image in images_of(database, request_id)]


def counters(database, request_id):
    job = job_of(database, request_id)
    return [job["images_completed"], job["images_failed"], job["completion_percentage"]]


def expire_leases(connect):
    query(
        connect,
        "UPDATE compressed_images SET leased_until = now() - interval '1 second' WHERE status = 'PENDING'",
    )


def test_a_batch_of_rows_is_compressed_stored_and_counted(worker, fan_out, database, row_queue, shop):
    request_id = fan_out(f"{shop.url('/a.jpg')},{shop.url('/b.jpg')}", shop.url("/c.jpg"))

    given_back = worker.run(received(row_queue), plenty)

    assert given_back == []
    assert statuses(database, request_id) == ["COMPLETED"] * 3
    job = job_of(database, request_id)
    assert counters(database, request_id) == [3, 0, 99]
    assert job["bytes_before"] == 3 * len(JPEG)
    assert job["bytes_after"] == sum(image["bytes_after"] for image in images_of(database, request_id))
    assert executions() == [f"{request_id}-1"]


def test_a_stored_image_is_public_under_a_key_of_ids_and_content(worker, fan_out, database, row_queue, shop):
    request_id = fan_out(shop.url("/Names%20never/matter.php?id=7"))

    worker.run(received(row_queue), plenty)

    (image,) = images_of(database, request_id)
    key = image["image_url"].removeprefix("https://cdn.example/")
    assert key.startswith(f"images/{request_id}/1-1-")
    stored = boto3.client("s3").get_object(Bucket="imagejobs", Key=key)
    body = stored["Body"].read()
    assert stored["ContentType"] == "image/jpeg"
    assert stored["CacheControl"] == "public, max-age=31536000, immutable"
    assert len(body) == image["bytes_after"] < len(JPEG)
    assert Image.open(io.BytesIO(body)).size == (image["width"], image["height"]) == (320, 240)


def test_a_score_is_recorded_where_a_floor_was_asked_for_and_of_a_png_what_it_holds(
    worker, fan_out, database, row_queue, shop
):
    shop.answers["/photograph.png"] = [says(http_answer(encode(noise((320, 240)), "PNG", compress_level=1)))]
    urls = f"{shop.url('/a.jpg')},{shop.url('/photograph.png')}"
    floored, plain = fan_out(urls, options=Json({"min_quality": "75"})), fan_out(urls)

    worker.run(received(row_queue), plenty)
    worker.run(received(row_queue), plenty)

    jpeg, png = images_of(database, floored)
    assert 75 <= jpeg["score"] < 100
    assert png["score"] == 100
    assert [image["score"] for image in images_of(database, plain)] == [None, None]
    for request_id in (floored, plain):
        assert [image["content"] for image in images_of(database, request_id)] == [None, "photograph"]


def test_a_bad_image_fails_alone_with_a_code_and_a_sentence(worker, fan_out, database, row_queue, shop):
    shop.answers["/gone.jpg"] = [NOT_FOUND]
    shop.answers["/page.jpg"] = [says(http_answer(b"<!doctype html><title>Sorry</title>"))]
    shop.answers["/cut.jpg"] = [says(http_answer(JPEG[: len(JPEG) // 2]))]
    shop.answers["/empty.jpg"] = [says(http_answer(b""))]
    paths = ["/good.jpg", "/gone.jpg", "/page.jpg", "/cut.jpg", "/empty.jpg"]
    request_id = fan_out(",".join(shop.url(path) for path in paths), "ftp://shop.example/a.jpg")

    assert worker.run(received(row_queue), plenty) == []

    images = images_of(database, request_id)
    assert [image["error_code"] for image in images] == [
        None,
        "origin_refused",
        "format_unsupported",
        "image_unreadable",
        "image_unreadable",
        "url_refused",
    ]
    assert all(image["error_message"].endswith(".") for image in images[1:])
    assert counters(database, request_id) == [1, 5, 99]


def test_an_image_on_a_denied_host_fails_alone(functions, fan_out, database, row_queue, shop):
    """Through the handler, which reads the operator's lists."""
    functions.values |= {"PRIVATE_ORIGINS": shop.origin, "DENIED_HOSTS": "*.banned.example"}
    request_id = fan_out(f"{shop.url('/a.jpg')},https://img.banned.example/b.jpg,{shop.url('/c.jpg')}")

    assert deliver(functions, "compress", row_queue) == {"batchItemFailures": []}

    images = images_of(database, request_id)
    assert [image["error_code"] for image in images] == [None, "url_refused", None]
    assert "the operator of this service denies" in images[1]["error_message"]
    assert counters(database, request_id) == [2, 1, 99]


def test_the_same_url_twice_in_a_row_gives_two_images_of_one_download(worker, fan_out, database, row_queue, shop):
    request_id = fan_out(f"{shop.url()},{shop.url()}")

    worker.run(received(row_queue), plenty)

    first, second = images_of(database, request_id)
    assert len(shop.requests) == 1
    assert first["image_url"].startswith(f"https://cdn.example/images/{request_id}/1-1-")
    repeats = {"same_as_row_number": 1, "same_as_position": 1}
    assert second == {**first, "image_id": second["image_id"], "position": 2, "cpu_ms": 0, **repeats}
    assert counters(database, request_id) == [2, 0, 99]
    assert job_of(database, request_id)["bytes_before"] == 2 * len(JPEG)


def test_a_failure_is_that_of_every_image_with_its_url(worker, fan_out, database, row_queue, shop):
    shop.answers["/gone.jpg"] = [NOT_FOUND]
    request_id = fan_out(shop.url("/gone.jpg"), shop.url("/a.jpg"), shop.url("/gone.jpg"))

    assert worker.run(received(row_queue), plenty) == []

    gone, _, again = images_of(database, request_id)
    assert len(shop.requests) == 2
    assert (again["error_code"], again["error_message"]) == (gone["error_code"], gone["error_message"])
    assert counters(database, request_id) == [1, 2, 99]


def test_a_url_that_another_worker_is_at_is_waited_for_by_a_new_message(
    worker, fan_out, database, row_queue, shop, connect, monkeypatch
):
    """The picture is not downloaded twice, and no delivery is used up by the wait."""
    request_id = fan_out(shop.url(), shop.url())
    first, second = sorted(received(row_queue), key=lambda message: message.row.row_number)
    other, rung = replace(worker, database=Database(connect)), []
    monkeypatch.setattr(
        type(row_queue), "ring_rows", lambda _, rows, delay=0: rung.extend((*rows, delay) if rows else ())
    )

    def answer(request, wire):
        assert other.run([second], plenty) == []
        says(http_answer(JPEG))(request, wire)

    shop.answers["/cat.jpg"] = [answer]
    worker.run([first], plenty)

    assert rung == [second.row, compress_step.REPEATED_URL_SECONDS]
    assert statuses(database, request_id) == ["COMPLETED", "PENDING"]
    assert other.run([second], plenty) == []
    other.database.close()
    assert statuses(database, request_id) == ["COMPLETED", "COMPLETED"]
    assert len(shop.requests) == 1


def test_repeated_urls_make_room_for_the_rows_that_wait(worker, fan_out, upload_queue, row_queue, shop, connect):
    """Of a sheet with one picture many times, the batches after the first have nothing else to do."""
    fan_out(*[shop.url()] * 8)
    messages = sorted(received(row_queue), key=lambda message: message.row.row_number)
    query(connect, "UPDATE job_request SET rows_sent = 4")  # as with room for four
    small = replace(worker, max_images_out=4)

    small.run(messages[:1], plenty)
    assert received(upload_queue) == []  # three are out, and half must be free
    small.run(messages[1:4], plenty)

    assert len(received(upload_queue)) == 1


def test_fifty_urls_in_one_cell_are_one_rows_work(worker, fan_out, database, row_queue, shop):
    request_id = fan_out(",".join(shop.url(f"/{number}.jpg") for number in range(50)))

    worker.run(received(row_queue), plenty)

    assert counters(database, request_id) == [50, 0, 99]


def test_a_transient_answer_is_tried_again_within_the_invocation(worker, fan_out, database, row_queue, shop):
    shop.answers["/busy.jpg"] = [UNAVAILABLE, says(http_answer(JPEG))]
    request_id = fan_out(shop.url("/busy.jpg"))

    assert worker.run(received(row_queue), plenty) == []

    assert statuses(database, request_id) == ["COMPLETED"]


def test_an_origin_that_stays_down_gives_the_row_back_and_fails_after_the_last_attempt(
    worker, fan_out, database, row_queue, shop, connect
):
    shop.answers["/down.jpg"] = [UNAVAILABLE]
    request_id = fan_out(f"{shop.url('/down.jpg')},{shop.url('/up.jpg')}")
    (message,) = received(row_queue)

    for _ in range(MAX_ATTEMPTS - 1):
        assert worker.run([message], plenty) == [message]
        assert statuses(database, request_id) == ["PENDING", "COMPLETED"]
        assert query(connect, "SELECT count(*) FROM compressed_images WHERE lease_token IS NOT NULL") == [(0,)]
        query(connect, "UPDATE compressed_images SET not_before = now()")
    assert worker.run([message], plenty) == []

    assert statuses(database, request_id) == ["FAILED", "COMPLETED"]
    assert images_of(database, request_id)[0]["error_code"] == "origin_unavailable"
    assert executions() == [f"{request_id}-1"]


def test_an_image_that_a_host_at_rest_was_not_asked_for_loses_no_attempt(
    worker, fan_out, database, row_queue, shop, connect
):
    shop.answers["/busy.jpg"] = [says(http_answer(status="429 Too Many Requests", Retry_After="40"))]
    request_id = fan_out(shop.url("/busy.jpg"), shop.url("/a.jpg"))
    first, second = sorted(received(row_queue), key=lambda message: message.row.row_number)
    worker.run([first], plenty)

    assert worker.run([second], plenty) == [second]

    assert len(shop.requests) == 1
    assert statuses(database, request_id) == ["PENDING", "PENDING"]
    rests = "SELECT attempt, extract(epoch FROM not_before - now())::float FROM compressed_images WHERE row_number = 2"
    ((attempt, seconds),) = query(connect, rests)
    assert attempt == 0
    assert 35 < seconds < 61


def test_a_row_that_repeats_a_url_is_looked_at_again_when_the_first_has_rested(
    worker, fan_out, row_queue, shop, connect, monkeypatch
):
    rung = []
    fan_out(shop.url(), shop.url())
    query(connect, "UPDATE compressed_images SET not_before = now() + '2 minutes' WHERE row_number = 1")
    _, second = sorted(received(row_queue), key=lambda message: message.row.row_number)
    monkeypatch.setattr(
        type(row_queue), "ring_rows", lambda _, rows, delay=0: rung.extend((*rows, delay) if rows else ())
    )

    assert worker.run([second], plenty) == []

    assert rung == [second.row, pytest.approx(120, abs=2)]


def test_a_row_that_is_given_back_is_shown_again_soon(worker, fan_out, row_queue, shop, monkeypatch):
    shop.answers["/down.jpg"] = [UNAVAILABLE]
    shop.answers["/later.jpg"] = [says(http_answer(status="429 Too Many Requests", Retry_After="40"))]
    fan_out(shop.url("/down.jpg"), shop.url("/later.jpg"))
    messages = sorted(received(row_queue), key=lambda message: message.row.row_number)
    shown = {}
    monkeypatch.setattr(
        type(row_queue),
        "show_again",
        lambda _self, message, seconds: shown.update({message.row.row_number: seconds}),
    )

    for message in messages:  # one after the other: the host is at rest after the second one's answer
        worker.run([message], plenty)

    assert shown == {1: pytest.approx(5, abs=1), 2: pytest.approx(40, abs=1)}


def test_a_failure_of_ours_costs_one_image_an_attempt_and_the_batch_nothing(
    worker, fan_out, database, row_queue, bucket, shop, monkeypatch
):
    request_id = fan_out(shop.url("/a.jpg"), shop.url("/b.jpg"))
    put = bucket.put

    def put_but_the_first_row(key, *arguments):
        if "/1-1-" in key:
            raise ConnectionError("S3 is away")
        return put(key, *arguments)

    monkeypatch.setattr(bucket, "put", put_but_the_first_row)
    given_back = worker.run(received(row_queue), plenty)

    assert [message.row.row_number for message in given_back] == [1]
    assert statuses(database, request_id) == ["PENDING", "COMPLETED"]


def test_work_there_is_no_time_for_gets_a_new_message_and_costs_no_attempt_and_no_delivery(
    worker, fan_out, database, row_queue, shop, connect, monkeypatch
):
    monkeypatch.setattr(compress_step, "LEASE_IMAGES", 2)
    request_id = fan_out(",".join(shop.url(f"/{number}.jpg") for number in range(5)))
    (message,) = received(row_queue)

    assert worker.run([message], lambda: 90.0 if len(shop.requests) < 2 else 20.0) == []

    assert statuses(database, request_id).count("COMPLETED") == 2
    assert (
        query(connect, "SELECT attempt, lease_token FROM compressed_images WHERE status = 'PENDING'") == [(0, None)] * 3
    )
    assert rows_in(received(row_queue)) == [1]


def test_an_image_in_anothers_hands_is_left_alone_and_its_message_kept(worker, fan_out, row_queue, shop, connect):
    fan_out(shop.url())
    query(
        connect,
        "UPDATE compressed_images SET lease_token = gen_random_uuid(), leased_until = now() + interval '1 minute'",
    )
    (message,) = received(row_queue)

    assert worker.run([message], plenty) == [message]

    assert shop.requests == []


def test_an_outcome_that_comes_after_the_lease_was_taken_over_changes_nothing(
    worker, fan_out, database, row_queue, shop, connect
):
    request_id = fan_out(shop.url())
    (message,) = received(row_queue)

    def take_over(request, wire):
        query(
            connect,
            "UPDATE compressed_images SET lease_token = gen_random_uuid(), leased_until = now() + '1 minute'",
        )
        says(http_answer(JPEG))(request, wire)

    shop.answers["/cat.jpg"] = [take_over]

    assert worker.run([message], plenty) == [message]

    assert statuses(database, request_id) == ["PENDING"]
    assert counters(database, request_id) == [0, 0, 0]
    assert not executions()


def test_a_lease_that_ran_out_is_taken_over(worker, fan_out, database, row_queue, shop, connect):
    request_id = fan_out(shop.url())
    query(connect, "UPDATE compressed_images SET lease_token = gen_random_uuid(), leased_until = now()")
    expire_leases(connect)

    assert worker.run(received(row_queue), plenty) == []

    assert statuses(database, request_id) == ["COMPLETED"]


def test_an_image_whose_workers_die_again_and_again_is_abandoned(worker, fan_out, database, row_queue, shop, connect):
    request_id = fan_out(shop.url())
    query(connect, "UPDATE compressed_images SET crashes = %s", MAX_CRASHES)

    assert worker.run(received(row_queue), plenty) == []

    assert shop.requests == []
    assert [image["error_code"] for image in images_of(database, request_id)] == ["image_abandoned"]


def test_what_kills_its_worker_fails_alone_and_its_batch_mates_complete(
    worker, fan_out, database, row_queue, shop, connect, monkeypatch
):
    """Every worker that works on the poison dies there, with all that it had not committed."""
    poison = encode(noise((64, 48)), "PNG")
    shop.answers["/poison.png"] = [says(http_answer(poison))]
    compress = Codec.compress

    def die_of_poison(codec, body, *arguments):
        if body == poison:
            raise Crash
        return compress(codec, body, *arguments)

    monkeypatch.setattr(Codec, "compress", die_of_poison)
    request_id = fan_out(*[shop.url(f"/{number}.jpg") for number in range(4)], shop.url("/poison.png"))
    messages = received(row_queue)
    for _ in range(MAX_CRASHES):
        with pytest.raises(Crash):
            worker.run(messages, plenty)
        expire_leases(connect)

    assert worker.run(messages, plenty) == []

    assert statuses(database, request_id) == ["COMPLETED"] * 4 + ["FAILED"]
    assert images_of(database, request_id)[4]["error_code"] == "image_abandoned"
    assert counters(database, request_id) == [4, 1, 99]


def test_nothing_is_begun_beside_what_may_have_killed_a_worker(worker, fan_out, row_queue, shop, connect, monkeypatch):
    """Not even what has rested long enough meanwhile: it would die with it, and be taken for a killer too."""
    monkeypatch.setattr(compress_step, "lease_seconds", lambda _: 1.5)
    fan_out(shop.url("/suspect.jpg"), shop.url("/rested.jpg"))
    query(connect, "UPDATE compressed_images SET crashes = 2 - row_number, not_before = now() + '1 hour'")
    query(connect, "UPDATE compressed_images SET not_before = now() WHERE crashes = 1")
    seen = []

    def answer_late(request, wire):
        query(connect, "UPDATE compressed_images SET not_before = now()")
        for _ in range(2):  # between two renewals the worker looks for more
            ((until,),) = query(connect, "SELECT leased_until FROM compressed_images WHERE row_number = 1")
            wait_until(connect, "SELECT leased_until > %s FROM compressed_images WHERE row_number = 1", until)
        seen.extend(shop.requests)
        says(http_answer(JPEG))(request, wire)

    shop.answers["/suspect.jpg"] = [answer_late]
    worker.run(received(row_queue), plenty)

    assert len(seen) == 1
    assert len(shop.requests) == 2


def test_what_kills_or_holds_up_its_decoder_fails_alone_and_at_once(
    functions, fan_out, database, row_queue, shop, monkeypatch
):
    """Through the handler; the decoder's process is one that pictures have power over."""
    functions.values["PRIVATE_ORIGINS"] = shop.origin
    monkeypatch.setattr(Codec.__init__, "__defaults__", ("tests.unit.misbehaving_codec", 2.0, 500_000_000, 1))
    poisons = {name: order(name) for name in ("crash", "hang", "burst", "fail")} | {"say": order("say", b"nonsense")}
    for name, body in poisons.items():
        shop.answers[f"/{name}"] = [says(http_answer(body))]
    rows = [f"{shop.url(f'/{name}')},{shop.url('/good.jpg')}" for name in poisons]
    request_id = fan_out(*rows)

    assert deliver(functions, "compress", row_queue) == {"batchItemFailures": []}

    images = images_of(database, request_id)
    assert [image["error_code"] for image in images] == ["codec_failed", None] * len(poisons)
    assert [image["error_message"] for image in images[::2]] == [
        "The image crashed the decoder.",
        "Decoding and compressing the image took longer than 2 s.",
        "The image needs more than 500 MB of memory to be compressed.",
        "The image crashed the decoder.",
        "The image broke the decoder: its answer cannot be used.",
    ]
    assert counters(database, request_id) == [5, 5, 99]


def test_images_that_others_leave_no_time_for_cost_no_attempt_and_no_delivery(
    worker, fan_out, database, row_queue, shop, connect, monkeypatch
):
    """They are leased, and wait for one of the threads behind an origin that takes all of the time."""
    monkeypatch.setattr(compress_step, "TRANSFERS", 1)
    request_id = fan_out(*[shop.url(f"/{number}.jpg") for number in range(3)])

    assert worker.run(received(row_queue), lambda: 14.0 if shop.requests else 90.0) == []

    assert sorted(statuses(database, request_id)) == ["COMPLETED", "PENDING", "PENDING"]
    left = query(connect, "SELECT attempt, crashes, lease_token FROM compressed_images WHERE status = 'PENDING'")
    assert left == [(0, 0, None)] * 2
    assert len(shop.requests) == 1
    assert rows_in(received(row_queue)) == [2, 3]


def test_an_image_whose_decoder_was_busy_until_the_end_cost_no_attempt(
    worker, fan_out, database, row_queue, shop, connect
):
    request_id = fan_out(shop.url("/late.jpg"))

    assert worker.run(received(row_queue), lambda: 7.0 if shop.requests else 90.0) == []

    assert statuses(database, request_id) == ["PENDING"]
    assert query(connect, "SELECT attempt, lease_token FROM compressed_images") == [(0, None)]
    assert rows_in(received(row_queue)) == [1]


def test_a_lease_whose_reply_was_lost_is_granted_again_as_one(worker, fan_out, row_queue, connect, monkeypatch):
    fan_out("https://shop.example/a.jpg")
    (message,) = received(row_queue)
    token = UUID("00000000-0000-0000-0000-000000000001")
    monkeypatch.setattr(compress_step, "uuid4", lambda: token)

    first = worker._lease([message.row], Clock(plenty, plenty()), [])
    again = worker._lease([message.row], Clock(plenty, plenty()), [])

    assert [image["image_id"] for image in first] == [image["image_id"] for image in again]
    assert query(connect, "SELECT attempt, crashes FROM compressed_images") == [(1, 0)]


def test_messages_of_rows_that_are_done_or_unknown_are_acknowledged(worker, fan_out, row_queue, shop, connect):
    fan_out(shop.url())
    messages = received(row_queue)
    worker.run(messages, plenty)
    unknown = replace(messages[0], body={**messages[0].body, "row_number": 99})

    assert worker.run([messages[0], messages[0], unknown], plenty) == []

    assert len(shop.requests) == 1


def test_racing_workers_with_duplicate_messages_count_every_image_once(
    worker, fan_out, database, row_queue, shop, connect
):
    """Four workers, each with all messages of 12 jobs in another order, until nothing is given back."""
    rows = [f"{shop.url(f'/a{number}.jpg')},{shop.url(f'/b{number}.jpg')}" for number in range(3)]
    request_ids = [fan_out(*rows) for _ in range(12)]
    messages = received(row_queue)

    def work(offset: int) -> None:
        own = replace(worker, database=Database(connect))
        pending = messages[offset:] + messages[:offset]
        deadline = threading.Event()
        while pending and not deadline.wait(0.01):
            batch, pending = pending[:10], pending[10:]
            pending += own.run(batch, plenty)
        own.database.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, len(messages), len(messages) // 4)))

    for request_id in request_ids:
        assert counters(database, request_id) == [6, 0, 99]
        assert job_of(database, request_id)["finalizable_at"] is not None
    assert executions() == sorted(f"{request_id}-1" for request_id in request_ids)
    objects = boto3.client("s3").list_objects_v2(Bucket="imagejobs", Prefix="images/")
    assert objects["KeyCount"] == 12 * 6
