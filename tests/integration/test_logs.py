"""Log lines: whatever is said of a job names it, so that one search finds all that happened to it."""

import ast
import io
import json
import logging
from contextlib import contextmanager

import psycopg2
import pytest
from aws_lambda_powertools import Logger

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database
from imagejobs.jobs import event_id
from imagejobs.webhook import request_id_of
from tests.integration.handlers import (
    api_event,
    close,
    content_of,
    deliver,
    file_event,
    finish,
    load_event,
    row_body,
    sqs_event,
    upload_event,
)
from tests.integration.jobs import job_of, query, sheet, upload
from tests.integration.pipeline import shop, skip_delays
from tests.template.python_code import FUNCTIONS, LAYER, parse

A, B = "https://shop.example/a.jpg", "https://shop.example/b.jpg"
UNKNOWN = "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
NAMES = {"request_id", "request_ids"}
# Lines that name no job in the call itself.
NAMED_BY_THE_HANDLER = {  # which appends the name to every line of the invocation: proved below
    "file_fanned_out",
    "fan_out_failed",
    "message_buried",
    "burial_failed",
    "step_finished",
    "step_failed",
    "webhook_attempted",
    "webhook_attempt_failed",
    "job_retried",
    "job_cancelled",
    "webhook_redelivered",
    "request_refused",
    "request_failed",
}
NAMED_BY_EXTRA = {"codec_failed", "image_attempt_failed"}
OF_NO_JOB = {"token_refused", "message_unreadable", "schema_migrated", "migration_failed", "sweep_failed"}


@contextmanager
def lines_of(step):
    """The lines that a function's own logger writes, as CloudWatch gets them."""
    handler = Logger(service=step).registered_handler
    assert isinstance(handler, logging.StreamHandler)
    written, lines, before = io.StringIO(), [], handler.stream
    handler.stream = written  # `setStream` would flush the one before, which may be an ended test's
    try:
        yield lines
    finally:
        handler.stream = before
        lines += [json.loads(line) for line in written.getvalue().splitlines()]


def said(lines, message):
    return [line for line in lines if line["message"] == message]


def calls():
    """The message of every log line in the code, and the fields that the call gives it."""
    for path in sorted([*FUNCTIONS.rglob("*.py"), *LAYER.rglob("*.py")]):
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            if ast.unparse(node.func.value) == "logger" and node.func.attr in LEVELS:
                yield ast.literal_eval(node.args[0]), {keyword.arg for keyword in node.keywords}


def test_every_line_names_its_jobs_or_is_listed_here():
    unnamed = {message for message, fields in calls() if not fields & NAMES}

    assert unnamed == NAMED_BY_THE_HANDLER | NAMED_BY_EXTRA | OF_NO_JOB


@pytest.fixture
def job(functions, database, bucket):
    """A job with two rows, fanned out."""
    request_id, source = upload(database, bucket, sheet(A, B), webhook_url="https://shop.example/hook")
    functions.invoke("fan_out", file_event(source))
    return request_id


def test_api_names_the_job_of_the_path_and_no_other_requests(functions, job):
    with lines_of("api") as lines:
        functions.invoke("api", api_event("cancel", job))
        functions.invoke("api", api_event("retry", job))
        functions.invoke("api", upload_event(b"no sheet"))
        functions.invoke("api", api_event("status", UNKNOWN))

    assert [line["request_id"] for line in said(lines, "job_cancelled")] == [str(job)]
    assert [line.get("request_id") for line in said(lines, "request_refused")] == [str(job), None, UNKNOWN]


def test_api_names_the_job_that_it_failed_for(functions, monkeypatch, job):
    def fail(*_):
        raise psycopg2.DataError

    monkeypatch.setattr(Database, "fetch_one", fail)
    with lines_of("api") as lines:
        functions.invoke("api", api_event("status", job))

    assert [line["request_id"] for line in said(lines, "request_failed")] == [str(job)]


def test_api_names_the_job_that_it_accepted_or_could_not_store(functions, monkeypatch, caplog):
    with lines_of("api") as lines:
        answer = functions.invoke("api", upload_event(sheet(A)))
        monkeypatch.setattr(Bucket, "put", lambda *_: 1 / 0)
        functions.invoke("api", upload_event(sheet(A)))

    assert [line["request_id"] for line in said(lines, "job_accepted")] == [content_of(answer)["request_id"]]
    (unstored,) = [record for record in caplog.records if record.getMessage() == "sheet_not_stored"]
    assert unstored.request_id != content_of(answer)["request_id"]


def test_fan_out_names_the_job_of_each_file(functions, database, bucket, connect):
    uploaded, first = upload(database, bucket, sheet(A))
    dropped = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", sheet(B), "text/csv"))
    gone = ObjectVersion("drop/b.csv", "no-such-version")
    with lines_of("fan_out") as lines:
        for source in (first, dropped, gone):
            functions.invoke("fan_out", file_event(source))

    jobs = [str(found) for (found,) in query(connect, "SELECT request_id FROM job_request ORDER BY created_at")]
    assert [line["request_id"] for line in said(lines, "file_fanned_out")] == jobs
    assert jobs[0] == str(uploaded)
    (failed,) = said(lines, "fan_out_failed")
    assert failed["request_id"] not in jobs


def test_compress_names_all_jobs_of_a_batch_and_the_one_of_an_image(functions, job, monkeypatch, caplog, row_queue):
    with lines_of("compress") as lines, shop(functions):
        monkeypatch.setattr("imagejobs.fetch.Fetcher.get", lambda *_, **__: 1 / 0)
        deliver(functions, "compress", row_queue)

    assert [line["request_ids"] for line in said(lines, "rows_compressed")] == [[str(job)]]
    failed = [record.request_id for record in caplog.records if record.getMessage() == "image_attempt_failed"]
    assert failed == [str(job)] * 2


def test_compress_names_the_jobs_of_a_batch_that_failed_as_a_whole(functions, job, monkeypatch, row_queue):
    monkeypatch.setattr("imagejobs.steps.compress.RowWorker.run", lambda *_: 1 / 0)
    with lines_of("compress") as lines:
        deliver(functions, "compress", row_queue)

    assert [line["request_ids"] for line in said(lines, "batch_failed")] == [[str(job)]]


def test_bury_names_the_jobs_of_each_letter_and_not_of_the_one_before(functions, database, bucket, job):
    unread, source = upload(database, bucket, sheet(A))
    with lines_of("bury") as lines:
        functions.invoke("bury", sqs_event("bury-row", row_body(job, 1), "not JSON"))
        functions.invoke("bury", file_event(source, "bury-upload"))

    assert [line["request_ids"] for line in said(lines, "message_buried")] == [[str(job)], [str(unread)]]
    assert "request_ids" not in said(lines, "burial_failed")[0]


def test_finalize_names_the_job_also_when_a_step_fails(functions, job):
    with lines_of("finalize") as lines:
        close(functions, job)
        with pytest.raises(LookupError):
            functions.invoke("finalize", {"step": "close_job", "state": {"request_id": UNKNOWN, "generation": 1}})

    finished = said(lines, "step_finished")
    assert {(line["request_id"], line["step"]) for line in finished} == {
        (str(job), step) for step in ("write_result", "remove_strays", "close_job")
    }
    (failed,) = said(lines, "step_failed")
    assert (failed["request_id"], failed["step"]) == (UNKNOWN, "close_job")


def test_send_webhook_names_the_job_of_the_event(functions, database, job):
    named = event_id(job_of(database, job))
    assert request_id_of(named) == str(job)
    finish(database, job)
    webhook = close(functions, job)["closed"]["webhook"]
    with lines_of("send_webhook") as lines:
        functions.invoke("send_webhook", webhook)
        with pytest.raises(Exception, match="version"):
            functions.invoke("send_webhook", {"event_id": named, "key": "webhooks/a.json", "version": "none"})

    for message in ("webhook_attempted", "webhook_attempt_failed"):
        assert [(line["request_id"], line["event_id"]) for line in said(lines, message)] == [(str(job), named)]


def test_sweep_names_the_jobs_that_it_rang_for(functions, monkeypatch, job, connect, caplog):
    skip_delays(monkeypatch)
    query(connect, "UPDATE job_request SET updated_at = now() - interval '1 day'")
    functions.invoke("sweep", load_event("sweep"))

    rung = [record for record in caplog.records if record.getMessage() == "standing_work_rung"]
    assert [(record.kind, record.request_ids) for record in rung] == [("unmoved_jobs", [str(job)])]
