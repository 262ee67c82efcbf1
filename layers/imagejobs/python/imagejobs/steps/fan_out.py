"""fan_out: turns one CSV in S3 into rows in Postgres, and those into one message a row.

Everything is checked before anything is staged, everything is staged before anything is sent, and both have a
cursor in the job row: a repeated event, or the next invocation, goes on where the last one stopped.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from imagejobs.addresses import check_url
from imagejobs.bucket import DROP_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Transaction
from imagejobs.errors import OptionInvalid, SheetError, UrlRefused
from imagejobs.executions import Finalizer
from imagejobs.jobs import insert_drop, uploaded_request_id
from imagejobs.limits import SHEET_LIMITS
from imagejobs.options import CompressionOptions
from imagejobs.queues import Queue, Row
from imagejobs.sheet import SheetRow, check_sheet, read_sheet

WEBHOOK_METADATA = "webhook-url"

STAGE_ROWS = 2000
SEND_ROWS = 1000
# Time to release the lease and hand over before Lambda stops the invocation.
HANDOVER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class FanOut:
    """What the fan-out works with.

    Attributes:
        bucket: Where the CSV lies.
        database: Where rows are staged.
        row_queue: Where rows are sent.
        upload_queue: Where the rest is handed over to the next invocation.
        finalizer: Ends jobs that have no image to wait for.
        drop_owner: The caller that dropped files belong to.
        default_webhook_url: Where jobs from dropped files report unless their metadata says; may be empty.
        origins: `host:port` of origins that may be private (see `Fetcher`).
    """

    bucket: Bucket
    database: Database
    row_queue: Queue
    upload_queue: Queue
    finalizer: Finalizer
    drop_owner: str
    default_webhook_url: str
    origins: frozenset[str]

    def run(self, source: ObjectVersion, remaining_seconds: Callable[[], float]) -> None:
        """Fan out one file, or go on with it; does nothing for a file that is done or in another's hands.

        Args:
            source: The version of the CSV.
            remaining_seconds: Time left of this invocation.
        """
        request_id = self._job_of(source)
        if request_id is None:
            return
        job = self._lease(request_id, source, remaining_seconds())
        if job is None:
            return
        try:
            self._stage(job, source, remaining_seconds)
            self._send(job, remaining_seconds)
        except _OutOfTime:
            self._release(job)
            self.upload_queue.ring_file(source)
        except SheetError as error:
            self.refuse(request_id, error.message)
        else:
            self._release(job)
            self.finalizer.start_ready(self.database, [request_id])

    def refuse(self, request_id: UUID, message: str) -> None:
        """End a job whose sheet cannot be read: the finalizer tells its owner why."""
        self.database.execute("refuse_sheet", {"request_id": request_id, "error_message": message})
        self.finalizer.start_ready(self.database, [request_id])

    def _job_of(self, source: ObjectVersion) -> UUID | None:
        """The job that this version is; None for an object that is no sheet of ours."""
        if source.key.startswith(DROP_PREFIX) and not source.key.endswith("/"):
            return self._accept_drop(source)
        request_id = uploaded_request_id(source)
        if request_id is not None:
            self.database.execute("accept_source", {"request_id": request_id, "source_version": source.version})
        return request_id

    def _accept_drop(self, source: ObjectVersion) -> UUID:
        """Write the job of a dropped file; metadata that cannot be used is its owner's to know."""
        metadata = self.bucket.metadata(source)
        webhook_url = metadata.get(WEBHOOK_METADATA) or self.default_webhook_url or None
        try:
            if webhook_url:
                check_url(webhook_url, allow_origins=self.origins)
            options = CompressionOptions.from_fields(_known_options(metadata))
        except (OptionInvalid, UrlRefused) as error:
            request_id = insert_drop(self.database, self.bucket, source, owner=self.drop_owner)
            self.refuse(request_id, f"The object's metadata cannot be used: {error.message}")
            return request_id
        return insert_drop(
            self.database,
            self.bucket,
            source,
            owner=self.drop_owner,
            options=options.to_fields(),
            webhook_url=webhook_url,
        )

    def _lease(self, request_id: UUID, source: ObjectVersion, seconds: float) -> dict[str, Any] | None:
        return self.database.fetch_one(
            "lease_fan_out",
            {
                "request_id": request_id,
                "source_version": source.version,
                "token": uuid4(),
                "lease_seconds": seconds,
            },
        )

    def _release(self, job: dict[str, Any]) -> None:
        self.database.execute("release_fan_out", _lease_of(job))

    def _stage(self, job: dict[str, Any], source: ObjectVersion, remaining_seconds: Callable[[], float]) -> None:
        """Rows into Postgres, a chunk a transaction, from the cursor on."""
        if job["rows_total"] is not None:
            return
        if job["rows_staged"] == 0:
            check_sheet(partial(self.bucket.open, source), SHEET_LIMITS)
        counts = _Counts()
        with self.bucket.open(source) as stream:
            for chunk in _chunks(iter(read_sheet(stream, SHEET_LIMITS)), STAGE_ROWS):
                counts.add(chunk)
                if counts.rows > job["rows_staged"]:
                    _check_time(remaining_seconds)
                    self.database.transact(partial(_stage_chunk, job, chunk))
        totals = {"rows_total": counts.rows, "rows_failed": counts.rows_failed, "images_total": counts.images}
        self.database.execute("declare_totals", {**_lease_of(job), **totals})

    def _send(self, job: dict[str, Any], remaining_seconds: Callable[[], float]) -> None:
        """Messages for staged rows, from the cursor on."""
        after_row = job["rows_sent"]
        while rows := self._pending_rows(job["request_id"], after_row):
            _check_time(remaining_seconds)
            self.row_queue.ring_rows(rows)
            after_row = rows[-1].row_number
            self.database.execute("advance_rows_sent", {**_lease_of(job), "row_number": after_row})
        self.database.execute("finish_sending", _lease_of(job))

    def _pending_rows(self, request_id: UUID, after_row: int) -> list[Row]:
        parameters = {"request_id": request_id, "after_row": after_row, "limit": SEND_ROWS}
        return [Row(request_id, row["row_number"]) for row in self.database.fetch_all("list_pending_rows", parameters)]


def _known_options(metadata: Mapping[str, str]) -> dict[str, str]:
    """The options among an object's metadata; other tools keep their own notes there."""
    return {name: value for name, value in metadata.items() if name in CompressionOptions.names()}


class _OutOfTime(Exception):
    """The invocation's time is up; the cursor says where to go on."""


def _check_time(remaining_seconds: Callable[[], float]) -> None:
    if remaining_seconds() < HANDOVER_SECONDS:
        raise _OutOfTime


class _Counts:
    """Running totals over a sheet."""

    def __init__(self) -> None:
        self.rows = self.rows_failed = self.images = 0

    def add(self, chunk: list[SheetRow]) -> None:
        self.rows += len(chunk)
        self.rows_failed += sum(row.error is not None for row in chunk)
        self.images += sum(len(row.image_urls) for row in chunk)


def _chunks(rows: Iterator[SheetRow], size: int) -> Iterator[list[SheetRow]]:
    while chunk := list(islice(rows, size)):
        yield chunk


def _lease_of(job: Mapping[str, Any]) -> dict[str, Any]:
    return {"request_id": job["request_id"], "token": job["fan_out_token"]}


def _stage_chunk(job: Mapping[str, Any], chunk: list[SheetRow], transaction: Transaction) -> None:
    """One chunk, once: the cursor moves in the transaction that copies, and only under the lease."""
    if transaction.execute("advance_rows_staged", {**_lease_of(job), "row_number": chunk[-1].row_number}):
        transaction.copy("copy_images", StringIO("".join(_copy_lines(job["request_id"], chunk))))


def _copy_lines(request_id: UUID, chunk: list[SheetRow]) -> Iterator[str]:
    """Lines of COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html)."""
    for row in chunk:
        for position, url in enumerate(row.image_urls, start=1):
            name, source = _copy_text(row.product_name), _copy_text(url)
            yield f"{request_id}\t{row.row_number}\t{position}\t{name}\t{source}\n"


_COPY_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _copy_text(value: str) -> str:
    return value.translate(_COPY_ESCAPES)
