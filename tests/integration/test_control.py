"""control: what callers ask of a job that is there: each may be repeated, and comes before or after its end."""

import csv
import io
import json
from dataclasses import replace
from functools import partial
from threading import Thread

import pytest

from imagejobs.database import Database
from imagejobs.destinations import ANY_PUBLIC_HOST
from imagejobs.errors import JobEnded
from imagejobs.queues import Queue
from imagejobs.sheet import SheetRow
from imagejobs.steps import compress as compress_step
from imagejobs.steps import control as control_step
from imagejobs.steps import fan_out as fan_out_step
from imagejobs.steps.control import Control
from imagejobs.steps.fan_out import FanOut
from imagejobs.steps.sweep import OLDER_THAN_SECONDS
from imagejobs.webhook import RETRY_DELAYS_SECONDS
from tests.integration.handlers import (
    answer_webhook,
    api_event,
    beside,
    body_of,
    close,
    completed,
    content_of,
    deliver,
    end_images,
    event_to_send,
    failed,
    fanned_out,
    file_event,
    finish,
    lease_row,
    load_event,
    row_body,
    sqs_event,
    wait_until_blocked,
)
from tests.integration.jobs import executions, images_of, job_of, plenty, query, received, rows_in, sheet, upload, urls
from tests.unit.fetch_helpers import http_answer, origin, says
from tests.unit.image_helpers import encode, noise

A, B, C, D = (f"https://shop.example/{name}.jpg" for name in "abcd")
HOOK = "https://shop.example/hooks/images"
PICTURE = encode(noise((160, 120)), "JPEG", quality=98)
# What the state machine passes on when the finished CSV cannot be written.
UNWRITABLE = {"result_key": None, "result_version": None, "error_message": "The finished CSV could not be written; …"}


@pytest.fixture
def shop(functions):
    """An origin that the operator allows; a test says what it answers."""
    with origin(says(http_answer(PICTURE))) as server:
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


@pytest.fixture
def control(connect, upload_queue, finalizer):
    """What the API controls jobs with, on a connection of its own."""
    database = Database(connect)
    yield Control(database, upload_queue, finalizer)
    database.close()


def ask(functions, route, request_id):
    """What the API says to the job's owner: the answer's content when it is accepted, else status and code."""
    answer = functions.invoke("api", api_event(route, request_id))
    content = content_of(answer)
    return content if answer["statusCode"] == 202 else (answer["statusCode"], content["code"])


def ended(functions, database, bucket, row_queue, *cells, failing=(), **columns):
    """A job that was closed, its row messages gone; these images failed."""
    request_id = fanned_out(functions, database, bucket, sheet(*cells), **columns)
    received(row_queue)
    finish(database, request_id, failing=failing)
    close(functions, request_id)
    return request_id


def statuses(database, request_id):
    return [image["error_code"] or image["status"] for image in images_of(database, request_id)]


def result_of(bucket, request_id):
    """The rows of the finished CSV: status and error."""
    rows = csv.reader(io.StringIO(body_of(bucket, f"results/{request_id}.csv").decode()))
    return [(row[4], row[5]) for row in rows][1:]


def stored_versions(bucket, prefix):
    listing = bucket._client.list_object_versions(Bucket=bucket.name, Prefix=prefix)
    return {(version["Key"], version["VersionId"]) for version in listing.get("Versions", [])}


def at_once(connect, request_id, *works):
    """Run these at once in threads: all of them wait for the job's lock before the first gets it."""
    threads = [Thread(target=work) for work in works]
    holder = Database(connect)

    def hold(transaction):
        transaction.fetch_all("lock_jobs", {"request_ids": [request_id]})
        for thread in threads:
            thread.start()
        wait_until_blocked(connect, len(threads))

    holder.transact(hold)
    for thread in threads:
        thread.join(30)
    holder.close()


# ── Retry: what is done again, and what is kept ─────────────────────────────────────────────────────────────────────


def test_a_retry_does_the_failed_images_again_and_nothing_else(
    functions, database, bucket, connect, row_queue, upload_queue
):
    request_id = ended(functions, database, bucket, row_queue, f"{A}, {B}", C, D, failing={(1, 2), (3, 1)})
    query(connect, "UPDATE compressed_images SET attempt = 4, crashes = 2, not_before = now() + '1 hour'")
    kept = [image for image in images_of(database, request_id) if image["status"] == "COMPLETED"]

    assert ask(functions, "retry", request_id) == {"request_id": str(request_id), "generation": 2}

    job = job_of(database, request_id)
    told = ["status", "completion_percentage", "error_message", "images_total", "images_completed", "images_failed"]
    assert [job[name] for name in told] == ["PROCESSING", 0, None, 4, 2, 0]
    assert statuses(database, request_id) == ["COMPLETED", "PENDING", "COMPLETED", "PENDING"]
    assert [image for image in images_of(database, request_id) if image["status"] == "COMPLETED"] == kept
    begun = "SELECT DISTINCT attempt, crashes, not_before <= now() FROM compressed_images WHERE status = 'PENDING'"
    assert query(connect, begun) == [(0, 0, True)]
    assert deliver(functions, "fan_out", upload_queue) == {"batchItemFailures": []}
    messages = received(row_queue)
    assert rows_in(messages) == [1, 3]
    assert {message.row.generation for message in messages} == {2}


def test_a_retried_job_is_as_far_as_the_images_of_its_generation(functions, database, bucket, row_queue):
    request_id = ended(functions, database, bucket, row_queue, *urls(6), failing={(row, 1) for row in (2, 4, 6)})
    ask(functions, "retry", request_id)

    percentages = []
    for row_number in (2, 4, 6):
        token, (image,) = lease_row(database, request_id, row_number)
        end_images(database, token, completed(image))
        status = content_of(functions.invoke("api", api_event("status", request_id)))
        percentages.append(status["completion_percentage"])

    assert percentages == [33, 66, 99]
    assert (status["generation"], status["images_completed"], status["status"]) == (2, 6, "PROCESSING")


def test_a_generation_ends_with_a_new_csv_and_a_new_event(functions, database, bucket, connect, row_queue):
    cells, failing = (A, f"{B}, {C}"), {(1, 1), (2, 2)}
    request_id = ended(functions, database, bucket, row_queue, *cells, failing=failing, webhook_url=HOOK)
    first = job_of(database, request_id)
    ask(functions, "retry", request_id)
    finish(database, request_id, failing={(2, 2)})

    webhook = close(functions, request_id, generation=2)["closed"]

    assert (webhook["attempt"], webhook["webhook"]["event_id"]) == (1, f"evt_{request_id}-2")
    body = json.loads(event_to_send(functions, webhook)["body"])
    assert [body[name] for name in ("images", "images_completed", "images_failed")] == [3, 2, 1]
    assert [body[name] for name in ("bytes_before", "bytes_after")] == [2000, 800]
    assert [status for status, _ in result_of(bucket, request_id)] == ["COMPLETED", "PARTIAL"]
    job = job_of(database, request_id)
    assert (job["status"], job["completion_percentage"]) == ("COMPLETED", 100)
    assert job["result_version"] != first["result_version"]
    outcomes = "SELECT generation, status, error_message FROM job_outcome ORDER BY generation"
    assert query(connect, outcomes) == [(1, "COMPLETED", None), (2, "COMPLETED", None)]


def test_a_retry_keeps_the_objects_and_urls_of_what_was_done(
    functions, shop, database, bucket, row_queue, upload_queue
):
    """Through all functions: the second image is there only at the second try."""
    answers = {"/a": [PICTURE], "/b": [None, encode(noise((160, 120), seed=2), "JPEG", quality=98)]}

    def answer(request, wire):
        found = answers[request.resource].pop(0)
        wire.sendall(http_answer(found) if found else http_answer(status="404 Not Found"))

    shop.answer = answer
    request_id = fanned_out(functions, database, bucket, sheet(f"{shop.url('/a')}, {shop.url('/b')}"))
    deliver(functions, "compress", row_queue)
    close(functions, request_id)
    first, _ = images_of(database, request_id)
    (kept,) = stored_versions(bucket, "images/")
    ask(functions, "retry", request_id)
    deliver(functions, "fan_out", upload_queue)

    assert deliver(functions, "compress", row_queue) == {"batchItemFailures": []}

    assert executions() == [f"{request_id}-1", f"{request_id}-2"]
    close(functions, request_id, generation=2)
    again, second = images_of(database, request_id)
    assert again == first
    assert second["status"] == "COMPLETED"
    assert kept in stored_versions(bucket, "images/")
    assert len(stored_versions(bucket, "images/")) == 2


def test_a_job_whose_csv_could_not_be_written_gets_it_by_a_retry(functions, database, bucket, row_queue, upload_queue):
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
    received(row_queue)
    finish(database, request_id)
    state = {"request_id": str(request_id), "generation": 1, "run": 1, "result": UNWRITABLE}
    functions.invoke("finalize", {"step": "close_job", "state": state})
    assert job_of(database, request_id)["status"] == "FAILED"

    assert ask(functions, "retry", request_id)["generation"] == 2

    assert executions() == [f"{request_id}-2"]
    assert received(upload_queue) == []
    close(functions, request_id, generation=2)
    job = job_of(database, request_id)
    assert (job["status"], job["error_message"], job["images_completed"]) == ("COMPLETED", None, 2)
    assert [status for status, _ in result_of(bucket, request_id)] == ["COMPLETED", "COMPLETED"]


# ── Retry: repeats, refusals and lost replies ───────────────────────────────────────────────────────────────────────


def test_repeating_a_retry_begins_no_other_generation_until_that_one_has_ended(functions, database, bucket, row_queue):
    request_id = ended(functions, database, bucket, row_queue, A, B, failing={(1, 1), (2, 1)})
    answers = [ask(functions, "retry", request_id)["generation"]]
    before = job_of(database, request_id)
    answers.append(ask(functions, "retry", request_id)["generation"])
    assert job_of(database, request_id) == before
    finish(database, request_id, failing={(1, 1)})
    answers.append(ask(functions, "retry", request_id)["generation"])
    assert statuses(database, request_id) == ["origin_refused", "COMPLETED"]

    close(functions, request_id, generation=2)
    answers.append(ask(functions, "retry", request_id)["generation"])

    assert answers == [2, 2, 2, 3]
    assert statuses(database, request_id) == ["PENDING", "COMPLETED"]


def test_a_fan_out_that_slept_through_the_end_of_its_generation_moves_no_cursor_of_the_next(
    functions, database, bucket, connect, control, row_queue, upload_queue, finalizer, monkeypatch
):
    """Or the rows of the next would count as sent, and nobody would send them."""
    fan_out = FanOut(bucket, Database(connect), row_queue, upload_queue, 200, finalizer, "drop", 9, "", ANY_PUBLIC_HOST)
    request_id, source = upload(database, bucket, sheet(A, B))
    ring_rows = row_queue.ring_rows

    def ring_and_sleep(rows):
        ring_rows(rows)
        monkeypatch.setattr(row_queue, "ring_rows", ring_rows)
        finish(database, request_id, failing={(1, 1), (2, 1)})
        close(functions, request_id)
        control.retry("shop", request_id)

    monkeypatch.setattr(row_queue, "ring_rows", ring_and_sleep)
    fan_out.run(source, plenty)
    received(row_queue)

    assert job_of(database, request_id)["rows_sent"] == 0
    fan_out.run(source, plenty)
    fan_out.database.close()

    assert [(message.row.row_number, message.row.generation) for message in received(row_queue)] == [(1, 2), (2, 2)]


def test_a_job_that_has_not_ended_yet_is_not_retried(functions, database, bucket):
    waiting, _ = upload(database, bucket, sheet(A))
    at_work = fanned_out(functions, database, bucket, sheet(A))
    done = fanned_out(functions, database, bucket, sheet(A))
    finish(database, done, failing={(1, 1)})

    for request_id in (waiting, at_work, done):
        before = job_of(database, request_id), images_of(database, request_id)
        assert ask(functions, "retry", request_id) == (409, "job_not_ended")
        assert (job_of(database, request_id), images_of(database, request_id)) == before


@pytest.mark.parametrize(
    "body", [sheet(A, B), b"not,a,sheet\n", sheet("", "")], ids=["all done", "refused", "no image"]
)
def test_a_job_without_a_failed_image_is_not_retried(functions, database, bucket, row_queue, upload_queue, body):
    request_id, source = upload(database, bucket, body)
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id)
    close(functions, request_id)
    before = job_of(database, request_id)

    assert ask(functions, "retry", request_id) == (409, "nothing_to_retry")

    assert job_of(database, request_id) == before
    assert received(upload_queue) == []


def test_racing_retries_begin_one_generation(functions, database, bucket, connect, row_queue, control):
    request_id = ended(functions, database, bucket, row_queue, A, B, failing={(2, 1)})
    other, answers = replace(control, database=Database(connect)), []

    at_once(connect, request_id, *[lambda c=c: answers.append(c.retry("shop", request_id)) for c in (control, other)])
    other.database.close()

    assert answers == [2, 2]
    assert job_of(database, request_id)["generation"] == 2
    assert statuses(database, request_id) == ["COMPLETED", "PENDING"]


def test_a_retry_whose_ringing_failed_has_begun_and_is_rung_for_later(
    functions, database, bucket, connect, row_queue, upload_queue
):
    request_id = ended(functions, database, bucket, row_queue, A, failing={(1, 1)})
    url = functions.values["UPLOAD_QUEUE_URL"]
    functions.values["UPLOAD_QUEUE_URL"] = url + "-deleted"
    assert ask(functions, "retry", request_id) == (500, "internal_error")
    functions.values["UPLOAD_QUEUE_URL"] = url
    assert job_of(database, request_id)["generation"] == 2
    query(connect, "UPDATE job_request SET updated_at = now() - make_interval(secs => %s)", OLDER_THAN_SECONDS + 1)

    assert functions.invoke("sweep", load_event("sweep"))["stalled_fan_outs"] == 1

    deliver(functions, "fan_out", upload_queue)
    assert rows_in(received(row_queue)) == [1]


# ── Retry: what the generation before has left behind ───────────────────────────────────────────────────────────────


def test_a_dead_letter_of_the_generation_before_buries_nothing(functions, database, bucket, row_queue):
    request_id = ended(functions, database, bucket, row_queue, A, failing={(1, 1)})
    ask(functions, "retry", request_id)

    old = functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1, generation=1)))
    assert (old, statuses(database, request_id)) == ({"batchItemFailures": []}, ["PENDING"])
    lease_row(database, request_id, 1)
    old = functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1, generation=1)))
    assert (old, statuses(database, request_id)) == ({"batchItemFailures": []}, ["PENDING"])


def test_a_dead_letter_of_the_present_generation_buries_its_row(functions, database, bucket, row_queue):
    request_id = ended(functions, database, bucket, row_queue, A, B, failing={(1, 1)})
    ask(functions, "retry", request_id)

    functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1, generation=2)))

    assert statuses(database, request_id) == ["image_abandoned", "COMPLETED"]
    assert executions() == [f"{request_id}-2"]


def test_a_worker_of_the_generation_before_changes_nothing(functions, database, bucket, row_queue):
    """It was taken for dead, its image was given up, and the job was retried; then it comes back."""
    request_id = fanned_out(functions, database, bucket, sheet(A))
    received(row_queue)
    zombie, (image,) = lease_row(database, request_id, 1, seconds=-1)
    functions.invoke("bury", sqs_event("bury-row", row_body(request_id, 1)))
    close(functions, request_id)
    ask(functions, "retry", request_id)

    end_images(database, zombie, completed(image))
    assert (statuses(database, request_id), job_of(database, request_id)["images_completed"]) == (["PENDING"], 0)
    token, (image,) = lease_row(database, request_id, 1)
    end_images(database, zombie, failed(image))
    assert (statuses(database, request_id), job_of(database, request_id)["images_failed"]) == (["PENDING"], 0)

    end_images(database, token, completed(image))
    assert statuses(database, request_id) == ["COMPLETED"]


def test_a_message_of_the_generation_before_is_acknowledged(functions, shop, database, bucket, row_queue):
    """The present one has messages of its own; what this one may do meanwhile is counted once all the same."""
    shop.answer = says(http_answer(status="503 Service Unavailable"))
    request_id = ended(functions, database, bucket, row_queue, shop.url(), failing={(1, 1)})
    ask(functions, "retry", request_id)
    lease_row(database, request_id, 1)

    answer = functions.invoke("compress", sqs_event("compress", row_body(request_id, 1, generation=1)))

    assert answer == {"batchItemFailures": []}
    assert (statuses(database, request_id), shop.requests) == (["PENDING"], [])


def test_an_execution_of_the_generation_before_writes_sends_and_settles_nothing(functions, database, bucket, row_queue):
    """It waited for its next attempt at the webhook."""
    request_id = ended(functions, database, bucket, row_queue, A, B, failing={(1, 1)}, webhook_url=HOOK)
    assert answer_webhook(functions, close(functions, request_id), 503)["outcome"] == "retry"
    ask(functions, "retry", request_id)
    before, files = job_of(database, request_id), stored_versions(bucket, "results/")

    assert close(functions, request_id)["closed"] == {"webhook": None, "attempt": 0}
    assert (job_of(database, request_id), stored_versions(bucket, "results/")) == (before, files)

    finish(database, request_id)
    state = close(functions, request_id, generation=2)
    assert close(functions, request_id)["closed"] == {"webhook": None, "attempt": 0}
    assert job_of(database, request_id)["settled_at"] is None
    assert (state["closed"]["attempt"], state["closed"]["webhook"]["event_id"]) == (1, f"evt_{request_id}-2")


# ── Cancel: before the rows are staged ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("has_arrived", [True, False])
def test_a_job_that_waits_is_cancelled_before_its_sheet_is_read(functions, database, bucket, row_queue, has_arrived):
    request_id, source = upload(database, bucket, sheet(A), webhook_url=HOOK)
    if has_arrived:
        database.execute("accept_source", {"request_id": request_id, "source_version": source.version})

    assert ask(functions, "cancel", request_id) == {"request_id": str(request_id)}

    assert executions() == [f"{request_id}-1"]
    functions.invoke("fan_out", file_event(source))
    assert (images_of(database, request_id), received(row_queue)) == ([], [])
    body = json.loads(event_to_send(functions, close(functions, request_id)["closed"])["body"])
    job = job_of(database, request_id)
    assert (job["status"], job["error_message"], job["rows_total"]) == ("FAILED", "cancelled", 0)
    assert (body["status"], body["message"], body["result_url"]) == ("FAILED", "cancelled", None)
    assert json.loads(body_of(bucket, f"results/{request_id}.csv.error.json"))["message"] == "cancelled"


def test_a_fan_out_whose_job_is_cancelled_stages_and_sends_nothing_more(
    functions, database, bucket, connect, row_queue, control, monkeypatch
):
    monkeypatch.setattr(fan_out_step, "STAGE_CHARACTERS", 150)  # two rows of `sheet`
    request_id, source = upload(database, bucket, sheet(*urls(6)))
    stage_chunk, staged = fan_out_step._stage_chunk, []

    def cancel_before_the_second(job, row_number, *arguments):
        if staged:
            control.cancel("shop", request_id)
        stage_chunk(job, row_number, *arguments)
        staged.append(row_number)

    # The fan-out's own transaction is open by then, and has no lock yet.
    monkeypatch.setattr(fan_out_step, "_stage_chunk", cancel_before_the_second)
    assert functions.invoke("fan_out", file_event(source)) == {"batchItemFailures": []}

    assert staged == [2]
    assert (images_of(database, request_id), received(row_queue)) == ([], [])
    job = job_of(database, request_id)
    assert (job["error_message"], job["rows_total"], job["fan_out_token"]) == ("cancelled", 0, None)
    assert executions() == [f"{request_id}-1"]


def test_a_cancellation_that_waits_for_the_totals_ends_the_images(functions, database, bucket, connect, control):
    """The fan-out's last transaction comes first; its messages find nothing to do."""
    request_id, source = upload(database, bucket, sheet(A, B))
    lease = fan_out_step.Lease(database, request_id, lambda: 300.0, 300.0)
    database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
    job = lease.take(source, 100)
    totals = {"rows_total": 2, "rows_failed": 0, "images_total": 2, "sheet_found": None}
    chunk = fan_out_step._Chunk(request_id)
    for number in (1, 2):
        chunk.add(SheetRow(number, number + 1, (), str(number), "Chair", (A,), None))

    beside(connect, partial(fan_out_step._declare, job, totals, chunk), partial(control.cancel, "shop", request_id))

    assert statuses(database, request_id) == ["cancelled", "cancelled"]
    job = job_of(database, request_id)
    assert (job["fan_out_token"], job["images_failed"], job["rows_sent"]) == (None, 2, 2)
    assert executions() == [f"{request_id}-1"]


def test_a_fan_out_whose_job_is_cancelled_while_it_sends_rings_for_no_further_row(
    functions, database, bucket, row_queue, control, monkeypatch
):
    monkeypatch.setattr(fan_out_step, "SEND_IMAGES", 2)
    request_id, source = upload(database, bucket, sheet(*urls(6)))
    ring_rows = Queue.ring_rows

    def ring_and_cancel(self, rows):
        ring_rows(self, rows)
        control.cancel("shop", request_id)

    monkeypatch.setattr(Queue, "ring_rows", ring_and_cancel)
    assert functions.invoke("fan_out", file_event(source)) == {"batchItemFailures": []}
    monkeypatch.setattr(Queue, "ring_rows", ring_rows)

    messages = received(row_queue)
    assert rows_in(messages) == [1, 2]
    assert statuses(database, request_id) == ["cancelled"] * 6
    assert executions() == [f"{request_id}-1"]
    answer = functions.invoke("compress", sqs_event("compress", *[message.body for message in messages]))
    assert answer == {"batchItemFailures": []}
    assert job_of(database, request_id)["images_failed"] == 6


# ── Cancel: while images are worked on ──────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_job_begins_no_image_and_keeps_what_ends_under_its_lease(
    functions, database, bucket, connect, row_queue
):
    cells = [A, f"{B}, {C}", D, *urls(2)]
    request_id = fanned_out(functions, database, bucket, sheet(*cells), webhook_url=HOOK)
    done, (image,) = lease_row(database, request_id, 1)
    end_images(database, done, completed(image))
    token, leased = lease_row(database, request_id, 2)
    lease_row(database, request_id, 3, seconds=-1)  # of a worker that died
    query(connect, "UPDATE compressed_images SET not_before = now() + '5 minutes' WHERE row_number = 4")

    ask(functions, "cancel", request_id)

    assert statuses(database, request_id) == ["COMPLETED", "PENDING", "PENDING", *["cancelled"] * 3]
    assert not executions()
    status = content_of(functions.invoke("api", api_event("status", request_id)))
    assert (status["status"], status["images_completed"], status["images_failed"]) == ("PROCESSING", 1, 3)
    end_images(database, token, *map(completed, leased))
    body = json.loads(event_to_send(functions, close(functions, request_id)["closed"])["body"])
    assert (body["status"], body["message"]) == ("FAILED", "cancelled")
    assert (body["images_completed"], body["images_failed"]) == (3, 3)
    job = job_of(database, request_id)
    assert (job["status"], job["error_message"], job["completion_percentage"]) == ("FAILED", "cancelled", 100)
    rows = result_of(bucket, request_id)
    assert [status for status, _ in rows] == ["COMPLETED", "COMPLETED", "FAILED", "FAILED", "FAILED"]
    assert "cancelled" in rows[2][1]


def test_a_transient_failure_after_a_cancellation_is_the_end(
    functions, shop, database, bucket, row_queue, control, monkeypatch
):
    """Not after the delay that the origin asked for."""
    monkeypatch.setattr(compress_step, "RETRY_DELAYS_SECONDS", ())

    def cancel_and_fail(request, wire):
        control.cancel("shop", request_id)
        wire.sendall(http_answer(status="503 Service Unavailable", Retry_After="200"))

    shop.answer = cancel_and_fail
    request_id = fanned_out(functions, database, bucket, sheet(shop.url()))

    assert deliver(functions, "compress", row_queue) == {"batchItemFailures": []}

    assert statuses(database, request_id) == ["cancelled"]
    assert len(shop.requests) == 1
    assert executions() == [f"{request_id}-1"]


def test_an_image_of_a_worker_that_died_ends_when_its_lease_has(functions, shop, database, bucket, connect, row_queue):
    request_id = fanned_out(functions, database, bucket, sheet(f"{shop.url('/a')}, {shop.url('/b')}"))
    received(row_queue)
    lease_row(database, request_id, 1)
    ask(functions, "cancel", request_id)
    assert statuses(database, request_id) == ["PENDING", "PENDING"]
    query(connect, "UPDATE compressed_images SET leased_until = now() - interval '1 second'")

    assert functions.invoke("sweep", load_event("sweep"))["expired_leases"] == 1
    assert deliver(functions, "compress", row_queue) == {"batchItemFailures": []}

    assert statuses(database, request_id) == ["cancelled", "cancelled"]
    assert shop.requests == []
    assert executions() == [f"{request_id}-1"]


def test_a_lease_that_is_granted_first_is_respected_by_the_cancellation(functions, database, bucket, connect, control):
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
    lease = {"request_ids": [request_id], "row_numbers": [1], "crashed": False, "limit": 1, "lease_seconds": 60}
    token = "00000000-0000-0000-0000-000000000001"

    beside(
        connect,
        lambda transaction: transaction.fetch_all("lease_images", {**lease, "token": token}),
        partial(control.cancel, "shop", request_id),
    )

    assert statuses(database, request_id) == ["PENDING", "cancelled"]


# ── Cancel: at the end, and repeated ────────────────────────────────────────────────────────────────────────────────


def last_image_done(database, request_id):
    """Work of a worker's transaction that ends the job's only image, the job's lock first as `compress` takes it."""
    token, (image,) = lease_row(database, request_id, 1)

    def settle(transaction):
        transaction.fetch_all("lock_jobs", {"request_ids": [request_id]})
        leased = {**completed(image), "lease_token": str(token)}
        transaction.execute("finish_images", {"finished": json.dumps([leased])})

    return settle


def test_a_cancellation_that_comes_after_the_last_image_is_too_late(functions, database, bucket, connect, control):
    request_id = fanned_out(functions, database, bucket, sheet(A))

    outcome = beside(connect, last_image_done(database, request_id), partial(control.cancel, "shop", request_id))

    assert isinstance(outcome, JobEnded)
    close(functions, request_id)
    job = job_of(database, request_id)
    assert (job["status"], job["cancelled_at"]) == ("COMPLETED", None)


def test_a_last_image_that_comes_after_the_cancellation_is_kept(functions, database, bucket, connect):
    request_id = fanned_out(functions, database, bucket, sheet(A))
    settle = last_image_done(database, request_id)
    worker = Database(connect)

    beside(connect, partial(control_step._cancel, "shop", request_id), partial(worker.transact, settle))
    worker.close()

    assert statuses(database, request_id) == ["COMPLETED"]
    assert job_of(database, request_id)["finalizable_at"]
    close(functions, request_id)
    job = job_of(database, request_id)
    assert (job["status"], job["error_message"], job["images_completed"]) == ("FAILED", "cancelled", 1)
    assert ask(functions, "retry", request_id)["generation"] == 2
    close(functions, request_id, generation=2)
    job = job_of(database, request_id)
    assert (job["status"], job["error_message"]) == ("COMPLETED", None)


@pytest.mark.parametrize("body", [sheet(A), b"not,a,sheet\n"], ids=["done", "refused"])
def test_a_job_whose_work_is_done_is_not_cancelled(functions, database, bucket, body):
    request_id, source = upload(database, bucket, body)
    functions.invoke("fan_out", file_event(source))
    finish(database, request_id)

    for _ in range(2):
        before = job_of(database, request_id)
        assert ask(functions, "cancel", request_id) == (409, "job_ended")
        assert job_of(database, request_id) == before
        close(functions, request_id)


def test_a_cancellation_may_be_repeated_before_and_after_the_jobs_end(functions, database, bucket):
    request_id = fanned_out(functions, database, bucket, sheet(A, B))
    token, (image,) = lease_row(database, request_id, 1)
    accepted = {"request_id": str(request_id)}
    assert ask(functions, "cancel", request_id) == accepted
    before = job_of(database, request_id)

    assert ask(functions, "cancel", request_id) == accepted
    assert job_of(database, request_id) == before
    end_images(database, token, completed(image))
    assert ask(functions, "cancel", request_id) == accepted
    close(functions, request_id)
    closed = job_of(database, request_id)
    assert ask(functions, "cancel", request_id) == accepted

    assert job_of(database, request_id) == closed
    assert statuses(database, request_id) == ["COMPLETED", "cancelled"]


def test_a_cancelled_job_is_resumed_by_a_retry(functions, database, bucket, row_queue, upload_queue):
    request_id = fanned_out(functions, database, bucket, sheet(A, B, C))
    token, (image,) = lease_row(database, request_id, 2)
    end_images(database, token, completed(image))
    ask(functions, "cancel", request_id)
    close(functions, request_id)
    received(row_queue)

    assert ask(functions, "retry", request_id)["generation"] == 2

    deliver(functions, "fan_out", upload_queue)
    assert rows_in(received(row_queue)) == [1, 3]
    finish(database, request_id)
    close(functions, request_id, generation=2)
    job = job_of(database, request_id)
    assert (job["status"], job["error_message"], job["images_completed"]) == ("COMPLETED", None, 3)


def test_a_retried_job_can_be_cancelled_and_keeps_what_the_generation_before_has_done(
    functions, database, bucket, connect, row_queue
):
    request_id = ended(functions, database, bucket, row_queue, A, B, failing={(2, 1)})
    ask(functions, "retry", request_id)

    assert ask(functions, "cancel", request_id) == {"request_id": str(request_id)}

    assert executions() == [f"{request_id}-2"]
    close(functions, request_id, generation=2)
    assert statuses(database, request_id) == ["COMPLETED", "cancelled"]
    outcomes = "SELECT status, error_message FROM job_outcome ORDER BY generation"
    assert query(connect, outcomes) == [("COMPLETED", None), ("FAILED", "cancelled")]


# ── Redeliver ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def told(functions, database, bucket, row_queue):
    """A job that was closed and has a webhook to send: its id, and the state of its first execution."""
    request_id = ended(functions, database, bucket, row_queue, A, B, failing={(2, 1)}, webhook_url=HOOK)
    return request_id, close(functions, request_id)


def attempt_webhook(functions, request_id, run, *status_codes, generation=1):
    """Attempts of one execution, answered so: for each its number and its outcome."""
    made = []
    for status_code in status_codes:
        state = close(functions, request_id, generation=generation, run=run)
        outcome = answer_webhook(functions, state, status_code)["outcome"]
        made.append((state["closed"]["attempt"], outcome))
    return made


@pytest.mark.parametrize(
    ("status_codes", "last"),
    [([200], (1, "delivered")), ([503, 410], (2, "gone")), ([None] * 10, (10, "exhausted"))],
    ids=["delivered", "gone", "exhausted"],
)
def test_a_webhook_that_came_to_its_end_is_sent_again_as_the_same_event(functions, database, told, status_codes, last):
    request_id, state = told
    assert attempt_webhook(functions, request_id, 1, *status_codes)[-1] == last
    assert job_of(database, request_id)["settled_at"]

    answer = ask(functions, "redeliver", request_id)

    assert answer == {"request_id": str(request_id), "event_id": f"evt_{request_id}-1"}
    assert executions() == [f"{request_id}-1-2"]
    again = close(functions, request_id, run=2)
    assert again["closed"]["attempt"] == last[0] + 1
    assert event_to_send(functions, again["closed"]) == event_to_send(functions, state["closed"])
    assert answer_webhook(functions, again, 200)["outcome"] == "delivered"
    assert job_of(database, request_id)["settled_at"]
    assert close(functions, request_id, run=2)["closed"] == {"webhook": None, "attempt": 0}


def test_the_schedule_of_a_redelivery_begins_anew(functions, database, told):
    request_id, _ = told
    attempt_webhook(functions, request_id, 1, 503, 503, 200)
    ask(functions, "redeliver", request_id)

    for number, planned in enumerate(RETRY_DELAYS_SECONDS, start=4):
        state = close(functions, request_id, run=2)
        following = answer_webhook(functions, state, 503)
        assert (state["closed"]["attempt"], following["outcome"]) == (number, "retry")
        assert 0.9 * planned <= following["delay_seconds"] <= 1.1 * planned + 1

    assert attempt_webhook(functions, request_id, 2, 503) == [(13, "exhausted")]
    assert job_of(database, request_id)["settled_at"]


def test_a_redelivery_does_not_wait_for_the_next_attempt_and_that_one_is_not_made(functions, database, told):
    """The execution that waits ends by itself when it asks what is next."""
    request_id, _ = told
    assert attempt_webhook(functions, request_id, 1, 503) == [(1, "retry")]

    ask(functions, "redeliver", request_id)

    assert executions() == [f"{request_id}-1-2"]
    assert close(functions, request_id)["closed"] == {"webhook": None, "attempt": 0}
    assert job_of(database, request_id)["settled_at"] is None
    assert attempt_webhook(functions, request_id, 2, 503, 200) == [(2, "retry"), (3, "delivered")]


def test_a_redelivery_before_anything_was_attempted_doubles_nothing(functions, database, finalizer, told):
    request_id, _ = told
    finalizer.start(job_of(database, request_id))
    before = job_of(database, request_id)

    ask(functions, "redeliver", request_id)
    assert (job_of(database, request_id), executions()) == (before, [f"{request_id}-1"])
    assert attempt_webhook(functions, request_id, 1, 200) == [(1, "delivered")]
    ask(functions, "redeliver", request_id)
    once = job_of(database, request_id)
    ask(functions, "redeliver", request_id)

    assert (job_of(database, request_id), executions()) == (once, [f"{request_id}-1", f"{request_id}-1-2"])


def test_racing_redeliveries_are_one(functions, database, connect, control, told):
    request_id, _ = told
    attempt_webhook(functions, request_id, 1, 200)
    other = replace(control, database=Database(connect))

    at_once(connect, request_id, *[partial(c.redeliver, "shop", request_id) for c in (control, other)])
    other.database.close()

    assert executions() == [f"{request_id}-1-2"]
    assert job_of(database, request_id)["first_attempt"] == 2


def test_a_redelivery_whose_start_was_lost_is_started_by_the_sweep(functions, database, connect, told):
    request_id, _ = told
    attempt_webhook(functions, request_id, 1, 200)
    arn = functions.values["FINALIZER_ARN"]
    functions.values["FINALIZER_ARN"] = arn + "-deleted"
    assert ask(functions, "redeliver", request_id) == (500, "internal_error")
    functions.values["FINALIZER_ARN"] = arn
    query(connect, "UPDATE job_request SET finalizable_at = now() - make_interval(secs => %s)", OLDER_THAN_SECONDS + 1)

    assert functions.invoke("sweep", load_event("sweep"))["finalizable_jobs"] == 1

    assert executions() == [f"{request_id}-1-2"]


def test_of_a_retried_job_the_newest_event_is_sent_again(functions, database, told):
    request_id, _ = told
    attempt_webhook(functions, request_id, 1, 200)
    ask(functions, "redeliver", request_id)
    attempt_webhook(functions, request_id, 2, 503)
    ask(functions, "retry", request_id)
    finish(database, request_id)
    assert attempt_webhook(functions, request_id, 1, 503, 200, generation=2) == [(1, "retry"), (2, "delivered")]

    assert ask(functions, "redeliver", request_id)["event_id"] == f"evt_{request_id}-2"

    assert f"{request_id}-2-2" in executions()
    assert attempt_webhook(functions, request_id, 2, 200, generation=2) == [(3, "delivered")]


def test_a_job_that_has_not_ended_has_nothing_to_tell_yet(functions, database, bucket):
    waiting, _ = upload(database, bucket, sheet(A), webhook_url=HOOK)
    at_work = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    done = fanned_out(functions, database, bucket, sheet(A), webhook_url=HOOK)
    finish(database, done)

    for request_id in (waiting, at_work, done):
        before = job_of(database, request_id)
        assert ask(functions, "redeliver", request_id) == (409, "job_not_ended")
        assert job_of(database, request_id) == before


def test_a_job_without_a_webhook_has_nobody_to_tell(functions, database, bucket, row_queue):
    request_id = ended(functions, database, bucket, row_queue, A)
    before = job_of(database, request_id)

    assert ask(functions, "redeliver", request_id) == (409, "no_webhook")

    assert (job_of(database, request_id), executions()) == (before, [])
