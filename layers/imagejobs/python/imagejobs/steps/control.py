"""api: what callers ask of a job that is there already: to retry it, to cancel it, to send its webhook again.

Each is one transaction that begins by locking the job, so that it comes before or after the job's end, never across it;
ringing comes after the commit, and the sweeper rings for what that misses. Each may be repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database, Row, Transaction
from imagejobs.errors import JobCancelled, JobEnded, JobNotEnded, NothingToRetry, NoWebhook
from imagejobs.executions import Finalizer
from imagejobs.generations import UNCHANGED, begin_generation
from imagejobs.jobs import CANCELLED_IMAGE_MESSAGE, CANCELLED_MESSAGE, TERMINAL, event_id, lock_owned_job, refuse_in
from imagejobs.metrics import emit_images
from imagejobs.queues import Queue


@dataclass(frozen=True, slots=True)
class Control:
    """What the control of jobs works with.

    Attributes:
        database: Where jobs are.
        upload_queue: Rung for the rows of a retried job.
        finalizer: Started for a job that has nothing left to do, and for another delivery of its webhook.
    """

    database: Database
    upload_queue: Queue
    finalizer: Finalizer

    def retry(self, owner: str, request_id: UUID, daily_images: int | None = None) -> int:
        """Begin the next generation of an ended job: its failed images are done again, the others are kept.

        Args:
            owner: The caller's name.
            request_id: The job.
            daily_images: The caller's quota, of which the failed images are taken; None when an operator retries.

        Returns:
            The generation that is at work now; repeating this while it is at work begins no other.

        Raises:
            JobNotFound: Unknown, or another caller's.
            JobNotEnded: Its first generation is still at work.
            NothingToRetry: It ended well but for rows that name no image, or none of its rows was read.
            QuotaExceeded: More images failed than are left of the caller's day.
        """
        job = self.database.transact(partial(_retry, owner, request_id, daily_images))
        self.ring(job)
        return int(job["generation"])

    def ring(self, job: Mapping[str, Any]) -> None:
        """Have the present generation of a job done, if anything is left to do."""
        if job["finalizable_at"] is None:
            self.upload_queue.ring_file(ObjectVersion(job["source_key"], job["source_version"]))
        self.finalizer.start_ready(self.database, [job["request_id"]])

    def cancel(self, owner: str, request_id: UUID) -> None:
        """Begin no more images of a job; those that are at work may end, and what is done is kept.

        Raises:
            JobNotFound: Unknown, or another caller's.
            JobEnded: All of its work is done.
        """
        emit_images(self.database.transact(partial(_cancel, owner, request_id)))
        self.finalizer.start_ready(self.database, [request_id])

    def redeliver(self, owner: str, request_id: UUID) -> str:
        """Send the webhook of an ended job again, with the whole schedule of attempts before it.

        Returns:
            The event's id; it is the same as before.

        Raises:
            JobNotFound: Unknown, or another caller's.
            JobNotEnded: There is nothing to tell yet.
            NoWebhook: The job was given no webhook_url.
        """
        job = self.database.transact(partial(_redeliver, owner, request_id))
        self.finalizer.start(job)
        return event_id(job)


def _retry(owner: str, request_id: UUID, daily_images: int | None, transaction: Transaction) -> Row:
    job = lock_owned_job(transaction, owner, request_id)
    if job["status"] not in TERMINAL:
        if job["generation"] == 1:
            raise JobNotEnded(f"The job is {job['status']}; retry it when it has ended.")
        return job
    if not job["rows_total"]:
        raise NothingToRetry("None of the job's rows was read; upload the corrected CSV as a new job.")
    if not job["images_failed"] and job["result_key"] and not job["cancelled_at"]:
        raise NothingToRetry("None of the job's images failed; see the finished CSV for rows that name no image.")
    return begin_generation(transaction, job, daily_images, UNCHANGED)


def _cancel(owner: str, request_id: UUID, transaction: Transaction) -> list[Row]:
    job = lock_owned_job(transaction, owner, request_id)
    if job["cancelled_at"]:
        return []
    if job["finalizable_at"]:
        raise JobEnded("All of the job's work is done; there is nothing left to cancel.")
    ended = _end_images(job, transaction)
    transaction.execute("cancel_job", {"request_id": request_id})
    return ended


def _end_images(job: Mapping[str, Any], transaction: Transaction) -> list[Row]:
    """Those that nobody works on, as they were counted; before all rows are staged, the sheet itself."""
    job_columns = {"request_id": job["request_id"], "source_version": job["source_version"]}
    if job["rows_total"] is None:
        refuse_in({**job_columns, "token": job["fan_out_token"], "error_message": CANCELLED_MESSAGE}, transaction)
        return []
    failure = {"error_code": JobCancelled.code, "error_message": CANCELLED_IMAGE_MESSAGE}
    return transaction.fetch_all("fail_images", {**job_columns, "row_number": None, **failure})


def _redeliver(owner: str, request_id: UUID, transaction: Transaction) -> Row:
    job = lock_owned_job(transaction, owner, request_id)
    if not job["webhook_url"]:
        raise NoWebhook("The job was uploaded without a webhook_url.")
    if job["status"] not in TERMINAL:
        raise JobNotEnded(f"The job is {job['status']}; its webhook is sent when it has ended.")
    transaction.execute("redeliver_webhook", {"request_id": request_id, "event_id": event_id(job)})
    return lock_owned_job(transaction, owner, request_id)
