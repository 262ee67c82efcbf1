"""bury: gives what was dead-lettered its final outcome, so that nothing can hold a job open."""

from dataclasses import dataclass
from functools import partial

from imagejobs.bucket import DROP_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Transaction
from imagejobs.database import Row as Record
from imagejobs.errors import ImageAbandoned
from imagejobs.executions import Finalizer
from imagejobs.jobs import Drop, insert_drop, refuse_sheet, sheet_request_id
from imagejobs.metrics import emit_images
from imagejobs.queues import Message, Row

ROW_MESSAGE = "The row was given up: its compression failed or ran out of time at every attempt."
FILE_MESSAGE = "The file was given up: reading it failed at every attempt. Upload it again, or report it."


class StillWorkedOn(Exception):
    """A dead letter's row has an image under a lease: its worker may yet finish it."""


@dataclass(frozen=True, slots=True)
class Undertaker:
    """What burying works with.

    Attributes:
        database: Where rows and jobs end.
        bucket: Where dropped files lie.
        finalizer: Started when a row was the last of its job.
        drop_owner: The caller that dropped files belong to.
        default_webhook_url: Where jobs from dropped files report; may be empty.
    """

    database: Database
    bucket: Bucket
    finalizer: Finalizer
    drop_owner: str
    default_webhook_url: str

    def bury(self, message: Message) -> None:
        """End the row or the files that a dead-lettered message names; safe to repeat.

        Raises:
            StillWorkedOn: Somebody holds a lease on an image of the row; come again later.
        """
        if "request_id" in message.body:
            self._bury_row(message.row)
            return
        for source in _files(message):
            self._bury_file(source)

    def request_ids(self, message: Message) -> list[str]:
        """The jobs that a dead-lettered message is about, for the log."""
        if "request_id" in message.body:
            return [str(message.body["request_id"])]
        found = [sheet_request_id(self.bucket.name, source) for source in _files(message)]
        return [str(request_id) for request_id in found if request_id]

    def _bury_row(self, row: Row) -> None:
        emit_images(self.database.transact(partial(_fail_row, row)))
        self.finalizer.start_ready(self.database, [row.request_id])
        keys = {"request_ids": [row.request_id], "row_numbers": [row.row_number]}
        unfinished = map(Row.from_record, self.database.fetch_all("list_unfinished_rows", keys))
        if row in unfinished:
            raise StillWorkedOn(f"Row {row.row_number} of {row.request_id} is being worked on.")

    def _bury_file(self, source: ObjectVersion) -> None:
        request_id = sheet_request_id(self.bucket.name, source)
        if request_id is None:
            return
        if source.key.startswith(DROP_PREFIX):
            insert_drop(
                self.database, self.bucket, Drop(source, self.drop_owner, {}, {}, self.default_webhook_url or None)
            )
        else:
            self.database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
        refuse_sheet(self.database, request_id, source.version, FILE_MESSAGE)
        self.finalizer.start_ready(self.database, [request_id])


def _files(message: Message) -> list[ObjectVersion]:
    """An s3:TestEvent has none."""
    return [ObjectVersion.from_event_record(record) for record in message.body.get("Records", [])]


def _fail_row(row: Row, transaction: Transaction) -> list[Record]:
    """A letter of an older generation says nothing about the present one."""
    jobs = transaction.fetch_all("lock_jobs", {"request_ids": [row.request_id]})
    if [job["generation"] for job in jobs] != [row.generation]:
        return []
    failure = {"error_code": ImageAbandoned.code, "error_message": ROW_MESSAGE}
    named = {"request_id": row.request_id, "row_number": row.row_number}
    return transaction.fetch_all("fail_images", {**named, **failure})
