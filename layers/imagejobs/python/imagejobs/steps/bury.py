"""bury: gives what was dead-lettered its final outcome, so that nothing can hold a job open."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from imagejobs.bucket import DROP_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Transaction
from imagejobs.errors import ImageAbandoned
from imagejobs.executions import Finalizer
from imagejobs.jobs import insert_drop, uploaded_request_id
from imagejobs.queues import Message, Row

ROW_MESSAGE = "The row was given up: its compression failed or ran out of time at every attempt."
FILE_MESSAGE = "The file was given up: reading it failed at every attempt. Upload it again, or report it."


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
        """End the row or the files that a dead-lettered message names; safe to repeat."""
        if "request_id" in message.body:
            self._bury_row(message.row)
            return
        for record in message.body.get("Records", []):  # an s3:TestEvent has none
            self._bury_file(ObjectVersion.from_event_record(record))

    def _bury_row(self, row: Row) -> None:
        self.database.transact(partial(_fail_row, row))
        self.finalizer.start_ready(self.database, [row.request_id])

    def _bury_file(self, source: ObjectVersion) -> None:
        request_id = uploaded_request_id(source)
        if source.key.startswith(DROP_PREFIX):
            request_id = self._insert_drop(source)
        if request_id is None:
            return
        self.database.execute("refuse_sheet", {"request_id": request_id, "error_message": FILE_MESSAGE})
        self.finalizer.start_ready(self.database, [request_id])

    def _insert_drop(self, source: ObjectVersion) -> UUID:
        webhook_url = self.default_webhook_url or None
        return insert_drop(self.database, self.bucket, source, owner=self.drop_owner, webhook_url=webhook_url)


def _fail_row(row: Row, transaction: Transaction) -> None:
    transaction.fetch_all("lock_jobs", {"request_ids": [row.request_id]})
    transaction.execute(
        "bury_row",
        {
            "request_id": row.request_id,
            "row_number": row.row_number,
            "error_code": ImageAbandoned.code,
            "error_message": ROW_MESSAGE,
        },
    )
