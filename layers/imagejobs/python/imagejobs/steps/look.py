"""api: what callers see of their jobs."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from typing import Any
from uuid import UUID

from imagejobs.addresses import shown_url
from imagejobs.bucket import RESULT_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Row, Transaction
from imagejobs.errors import RequestInvalid, ResultNotReady
from imagejobs.jobs import job_document, lock_owned_job, owned_job, timestamp
from imagejobs.limits import MAX_DELIVERIES, MAX_PAGE_BYTES

_JOB_CURSOR_TIME = "%Y%m%dT%H%M%S.%fZ"
_BEFORE_THE_FIRST = ("infinity", UUID(int=2**128 - 1))


def job_status(database: Database, *, owner: str, request_id: UUID, base_url: str) -> dict[str, Any]:
    """What `GET /job/status/<request_id>` answers.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    return job_document(owned_job(database, owner, request_id), base_url)


def list_jobs(
    database: Database, *, owner: str, statuses: Sequence[str], after: str | None, limit: int, base_url: str
) -> dict[str, Any]:
    """One page of a caller's jobs, newest first.

    Args:
        database: Where the jobs are.
        owner: The caller's name.
        statuses: Those that are asked for.
        after: What `next` of the page before said; None for the first page.
        limit: Jobs a page, 1 to `MAX_PAGE_JOBS`.
        base_url: The API's public URL.

    Returns:
        `jobs`, and `next`: the `after` of the following page, None on the last one.

    Raises:
        RequestInvalid: `after` is not what a page said.
    """
    before_created_at, before_request_id = _job_place(after) if after is not None else _BEFORE_THE_FIRST
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


def _job_cursor(job: Row) -> str:
    """To the microsecond, as Postgres orders them."""
    return f"{job['created_at'].astimezone(UTC):{_JOB_CURSOR_TIME}}_{job['request_id']}"


def _job_place(cursor: str) -> tuple[datetime, UUID]:
    moment, _, request_id = cursor.partition("_")
    try:
        return datetime.strptime(moment, _JOB_CURSOR_TIME).replace(tzinfo=UTC), UUID(request_id)
    except ValueError:
        raise RequestInvalid("The parameter `after` is not what `next` of the page before said.") from None


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


def list_images(
    database: Database, *, owner: str, request_id: UUID, status: str | None, after: tuple[int, int], limit: int
) -> dict[str, Any]:
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
    page = _fitting([{**image, "image_id": str(image["image_id"])} for image in rows[:limit]])
    following = f"{page[-1]['row_number']}-{page[-1]['position']}" if len(rows) > len(page) else None
    return {"images": page, "next": following}


def _fitting(images: list[Row]) -> list[Row]:
    """As many of the images, from the first on, as Lambda answers at once: its answer is JSON with JSON in it."""
    sizes = accumulate(len(json.dumps(json.dumps(image))) for image in images)
    return [image for image, size_bytes in zip(images, sizes, strict=True) if size_bytes <= MAX_PAGE_BYTES]


def list_events(
    database: Database, *, owner: str, request_id: UUID, after: int, limit: int, base_url: str
) -> dict[str, Any]:
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
        database.transact(partial(_add_missing_events, owner, request_id))
    images: list[Row] = []
    while not images:
        rows = database.fetch_all("list_events", {"request_id": request_id, "after": after, "limit": limit})
        if not rows:
            break
        page = _fitting([{**row, "image_id": str(row["image_id"])} for row in rows])
        after = page[-1]["number"]
        images = [_without_number(image) for image in page if image["row_number"]]  # a correction may remove an image
    return {"images": images, "next": str(after), "job": job_document(job, base_url)}


def _lacks_events(job: Row) -> bool:
    """Whether code from before migration 0013 ended images of it: such may run until a deployment is through."""
    return bool(job["finalizable_at"]) and job["event_count"] < job["images_completed"] + job["images_failed"]


def _add_missing_events(owner: str, request_id: UUID, transaction: Transaction) -> None:
    if _lacks_events(lock_owned_job(transaction, owner, request_id)):
        transaction.execute("add_missing_events", {"request_id": request_id})


def _without_number(image: Row) -> Row:
    return {name: value for name, value in image.items() if name != "number"}


def list_deliveries(database: Database, *, owner: str, request_id: UUID) -> dict[str, Any]:
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
        "deliveries": [{**attempt, "attempted_at": timestamp(attempt["attempted_at"])} for attempt in attempts],
    }
