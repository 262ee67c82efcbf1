"""sweep: rings again for work that stands still. It owns nothing, so that two sweeps at once do no harm."""

from dataclasses import dataclass

from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database
from imagejobs.executions import Finalizer
from imagejobs.queues import Queue, Row

# Younger work is still on its ordinary way.
OLDER_THAN_SECONDS = 45
# An uploaded CSV is stored right after its job row. By then its event has had all its deliveries (5 x 30 minutes).
MISSING_SHEET_SECONDS = 10_800
MISSING_SHEET_MESSAGE = "The CSV never arrived in the bucket. Upload it again."
# Work a sweep; what is left waits for the next, a minute later.
LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Sweeper:
    """What sweeping works with.

    Attributes:
        database: Where standing work shows.
        row_queue: Rung for images whose lease has run out.
        upload_queue: Rung for fan-outs that stopped midway.
        finalizer: Started for jobs that are done and not closed.
    """

    database: Database
    row_queue: Queue
    upload_queue: Queue
    finalizer: Finalizer

    def sweep(self) -> dict[str, int]:
        """Look once; how many of each kind were rung for."""
        return {
            "missing_sheets": self._refuse_missing_sheets(),
            "stalled_fan_outs": self._ring_stalled_fan_outs(),
            "expired_leases": self._ring_expired_leases(),
            "finalizable_jobs": self._start_finalizers(),
        }

    def _refuse_missing_sheets(self) -> int:
        window = {"older_than_seconds": MISSING_SHEET_SECONDS, "limit": LIMIT}
        jobs = self.database.fetch_all("list_missing_sheets", window)
        for job in jobs:
            refusal = {"request_id": job["request_id"], "error_message": MISSING_SHEET_MESSAGE}
            self.database.execute("refuse_sheet", refusal)
        return len(jobs)

    def _ring_stalled_fan_outs(self) -> int:
        window = {"older_than_seconds": OLDER_THAN_SECONDS, "limit": LIMIT}
        jobs = self.database.fetch_all("list_stalled_fan_outs", window)
        for job in jobs:
            self.upload_queue.ring_file(ObjectVersion(job["source_key"], job["source_version"]))
        return len(jobs)

    def _ring_expired_leases(self) -> int:
        """Ring first, clear the lease after: a sweep that dies in between rings twice, never not at all."""
        found = self.database.fetch_all("list_expired_leases", {"grace_seconds": 0, "limit": LIMIT})
        rows = [Row(record["request_id"], record["row_number"]) for record in found]
        if rows:
            self.row_queue.ring_rows(rows)
            keys = {
                "request_ids": [row.request_id for row in rows],
                "row_numbers": [row.row_number for row in rows],
            }
            self.database.execute("clear_expired_leases", keys)
        return len(rows)

    def _start_finalizers(self) -> int:
        """Start what was not started; an execution that ended and left its job open gets a new generation."""
        window = {"older_than_seconds": OLDER_THAN_SECONDS, "limit": LIMIT}
        jobs = self.database.fetch_all("list_finalizable", window)
        for job in jobs:
            generation = job["generation"]
            if self.finalizer.has_stopped(job["request_id"], generation):
                advanced = self.database.fetch_one("next_generation", dict(job))
                generation = advanced["generation"] if advanced else generation
            self.finalizer.start(job["request_id"], generation)
        return len(jobs)
