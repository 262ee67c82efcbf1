"""compress: downloads, compresses and stores the images of a few rows, and commits what became of them.

Of a dry run's images it only looks at the start.

A lease in Postgres decides who works on an image; it is short, and renewed while the work goes on. An image that
others left no time for is released as if it had not been leased. Whatever else happens to one ends as its outcome or as
a later attempt; nothing that an image holds ends the batch, for it is decoded in a process of its own. Should one kill
the worker all the same, it is found by the lease that is left behind: such images are worked on one at a time, after
all others are committed.
"""

import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg2
from aws_lambda_powertools import Logger

from imagejobs import reuse
from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.codec import Codec, NotBegun
from imagejobs.database import Database, Transaction, json_arrays
from imagejobs.database import Row as Record
from imagejobs.errors import CodecFailed, HostAtRest, ImageAbandoned, ImageError, JobCancelled, OriginUnavailable
from imagejobs.executions import Finalizer
from imagejobs.fetch import Fetched, FetchedStart, Fetcher, Validators
from imagejobs.image_header import check_start, is_enough
from imagejobs.image_result import CompressedImage
from imagejobs.jobs import CANCELLED_IMAGE_MESSAGE, human_key, image_key, ring_for_more
from imagejobs.limits import MAX_IMAGE_BYTES, lease_seconds
from imagejobs.metrics import emit_images
from imagejobs.options import CompressionOptions
from imagejobs.queues import Message, Queue, Row

logger = Logger(child=True)

Got = TypeVar("Got")

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
# A row whose URLs are being worked on for an earlier one is looked at again after so long.
REPEATED_URL_SECONDS = 3
TRANSFERS = 16
# Images at work: a batch of rows with one each, and more than are in transfer, so that there are others to go on with
# while half of them are committed and replaced.
LEASE_IMAGES = 50
YEAR_SECONDS = 365 * 24 * 3600
HUMAN_URL_SECONDS = 300  # another attempt may give it another content

# Terminal columns of an image, and what it has stored.
_Outcome = tuple[dict[str, Any], tuple[ObjectVersion, ...]]


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
        """Whether there is time for another image: a third of it is kept for the largest."""
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
    def fetch_seconds(self) -> float:
        """How long one image is waited for."""
        return min(FETCH_TIMEOUT_SECONDS, self.transfer_seconds)

    @property
    def codec_deadline(self) -> float:
        """When compressing must be done, as `time.monotonic` says it: a twelfth is kept for storing and committing."""
        return time.monotonic() + self.remaining_seconds() - self.total_seconds / 12


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one leased image: its terminal columns, or the delay before it is tried again.

    Attributes:
        image: The leased image.
        columns: The terminal columns of its row, of a reused one without its source's; None when it is to be tried
            again.
        delay_seconds: How long it rests before that.
        stored: The objects that it made.
        has_begun: Whether it was tried at all; else its lease counts for nothing.
    """

    image: Record
    columns: dict[str, Any] | None
    delay_seconds: float = 0.0
    stored: tuple[ObjectVersion, ...] = ()
    has_begun: bool = True


class AtWork:
    """The images that an invocation has leased and not committed.

    Args:
        patience_seconds: How long what is done waits for others to be committed with, and a lease for its renewal.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._renewed_at = time.monotonic()
        self._attempts: dict[Future[Attempt], Record] = {}
        self._done: SimpleQueue[Future[Attempt]] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, image: Record, attempt: "Future[Attempt]") -> None:
        """Count an image in."""
        self._attempts[attempt] = image
        attempt.add_done_callback(self._done.put)

    @property
    def images(self) -> list[Record]:
        """Those that are not committed."""
        return list(self._attempts.values())

    @property
    def renewal_is_due(self) -> bool:
        """Whether leases are to be renewed now."""
        return time.monotonic() - self._renewed_at > self._patience_seconds

    def note_renewal(self) -> None:
        """From here on the leases count as renewed."""
        self._renewed_at = time.monotonic()

    def next_done(self) -> list[Attempt]:
        """Wait until half of what may be leased, or all that is, is done; what is done by then, with its images."""
        until = time.monotonic() + self._patience_seconds
        wanted = min(LEASE_IMAGES // 2, len(self._attempts))
        done: list[Attempt] = []
        with suppress(Empty):
            while len(done) < wanted:
                attempt = self._done.get(timeout=max(0.0, until - time.monotonic()))
                del self._attempts[attempt]
                done.append(attempt.result())
        return done


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
        codec: Decodes and encodes, in processes that are kept.
    """

    database: Database
    bucket: Bucket
    fetcher: Fetcher
    row_queue: Queue
    upload_queue: Queue
    max_images_out: int
    finalizer: Finalizer
    image_base_url: str
    codec: Codec

    def run(self, messages: Sequence[Message], remaining_seconds: Callable[[], float]) -> list[Message]:
        """Work on the rows that a batch of messages names.

        Args:
            messages: Of the row queue; duplicates do no harm.
            remaining_seconds: Time left of this invocation.

        Returns:
            Messages to give back to the queue: their row rests, or is in another's hands.
        """
        rows = list({message.row for message in messages})
        pool = ThreadPoolExecutor(TRANSFERS)
        try:
            self._work(rows, Clock(remaining_seconds, remaining_seconds()), pool)
        finally:
            pool.shutdown(cancel_futures=True)
        self.finalizer.start_ready(self.database, _request_ids(rows))
        return self._give_back(messages, rows)

    def _work(self, rows: Sequence[Row], clock: Clock, pool: ThreadPoolExecutor) -> None:
        """Lease images as room gets free, and commit what became of them while others are at work.

        This thread alone changes anything in the database; the others ask it for what they have downloaded.
        """
        at_work = AtWork(clock.lease_seconds / 3)
        while True:
            for image in self._lease(rows, clock, at_work.images):
                at_work.add(image, pool.submit(self._attempt, image, clock))
            if not at_work:
                break
            self._settle(at_work.next_done())
            self._ring_for_more(rows)
            if at_work.renewal_is_due:
                at_work.note_renewal()
                self._renew(at_work.images, clock)
        if repeated := self.database.fetch_all("finish_repeated_urls", _keys(rows)):
            emit_images(repeated)
            self._ring_for_more(rows)

    def _ring_for_more(self, rows: Sequence[Row]) -> None:
        ring_for_more(self.database, self.upload_queue, _request_ids(rows), self.max_images_out)

    def _lease(self, rows: Sequence[Row], clock: Clock, at_work: Sequence[Record]) -> list[Record]:
        """The next images to work on; those that may have killed a worker come last, and alone."""
        if not clock.may_begin or any(image["crashes"] for image in at_work):
            return []
        # A token for each time: a lease whose reply was lost is granted again by it.
        lease = {**_keys(rows), "token": uuid4(), "lease_seconds": clock.lease_seconds}
        limit = LEASE_IMAGES - len(at_work)
        fresh = self.database.transact(partial(_lease, {**lease, "crashed": False, "limit": limit}))
        if fresh or at_work:
            return fresh
        return self.database.transact(partial(_lease, {**lease, "crashed": True, "limit": 1}))

    def _renew(self, images: Sequence[Record], clock: Clock) -> None:
        """Should it fail, the outcome may still come in time; whether it did is decided when it is committed."""
        leases = {"leases": json.dumps([_lease_of(image) for image in images]), "lease_seconds": clock.lease_seconds}
        try:
            self.database.execute("renew_leases", leases)
        except psycopg2.Error:
            request_ids = sorted({str(image["request_id"]) for image in images})
            logger.exception("lease_not_renewed", request_ids=request_ids)

    def _attempt(self, image: Record, clock: Clock) -> Attempt:
        """One image's outcome, whatever it holds."""
        if image["cancelled"]:
            return Attempt(image, _failed(JobCancelled(CANCELLED_IMAGE_MESSAGE)))
        if image["crashes"] >= MAX_CRASHES:
            message = f"Given up: the worker died or ran out of time at this image {MAX_CRASHES} times."
            return Attempt(image, _failed(ImageAbandoned(message)))
        try:
            return self._check(image, clock) if image["dry_run"] else self._compress(image, clock)
        except (NotBegun, HostAtRest) as error:
            return _not_begun(image, error)
        except ImageError as error:
            if isinstance(error, CodecFailed):
                logger.warning("codec_failed", extra=_names(image), cause=str(error.__cause__))
            return _after_error(image, error)
        except Exception:  # costs this image an attempt, and the batch nothing
            logger.exception("image_attempt_failed", extra=_names(image))
            return _after_error(image, _AttemptFailed("The service failed at this image; try again later."))

    def _compress(self, image: Record, clock: Clock) -> Attempt:
        _require_time(clock)
        options = CompressionOptions.from_fields(image["options"])
        self.codec.start(options)
        columns, stored = self._reuse_or_compress(image, options, clock)
        if options.human_urls:
            human, copy = self._copy_for_humans(image, columns)
            columns, stored = {**columns, **human}, (*stored, copy)
        return Attempt(image, columns, stored=stored)

    def _reuse_or_compress(self, image: Record, options: CompressionOptions, clock: Clock) -> _Outcome:
        fetched = self._patiently(partial(self._fetch, image, clock), clock)
        if fetched is None:
            return _reused("not_modified", image["known"]), ()
        keys = _keys_of(image, fetched)
        if source := self._find_source(image, keys["content_key"]):
            return {**_reused("same_content", source), **keys}, ()
        compressed = self.codec.compress(fetched.body, options, clock.codec_deadline)
        columns, version = self._store(image, fetched.body, compressed)
        return {**columns, **keys}, (version,)

    def _find_source(self, image: Record, content_key: str) -> Record | None:
        """An image that was made of the same bytes before, if the job reuses such."""
        if not reuse.is_wanted(image["options"]):
            return None
        known: Record | None = image["known"]
        if known is not None and str(known["content_key"]) == content_key:
            return known
        return self.database.look_up("find_known_content", {"content_key": content_key})

    def _copy_for_humans(self, image: Record, columns: Mapping[str, Any]) -> tuple[dict[str, str], ObjectVersion]:
        """A copy of a stored image under the sheet's own numbers, and the columns that say so."""
        object_key = columns["object_key"]
        key = human_key(image, object_key.rpartition(".")[2])
        caching = f"public, max-age={HUMAN_URL_SECONDS}"
        copy = ObjectVersion(key, self.bucket.copy(object_key, key, f"image/{columns['format']}", caching))
        url = f"{self.image_base_url}/{quote(key)}"
        return {"human_key": key, "human_version": copy.version, "human_url": url}, copy

    def _store(self, image: Record, body: bytes, compressed: CompressedImage) -> tuple[dict[str, Any], ObjectVersion]:
        key = image_key(image, compressed.body, compressed.extension)
        caching = f"public, max-age={YEAR_SECONDS}, immutable"
        version = self.bucket.put(key, compressed.body, compressed.content_type, caching)
        columns = {
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
            "score": compressed.score,
            "content": compressed.content,
            "perceptual_hash": compressed.perceptual_hash,
        }
        return columns, ObjectVersion(key, version)

    def _check(self, image: Record, clock: Clock) -> Attempt:
        """Of a dry run's image: what it is, without compressing or storing anything."""
        _require_time(clock)
        start = self._patiently(partial(self._fetch_start, image, clock), clock)
        header = check_start(start.body, is_whole=start.is_whole)
        known = _validators(image["known"])
        columns = {
            "status": "COMPLETED",
            "outcome": "checked",
            "format": header.format,
            "width": header.width,
            "height": header.height,
            "bytes_before": start.total_bytes,
            "reused": "not_modified" if known and known.match(start.validators) else None,
        }
        return Attempt(image, columns)

    def _patiently(self, fetch: Callable[[], Got], clock: Clock) -> Got:
        """What the origin has; what fails quickly is tried again at once, what hangs is not waited for twice."""
        for delay in RETRY_DELAYS_SECONDS:
            began = time.monotonic()
            try:
                return fetch()
            except OriginUnavailable as error:
                wait = max(delay * random.uniform(0.5, 1.5), error.retry_after_seconds or 0)  # noqa: S311
                if time.monotonic() - began + wait > min(MAX_WAIT_SECONDS, clock.transfer_seconds / 2):
                    raise
                time.sleep(wait)
        return fetch()

    def _fetch(self, image: Record, clock: Clock) -> Fetched | None:
        known = _validators(image["known"])
        return self.fetcher.get(
            image["source_url"], max_bytes=MAX_IMAGE_BYTES, timeout_seconds=clock.fetch_seconds, known=known
        )

    def _fetch_start(self, image: Record, clock: Clock) -> FetchedStart:
        return self.fetcher.get_start(
            image["source_url"], is_enough, max_bytes=MAX_IMAGE_BYTES, timeout_seconds=clock.fetch_seconds
        )

    def _settle(self, attempts: Sequence[Attempt]) -> None:
        """Commit outcomes and release the rest, in one transaction."""
        if not attempts:
            return
        in_order = sorted(attempts, key=lambda each: each.image["request_id"])
        ended = [{**_lease_of(each.image), **each.columns} for each in in_order if each.columns is not None]
        finished = [columns for columns in ended if "source_id" not in columns]
        reused = [columns for columns in ended if "source_id" in columns]
        released = [
            {**_lease_of(each.image), "delay_seconds": each.delay_seconds, "has_begun": each.has_begun}
            for each in attempts
            if each.columns is None
        ]
        request_ids = list({attempt.image["request_id"] for attempt in attempts})
        settled = self.database.transact(partial(_settle, finished, reused, released, request_ids))
        emit_images(settled)
        if sum(job["completed"] for job in settled) < sum(columns["status"] == "COMPLETED" for columns in ended):
            self._delete_refused(attempts)

    def _delete_refused(self, attempts: Sequence[Attempt]) -> None:
        """Delete what these attempts stored and no image names: their lease was another's when they ended.

        A commit whose reply was lost has counted already; what it has written, an image names.
        """
        for attempt in attempts:
            for stored in attempt.stored:
                if not self._is_named(stored, attempt.image):
                    self.bucket.delete_version(stored)

    def _is_named(self, stored: ObjectVersion, image: Record) -> bool:
        place = {"row_number": image["row_number"], "position": image["position"]}
        listed = [{"object_key": stored.key, "version": stored.version, **place}]
        named = {"request_id": image["request_id"], "objects": json.dumps(listed)}
        return bool(self.database.fetch_all("list_named_objects", named))

    def _give_back(self, messages: Sequence[Message], rows: Sequence[Row]) -> list[Message]:
        """Messages of rows that are not done, shown again when there is a point in it.

        A row that there was no time for, or whose URLs others are at, gets a message of its own: its deliveries must
        not be used up by waiting.
        """
        unfinished = [(Row.from_record(each), each) for each in self._unfinished_rows(rows)]
        self.row_queue.ring_rows([row for row, each in unfinished if each["wait_seconds"] == 0])
        self._ring_repeated(
            [(row, each["first_rests_seconds"]) for row, each in unfinished if each["wait_seconds"] is None]
        )
        resting = {row: each["wait_seconds"] for row, each in unfinished if each["wait_seconds"]}
        given_back = [message for message in messages if message.row in resting]
        for message in given_back:
            self.row_queue.show_again(message, resting[message.row])
        return given_back

    def _unfinished_rows(self, rows: Sequence[Row]) -> list[Record]:
        return self.database.fetch_all("list_unfinished_rows", _keys(rows))

    def _ring_repeated(self, rows: Sequence[tuple[Row, float]]) -> None:
        """Rows that wait for others' images, with the seconds for which these rest."""
        delay_seconds = max(REPEATED_URL_SECONDS, math.ceil(min((seconds for _, seconds in rows), default=0)))
        self.row_queue.ring_rows([row for row, _ in rows], delay_seconds)


class _AttemptFailed(ImageError):
    """The attempt failed through no fault of the image's; another may succeed."""

    code = "internal_error"
    transient = True


def _require_time(clock: Clock) -> None:
    if not clock.may_begin:
        raise NotBegun("There was time when it was leased; images before it took it.")


def _not_begun(image: Record, error: NotBegun | HostAtRest) -> Attempt:
    """Images that wait for a host's rest come back a little later than that, and not all at once."""
    rest_seconds = error.rest_seconds if isinstance(error, HostAtRest) else 0.0
    return Attempt(image, None, rest_seconds * random.uniform(1.0, 1.5), has_begun=False)  # noqa: S311


def _after_error(image: Record, error: ImageError) -> Attempt:
    """A final error is the image's outcome; a transient one is, once the attempts are used up."""
    if not error.transient or image["attempt"] >= MAX_ATTEMPTS:
        return Attempt(image, _failed(error))
    planned = REDELIVERY_SECONDS[min(image["attempt"], len(REDELIVERY_SECONDS)) - 1]
    wished = getattr(error, "retry_after_seconds", None) or 0.0
    return Attempt(image, None, max(planned, min(wished, MAX_REDELIVERY_SECONDS)))


def _request_ids(rows: Sequence[Row]) -> list[UUID]:
    return list({row.request_id for row in rows})


def _keys(rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {"request_ids": [row.request_id for row in rows], "row_numbers": [row.row_number for row in rows]}


def _names(image: Record) -> dict[str, str]:
    """By which the log knows an image."""
    return {"request_id": str(image["request_id"]), "image_id": str(image["image_id"])}


def _lease_of(image: Record) -> dict[str, str]:
    return {"image_id": str(image["image_id"]), "lease_token": str(image["lease_token"])}


def _failed(error: ImageError) -> dict[str, Any]:
    return {"status": "FAILED", "error_code": error.code, "error_message": error.message}


def _reused(how: str, source: Record) -> dict[str, Any]:
    """What becomes of an image that becomes what another one became."""
    same = {"object_key": source["object_key"], "format": source["format"]}
    return {"status": "COMPLETED", "reused": how, "source_id": str(source["image_id"]), **same}


def _keys_of(image: Record, fetched: Fetched) -> dict[str, Any]:
    """The columns by which an image that was downloaded is known again."""
    key_of = partial(reuse.content_key, image["owner"], image["options"])
    keys = {"url_key": str(_url_key(image)), "content_key": str(key_of(fetched.body))}
    if fetched.validators is None:
        return keys
    validators = asdict(fetched.validators)
    url = validators.pop("url")
    return {**keys, **validators, "validated_url": url if url != image["source_url"] else None}


def _url_key(image: Record) -> UUID:
    return reuse.url_key(image["owner"], image["options"], image["source_url"])


def _validators(known: Record | None) -> Validators | None:
    return Validators(known["validated_url"], known["etag"], known["last_modified"]) if known else None


def _lease(lease: Mapping[str, Any], transaction: Transaction) -> list[Record]:
    """Leased images, each with the `known` one of its URL; None where there is none, or it is not to be reused."""
    images = transaction.fetch_all("lease_images", lease)
    keys = {image["image_id"]: _url_key(image) for image in images if reuse.is_wanted(image["options"])}
    found = transaction.fetch_all("list_known_urls", {"url_keys": list(keys.values())}) if keys else []
    known = {each["url_key"]: each for each in found}
    return [{**image, "known": known.get(keys.get(image["image_id"]))} for image in images]


def _settle(
    finished: Sequence[dict[str, Any]],
    reused: Sequence[dict[str, Any]],
    released: Sequence[dict[str, Any]],
    request_ids: Sequence[UUID],
    transaction: Transaction,
) -> list[Record]:
    """What was counted by this, a row a job.

    What is counted comes last, and in the order of the jobs: until the commit, all other workers of a job wait for it,
    and two that wait for each other's would wait in vain.
    """
    if released or (finished and reused):  # under the lock: a cancellation decides how long they rest
        transaction.fetch_all("lock_jobs", {"request_ids": request_ids})
    for records in json_arrays(released):
        transaction.execute("release_images", {"released": records})
    counted = []
    for records in json_arrays(finished):
        counted += transaction.fetch_all("finish_images", {"finished": records})
    copied = []
    for records in json_arrays(reused):
        copied += transaction.fetch_all("reuse_images", {"reused": records})
    if sum(job["reused"] for job in copied) < len(reused):
        _release_without_source(reused, transaction)
    return counted + copied


def _release_without_source(reused: Sequence[Mapping[str, Any]], transaction: Transaction) -> None:
    """Try those again that are still leased: their sources are deleted, or about to be."""
    rest = {"delay_seconds": REDELIVERY_SECONDS[0], "has_begun": False}
    for records in json_arrays({**columns, **rest} for columns in reused):
        transaction.execute("release_images", {"released": records})
