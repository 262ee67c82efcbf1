"""sweep: rings again for work that stands still. It owns nothing, so that two sweeps at once do no harm."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from aws_lambda_powertools import Logger

from imagejobs.bucket import UPLOAD_FORM_SECONDS, ObjectVersion
from imagejobs.database import Database, Row, json_arrays
from imagejobs.executions import Finalizer
from imagejobs.jobs import refuse_sheet
from imagejobs.metrics import Metric, emit
from imagejobs.queues import Queue
from imagejobs.queues import Row as SheetRow

logger = Logger(child=True)

# Younger work is still on its ordinary way.
OLDER_THAN_SECONDS = 45
# A form is good for an hour, and 256 MB over a slow line take most of another; the API stores what it is sent at once.
MISSING_SHEET_SECONDS = 2 * UPLOAD_FORM_SECONDS
MISSING_SHEET_MESSAGE = "The CSV never arrived in the bucket. Upload it again."
# A job that waits its turn in a long queue does not move either, and more messages do not help it.
UNMOVED_SECONDS = 6 * 3600
# An open job that has not moved for so long is counted for the operator: what rings for it again takes minutes, and an
# image rests for 5 at most. Less than UNMOVED_SECONDS, after which it is rung for and counts as moved.
STUCK_SECONDS = 3600
# Work a sweep; what is left waits for the next, a minute later.
LIMIT = 500


@dataclass(frozen=True, slots=True)
class Sweeper:
    """What sweeping works with.

    Attributes:
        database: Where standing work shows.
        row_queue: Rung for images whose lease has run out.
        upload_queue: Rung for fan-outs that stopped midway.
        max_images_out: Images of one job that may be sent and not done.
        finalizer: Started for jobs that are done and not closed.
    """

    database: Database
    row_queue: Queue
    upload_queue: Queue
    max_images_out: int
    finalizer: Finalizer

    def sweep(self) -> dict[str, int]:
        """Look once; how many of each kind were rung for. What fails of one kind does not keep the others waiting.

        What is stuck all the same is counted last: that the count comes tells the operator that the sweeper runs.
        """
        kinds: dict[str, Callable[[], list[UUID]]] = {
            "missing_sheets": self._refuse_missing_sheets,
            "unmoved_jobs": self._rewind_unmoved_jobs,
            "stalled_fan_outs": self._ring_stalled_fan_outs,
            "expired_leases": self._ring_expired_leases,
            "finalizable_jobs": self._start_finalizers,
        }
        rung = {kind: self._try(kind, look) for kind, look in kinds.items()}
        for kind, request_ids in rung.items():
            if request_ids:
                logger.warning("standing_work_rung", kind=kind, request_ids=sorted(map(str, set(request_ids))))
        self._try("stuck_jobs", self._count_stuck_jobs)
        return {kind: len(request_ids) for kind, request_ids in rung.items()}

    def _try(self, kind: str, look: Callable[[], list[UUID]]) -> list[UUID]:
        try:
            return look()
        except Exception:  # the next sweep tries again
            logger.exception("sweep_failed", kind=kind)
            return []

    def _refuse_missing_sheets(self) -> list[UUID]:
        window = {"older_than_seconds": MISSING_SHEET_SECONDS, "limit": LIMIT}
        jobs = self.database.fetch_all("list_missing_sheets", window)
        for job in jobs:
            refuse_sheet(self.database, job["request_id"], None, MISSING_SHEET_MESSAGE)
        return _request_ids(jobs)

    def _rewind_unmoved_jobs(self) -> list[UUID]:
        return _request_ids(self.database.fetch_all("rewind_unmoved_jobs", {"older_than_seconds": UNMOVED_SECONDS}))

    def _ring_stalled_fan_outs(self) -> list[UUID]:
        window = {"older_than_seconds": OLDER_THAN_SECONDS, "limit": LIMIT, "max_images_out": self.max_images_out}
        jobs = self.database.fetch_all("list_stalled_fan_outs", window)
        for job in jobs:
            self.upload_queue.ring_file(ObjectVersion(job["source_key"], job["source_version"]))
        return _request_ids(jobs)

    def _ring_expired_leases(self) -> list[UUID]:
        """Ring first, clear the lease after: a sweep that dies in between rings twice, never not at all."""
        found = self.database.fetch_all("list_expired_leases", {"limit": LIMIT})
        rows = [SheetRow.from_record(record) for record in found]
        if rows:
            self.row_queue.ring_rows(rows)
        for rung in json_arrays({"request_id": str(row.request_id), "row_number": row.row_number} for row in rows):
            self.database.execute("clear_expired_leases", {"rung": rung})
        return _request_ids(found)

    def _start_finalizers(self) -> list[UUID]:
        """Start what was not started, or has stopped before its job was settled."""
        window = {"older_than_seconds": OLDER_THAN_SECONDS, "limit": LIMIT}
        jobs = self.database.fetch_all("list_finalizable", window)
        for job in jobs:
            if self.finalizer.has_stopped(job):
                self._start_next_run(job)
            else:
                self.finalizer.start(job)
        return _request_ids(jobs)

    def _count_stuck_jobs(self) -> list[UUID]:
        window = {"older_than_seconds": STUCK_SECONDS, "limit": LIMIT}
        stuck = _request_ids(self.database.fetch_all("list_stuck_jobs", window))
        emit({Metric.JOBS_STUCK: len(stuck)}, request_ids=[str(request_id) for request_id in stuck])
        return stuck

    def _start_next_run(self, job: Row) -> None:
        if advanced := self.database.fetch_one("next_finalizer_run", job):
            self.finalizer.start(advanced)


def _request_ids(found: list[Row]) -> list[UUID]:
    return [record["request_id"] for record in found]
