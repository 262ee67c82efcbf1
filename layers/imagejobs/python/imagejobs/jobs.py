"""Jobs, as several steps know them: what they are called, where they come from, how they are told of."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from psycopg2.extras import Json

from imagejobs.bucket import UPLOAD_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database

# A dropped file's request_id is derived from its key and version: a repeated event finds the same job.
DROP_NAMESPACE = UUID("8f1d2a52-6f0e-5a0b-9a57-0d6c2b6e7f11")


def insert_drop(
    database: Database,
    bucket: Bucket,
    source: ObjectVersion,
    *,
    owner: str,
    options: Mapping[str, str] | None = None,
    webhook_url: str | None = None,
) -> UUID:
    """Write the job row of a dropped file unless it is there; the job's id, the same for the same version."""
    request_id = uuid5(DROP_NAMESPACE, f"{bucket.name}/{source.key}?{source.version}")
    job = {
        "request_id": request_id,
        "owner": owner,
        "source_key": source.key,
        "source_version": source.version,
    }
    database.execute("insert_dropped_job", {**job, "options": Json(options or {}), "webhook_url": webhook_url})
    return request_id


def uploaded_request_id(source: ObjectVersion) -> UUID | None:
    """The job that an object under `uploads/` belongs to: the API named it so; None for any other name."""
    try:
        return UUID(source.key.removeprefix(UPLOAD_PREFIX).removesuffix(".csv"))
    except ValueError:
        return None


def totals(job: Mapping[str, Any]) -> dict[str, int | None]:
    """The counts of a job as users read them; None before every row is staged."""
    return {
        "rows": job["rows_total"],
        "rows_failed": job["rows_failed"],
        "images": job["images_total"],
        "images_completed": job["images_completed"],
        "images_failed": job["images_failed"],
        "bytes_before": job["bytes_before"],
        "bytes_after": job["bytes_after"],
    }


def result_url(base_url: str, job: Mapping[str, Any]) -> str | None:
    """Where the finished CSV is had with the caller's token; None while there is none.

    The API's own URL: a presigned one would have expired before a webhook's last retry.
    """
    return f"{base_url}/job/{job['request_id']}/result" if job["result_key"] else None
