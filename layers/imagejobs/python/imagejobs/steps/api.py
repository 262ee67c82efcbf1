"""api: takes uploads.

An upload's job row is written before its CSV is stored: the S3 event must find its job.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import psycopg2
from aws_lambda_powertools import Logger
from psycopg2.extras import Json

from imagejobs.addresses import check_url
from imagejobs.answers import UploadOpened
from imagejobs.bucket import UPLOAD_FORM_SECONDS, UPLOAD_PREFIX, Bucket
from imagejobs.database import Database, Row, Transaction
from imagejobs.destinations import Destinations
from imagejobs.errors import (
    IdempotencyKeyReused,
    JobEnded,
    RequestIdInvalid,
    SheetTooLarge,
)
from imagejobs.form_fields import refuse_unknown
from imagejobs.jobs import timestamp
from imagejobs.limits import MAX_UPLOAD_BYTES, SHEET_LIMITS
from imagejobs.options import CompressionOptions, RunOptions
from imagejobs.sheet import check_sheet
from imagejobs.sheet_layout import SheetLayout
from imagejobs.upload_form import UploadForm
from imagejobs.usage import Allowance, reserve_images

logger = Logger(child=True)

WEBHOOK_URL_FIELD = "webhook_url"


def accept_upload(
    database: Database,
    bucket: Bucket,
    *,
    allowance: Allowance,
    form: UploadForm,
    destinations: Destinations,
    idempotency_key: str | None = None,
) -> UUID:
    """Check a CSV as a whole, write its job and store it; the rest happens behind the queue.

    Args:
        database: Where the job row goes.
        bucket: Where the CSV goes.
        allowance: The caller, and what it may use.
        form: The parsed multipart form.
        destinations: Whom the webhook may be sent to.
        idempotency_key: The caller's own name for this upload; sent again with the same form, it is the same job.

    Raises:
        OptionInvalid, SheetError, SheetTooLarge, UrlRefused: What the caller must change.
        IdempotencyKeyReused: The key came with another form before.
        QuotaExceeded: The sheet names more images than are left of the caller's day.
    """
    if len(form.file) > MAX_UPLOAD_BYTES:
        raise SheetTooLarge(
            f"The file has {len(form.file):,} bytes; an upload may have {MAX_UPLOAD_BYTES:,}. "
            "Send a larger file by the form that POST /uploads answers, or drop it into the bucket's drop/ folder."
        )
    file_sha256 = hashlib.sha256(form.file).hexdigest()
    job = _new_job(allowance.owner, form.fields, file_sha256, destinations, idempotency_key)
    images = check_sheet(partial(BytesIO, form.file), SHEET_LIMITS, SheetLayout.among(form.fields))
    database.transact(partial(_insert_job, job, allowance, images))
    if idempotency_key:
        job = _job_of_key(database, job)
    if job["source_version"] is None:
        _store(database, bucket, job, form.file)
    stored_id: UUID = job["request_id"]
    return stored_id


def _insert_job(job: Row, allowance: Allowance, images: int, transaction: Transaction) -> None:
    """A job that is there already, by its key or a commit whose reply was lost, is not counted again."""
    if transaction.execute("insert_job", job):
        reserve_images(transaction, allowance.owner, allowance.daily_images, images, dry_run=job["dry_run"])


def open_upload(
    database: Database,
    bucket: Bucket,
    *,
    allowance: Allowance,
    fields: Mapping[str, str],
    destinations: Destinations,
    idempotency_key: str | None = None,
) -> UploadOpened:
    """Write a job whose CSV its caller sends to S3 by itself: its version that arrives first is the job.

    Nobody has seen the CSV yet, so that the fan-out checks it and counts its images. A job whose CSV never arrives is
    ended by the sweeper.

    Args:
        database: Where the job row goes.
        bucket: Where the CSV will come.
        allowance: The caller, and what it may use.
        fields: Options and `webhook_url`.
        destinations: Whom the webhook may be sent to.
        idempotency_key: The caller's own name for this upload; sent again with the same fields, it is the same job, and
            the form is a new one.

    Returns:
        `request_id`; `url` and `fields` of the form; `expires_at`, when it is good no longer.

    Raises:
        OptionInvalid, UrlRefused: What the caller must change.
        IdempotencyKeyReused: The key came with other fields, or with a file, before.
        JobEnded: The key's job was given up before its CSV came.
    """
    job = _new_job(allowance.owner, fields, None, destinations, idempotency_key)
    database.execute("insert_job", {**job, "daily_images": allowance.daily_images})
    if idempotency_key:
        job = _job_of_key(database, job)
        if job["finalizable_at"] and job["source_version"] is None:
            raise JobEnded("The job of this Idempotency-Key has ended before its CSV came; send it under a new one.")
        database.execute("await_sheet", job)
    expires_at = datetime.now(UTC) + timedelta(seconds=UPLOAD_FORM_SECONDS)
    url, form_fields = bucket.upload_form(job["source_key"], SHEET_LIMITS.max_bytes)
    request_id = str(job["request_id"])
    return {"request_id": request_id, "url": url, "fields": form_fields, "expires_at": timestamp(expires_at)}


def _new_job(
    owner: str,
    form_fields: Mapping[str, str],
    file_sha256: str | None,
    destinations: Destinations,
    idempotency_key: str | None,
) -> Row:
    """The row of a job to be, its options and webhook checked; without `file_sha256` its CSV is still to come."""
    fields = dict(form_fields)
    webhook_url = fields.pop(WEBHOOK_URL_FIELD, "").strip() or None
    if webhook_url:
        check_url(webhook_url, destinations)
    refuse_unknown(fields, CompressionOptions, SheetLayout, RunOptions)
    request_id = uuid4()
    return {
        "request_id": request_id,
        "owner": owner,
        "source_key": f"{UPLOAD_PREFIX}{request_id}.csv",
        "source_version": None,
        "options": Json(CompressionOptions.among(fields).to_fields()),
        "layout": Json(SheetLayout.among(fields).to_fields()),
        "dry_run": RunOptions.among(fields).dry_run,
        "webhook_url": webhook_url,
        "idempotency_key": idempotency_key,
        "upload_sha256": _upload_sha256(form_fields, file_sha256) if idempotency_key else None,
        "daily_images": None,
    }


def _upload_sha256(fields: Mapping[str, str], file_sha256: str | None) -> str:
    """What tells two uploads apart; not the request's body, whose multipart boundary is another one each time."""
    return hashlib.sha256(json.dumps([sorted(fields.items()), file_sha256]).encode()).hexdigest()


def _job_of_key(database: Database, job: Mapping[str, Any]) -> Row:
    """The job that has the key, be it the one just written; it may lack its CSV, if it was cut off there before."""
    found = database.fetch_one("find_upload", job)
    if found is None:
        raise LookupError("The job of an Idempotency-Key is gone.")
    if found["upload_sha256"] != job["upload_sha256"]:
        raise IdempotencyKeyReused("This Idempotency-Key came with another file or other fields before; use a new one.")
    return found


def _store(database: Database, bucket: Bucket, job: Mapping[str, Any], file: bytes) -> None:
    identity = {"request_id": job["request_id"]}
    try:
        version = bucket.put(job["source_key"], file, "text/csv")
    except Exception:
        logger.warning("sheet_not_stored", request_id=str(job["request_id"]))
        # Unless S3 has it all the same and its event was quicker: then the job goes on, unknown to its caller.
        database.execute("delete_pending_job", identity)
        raise
    # The event says so too, which is enough for the job to go on; so the caller need not hear of a failure here.
    with suppress(psycopg2.OperationalError):
        database.execute("accept_source", {**identity, "source_version": version})


def parse_request_id(text: str) -> UUID:
    """The job id of a path.

    Raises:
        RequestIdInvalid: It is not a UUID.
    """
    try:
        return UUID(text)
    except ValueError:
        raise RequestIdInvalid("The request_id in the path is not a UUID such as POST /upload returns.") from None
