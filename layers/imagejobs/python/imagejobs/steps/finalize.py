"""finalize: the finalizer's steps with a database: finished CSV, final status, record of webhook attempts.

Each can run twice: the same bytes under the same key, a guarded transition, one row an attempt.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast
from uuid import UUID

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError
from psycopg2.extras import Json

from imagejobs import stored_corrections
from imagejobs.bucket import IMAGE_PREFIX, PART_BYTES, WEBHOOK_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Row, Transaction, json_arrays
from imagejobs.errors import ImageAbandoned, JobCancelled
from imagejobs.jobs import (
    CANCELLED_MESSAGE,
    TERMINAL,
    event_id,
    failures_key,
    failures_url,
    image_place,
    result_key,
    result_url,
    totals,
)
from imagejobs.limits import SHEET_LIMITS
from imagejobs.metrics import Metric, emit
from imagejobs.options import CompressionOptions
from imagejobs.preflight import Summary
from imagejobs.preflight_sheet import finding_of, write_findings
from imagejobs.queues import MessagesNotSent, Queue
from imagejobs.result_sheet import FailureSheet, ImageOutcome, write_result
from imagejobs.sheet import Sheet, SheetRow, read_sheet
from imagejobs.sheet_layout import SheetLayout
from imagejobs.webhook import judge, next_delay_seconds

if TYPE_CHECKING:
    from imagejobs.answers import JobEnded

logger = Logger(child=True)

Told = TypeVar("Told")

PAGE_IMAGES = 1000
GZIP_SUFFIX = ".gz"
CSV_TYPE = "text/csv; charset=utf-8"
# What ends an image whose worker may have died after it stored something.
ENDED_FOR_A_WORKER = (ImageAbandoned.code, JobCancelled.code)

COMPLETED_MESSAGE = "CSV and image processing completed successfully."
PREFLIGHT_MESSAGE = (
    "Preflight completed: {failed} of {images} images would fail, see the finished CSV. None was compressed."
)
PARTLY_MESSAGE = "CSV and image processing completed; {failed} of {images} images failed, see the finished CSV."
NO_IMAGE_MESSAGE = "No image could be compressed ({images} failed); the finished CSV says why, row by row."
NO_ROW_MESSAGE = (
    "None of the {rows} rows names an image that could be compressed; the finished CSV says why, row by row."
)


@dataclass(frozen=True, slots=True)
class Closer:
    """What the finalizer's steps work with.

    Attributes:
        database: The truth about the job.
        bucket: Where the CSV lies and the result goes.
        report_queue: Rung when a job is closed.
        api_base_url: Public URL of the API, without a slash at its end.
        webhook_time_scale: Multiplies every delay of the retry schedule.
        compress_concurrency: Environments of `compress` that the stack may run at once.
    """

    database: Database
    bucket: Bucket
    report_queue: Queue
    api_base_url: str
    webhook_time_scale: float
    compress_concurrency: int

    def run(self, step: str, state: Mapping[str, Any]) -> dict[str, Any]:
        """Run one step of the state machine by its name.

        Raises:
            KeyError: The state machine names a step that is not here.
        """
        steps: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "write_result": self.write_result,
            "remove_strays": self.remove_strays,
            "close_job": self.close_job,
            "record_attempt": self.record_attempt,
        }
        return steps[step](state)

    def write_result(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Store the finished CSV, or why there is none; its key and version, a dry run's summary, and no error."""
        job = self._job(state)
        if not _is_open(job, state):
            return _stored_result(job)
        key = result_key(job["source_key"])
        error_key = f"{key}.error.json"
        if not job["rows_total"]:  # the sheet was refused; one that was read has a row
            reason = {"request_id": str(job["request_id"]), "status": "FAILED", "message": job["error_message"]}
            self.bucket.put(error_key, json.dumps(reason).encode(), "application/json")
            return {"result_key": None, "result_version": None, "failures_version": None, "error_message": None}
        summary = Summary(CompressionOptions.from_fields(job["options"])) if job["dry_run"] else None
        stored = self._store_result(job, key, summary)
        self.bucket.delete(error_key)  # of an earlier file of the same name
        found = summary.document(job["rows_total"], self.compress_concurrency) if summary else None
        return {**stored, "preflight": found, "error_message": None}

    def remove_strays(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Delete what workers that died have stored and no image names; the number of such versions."""
        strays = list(self._strays(state))
        for stray in strays:
            self.bucket.delete_version(stray)
        return {"strays": len(strays)}

    def close_job(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Give the job its final status, once.

        Returns:
            `webhook`: where the event to send lies, None when there is none (any more); `attempt`: the number of the
            next attempt.
        """
        result = state["result"]
        job = self._job(state)
        message = result["error_message"] or _failure(job)
        closing = {
            **_identity(state),
            "result_key": result["result_key"],
            "result_version": result["result_version"],
            "failures_version": result.get("failures_version"),  # without it when the finished CSV was given up
            "status": "FAILED" if message else "COMPLETED",
            "error_message": message,
            "preflight": Json(result["preflight"]) if result.get("preflight") else None,
        }
        if self.database.execute("close_job", closing):
            emit({Metric.JOBS_FAILED if message else Metric.JOBS_COMPLETED: 1}, **_identity(state))
        job = self._job(state)
        self._ring_report(job, state)
        return self._next_delivery(job, state)

    def record_attempt(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Write one webhook attempt down and say what comes next.

        Returns:
            `outcome`, and the `delay_seconds` before the next attempt when that is "retry".
        """
        attempt, answer = int(state["closed"]["attempt"]), state["answer"]
        outcome: str = judge(answer["status_code"])
        delay_seconds = next_delay_seconds(
            max(1, attempt - self._job(state)["first_attempt"] + 1),
            retry_after_seconds=answer["retry_after_seconds"],
            time_scale=self.webhook_time_scale,
            jitter=random.random(),  # noqa: S311
        )
        if outcome == "retry" and delay_seconds is None:
            outcome = "exhausted"
        delivery = {
            "event_id": state["closed"]["webhook"]["event_id"],
            "attempt": attempt,
            "status_code": answer["status_code"],
            "error_message": answer["error_message"],
            "outcome": outcome,
        }
        recorded = self.database.transact(partial(_record, {**_identity(state), **delivery}))
        if recorded and outcome == "exhausted":
            emit({Metric.WEBHOOKS_EXHAUSTED: 1}, **_identity(state))
        return {"outcome": outcome, "delay_seconds": delay_seconds or 0}

    def _job(self, state: Mapping[str, Any]) -> Row:
        job = self.database.fetch_one("get_job", {"request_id": state["request_id"]})
        if job is None:
            raise LookupError(f"There is no job {state['request_id']}.")
        return job

    def _ring_report(self, job: Row, state: Mapping[str, Any]) -> None:
        """Have the report written unless it is; a webhook never waits for it, whatever becomes of the message.

        A dry run made nothing to report on: what it found is its summary and its finished CSV.
        """
        if job["status"] not in TERMINAL or not _is_present(job, state) or job["report_key"] or job["dry_run"]:
            return
        try:
            self.report_queue.ring_report(job["request_id"], job["generation"])
        except (BotoCoreError, ClientError, MessagesNotSent):
            logger.exception("report_not_rung", request_id=str(job["request_id"]))

    def _next_delivery(self, job: Row, state: Mapping[str, Any]) -> dict[str, Any]:
        """The webhook from the attempt on that was not recorded yet; the job is settled when there is none."""
        if job["status"] not in TERMINAL or not _is_present(job, state):
            return {"webhook": None, "attempt": 0}
        last = self.database.fetch_one("last_delivery", {"event_id": event_id(job)})
        if not job["webhook_url"] or (last and last["outcome"] != "retry" and last["attempt"] >= job["first_attempt"]):
            self.database.execute("settle_job", _identity(state))
            return {"webhook": None, "attempt": 0}
        return {"webhook": self._store_event(self._event(job)), "attempt": last["attempt"] + 1 if last else 1}

    def _store_event(self, event: Mapping[str, str]) -> dict[str, str]:
        """Where the sender finds it: the URL may hold a token, and an execution's history keeps all that it is told."""
        key = f"{WEBHOOK_PREFIX}{event['event_id']}.json"
        version = self.bucket.put(key, json.dumps(event).encode(), "application/json")
        return {"event_id": event["event_id"], "key": key, "version": version}

    def _event(self, job: Row) -> dict[str, str]:
        """The event, built from the stored job alone, so that every attempt says the same."""
        body: JobEnded = {
            "request_id": str(job["request_id"]),
            "status": job["status"],
            "message": _webhook_message(job),
            "generation": job["generation"],
            **totals(job),
            "dry_run": job["dry_run"],
            "preflight": job["preflight"],
            "result_url": result_url(self.api_base_url, job),
            "failures_url": failures_url(self.api_base_url, job),
        }
        return {
            "url": job["webhook_url"],
            "owner": job["owner"],
            "event_id": event_id(job),
            "body": json.dumps(body),
        }

    def _store_result(self, job: Row, key: str, summary: Summary | None) -> dict[str, Any]:
        """The finished CSV's key, which says whether it is a gzip, its version, and that of the failures, if any."""
        source = ObjectVersion(job["source_key"], job["source_version"])
        with self.bucket.open(source) as stream, SpooledTemporaryFile(max_size=PART_BYTES) as file:
            layout, corrections = SheetLayout.from_fields(job["layout"]), stored_corrections.load(self.bucket, job)
            sheet = read_sheet(stream, SHEET_LIMITS, layout, corrections)
            failures = FailureSheet(sheet.form, cast("BinaryIO", file))
            content_type = CSV_TYPE
            if sheet.form.is_gzip:
                key, content_type = f"{key.removesuffix(GZIP_SUFFIX)}{GZIP_SUFFIX}", "application/gzip"
            version = self.bucket.put_parts(key, self._chunks(job, sheet, failures, summary), content_type)
            failures.detach()
            failures_version = self._store_failures(job, cast("BinaryIO", file)) if failures.rows else None
        if failures_version is None:
            self.bucket.delete(failures_key(job["source_key"]))  # of an earlier generation, or file of the same name
        return {"result_key": key, "result_version": version, "failures_version": failures_version}

    def _chunks(self, job: Row, sheet: Sheet, failures: FailureSheet, summary: Summary | None) -> Iterator[bytes]:
        images = self._images(job["request_id"])
        if summary:
            return write_findings(sheet.form, failures.watch(_beside(sheet, summary.counted(images), finding_of)))
        rows = failures.watch(_beside(sheet, images, _outcome))
        return write_result(sheet.form, rows, human_urls=CompressionOptions.from_fields(job["options"]).human_urls)

    def _store_failures(self, job: Row, file: BinaryIO) -> str:
        file.seek(0)
        chunks = iter(partial(file.read, PART_BYTES), b"")
        return self.bucket.put_parts(failures_key(job["source_key"]), chunks, CSV_TYPE)

    def _strays(self, state: Mapping[str, Any]) -> Iterator[ObjectVersion]:
        if not self._may_have_strays(state):
            return
        for page in self.bucket.list_versions(f"{IMAGE_PREFIX}{state['request_id']}/"):
            # Asked after the page was listed: while the job is open, no later generation can have stored any of it.
            if not _is_open(self._job(state), state):
                return
            named = self._named_objects(state["request_id"], page)
            yield from (found for found in page if found not in named)

    def _may_have_strays(self, state: Mapping[str, Any]) -> bool:
        """A retry begins its images' attempts anew, and strays of the generation before may have stayed."""
        if not _is_open(self._job(state), state):
            return False
        suspects = {"request_id": state["request_id"], "error_codes": list(ENDED_FOR_A_WORKER)}
        return state["generation"] > 1 or bool(self.database.fetch_all("has_strays", suspects)[0]["found"])

    def _named_objects(self, request_id: str, page: Sequence[ObjectVersion]) -> set[ObjectVersion]:
        """Those of the versions that an image names."""
        places = [(found.key, found.version, *image_place(found.key)) for found in page]
        columns = ("object_key", "version", "row_number", "position")
        listed = (dict(zip(columns, place, strict=True)) for place in places)
        return {
            ObjectVersion(record["object_key"], record["version"])
            for objects in json_arrays(listed)
            for record in self.database.fetch_all("list_named_objects", {"request_id": request_id, "objects": objects})
        }

    def _images(self, request_id: UUID) -> Iterator[Row]:
        """All images in the sheet's order, a page at a time."""
        after = (0, 0)
        while True:
            page = self.database.fetch_all(
                "list_images",
                {
                    "request_id": request_id,
                    "after_row": after[0],
                    "after_position": after[1],
                    "status": None,
                    "limit": PAGE_IMAGES,
                },
            )
            yield from page
            if len(page) < PAGE_IMAGES:
                return
            after = (page[-1]["row_number"], page[-1]["position"])


def _is_present(job: Row, state: Mapping[str, Any]) -> bool:
    """Whether this execution is the one that looks after the job now: not one before a retry or a redelivery."""
    return (job["generation"], job["finalizer_run"]) == (state["generation"], state["run"])


def _is_open(job: Row, state: Mapping[str, Any]) -> bool:
    """Whether the job waits for this execution to write and close it."""
    return job["generation"] == state["generation"] and job["status"] not in TERMINAL


def _stored_result(job: Row) -> dict[str, Any]:
    stored = {name: job[name] for name in ("result_key", "result_version", "failures_version")}
    return {**stored, "error_message": None}


def _identity(state: Mapping[str, Any]) -> dict[str, Any]:
    return {"request_id": state["request_id"], "generation": state["generation"]}


def _record(delivery: Mapping[str, Any], transaction: Transaction) -> bool:
    """Whether the attempt was not recorded before."""
    recorded = transaction.execute("record_delivery", delivery)
    if delivery["outcome"] != "retry":
        transaction.execute("settle_job", delivery)
    return recorded > 0


def _beside(
    rows: Iterable[SheetRow], images: Iterator[Row], told: Callable[[Row], Told]
) -> Iterator[tuple[SheetRow, Sequence[Told]]]:
    """Each row of the sheet beside what is told of its images: both come in the sheet's order."""
    for row in rows:
        yield row, [told(next(images)) for _ in row.image_urls]


def _outcome(image: Row) -> ImageOutcome:
    return ImageOutcome(
        output_url=image["image_url"],
        error=image["error_message"],
        bytes_before=image["bytes_before"],
        bytes_after=image["bytes_after"],
        is_reused=image["reused"] is not None,
        human_url=image["human_url"],
    )


def _failure(job: Row) -> str | None:
    """Why a job fails, None when it does not."""
    if job["cancelled_at"]:
        return CANCELLED_MESSAGE
    if job["error_message"] or job["images_completed"]:
        return job["error_message"]  # type: ignore[no-any-return]
    if job["images_total"]:
        return NO_IMAGE_MESSAGE.format(images=job["images_total"])
    return NO_ROW_MESSAGE.format(rows=job["rows_total"])


def _webhook_message(job: Row) -> str:
    if job["status"] == "FAILED":
        return str(job["error_message"])
    if job["dry_run"]:
        return PREFLIGHT_MESSAGE.format(failed=job["images_failed"], images=job["images_total"])
    if job["images_failed"]:
        return PARTLY_MESSAGE.format(failed=job["images_failed"], images=job["images_total"])
    return COMPLETED_MESSAGE
