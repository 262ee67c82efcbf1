"""compress: downloads, compresses and stores the images of a few rows, and commits what became of them.

A lease in Postgres decides who works on an image, and is taken only for what is begun at once; it is short, and renewed
while the work goes on. Whatever happens to an image ends as its outcome or as a later attempt; nothing that an image
holds ends the batch, for it is decoded in a process of its own. Should one kill the worker all the same, it is found by
the lease that is left behind: such images are worked on one at a time, after all others are committed.
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg2
from aws_lambda_powertools import Logger

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.codec import Codec
from imagejobs.database import Database, Transaction
from imagejobs.database import Row as Record
from imagejobs.errors import CodecFailed, ImageAbandoned, ImageError, JobCancelled, OriginUnavailable
from imagejobs.executions import Finalizer
from imagejobs.fetch import Fetcher
from imagejobs.jobs import CANCELLED_IMAGE_MESSAGE, image_key, ring_for_more
from imagejobs.limits import MAX_IMAGE_BYTES, lease_seconds
from imagejobs.options import CompressionOptions
from imagejobs.queues import Message, Queue, Row

logger = Logger(child=True)

# A transient error is final after so many leases, a crash of the worker after so many.
MAX_ATTEMPTS = 4
MAX_CRASHES = 3
# Within one lease, a transient error is tried again after these seconds (each spread by half).
RETRY_DELAYS_SECONDS = (0.5, 1.0)
MAX_WAIT_SECONDS = 5.0  # an origin that wants longer gets it from the queue, where waiting costs nothing
# The next lease comes after these seconds, by attempt, or as the origin's Retry-After asks, within reason.
REDELIVERY_SECONDS = (5.0, 10.0, 15.0)
MAX_REDELIVERY_SECONDS = 300.0
FETCH_TIMEOUT_SECONDS = 20.0
TRANSFERS = 8
# Images leased and committed at once: more than transfers at a time, so that a slow one does not idle the others.
LEASE_IMAGES = 20
YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of one invocation, shared out so that what is begun can end.

    Attributes:
        remaining_seconds: Time left of the invocation.
        total_seconds: Time left when the work began.
    """

    remaining_seconds: Callable[[], float]
    total_seconds: float

    @property
    def may_begin(self) -> bool:
        """Whether there is time for more images: a third of it is kept for the largest."""
        return self.remaining_seconds() > self.total_seconds / 3

    @property
    def lease_seconds(self) -> float:
        """How long a lease lasts unless it is renewed."""
        return lease_seconds(self.total_seconds)

    @property
    def transfer_seconds(self) -> float:
        """Time left for waiting on an origin: a sixth is kept for compressing, storing and committing."""
        return self.remaining_seconds() - self.total_seconds / 6

    @property
    def codec_deadline(self) -> float:
        """When compressing must be done, as `time.monotonic` says it: a twelfth is kept for storing and committing."""
        return time.monotonic() + self.remaining_seconds() - self.total_seconds / 12


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one leased image: its terminal columns, or the delay before it is tried again.

    Attributes:
        image: The leased image.
        columns: The terminal columns of its row; None when it is to be tried again.
        delay_seconds: How long it rests before that.
        stored: The object that it made, if it did.
    """

    image: Record
    columns: dict[str, Any] | None
    delay_seconds: float = 0.0
    stored: ObjectVersion | None = None


@dataclass(frozen=True, slots=True)
class RowWorker:
    """What the compression of rows works with.

    Attributes:
        database: Where leases and outcomes are.
        bucket: Where images go.
        fetcher: The one way to an origin.
        row_queue: Where the messages came from.
        upload_queue: Rung when a job that has rows left to send has room for them.
        max_images_out: Images of one job that may be sent and not done.
        finalizer: Started when a batch completes a job.
        image_base_url: Public URL in front of an object key, without a slash at its end.
        codec: Decodes and encodes one image at a time, always in the same process: a function of 1,769 MB has one
            vCPU, and memory for one large image.
    """

    database: Database
    bucket: Bucket
    fetcher: Fetcher
    row_queue: Queue
    upload_queue: Queue
    max_images_out: int
    finalizer: Finalizer
    image_base_url: str
    codec: Codec = field(default_factory=Codec)

    def run(self, messages: Sequence[Message], remaining_seconds: Callable[[], float]) -> list[Message]:
        """Work on the rows that a batch of messages names.

        Args:
            messages: At most ten; duplicates do no harm.
            remaining_seconds: Time left of this invocation.

        Returns:
            Messages to give back to the queue: their row rests, or is in another's hands.
        """
        rows = list({message.row for message in messages})
        clock = Clock(remaining_seconds, remaining_seconds())
        while clock.may_begin:
            token = uuid4()
            images = self._lease(rows, token, clock)
            if not images:
                break
            self._settle(self._attempt_all(images, token, clock), token)
            ring_for_more(self.database, self.upload_queue, _request_ids(rows), self.max_images_out)
        self.finalizer.start_ready(self.database, _request_ids(rows))
        return self._give_back(messages, rows)

    def _lease(self, rows: Sequence[Row], token: UUID, clock: Clock) -> list[Record]:
        """The next images to work on; those that may have killed a worker come last, and alone."""
        lease = {**_keys(rows), "token": token, "lease_seconds": clock.lease_seconds}
        fresh = self.database.fetch_all("lease_images", {**lease, "crashed": False, "limit": LEASE_IMAGES})
        return fresh or self.database.fetch_all("lease_images", {**lease, "crashed": True, "limit": 1})

    def _attempt_all(self, images: Sequence[Record], token: UUID, clock: Clock) -> list[Attempt]:
        """The images' outcomes; their lease is kept up by this thread, which alone speaks with the database."""
        with ThreadPoolExecutor(TRANSFERS) as pool:
            attempts = [pool.submit(self._attempt, image, clock) for image in images]
            while wait(attempts, timeout=clock.lease_seconds / 3).not_done:
                self._renew(images, token, clock)
            return [attempt.result() for attempt in attempts]

    def _renew(self, images: Sequence[Record], token: UUID, clock: Clock) -> None:
        """Should it fail, the outcome may still come in time; whether it did is decided when it is committed."""
        lease = {"image_ids": [image["image_id"] for image in images], "token": token}
        try:
            self.database.execute("renew_leases", {**lease, "lease_seconds": clock.lease_seconds})
        except psycopg2.Error:
            logger.exception("lease_not_renewed")

    def _attempt(self, image: Record, clock: Clock) -> Attempt:
        """One image's outcome, whatever it holds."""
        if image["cancelled"]:
            return Attempt(image, _failed(image, JobCancelled(CANCELLED_IMAGE_MESSAGE)))
        if image["crashes"] >= MAX_CRASHES:
            message = f"Given up: the worker died or ran out of time at this image {MAX_CRASHES} times."
            return Attempt(image, _failed(image, ImageAbandoned(message)))
        try:
            return self._compress(image, clock)
        except CodecFailed as error:
            logger.warning("codec_failed", image_id=str(image["image_id"]), cause=str(error.__cause__))
            return _after_error(image, error)
        except ImageError as error:
            return _after_error(image, error)
        except Exception:  # costs this image an attempt, and the batch nothing
            logger.exception("image_attempt_failed", image_id=str(image["image_id"]))
            return _after_error(image, _AttemptFailed("The service failed at this image; try again later."))

    def _compress(self, image: Record, clock: Clock) -> Attempt:
        self.codec.start()
        body = self._fetch(image["source_url"], clock)
        options = CompressionOptions.from_fields(image["options"])
        compressed = self.codec.compress(body, options, clock.codec_deadline)
        key = image_key(image, compressed.body, compressed.extension)
        caching = f"public, max-age={YEAR_SECONDS}, immutable"
        version = self.bucket.put(key, compressed.body, compressed.content_type, caching)
        columns = {
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
            "encoder": compressed.encoder,
            "encoder_quality": compressed.encoder_quality,
            "cpu_ms": compressed.cpu_ms,
        }
        return Attempt(image, columns, stored=ObjectVersion(key, version))

    def _fetch(self, url: str, clock: Clock) -> bytes:
        """The origin's bytes; what fails quickly is tried again at once, what hangs is not waited for twice."""
        for delay in RETRY_DELAYS_SECONDS:
            began = time.monotonic()
            try:
                return self._fetch_once(url, clock)
            except OriginUnavailable as error:
                wait = max(delay * random.uniform(0.5, 1.5), error.retry_after_seconds or 0)  # noqa: S311
                if time.monotonic() - began + wait > min(MAX_WAIT_SECONDS, clock.transfer_seconds / 2):
                    raise
                time.sleep(wait)
        return self._fetch_once(url, clock)

    def _fetch_once(self, url: str, clock: Clock) -> bytes:
        timeout_seconds = min(FETCH_TIMEOUT_SECONDS, clock.transfer_seconds)
        return self.fetcher.get(url, max_bytes=MAX_IMAGE_BYTES, timeout_seconds=timeout_seconds).body

    def _settle(self, attempts: Sequence[Attempt], token: UUID) -> None:
        """Commit outcomes and release the rest, in one transaction."""
        finished = [attempt.columns for attempt in attempts if attempt.columns is not None]
        released = [
            {"image_id": str(attempt.image["image_id"]), "delay_seconds": attempt.delay_seconds}
            for attempt in attempts
            if attempt.columns is None
        ]
        request_ids = list({attempt.image["request_id"] for attempt in attempts})
        completed = self.database.transact(partial(_settle, finished, released, request_ids, token))
        if completed < sum(attempt.stored is not None for attempt in attempts):
            self._delete_refused(attempts)

    def _delete_refused(self, attempts: Sequence[Attempt]) -> None:
        """Delete what these attempts stored and no image names: their lease was another's when they ended.

        A commit whose reply was lost has counted already; what it has written, an image names.
        """
        for attempt in attempts:
            if attempt.stored and not self._is_named(attempt.stored, attempt.image):
                self.bucket.delete_version(attempt.stored)

    def _is_named(self, stored: ObjectVersion, image: Record) -> bool:
        place = {"row_numbers": [image["row_number"]], "positions": [image["position"]]}
        named = {"request_id": image["request_id"], "object_keys": [stored.key], **place}
        return bool(self.database.fetch_all("list_named_objects", named))

    def _give_back(self, messages: Sequence[Message], rows: Sequence[Row]) -> list[Message]:
        """Messages of rows that are not done, shown again when there is a point in it.

        A row that there was no time for gets a message of its own: its deliveries must not be used up by waiting.
        """
        waits = self._unfinished_rows(rows)
        self.row_queue.ring_rows([row for row in rows if waits.get(row) == 0])
        given_back = [message for message in messages if waits.get(message.row, 0) > 0]
        for message in given_back:
            self.row_queue.show_again(message, waits[message.row])
        return given_back

    def _unfinished_rows(self, rows: Sequence[Row]) -> Mapping[Row, float]:
        records = self.database.fetch_all("list_unfinished_rows", _keys(rows))
        return {Row.from_record(record): record["wait_seconds"] for record in records}


class _AttemptFailed(ImageError):
    """The attempt failed through no fault of the image's; another may succeed."""

    code = "internal_error"
    transient = True


def _after_error(image: Record, error: ImageError) -> Attempt:
    """A final error is the image's outcome; a transient one is, once the attempts are used up."""
    if not error.transient or image["attempt"] >= MAX_ATTEMPTS:
        return Attempt(image, _failed(image, error))
    planned = REDELIVERY_SECONDS[min(image["attempt"], len(REDELIVERY_SECONDS)) - 1]
    wished = getattr(error, "retry_after_seconds", None) or 0.0
    return Attempt(image, None, max(planned, min(wished, MAX_REDELIVERY_SECONDS)))


def _request_ids(rows: Sequence[Row]) -> list[UUID]:
    return list({row.request_id for row in rows})


def _keys(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {"request_ids": [row.request_id for row in rows], "row_numbers": [row.row_number for row in rows]}


def _failed(image: Record, error: ImageError) -> dict[str, Any]:
    return {
        "image_id": str(image["image_id"]),
        "status": "FAILED",
        "error_code": error.code,
        "error_message": error.message,
    }


def _settle(
    finished: Sequence[dict[str, Any]],
    released: Sequence[dict[str, Any]],
    request_ids: Sequence[UUID],
    token: UUID,
    transaction: Transaction,
) -> int:
    """The number of images that became COMPLETED by this.

    What is counted comes last: until the commit, all other workers of the job wait for it.
    """
    if released:  # under the lock: a cancellation decides how long they rest
        transaction.fetch_all("lock_jobs", {"request_ids": request_ids})
        transaction.execute("release_images", {"released": json.dumps(released), "token": token})
    jobs = transaction.fetch_all("finish_images", {"finished": json.dumps(finished), "token": token})
    return sum(job["completed"] for job in jobs)
