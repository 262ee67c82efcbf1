"""api: merges rows that a job's owner has corrected into that job, and begins its next generation.

All that is read comes before the one transaction that changes something, and holds in it, since an ended job changes in
nothing but its generation: what it finds there is the generation that was read, or it begins anew.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO
from uuid import UUID

from imagejobs import stored_corrections
from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.corrections import CorrectedRow, Corrections, read_corrections, to_json
from imagejobs.database import Database, Row, Transaction, json_arrays
from imagejobs.errors import JobNotEnded, NothingToRetry, SheetError, SheetTooLarge
from imagejobs.generations import GONE, begin_generation
from imagejobs.jobs import TERMINAL, lock_owned_job, owned_job
from imagejobs.limits import MAX_UPLOAD_BYTES, SHEET_LIMITS, SheetLimits
from imagejobs.sheet import SheetForm, SheetRow, check_sheet, read_sheet
from imagejobs.sheet_layout import SheetLayout
from imagejobs.staged_images import staged_images

# Of the file, which may be a gzip: it is held in memory. What is kept of it has `MAX_UPLOAD_BYTES` at most, and its
# errors, a sentence for each image, some three times as many.
CORRECTED_LIMITS = SheetLimits(SHEET_LIMITS.max_rows, 4 * MAX_UPLOAD_BYTES)
# Of the same job at the same time: each time another one was quicker.
MAX_TRIES = 3


@dataclass(frozen=True, slots=True)
class Corrector:
    """What corrections work with.

    Attributes:
        database: Where jobs are.
        bucket: Where their CSVs lie, and what is laid over them.
        ring: Has the generation of a job done that was begun.
    """

    database: Database
    bucket: Bucket
    ring: Callable[[Row], None]

    def correct(self, owner: str, request_id: UUID, daily_images: int, file: bytes) -> int:
        """Merge corrected rows, and do again what is changed or has failed.

        An image is its row and its place in it: one that is completed and whose URL stays there is kept; where it has
        a human URL, so must its serial number.

        Args:
            owner: The caller's name.
            request_id: The job.
            daily_images: The caller's quota, of which the images that are to be done are taken.
            file: The corrected CSV of the rows that failed.

        Returns:
            The generation that is at work now; the same file again, while it is, begins no other.

        Raises:
            JobNotFound: Unknown, or another caller's.
            JobNotEnded: It is at work, and not on this file.
            NothingToRetry: None of its rows was read.
            SheetError, SheetTooLarge: What the caller must change in the file, with its line.
            QuotaExceeded: More images are to be done than are left of the caller's day.
        """
        if len(file) > MAX_UPLOAD_BYTES:
            raise SheetTooLarge(f"The file has {len(file):,} bytes; corrections may have {MAX_UPLOAD_BYTES:,}.")
        sha256 = hashlib.sha256(file).hexdigest()
        for _ in range(MAX_TRIES):
            job = owned_job(self.database, owner, request_id)
            _refuse_open(job, sha256)
            try:
                change = self._change(job, file, sha256) if job["status"] in TERMINAL else None
            except SheetError:
                if owned_job(self.database, owner, request_id)["generation"] == job["generation"]:
                    raise
                continue  # it was held against images that another request has begun with
            begun = self.database.transact(partial(_merge, owner, daily_images, change)) if change else job
            if begun is not None:
                self.ring(begun)
                return int(begun["generation"])
        raise JobNotEnded("The job is being corrected by another request; ask again when it has ended.")

    def _change(self, job: Row, file: bytes, sha256: str) -> "_Change | None":
        """What is to be changed; None when the file was merged before and has left nothing to do."""
        layout = SheetLayout.from_fields(job["layout"])
        corrected = read_corrections(BytesIO(file), CORRECTED_LIMITS, self._form(job, layout))
        failed = self._failed(job["request_id"], corrected)
        if job["corrections_sha256"] == sha256:
            corrected = {number: row for number, row in corrected.items() if number in failed}
            if not corrected:
                return None
        _refuse_others(corrected, failed)
        cells = {number: row.cells for number, row in corrected.items()}
        corrections = {**stored_corrections.load(self.bucket, job), **cells}
        rows = self._rows(job, layout, corrections, corrected)
        images = self._images(job["request_id"], corrected)
        change = _Change(job["request_id"], job["generation"], sha256, rows)
        change.compare(rows, images)
        change.corrections_version = self._store(job["request_id"], corrections)
        return change

    def _form(self, job: Row, layout: SheetLayout) -> SheetForm:
        with self._open(job) as stream:
            return read_sheet(stream, SHEET_LIMITS, layout).form

    def _open(self, job: Row) -> BinaryIO:
        return self.bucket.open(ObjectVersion(job["source_key"], job["source_version"]))

    def _failed(self, request_id: UUID, numbers: Iterable[int]) -> set[int]:
        """Those of the rows that failed, or an image of which has."""
        return {
            found["row_number"]
            for rows in _arrays(numbers)
            for found in self.database.fetch_all("list_failed_rows", {"request_id": request_id, "rows": rows})
        }

    def _images(self, request_id: UUID, numbers: Iterable[int]) -> list[Row]:
        return [
            found
            for rows in _arrays(numbers)
            for found in self.database.fetch_all("list_images_of_rows", {"request_id": request_id, "rows": rows})
        ]

    def _rows(
        self, job: Row, layout: SheetLayout, corrections: Corrections, corrected: Mapping[int, CorrectedRow]
    ) -> list[SheetRow]:
        """The corrected rows as they stand in the whole sheet."""
        rows: list[SheetRow] = []

        def keep(row: SheetRow) -> None:
            if row.row_number in corrected:
                rows.append(row)

        try:
            check_sheet(partial(self._open, job), SHEET_LIMITS, layout, corrections, keep)
        except SheetError as error:
            raise SheetError(f"In the job's CSV as corrected: {error.message}", error.line_number) from error
        return rows

    def _store(self, request_id: UUID, corrections: Corrections) -> str:
        body = to_json(corrections)
        if len(body) > MAX_UPLOAD_BYTES:
            raise SheetTooLarge(
                f"All corrections of a job may come to {MAX_UPLOAD_BYTES:,} bytes; these are {len(body):,}. "
                "Correct your own CSV instead, and upload it as a new job."
            )
        return stored_corrections.store(self.bucket, request_id, body)


@dataclass
class _Change:
    """What a correction changes.

    Attributes:
        request_id: The job.
        generation: The one that was read.
        sha256: Of the file.
        rows: The corrected rows, as they are from now on.
        gone: Places of images that are deleted, with their outcomes.
        images: Columns of those that are there from now on, the kept ones among them.
        added: How many of these are new.
        corrections_version: Of the stored corrections.
    """

    request_id: UUID
    generation: int
    sha256: str
    rows: Sequence[SheetRow]
    gone: list[dict[str, int]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    added: int = 0
    corrections_version: str = ""

    def compare(self, rows: Sequence[SheetRow], images: Iterable[Row]) -> None:
        """Find what is kept, what goes and what is new."""
        self.images = [columns for row in rows for columns in staged_images(row)]
        wanted = {(image["row_number"], image["position"]): image for image in self.images}
        kept = 0
        for image in images:
            place = (image["row_number"], image["position"])
            if image["status"] == "COMPLETED" and place in wanted and _is_same(image, wanted[place]):
                kept += 1
            else:
                self.gone.append({"row_number": place[0], "position": place[1]})
        self.added = len(self.images) - kept

    def row_errors(self) -> list[dict[str, Any]]:
        """Of rows that cannot be used even now."""
        return [
            {"row_number": row.row_number, "line_number": row.line_number, "error_message": row.error.message}
            for row in self.rows
            if row.error
        ]


def _is_same(image: Row, wanted: Mapping[str, Any]) -> bool:
    """Whether it stays what it is. A copy is named after the serial number, which may be another row's from now on."""
    has_its_name = image["human_key"] is None or image["serial_number"] == wanted["serial_number"]
    return has_its_name and bool(image["source_url"] == wanted["source_url"])


def _arrays(row_numbers: Iterable[int]) -> Iterator[str]:
    return json_arrays({"row_number": number} for number in row_numbers)


def _refuse_open(job: Row, sha256: str) -> None:
    if job["status"] not in TERMINAL and (job["generation"] == 1 or job["corrections_sha256"] != sha256):
        raise JobNotEnded(f"The job is {job['status']}; send corrections when it has ended.")
    if job["status"] in TERMINAL and not job["rows_total"]:
        raise NothingToRetry("None of the job's rows was read; upload the corrected CSV as a new job.")


def _refuse_others(corrected: Mapping[int, CorrectedRow], failed: set[int]) -> None:
    for number, row in corrected.items():
        if number not in failed:
            raise SheetError(
                f"Line {row.line_number}: row {number} of the job has not failed. "
                "Send rows of its failures.csv alone, as it is now.",
                row.line_number,
            )


def _merge(owner: str, daily_images: int, change: _Change, transaction: Transaction) -> Row | None:
    """The job as it is then; None if another generation was begun meanwhile, maybe by this, whose reply was lost."""
    job = lock_owned_job(transaction, owner, change.request_id)
    if job["generation"] != change.generation:
        return None
    identity = {"request_id": change.request_id}
    gone = _delete(transaction, change)
    for images in json_arrays(change.images):
        transaction.execute("put_images", {**identity, "images": images})
    row_errors = change.row_errors()
    for errors in json_arrays(row_errors):
        transaction.execute("put_row_errors", {**identity, "errors": errors})
    changed = {
        **gone,
        "images_added": change.added,
        "rows_failed_added": len(row_errors),
        "corrections_version": change.corrections_version,
        "corrections_sha256": change.sha256,
    }
    return begin_generation(transaction, job, daily_images, changed)


def _delete(transaction: Transaction, change: _Change) -> dict[str, int]:
    """What went, as the job has counted it."""
    identity = {"request_id": change.request_id}
    gone = dict.fromkeys(GONE, 0)
    for places in json_arrays(change.gone):
        for name, count in transaction.fetch_all("delete_images", {**identity, "places": places})[0].items():
            gone[name] += int(count)
    numbers = [row.row_number for row in change.rows]
    gone["rows_failed_gone"] = sum(
        transaction.execute("delete_row_errors", {**identity, "rows": rows}) for rows in _arrays(numbers)
    )
    return gone
