"""api: takes uploads and answers for jobs.

An upload's job row is written before its CSV is stored: the S3 event must find its job.
"""

from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

from psycopg2.extras import Json

from imagejobs.addresses import check_url
from imagejobs.bucket import RESULT_PREFIX, UPLOAD_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Row
from imagejobs.errors import JobNotFound, RequestIdInvalid, ResultNotReady, SheetTooLarge
from imagejobs.jobs import result_url, totals
from imagejobs.limits import MAX_UPLOAD_BYTES, SHEET_LIMITS
from imagejobs.options import CompressionOptions
from imagejobs.sheet import check_sheet
from imagejobs.upload_form import UploadForm

WEBHOOK_URL_FIELD = "webhook_url"
MAX_PAGE_IMAGES = 500  # with URLs of the longest kind, within Lambda's answer of 6 MB


def accept_upload(database: Database, bucket: Bucket, *, owner: str, form: UploadForm, origins: frozenset[str]) -> UUID:
    """Check a CSV as a whole, write its job and store it; the rest happens behind the queue.

    Args:
        database: Where the job row goes.
        bucket: Where the CSV goes.
        owner: The caller's name.
        form: The parsed multipart form.
        origins: `host:port` of origins that may be private (see `Fetcher`).

    Raises:
        OptionInvalid, SheetError, SheetTooLarge, UrlRefused: What the caller must change; no job is left.
    """
    if len(form.file) > MAX_UPLOAD_BYTES:
        raise SheetTooLarge(
            f"The file has {len(form.file):,} bytes; an upload may have {MAX_UPLOAD_BYTES:,}. "
            "Drop a larger file into the bucket's drop/ folder instead."
        )
    fields = dict(form.fields)
    webhook_url = fields.pop(WEBHOOK_URL_FIELD, "").strip() or None
    if webhook_url:
        check_url(webhook_url, allow_origins=origins)
    options = CompressionOptions.from_fields(fields)
    check_sheet(partial(BytesIO, form.file), SHEET_LIMITS)
    return _store(database, bucket, owner=owner, file=form.file, options=options, webhook_url=webhook_url)


def _store(
    database: Database,
    bucket: Bucket,
    *,
    owner: str,
    file: bytes,
    options: CompressionOptions,
    webhook_url: str | None,
) -> UUID:
    request_id = uuid4()
    source_key = f"{UPLOAD_PREFIX}{request_id}.csv"
    job = {
        "request_id": request_id,
        "owner": owner,
        "source_key": source_key,
        "source_version": None,
        "options": Json(options.to_fields()),
        "webhook_url": webhook_url,
    }
    database.execute("insert_job", job)
    try:
        version = bucket.put(source_key, file, "text/csv")
    except Exception:
        # Unless S3 has it all the same and its event was quicker: then the job goes on, unknown to its caller.
        database.execute("delete_pending_job", {"request_id": request_id})
        raise
    # The event says so too; should that be lost, the sweeper knows by this that the file is there.
    database.execute("accept_source", {"request_id": request_id, "source_version": version})
    return request_id


def parse_request_id(text: str) -> UUID:
    """The job id of a path.

    Raises:
        RequestIdInvalid: It is not a UUID.
    """
    try:
        return UUID(text)
    except ValueError:
        raise RequestIdInvalid("The request_id in the path is not a UUID such as POST /upload returns.") from None


def job_status(database: Database, *, owner: str, request_id: UUID, base_url: str) -> dict[str, Any]:
    """What `GET /job/status/<request_id>` answers.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    job = _owned_job(database, owner, request_id)
    return {
        "request_id": str(request_id),
        "status": job["status"],
        "created_at": _timestamp(job["created_at"]),
        "updated_at": _timestamp(job["updated_at"]),
        "completion_percentage": job["completion_percentage"],
        "error_message": job["error_message"],
        **totals(job),
        "result_url": result_url(base_url, job),
    }


def result_link(database: Database, bucket: Bucket, *, owner: str, request_id: UUID) -> str:
    """A presigned URL of the finished CSV that needs no token.

    Raises:
        JobNotFound: Unknown, or another caller's.
        ResultNotReady: The job has not ended, or ended without a finished CSV.
    """
    job = _owned_job(database, owner, request_id)
    if not job["result_key"]:
        raise ResultNotReady(
            f"The job is {job['status']} and has no finished CSV"
            + (f": {job['error_message']}" if job["error_message"] else " yet. Ask again when it has ended.")
        )
    name = job["result_key"].removeprefix(RESULT_PREFIX).rsplit("/", maxsplit=1)[-1]
    return bucket.link(ObjectVersion(job["result_key"], job["result_version"]), name)


def list_images(
    database: Database, *, owner: str, request_id: UUID, after: tuple[int, int], limit: int
) -> dict[str, Any]:
    """One page of a job's images, in the sheet's order.

    Args:
        database: Where the images are.
        owner: The caller's name.
        request_id: The job.
        after: Row number and position of the last image of the page before; (0, 0) for the first page.
        limit: Images a page, 1 to `MAX_PAGE_IMAGES`.

    Returns:
        `images`, and `next`: the `after` of the following page as "row-position", None on the last one.

    Raises:
        JobNotFound: Unknown, or another caller's.
    """
    _owned_job(database, owner, request_id)
    parameters = {
        "request_id": request_id,
        "after_row": after[0],
        "after_position": after[1],
        "limit": limit + 1,
    }
    rows = database.fetch_all("list_images", parameters)
    page = rows[:limit]
    following = f"{page[-1]['row_number']}-{page[-1]['position']}" if len(rows) > limit else None
    return {"images": [{**image, "image_id": str(image["image_id"])} for image in page], "next": following}


def _owned_job(database: Database, owner: str, request_id: UUID) -> Row:
    job = database.fetch_one("get_owned_job", {"request_id": request_id, "owner": owner})
    if job is None:
        raise JobNotFound(f"There is no job {request_id}.")
    return job


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
