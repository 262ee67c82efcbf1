"""Jobs, as several steps know them: what they are called, where they come from, how they are told of."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid5

from psycopg2.extras import Json

from imagejobs.bucket import (
    DROP_PREFIX,
    IMAGE_PREFIX,
    RESULT_PREFIX,
    UPLOAD_PREFIX,
    Bucket,
    ObjectVersion,
)
from imagejobs.database import Database, Row, Transaction
from imagejobs.errors import JobNotFound
from imagejobs.metrics import Metric, emit

if TYPE_CHECKING:
    from imagejobs.answers import Job, Totals
    from imagejobs.queues import Queue

# A dropped file's request_id is derived from its key and version: a repeated event finds the same job.
DROP_NAMESPACE = UUID("8f1d2a52-6f0e-5a0b-9a57-0d6c2b6e7f11")

_IMAGE_PLACE = re.compile(r"/([0-9]{1,9})-([0-9]{1,9})-[0-9a-f]{16}\.[a-z]+$")

JOB_STATUSES = ("PENDING", "PROCESSING", "COMPLETED", "FAILED")
IMAGE_STATUSES = ("PENDING", "COMPLETED", "FAILED")
# Of a serial number, percent-encoded: a key has 1,024 bytes at most, and a longer name is for no human.
MAX_HUMAN_NAME_BYTES = 200

TERMINAL = frozenset({"COMPLETED", "FAILED"})
CANCELLED_MESSAGE = "cancelled"
CANCELLED_IMAGE_MESSAGE = "The job was cancelled before this image was done."


@dataclass(frozen=True, slots=True)
class Drop:
    """A dropped file that becomes a job.

    Attributes:
        source: Its version: the same version is the same job.
        owner: The caller that dropped files belong to.
        options: How to compress, as fields.
        layout: What it looks like, as fields.
        webhook_url: Where the job reports, if anywhere.
        daily_images: Images a day that the owner may have.
        dry_run: Whether its images are only looked at.
    """

    source: ObjectVersion
    owner: str
    options: Mapping[str, str]
    layout: Mapping[str, str]
    webhook_url: str | None
    daily_images: int | None = None
    dry_run: bool = False


def owned_job(database: Database, owner: str, request_id: UUID) -> Row:
    """A caller's job.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    return _found(database.fetch_one("get_owned_job", {"request_id": request_id, "owner": owner}), request_id)


def lock_owned_job(transaction: Transaction, owner: str, request_id: UUID) -> Row:
    """A caller's job, which nobody else changes until the transaction ends.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    return _found(transaction.fetch_one("lock_owned_job", {"request_id": request_id, "owner": owner}), request_id)


def _found(job: Row | None, request_id: UUID) -> Row:
    if job is None:
        raise JobNotFound(f"There is no job {request_id}.")
    return job


def insert_drop(database: Database, bucket: Bucket, drop: Drop) -> UUID:
    """Write the job row of a dropped file unless it is there; the job's id."""
    request_id = _dropped_request_id(bucket.name, drop.source)
    job = {
        "request_id": request_id,
        "owner": drop.owner,
        "source_key": drop.source.key,
        "source_version": drop.source.version,
        "options": Json(dict(drop.options)),
        "dry_run": drop.dry_run,
        "layout": Json(dict(drop.layout)),
        "webhook_url": drop.webhook_url,
        "idempotency_key": None,
        "upload_sha256": None,
        "daily_images": drop.daily_images,
    }
    database.execute("insert_job", job)
    return request_id


def refuse_sheet(
    database: Database, request_id: UUID, source_version: str | None, message: str, token: UUID | None = None
) -> None:
    """End a job whose sheet cannot be read, with the reason; the finalizer then tells its owner.

    Does nothing once the job's totals are declared, and while another's fan-out holds the job.

    Args:
        database: Where the job is.
        request_id: The job.
        source_version: The version of its CSV that is refused; None when it never arrived.
        message: What its owner reads.
        token: The caller's own fan-out lease, if it has one.
    """
    refusal = {"request_id": request_id, "source_version": source_version, "error_message": message, "token": token}
    if database.transact(partial(refuse_in, refusal)):
        emit({Metric.SHEETS_REFUSED: 1}, request_id=str(request_id))


def refuse_in(refusal: Mapping[str, Any], transaction: Transaction) -> bool:
    """`refuse_sheet` as a part of a larger transaction; `refusal` has the statement's parameters.

    Returns:
        Whether it ended the job.
    """
    if not transaction.execute("refuse_sheet", refusal):
        return False
    transaction.execute("delete_refused_images", refusal)
    transaction.execute("delete_refused_row_errors", refusal)
    return True


def ring_for_more(database: Database, upload_queue: "Queue", request_ids: Sequence[UUID], max_images_out: int) -> None:
    """Ring the fan-out of every job among these that has rows left to send and room for them.

    Args:
        database: Where the jobs are.
        upload_queue: The fan-out's.
        request_ids: The jobs.
        max_images_out: Images of one job that may be sent and not done; half of it must be free.
    """
    window = {"request_ids": list(request_ids), "max_images_out": max_images_out // 2}
    for job in database.fetch_all("list_jobs_with_room", window):
        upload_queue.ring_file(ObjectVersion(job["source_key"], job["source_version"]))


def sheet_request_id(bucket_name: str, source: ObjectVersion) -> UUID | None:
    """The job that a version of an object is the sheet of, whether its row is there or not; None for no sheet of ours.

    A dropped file's is derived from its version; an upload's object was named after it by the API.
    """
    if source.key.startswith(DROP_PREFIX):
        return None if source.key.endswith("/") else _dropped_request_id(bucket_name, source)
    try:
        return UUID(source.key.removeprefix(UPLOAD_PREFIX).removesuffix(".csv"))
    except ValueError:
        return None


def _dropped_request_id(bucket_name: str, source: ObjectVersion) -> UUID:
    return uuid5(DROP_NAMESPACE, f"{bucket_name}/{source.key}?{source.version}")


def result_key(source_key: str) -> str:
    """Where the finished CSV of a sheet lies, but for a gzip's ending; what else comes of it has longer names."""
    prefix = DROP_PREFIX if source_key.startswith(DROP_PREFIX) else UPLOAD_PREFIX
    return f"{RESULT_PREFIX}{source_key.removeprefix(prefix)}"


def failures_key(source_key: str) -> str:
    """Where the rows of a sheet that failed lie."""
    return f"{result_key(source_key)}.failures.csv"


def image_key(image: Mapping[str, Any], body: bytes, extension: str) -> str:
    """Where a compressed image lies: made of ids and content, so that a repeat writes the same object again."""
    digest = hashlib.sha256(body).hexdigest()[:16]
    return f"{IMAGE_PREFIX}{image['request_id']}/{image['row_number']}-{image['position']}-{digest}.{extension}"


def human_key(image: Mapping[str, Any], extension: str) -> str:
    """Where the copy of a compressed image lies that is named after its sheet: `<serial number>/<position>.<ext>`.

    Two images never share one. Where the serial number alone does not tell rows apart (the columns are the user's own,
    it is missing, or too long for a key) the position has the row number before it.

    Args:
        image: Its request id, row number, position and serial number, and whether the sheet's columns are mapped.
        extension: Of the file, without a point.
    """
    serial_number = image["serial_number"] or ""
    # "." and ".." are no names in a URL, however they are encoded there; so the key itself is encoded.
    name = quote(serial_number, safe="") if serial_number.strip(".") else serial_number.replace(".", "%2E")
    is_unique = name and not image["is_mapped"] and len(name) <= MAX_HUMAN_NAME_BYTES
    place = str(image["position"]) if is_unique else f"{image['row_number']}-{image['position']}"
    return f"{IMAGE_PREFIX}{image['request_id']}/{name[:MAX_HUMAN_NAME_BYTES] or '%'}/{place}.{extension}"


def image_place(key: str) -> tuple[int, int]:
    """Row number and position in an `image_key`; (0, 0), which no image has, in any other key."""
    match = _IMAGE_PLACE.search(key)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def job_document(job: Mapping[str, Any], base_url: str) -> "Job":
    """A job as its owner reads it, wherever the API tells of one.

    Args:
        job: Its row.
        base_url: The API's public URL, without a slash at its end.
    """
    return {
        "request_id": str(job["request_id"]),
        "status": job["status"],
        "created_at": timestamp(job["created_at"]),
        "updated_at": timestamp(job["updated_at"]),
        "completion_percentage": job["completion_percentage"],
        "error_message": job["error_message"],
        "generation": job["generation"],
        **totals(job),
        "sheet": job["sheet_found"],
        "dry_run": job["dry_run"],
        "preflight": job["preflight"],
        "result_url": result_url(base_url, job),
        "failures_url": failures_url(base_url, job),
        "report_url": report_url(base_url, job),
    }


def timestamp(moment: datetime) -> str:
    """A moment as users read it: RFC 3339, in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def totals(job: Mapping[str, Any]) -> "Totals":
    """The counts of a job as users read them; None before every row is staged."""
    return {
        "rows": job["rows_total"],
        "rows_failed": job["rows_failed"],
        "images": job["images_total"],
        "images_completed": job["images_completed"],
        "images_failed": job["images_failed"],
        "images_unchanged": job["images_unchanged"],
        "images_reused": job["images_reused"],
        "bytes_before": job["bytes_before"],
        "bytes_after": job["bytes_after"],
    }


def event_id(job: Mapping[str, Any]) -> str:
    """The `webhook-id` of what a generation of a job came to: the same at every attempt."""
    return f"evt_{job['request_id']}-{job['generation']}"


def failures_url(base_url: str, job: Mapping[str, Any]) -> str | None:
    """Where the rows that failed are had with the caller's token; None while there are none."""
    return f"{base_url}/job/{job['request_id']}/failures.csv" if job["failures_version"] else None


def report_url(base_url: str, job: Mapping[str, Any]) -> str | None:
    """Where the report is had with the caller's token; None while there is none."""
    return f"{base_url}/job/{job['request_id']}/report.html" if job["report_key"] else None


def result_url(base_url: str, job: Mapping[str, Any]) -> str | None:
    """Where the finished CSV is had with the caller's token; None while there is none.

    The API's own URL: a presigned one would have expired before a webhook's last retry.
    """
    return f"{base_url}/job/{job['request_id']}/result" if job["result_key"] else None
