"""Step `api`: the next generation of an ended job, begun by a retry or by corrected rows."""

from collections.abc import Mapping
from typing import Any

from imagejobs.database import Row, Transaction
from imagejobs.usage import reserve_images

# Of images that are deleted, those that the job has counted, by its counters.
GONE = (
    "images_gone",
    "completed_gone",
    "unchanged_gone",
    "reused_gone",
    "bytes_before_gone",
    "bytes_after_gone",
    "rows_failed_gone",
)
UNCHANGED: Mapping[str, Any] = {
    **dict.fromkeys((*GONE, "images_added", "rows_failed_added"), 0),
    "corrections_version": None,
    "corrections_sha256": None,
}


def begin_generation(
    transaction: Transaction, job: Mapping[str, Any], daily_images: int | None, changed: Mapping[str, Any]
) -> Row:
    """Begin the next generation of an ended job, with all that is not completed to be done.

    Args:
        transaction: In which the job is locked.
        job: As it is there.
        daily_images: The caller's quota; None for no limit.
        changed: What has come and gone of its images and rows, as `UNCHANGED` names it.

    Raises:
        QuotaExceeded: More is to be done than is left of the caller's day.
    """
    identity = {"request_id": job["request_id"]}
    transaction.execute("retry_images", identity)
    if changed is not UNCHANGED:
        transaction.execute("mark_repeated_urls", identity)
    generation = {**identity, **changed, "is_counted": daily_images is not None}
    (begun,) = transaction.fetch_all("begin_generation", generation)
    if daily_images is not None:
        to_do = begun["images_total"] - begun["images_completed"]
        reserve_images(transaction, begun["owner"], daily_images, to_do, dry_run=begun["dry_run"])
    return begun
