"""Steps `api` and `finalize`: where the corrected rows of a job lie; which version counts, its row says."""

from uuid import UUID

from imagejobs.bucket import CORRECTION_PREFIX, Bucket, ObjectVersion
from imagejobs.corrections import Corrections, from_json
from imagejobs.database import Row


def load(bucket: Bucket, job: Row) -> Corrections:
    """Those that a job has so far; none before its first."""
    if job["corrections_version"] is None:
        return {}
    with bucket.open(ObjectVersion(_key(job["request_id"]), job["corrections_version"])) as stream:
        return from_json(stream.read())


def store(bucket: Bucket, request_id: UUID, content: bytes) -> str:
    """Keep what `corrections.to_json` made; its version."""
    return bucket.put(_key(request_id), content, "application/json")


def _key(request_id: UUID) -> str:
    return f"{CORRECTION_PREFIX}{request_id}.json"
