"""api: what callers see of their jobs."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from typing import cast
from uuid import UUID

from imagejobs.addresses import shown_url
from imagejobs.answers import Deliveries, Delivery, Image, ImageEvents, ImagePage, Job, JobPage
from imagejobs.bucket import RESULT_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Row, Transaction
from imagejobs.errors import NoFailures, NoReport, ReportNotReady, ResultNotReady
from imagejobs.jobs import TERMINAL, failures_key, job_document, lock_owned_job, owned_job, timestamp
from imagejobs.limits import MAX_DELIVERIES, MAX_PAGE_BYTES

# What a caller is told to wait for a report: one is written in seconds, a job may take hours.
_REPORT_SECONDS, _JOB_SECONDS = 5, 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_THE_FIRST = ("infinity", UUID(int=2**128 - 1))


def job_status(database: Database, *, owner: str, request_id: UUID, base_url: str) -> Job:
    """What `GET /job/status/<request_id>` answers.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    return job_document(owned_job(database, owner, request_id), base_url)


def list_jobs(
    database: Database,
    *,
    owner: str,
    statuses: Sequence[str],
    after: tuple[int, UUID] | None,
    limit: int,
    base_url: str,
) -> JobPage:
    """One page of a caller's jobs, newest first.

    Args:
        database: Where the jobs are.
        owner: The caller's name.
        statuses: Those that are asked for.
        after: When the last job of the page before was made, in microseconds of Unix time, and its id; None for the
            first page.
        limit: Jobs a page, 1 to `MAX_PAGE_JOBS`.
        base_url: The API's public URL.

    Returns:
        `jobs`, and `next`: the `after` of the following page as "microseconds_id", None on the last one.
    """
    before_created_at, before_request_id = _job_place(*after) if after else _BEFORE_THE_FIRST
    parameters = {
        "owner": owner,
        "statuses": list(statuses),
        "before_created_at": before_created_at,
        "before_request_id": before_request_id,
        "limit": limit + 1,
    }
    rows = database.fetch_all("list_jobs", parameters)
    page = rows[:limit]
    return {
        "jobs": [job_document(job, base_url) for job in page],
        "next": _job_cursor(page[-1]) if len(rows) > limit else None,
    }


def _job_place(microseconds: int, request_id: UUID) -> tuple[datetime, UUID]:
    return _EPOCH + timedelta(microseconds=microseconds), request_id


def _job_cursor(job: Row) -> str:
    """Microseconds of Unix time, as fine as Postgres orders them, and the id."""
    return f"{(job['created_at'] - _EPOCH) // timedelta(microseconds=1)}_{job['request_id']}"


def result_link(database: Database, bucket: Bucket, *, owner: str, request_id: UUID) -> str:
    """A presigned URL of the finished CSV that needs no token.

    Raises:
        JobNotFound: Unknown, or another caller's.
        ResultNotReady: The job has not ended, or ended without a finished CSV.
    """
    job = owned_job(database, owner, request_id)
    if not job["result_key"]:
        raise ResultNotReady(
            f"The job is {job['status']} and has no finished CSV"
            + (f": {job['error_message']}" if job["error_message"] else " yet. Ask again when it has ended.")
        )
    name = job["result_key"].removeprefix(RESULT_PREFIX).rsplit("/", maxsplit=1)[-1]
    return bucket.link(ObjectVersion(job["result_key"], job["result_version"]), name)


def failures_link(database: Database, bucket: Bucket, *, owner: str, request_id: UUID) -> str:
    """A presigned URL of the CSV of the rows that failed, which needs no token.

    Raises:
        JobNotFound: Unknown, or another caller's.
        NoFailures: None of its rows failed, or it has not ended yet.
    """
    job = owned_job(database, owner, request_id)
    if job["failures_version"] is None:
        raise NoFailures(f"The job is {job['status']} and has no CSV of rows that failed.")
    source = ObjectVersion(failures_key(job["source_key"]), job["failures_version"])
    return bucket.link(source, f"failures-{request_id}.csv")


def report_link(database: Database, bucket: Bucket, *, owner: str, request_id: UUID) -> str:
    """A presigned URL of the report, a page that browsers show, which needs no token.

    Raises:
        JobNotFound: Unknown, or another caller's.
        NoReport: It was a dry run.
        ReportNotReady: It is not written yet.
    """
    job = owned_job(database, owner, request_id)
    if job["dry_run"]:
        raise NoReport("A dry run has no report; what it found is in its status and its finished CSV.")
    if not job["report_key"]:
        if job["status"] in TERMINAL:
            raise ReportNotReady("The report on this job is being written. Ask again in a moment.", _REPORT_SECONDS)
        raise ReportNotReady("The job has not ended; its report is there soon after that.", _JOB_SECONDS)
    source = ObjectVersion(job["report_key"], job["report_version"])
    return bucket.link(source, f"report-{request_id}.html", "inline")


def list_images(
    database: Database, *, owner: str, request_id: UUID, status: str | None, after: tuple[int, int], limit: int
) -> ImagePage:
    """One page of a job's images, in the sheet's order.

    Args:
        database: Where the images are.
        owner: The caller's name.
        request_id: The job.
        status: The one that is asked for; None for all.
        after: Row number and position of the last image of the page before; (0, 0) for the first page.
        limit: Images a page, 1 to `MAX_PAGE_IMAGES`; a page over `MAX_PAGE_BYTES` ends before that.

    Returns:
        `images`, and `next`: the `after` of the following page as "row-position", None on the last one.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    owned_job(database, owner, request_id)
    parameters = {
        "request_id": request_id,
        "after_row": after[0],
        "after_position": after[1],
        "status": status,
        "limit": limit + 1,
    }
    rows = database.fetch_all("list_images", parameters)
    page = _fitting([_image(row) for row in rows[:limit]])
    following = f"{page[-1]['row_number']}-{page[-1]['position']}" if len(rows) > len(page) else None
    return {"images": page, "next": following}


def _image(row: Row) -> Image:
    """The statement's columns are the answer's fields, but for an event's number."""
    columns = {name: value for name, value in row.items() if name != "number"}
    return cast("Image", {**columns, "image_id": str(row["image_id"])})


def _fitting(images: list[Image]) -> list[Image]:
    """As many of the images, from the first on, as Lambda answers at once: its answer is JSON with JSON in it."""
    sizes = accumulate(len(json.dumps(json.dumps(image))) for image in images)
    return [image for image, size_bytes in zip(images, sizes, strict=True) if size_bytes <= MAX_PAGE_BYTES]


def list_events(
    database: Database, *, owner: str, request_id: UUID, after: int, limit: int, base_url: str
) -> ImageEvents:
    """A job's images in the order in which they became terminal, from a place on: none is passed over, ever.

    Args:
        database: Where they are.
        owner: The caller's name.
        request_id: The job.
        after: What `next` of the answer before said; 0 for the first.
        limit: Images a page, 1 to `MAX_PAGE_IMAGES`; a page over `MAX_PAGE_BYTES` ends before that.
        base_url: The API's public URL.

    Returns:
        `images` as they are now, of which one that a retry did again comes again; `next`: the next `after`, the same
        as long as there is nothing new; `job` as its status says. Nothing follows a page without images of a job that
        has ended: the job is read before its images are, and the last of them commits before the job ends.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    job = owned_job(database, owner, request_id)
    if _lacks_events(job):
        job = database.transact(partial(_add_missing_events, owner, request_id))
    images: list[Image] = []
    numbers = limit
    while not images and after < job["event_count"]:
        until = min(after + numbers, job["event_count"])
        window = {"request_id": request_id, "after": after, "until": until, "limit": limit}
        rows = database.fetch_all("list_events", window)
        images = _fitting([_image(row) for row in rows])
        after = rows[len(images) - 1]["number"] if images else until
        numbers *= 2  # a correction may have removed the next image, or the next hundred thousand
    return {"images": images, "next": str(after), "job": job_document(job, base_url)}


def _lacks_events(job: Row) -> bool:
    """Whether code from before migration 0013 ended images of it: such may run until a deployment is through."""
    return bool(job["finalizable_at"]) and job["event_count"] < job["images_completed"] + job["images_failed"]


def _add_missing_events(owner: str, request_id: UUID, transaction: Transaction) -> Row:
    if _lacks_events(lock_owned_job(transaction, owner, request_id)):
        transaction.execute("add_missing_events", {"request_id": request_id})
    return lock_owned_job(transaction, owner, request_id)


def list_deliveries(database: Database, *, owner: str, request_id: UUID) -> Deliveries:
    """The attempts at a job's webhooks, the newest `MAX_DELIVERIES`, newest first.

    Returns:
        `webhook_url` as logs show it, without a query, None when the job was given none; and `deliveries`.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    job = owned_job(database, owner, request_id)
    attempts = database.fetch_all("list_deliveries", {"request_id": request_id, "limit": MAX_DELIVERIES})
    return {
        "webhook_url": shown_url(job["webhook_url"]) if job["webhook_url"] else None,
        "deliveries": [_delivery(attempt) for attempt in attempts],
    }


def _delivery(row: Row) -> Delivery:
    """The statement's columns are the answer's fields."""
    return cast("Delivery", {**row, "attempted_at": timestamp(row["attempted_at"])})
