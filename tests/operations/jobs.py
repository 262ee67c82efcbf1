"""Jobs brought to their end by the service's own steps, with every object that they leave in S3."""

from typing import Any
from uuid import UUID

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database
from tests.integration.handlers import Functions, file_event, finish
from tests.integration.jobs import images_of, job_of, query

A, B, C = (f"https://shop.example/{name}.jpg" for name in "abc")
HOOK = "https://shop.example/hook"


def dropped(functions: Functions, bucket: Bucket, connect: Any, key: str, body: bytes) -> UUID:
    """A dropped job, fanned out."""
    version = bucket.put(key, body, "text/csv")
    functions.invoke("fan_out", file_event(ObjectVersion(key, version)))
    ((request_id,),) = query(connect, "SELECT request_id FROM job_request WHERE source_version = %s", version)
    return UUID(str(request_id))


def worked_off(database: Database, bucket: Bucket, request_id: UUID, **outcomes: Any) -> None:
    """End a job's images (see `finish`), and store what they became."""
    finish(database, request_id, **outcomes)
    for image in images_of(database, request_id):
        if image["status"] == "COMPLETED":
            bucket.put(image["image_url"].removeprefix("https://images.example/"), bytes(400), "image/jpeg")


def finished(functions: Functions, database: Database, bucket: Bucket, request_id: UUID, **outcomes: Any) -> UUID:
    """The same job, worked off and closed."""
    worked_off(database, bucket, request_id, **outcomes)
    close(functions, database, request_id)
    return request_id


def close(functions: Functions, database: Database, request_id: UUID) -> dict[str, Any]:
    """Run the finalizer up to its first webhook; its state then."""
    job = job_of(database, request_id)
    state = {"request_id": str(request_id), "generation": job["generation"], "run": job["finalizer_run"]}
    state["result"] = functions.invoke("finalize", {"step": "write_result", "state": state})
    return {**state, "closed": functions.invoke("finalize", {"step": "close_job", "state": state})}


def attempt_webhook(functions: Functions, database: Database, request_id: UUID, status_code: int) -> None:
    """The finalizer's next attempt at the webhook of a closed job, which is answered so."""
    answer = {"status_code": status_code, "retry_after_seconds": None, "error_message": None}
    state = {**close(functions, database, request_id), "answer": answer}
    functions.invoke("finalize", {"step": "record_attempt", "state": state})
