"""fan_out: turns one CSV in S3 into rows in Postgres, and those into one message a row.

Everything is checked before anything is staged, everything is staged before anything is sent, and both have a
cursor in the job row: a repeated event, or the next invocation, goes on where the last one stopped.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from io import StringIO
from typing import Any, BinaryIO, cast
from uuid import UUID, uuid4

from aws_lambda_powertools import Logger
from psycopg2.extras import Json

from imagejobs.addresses import check_url
from imagejobs.bucket import DROP_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Transaction
from imagejobs.destinations import Destinations
from imagejobs.errors import OptionInvalid, QuotaExceeded, SheetError, UrlRefused
from imagejobs.executions import Finalizer
from imagejobs.jobs import Drop, insert_drop, refuse_sheet, ring_for_more, sheet_request_id
from imagejobs.limits import SHEET_LIMITS, lease_seconds
from imagejobs.options import CompressionOptions, RunOptions
from imagejobs.queues import Queue, Row
from imagejobs.sheet import SeparatorsSeen, SheetForm, SheetRow, check_sheet, read_sheet
from imagejobs.sheet_layout import SheetLayout
from imagejobs.staged_images import staged_images
from imagejobs.usage import reserve_images

logger = Logger(child=True)

WEBHOOK_METADATA = "webhook_url"

STAGE_CHARACTERS = 1_000_000  # of COPY text in a transaction
SEND_IMAGES = 1000
# S3's keys have 1,024 bytes at most, and results/<name>.error.json is longer than drop/<name>.
MAX_DROP_KEY_BYTES = 1000

# Leases without any progress before a sheet is given up.
MAX_ATTEMPTS = 5
GIVEN_UP_MESSAGE = "The file was given up: reading it failed or took too long at every attempt. Split it, or report it."


@dataclass(frozen=True, slots=True)
class FanOut:
    """What the fan-out works with.

    Attributes:
        bucket: Where the CSV lies.
        database: Where rows are staged.
        row_queue: Where rows are sent.
        upload_queue: Where the rest is handed over to the next invocation.
        max_images_out: Images of one job that may be sent and not done; more are sent when half of them are.
        finalizer: Ends jobs that have no image to wait for.
        drop_owner: The caller that dropped files belong to.
        drop_daily_images: Images a day that dropped files may have.
        default_webhook_url: Where jobs from dropped files report unless their metadata says; may be empty.
        destinations: Whom the webhook of a dropped file may be sent to.
    """

    bucket: Bucket
    database: Database
    row_queue: Queue
    upload_queue: Queue
    max_images_out: int
    finalizer: Finalizer
    drop_owner: str
    drop_daily_images: int
    default_webhook_url: str
    destinations: Destinations

    def run(self, source: ObjectVersion, remaining_seconds: Callable[[], float]) -> None:
        """Fan out one file, or go on with it; does nothing for a file that is done or in another's hands.

        Args:
            source: The version of the CSV.
            remaining_seconds: Time left of this invocation.
        """
        request_id = sheet_request_id(self.bucket.name, source)
        if request_id is None:
            return
        self._accept(request_id, source)
        lease = Lease(self.database, request_id, remaining_seconds, remaining_seconds())
        job = lease.take(source, self.max_images_out)
        if job is not None:
            self._go_on(job, source, lease)

    def _go_on(self, job: Mapping[str, Any], source: ObjectVersion, lease: "Lease") -> None:
        """Whatever ends this, the lease goes with it."""
        if job["rows_total"] is None and job["fan_out_attempt"] > MAX_ATTEMPTS:
            self._refuse(job, GIVEN_UP_MESSAGE)
            return
        try:
            self._stage(job, source, lease)
            self._send(job, lease)
        except _OutOfTime:
            lease.release()
            self.upload_queue.ring_file(source)
        except (SheetError, QuotaExceeded) as error:
            self._refuse(job, error.message)
        except _LeaseLost:
            logger.warning("fan_out_lease_lost", request_id=str(job["request_id"]))
        except Exception:
            lease.release()  # so that the next delivery may try
            raise
        else:
            lease.release()
            # Images that were done meanwhile rang for nothing: the lease was held.
            ring_for_more(self.database, self.upload_queue, [job["request_id"]], self.max_images_out)
            self.finalizer.start_ready(self.database, [job["request_id"]])

    def _refuse(self, job: Mapping[str, Any], message: str) -> None:
        refuse_sheet(self.database, job["request_id"], job["source_version"], message, job["fan_out_token"])
        self.finalizer.start_ready(self.database, [job["request_id"]])

    def _accept(self, request_id: UUID, source: ObjectVersion) -> None:
        if source.key.startswith(DROP_PREFIX):
            self._accept_drop(source)
        else:
            self.database.execute("accept_source", {"request_id": request_id, "source_version": source.version})

    def _accept_drop(self, source: ObjectVersion) -> None:
        """Write the job of a dropped file; what cannot be used of its key or metadata is its owner's to know."""
        # Headers have dashes by custom, and some tools allow nothing else.
        metadata = {name.replace("-", "_"): value for name, value in self.bucket.metadata(source).items()}
        webhook_url, refusal = self._webhook_url(metadata.get(WEBHOOK_METADATA))
        options: dict[str, str] = {}
        layout: dict[str, str] = {}
        dry_run = False
        try:  # other tools keep their own notes among the metadata
            options = CompressionOptions.among(metadata).to_fields()
            layout = SheetLayout.among(metadata).to_fields()
            dry_run = RunOptions.among(metadata).dry_run
        except OptionInvalid as error:
            refusal = refusal or error.message
        if len(source.key.encode()) > MAX_DROP_KEY_BYTES:
            refusal = f"The object's key is longer than {MAX_DROP_KEY_BYTES:,} bytes; its result could not be named."
        job = Drop(source, self.drop_owner, options, layout, webhook_url, self.drop_daily_images, dry_run)
        request_id = insert_drop(self.database, self.bucket, job)
        if refusal:
            refuse_sheet(self.database, request_id, source.version, refusal)
            self.finalizer.start_ready(self.database, [request_id])

    def _webhook_url(self, given: str | None) -> tuple[str | None, str | None]:
        """Where a dropped file reports, and what is wrong with the URL that its metadata gives."""
        default = self.default_webhook_url or None
        if not given:
            return default, None
        try:
            check_url(given, self.destinations)
        except UrlRefused as error:
            return default, error.message
        return given, None

    def _stage(self, job: Mapping[str, Any], source: ObjectVersion, lease: "Lease") -> None:
        """Rows into Postgres, a chunk a transaction, from the cursor on."""
        if job["rows_total"] is not None:
            return
        layout = SheetLayout.from_fields(job["layout"])
        if job["rows_staged"] == 0:
            check_sheet(partial(self._open, source, lease), SHEET_LIMITS, layout)
        with self._open(source, lease) as stream:
            sheet = read_sheet(stream, SHEET_LIMITS, layout)
            counts, separators, chunk = _Counts(), SeparatorsSeen(sheet.form), _Chunk(job["request_id"])
            for row in sheet:
                counts.add(row)
                separators.add(row)
                if row.row_number > job["rows_staged"]:
                    chunk.add(row)
                    if chunk.characters > STAGE_CHARACTERS:
                        self.database.transact(partial(_stage_chunk, job, row.row_number, chunk))
                        chunk = _Chunk(job["request_id"])
        lease.keep()
        totals = {**asdict(counts), "sheet_found": Json(_found(sheet.form, separators))}
        self.database.transact(partial(_declare, job, totals, chunk))

    def _open(self, source: ObjectVersion, lease: "Lease") -> BinaryIO:
        return cast("BinaryIO", _Kept(self.bucket.open(source), lease))

    def _send(self, job: Mapping[str, Any], lease: "Lease") -> None:
        """Messages for staged rows, from the cursor on, as long as there is room for their images."""
        while rows := self._rows_to_send(job):
            lease.keep()
            self.row_queue.ring_rows(rows)
            cursor = {**_lease_of(job), "row_number": rows[-1].row_number}
            if not self.database.execute("advance_rows_sent", cursor):
                raise _LeaseLost
        self.database.execute("finish_sending", _lease_of(job))

    def _rows_to_send(self, job: Mapping[str, Any]) -> list[Row]:
        room = {"request_id": job["request_id"], "limit": SEND_IMAGES, "max_images_out": self.max_images_out}
        return [Row.from_record({**job, **found}) for found in self.database.fetch_all("list_rows_to_send", room)]


class _OutOfTime(Exception):
    """The invocation's time is up; the cursor says where to go on."""


class _LeaseLost(Exception):
    """Another holds the job now; whatever this one would write is refused."""


@dataclass
class Lease:
    """The lease of one invocation on one job.

    Attributes:
        database: Where it is written.
        request_id: The job.
        remaining_seconds: Time left of the invocation.
        total_seconds: Time left when the work began.
    """

    database: Database
    request_id: UUID
    remaining_seconds: Callable[[], float]
    total_seconds: float
    _token: UUID = field(default_factory=uuid4)
    _renewed_at: float = field(default_factory=time.monotonic)

    def take(self, source: ObjectVersion, max_images_out: int) -> dict[str, Any] | None:
        """The job, if there is something to do, room for it, and nobody else does it."""
        columns = {**self._columns(), "source_version": source.version, "max_images_out": max_images_out}
        return self.database.fetch_one("lease_fan_out", columns)

    def keep(self) -> None:
        """Renew it when it is time; called often.

        Raises:
            _OutOfTime: A tenth of the time is left, for handing over.
            _LeaseLost: It is another's by now.
        """
        if self.remaining_seconds() < self.total_seconds / 10:
            raise _OutOfTime
        if time.monotonic() - self._renewed_at > self._seconds / 3:
            if not self.database.execute("renew_fan_out", self._columns()):
                raise _LeaseLost
            self._renewed_at = time.monotonic()

    def release(self) -> None:
        """Give it up, if it is still held."""
        self.database.execute("release_fan_out", self._columns())

    @property
    def _seconds(self) -> float:
        return lease_seconds(self.total_seconds)

    def _columns(self) -> dict[str, Any]:
        return {"request_id": self.request_id, "token": self._token, "lease_seconds": self._seconds}


class _Kept:
    """A stream whose reader keeps up the lease that it works under."""

    def __init__(self, stream: BinaryIO, lease: Lease) -> None:
        self._stream = stream
        self._lease = lease

    def read(self, size: int = -1) -> bytes:
        self._lease.keep()
        return self._stream.read(size)

    def __enter__(self) -> "_Kept":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stream.close()


@dataclass
class _Counts:
    """The totals of the rows that were read."""

    rows_total: int = 0
    rows_failed: int = 0
    images_total: int = 0

    def add(self, row: SheetRow) -> None:
        self.rows_total = row.row_number
        self.rows_failed += row.error is not None
        self.images_total += len(row.image_urls)


class _Chunk:
    """Rows as text for COPY: their images, and why some cannot be used."""

    def __init__(self, request_id: UUID) -> None:
        self._request_id = request_id
        self._images, self._row_errors = StringIO(), StringIO()

    @property
    def characters(self) -> int:
        return self._images.tell() + self._row_errors.tell()

    def add(self, row: SheetRow) -> None:
        self._images.writelines(_image_lines(self._request_id, row))
        if row.error:
            place = f"{self._request_id}\t{row.row_number}\t{row.line_number}"
            self._row_errors.write(f"{place}\t{_copy_text(row.error.message)}\n")

    def copy(self, transaction: Transaction) -> None:
        """Safe to repeat, as a transaction is."""
        transaction.copy("copy_images", StringIO(self._images.getvalue()))
        if self._row_errors.tell():
            transaction.copy("copy_row_errors", StringIO(self._row_errors.getvalue()))


def _found(form: SheetForm, separators: SeparatorsSeen) -> dict[str, Any]:
    """What the job's owner is told of its sheet."""
    names = form.columns.names
    columns = {"id": names.id, "name": names.name, "urls": list(names.urls)}
    return {
        "columns": columns,
        "column_separator": form.layout.column_separator,
        "url_separators": separators.found(),
    }


def _lease_of(job: Mapping[str, Any]) -> dict[str, Any]:
    return {"request_id": job["request_id"], "token": job["fan_out_token"]}


def _stage_chunk(job: Mapping[str, Any], row_number: int, chunk: _Chunk, transaction: Transaction) -> None:
    """One chunk, once: the cursor moves in the transaction that copies, and only under the lease."""
    if not transaction.fetch_one("hold_fan_out", _lease_of(job)):
        raise _LeaseLost
    if transaction.execute("advance_rows_staged", {**_lease_of(job), "row_number": row_number}):
        chunk.copy(transaction)


def _declare(job: Mapping[str, Any], totals: Mapping[str, Any], chunk: _Chunk, transaction: Transaction) -> None:
    """The last chunk and the totals; from here on rows may be sent. Safe to repeat."""
    _stage_chunk(job, totals["rows_total"], chunk, transaction)
    declared = transaction.execute("declare_totals", {**_lease_of(job), **totals})
    if declared:
        transaction.execute("mark_repeated_urls", {"request_id": job["request_id"]})
    if declared and job["daily_images"] is not None:
        reserve_images(transaction, job["owner"], job["daily_images"], totals["images_total"], dry_run=job["dry_run"])


def _image_lines(request_id: UUID, row: SheetRow) -> Iterator[str]:
    """Lines of COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html)."""
    for image in staged_images(row):
        texts = "\t".join(_copy_text(image[name]) for name in ("serial_number", "product_name", "source_url"))
        yield f"{request_id}\t{image['row_number']}\t{image['position']}\t{texts}\n"


_COPY_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _copy_text(value: str) -> str:
    return value.translate(_COPY_ESCAPES)
