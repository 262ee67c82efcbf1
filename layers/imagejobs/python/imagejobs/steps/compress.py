"""compress: downloads, compresses and stores the images of a few rows, and commits their outcome at once.

A lease in Postgres decides who works on an image. Whatever happens to an image ends as its outcome, or gives
its row's message back to the queue; nothing that an image holds ends the batch.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from aws_lambda_powertools import Logger

from imagejobs.bucket import IMAGE_PREFIX, Bucket
from imagejobs.database import Database, Transaction
from imagejobs.database import Row as Record
from imagejobs.errors import ImageAbandoned, ImageError, OriginUnavailable
from imagejobs.executions import Finalizer
from imagejobs.fetch import Fetcher
from imagejobs.image import compress
from imagejobs.limits import MAX_IMAGE_BYTES
from imagejobs.options import CompressionOptions
from imagejobs.queues import Message, Queue, Row

logger = Logger(child=True)

# Leases granted before an image is given up: as many as a message has deliveries before it is dead-lettered.
MAX_ATTEMPTS = 5
# Within one lease, a transient error is tried again after these seconds (each spread by half).
RETRY_DELAYS_SECONDS = (0.5, 1.0, 2.0)
MAX_WAIT_SECONDS = 5.0  # an origin that wants longer gets it from the queue, where waiting costs nothing
# A row that is given back becomes visible after these seconds, by attempt.
REDELIVERY_SECONDS = (5, 15, 30, 60)
FETCH_TIMEOUT_SECONDS = 20.0
# Kept free at the end of an invocation for compressing, storing and committing what has been fetched.
RESERVE_SECONDS = 5.0
LEASE_MARGIN_SECONDS = 5.0
TRANSFERS = 8
# Images a statement commits: behind RDS Proxy a statement of more than 16 KB would pin its session.
FINISH_IMAGES = 20
YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of one leased image: a terminal outcome, or a reason to try again.

    Attributes:
        image: The leased image.
        columns: The terminal columns of its row; None when it is not terminal.
        begun: False when there was no time for it.
        retry_after_seconds: The origin's wish, when there is one.
    """

    image: Record
    columns: dict[str, Any] | None
    begun: bool = True
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RowWorker:
    """What the compression of rows works with.

    Attributes:
        database: Where leases and outcomes are.
        bucket: Where images go.
        fetcher: The one way to an origin.
        row_queue: Where the messages came from.
        finalizer: Started when a batch completes a job.
        image_base_url: Public URL in front of an object key, without a slash at its end.
    """

    database: Database
    bucket: Bucket
    fetcher: Fetcher
    row_queue: Queue
    finalizer: Finalizer
    image_base_url: str

    def run(self, messages: Sequence[Message], remaining_seconds: Callable[[], float]) -> list[Message]:
        """Work on the rows that a batch of messages names.

        Args:
            messages: At most ten; duplicates do no harm.
            remaining_seconds: Time left of this invocation.

        Returns:
            Messages to give back to the queue: their row is not done.
        """
        token = uuid4()
        rows = list({message.row for message in messages})
        images = self._lease(rows, token, remaining_seconds())
        finished = self._work(images, remaining_seconds)
        self._release(finished, token)
        self._commit(finished, token)
        self.finalizer.start_ready(self.database, list({row.request_id for row in rows}))
        return self._give_back(messages, rows, finished)

    def _lease(self, rows: Sequence[Row], token: UUID, seconds: float) -> list[Record]:
        lease = {"token": token, "lease_seconds": seconds + LEASE_MARGIN_SECONDS}
        return self.database.fetch_all("lease_images", {**_keys(rows), **lease})

    def _work(self, images: Sequence[Record], remaining_seconds: Callable[[], float]) -> list[Finished]:
        with ThreadPoolExecutor(TRANSFERS) as pool:
            return list(pool.map(partial(self._finish, remaining_seconds=remaining_seconds), images))

    def _finish(self, image: Record, remaining_seconds: Callable[[], float]) -> Finished:
        """One image's outcome, whatever it holds."""
        if image["attempt"] > MAX_ATTEMPTS:
            return Finished(image, _failed(image, ImageAbandoned(f"Given up after {MAX_ATTEMPTS} attempts.")))
        if remaining_seconds() < 2 * RESERVE_SECONDS:
            return Finished(image, None, begun=False)
        try:
            return Finished(image, self._compress(image, remaining_seconds))
        except ImageError as error:
            return _after_error(image, error)
        except Exception:  # costs this image an attempt, and the batch nothing
            logger.exception("image_attempt_failed", image_id=str(image["image_id"]))
            return _after_error(image, _AttemptFailed("The service failed at this image; try again later."))

    def _compress(self, image: Record, remaining_seconds: Callable[[], float]) -> dict[str, Any]:
        body = self._fetch(image["source_url"], remaining_seconds)
        compressed = compress(body, CompressionOptions.from_fields(image["options"]))
        digest = hashlib.sha256(compressed.body).hexdigest()[:16]
        place = f"{image['row_number']}-{image['position']}-{digest}.{compressed.extension}"
        key = f"{IMAGE_PREFIX}{image['request_id']}/{place}"
        self.bucket.put(key, compressed.body, compressed.content_type, f"public, max-age={YEAR_SECONDS}, immutable")
        return {
            "image_id": str(image["image_id"]),
            "status": "COMPLETED",
            "image_url": f"{self.image_base_url}/{key}",
            "object_key": key,
            "format": compressed.format,
            "outcome": compressed.outcome,
            "width": compressed.width,
            "height": compressed.height,
            "bytes_before": len(body),
            "bytes_after": len(compressed.body),
        }

    def _fetch(self, url: str, remaining_seconds: Callable[[], float]) -> bytes:
        """The origin's bytes; a transient error is tried again while there is time."""
        for delay in RETRY_DELAYS_SECONDS:
            try:
                return self._fetch_once(url, remaining_seconds)
            except OriginUnavailable as error:
                wait = max(delay * random.uniform(0.5, 1.5), error.retry_after_seconds or 0)  # noqa: S311
                if wait > MAX_WAIT_SECONDS or remaining_seconds() < wait + 2 * RESERVE_SECONDS:
                    raise
                time.sleep(wait)
        return self._fetch_once(url, remaining_seconds)

    def _fetch_once(self, url: str, remaining_seconds: Callable[[], float]) -> bytes:
        timeout_seconds = min(FETCH_TIMEOUT_SECONDS, remaining_seconds() - RESERVE_SECONDS)
        return self.fetcher.get(url, max_bytes=MAX_IMAGE_BYTES, timeout_seconds=timeout_seconds).body

    def _release(self, finished: Sequence[Finished], token: UUID) -> None:
        """Leases of images that are to be tried again; the attempt counts only if it was one."""
        for begun in (True, False):
            image_ids = [f.image["image_id"] for f in finished if f.columns is None and f.begun is begun]
            if image_ids:
                refund = {"image_ids": image_ids, "token": token, "attempt_refund": int(not begun)}
                self.database.execute("release_images", refund)

    def _commit(self, finished: Sequence[Finished], token: UUID) -> None:
        columns = [f.columns for f in finished if f.columns is not None]
        if columns:
            request_ids = list({f.image["request_id"] for f in finished})
            self.database.transact(partial(_commit_columns, columns, request_ids, token))

    def _give_back(
        self, messages: Sequence[Message], rows: Sequence[Row], finished: Sequence[Finished]
    ) -> list[Message]:
        """Messages of rows that are not done, shown again when there is a point in it."""
        unfinished = {
            Row(record["request_id"], record["row_number"]): record["leased_seconds"]
            for record in self.database.fetch_all("list_unfinished_rows", _keys(rows))
        }
        given_back = [message for message in messages if message.row in unfinished]
        for message in given_back:
            waits = [_redelivery_seconds(f) for f in finished if f.columns is None and _row_of(f.image) == message.row]
            self.row_queue.show_again(message, max([*waits, unfinished[message.row]]))
        return given_back


class _AttemptFailed(ImageError):
    """The attempt failed through no fault of the image's; another may succeed."""

    code = "internal_error"
    transient = True


def _after_error(image: Record, error: ImageError) -> Finished:
    """A final error is the image's outcome; a transient one is, once the attempts are used up."""
    if error.transient and image["attempt"] < MAX_ATTEMPTS:
        return Finished(image, None, retry_after_seconds=getattr(error, "retry_after_seconds", None))
    return Finished(image, _failed(image, error))


def _keys(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {"request_ids": [row.request_id for row in rows], "row_numbers": [row.row_number for row in rows]}


def _row_of(image: Record) -> Row:
    return Row(image["request_id"], image["row_number"])


def _redelivery_seconds(finished: Finished) -> float:
    if not finished.begun:
        return 0
    planned = REDELIVERY_SECONDS[min(finished.image["attempt"], len(REDELIVERY_SECONDS)) - 1]
    return max(planned, finished.retry_after_seconds or 0)


def _failed(image: Record, error: ImageError) -> dict[str, Any]:
    return {
        "image_id": str(image["image_id"]),
        "status": "FAILED",
        "error_code": error.code,
        "error_message": error.message,
    }


def _commit_columns(
    columns: Sequence[dict[str, Any]], request_ids: Sequence[UUID], token: UUID, transaction: Transaction
) -> None:
    transaction.fetch_all("lock_jobs", {"request_ids": request_ids})
    for part in _slices(columns, FINISH_IMAGES):
        transaction.execute("finish_images", {"finished": json.dumps(part), "token": token})


def _slices(columns: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    for start in range(0, len(columns), size):
        yield columns[start : start + size]
