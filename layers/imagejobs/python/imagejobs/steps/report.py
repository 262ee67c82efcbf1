"""report: one page about a job that has ended; to read, and to forward.

The totals are the job's own, the rest a few statements over its images, each with a limit. Pictures are shown small:
the original is downloaded again, since none is kept, and what it became comes from the bucket; both are scaled by the
codec's process, for no picture is decoded here. Where one cannot be shown, the page says why.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from imagejobs.bucket import REPORT_PREFIX, Bucket
from imagejobs.codec import Codec, NotBegun
from imagejobs.database import Database, Row
from imagejobs.errors import ImageError
from imagejobs.fetch import Fetcher
from imagejobs.image_result import MEDIA_TYPES
from imagejobs.jobs import TERMINAL
from imagejobs.limits import MAX_IMAGE_BYTES
from imagejobs.near_duplicates import find_alike
from imagejobs.options import CompressionOptions
from imagejobs.report_page import REFUSED_SIDE, SMALL_SIDE, Compared, Embedded, NearDuplicates, Report, write_page

logger = Logger(child=True)

COMPARED_PICTURES = 6
LISTED_IMAGES = 10
FAILURES_PER_CODE = 5
LISTED_GROUPS, LISTED_MEMBERS = 10, 6
# 70 MB in memory at once; and comparisons that take a second of CPU.
MAX_HASHES = 100_000
MAX_COMPARISONS = 2_000_000

# Pixels; a page shows a picture in half as many, and screens may have two for each.
THUMBNAIL = CompressionOptions(format="jpeg", max_width=480, max_height=480)
MAX_EMBEDDED_BYTES = 250_000  # of one picture: a page with all of them can still be sent by mail
FETCH_TIMEOUT_SECONDS = 10.0
PICTURES_SECONDS = 60.0
TRANSFERS = 4

NO_TIME_MESSAGE = "There was no time left to show it."
CHANGED_MESSAGE = "The URL leads to another picture now."
TOO_LARGE_MESSAGE = "It is too large to be shown here."
GONE_MESSAGE = "It is not in the bucket any more."


@dataclass(frozen=True, slots=True)
class Reporter:
    """What reports are made with.

    Attributes:
        database: Where the job and its images are.
        bucket: Where the images are, and the report goes.
        fetcher: The one way to an origin.
        codec: Scales pictures, in its own process.
    """

    database: Database
    bucket: Bucket
    fetcher: Fetcher
    codec: Codec

    def write(self, request_id: UUID, generation: int, remaining_seconds: Callable[[], float]) -> bool:
        """Store the report on a generation of a job, once.

        Args:
            request_id: The job.
            generation: Which of its outcomes.
            remaining_seconds: Time left of this invocation.

        Returns:
            False when there is nothing to do: it is written, or the job is another one by now.
        """
        job = self.database.fetch_one("get_job", {"request_id": request_id})
        if not job or job["generation"] != generation or job["status"] not in TERMINAL or job["report_key"]:
            return False
        deadline = time.monotonic() + min(PICTURES_SECONDS, remaining_seconds() / 2)
        page = write_page(self._report(job, deadline)).encode()
        key = f"{REPORT_PREFIX}{request_id}-{generation}.html"
        version = self.bucket.put(key, page, "text/html; charset=utf-8")
        stored = {"request_id": request_id, "generation": generation, "report_key": key, "report_version": version}
        return self.database.execute("record_report", stored) > 0

    def _report(self, job: Row, deadline: float) -> Report:
        most, least = self._best_and_worst(job)
        lowest = self.database.fetch_all("report_lowest_scores", _asked(job, COMPARED_PICTURES))
        formats = self.database.fetch_all("report_formats", _asked(job))
        failures = self.database.fetch_all("report_failures", _asked(job, FAILURES_PER_CODE))
        row_errors = self.database.fetch_all("report_row_errors", _asked(job, LISTED_IMAGES))
        largest = self.database.fetch_all("report_largest", _asked(job, LISTED_IMAGES))
        compared = self._compare([*most, *least, *lowest], deadline)
        return Report(
            job=job,
            written_at=datetime.now(UTC),
            formats=formats,
            most_saved=[compared[_place(image)] for image in most],
            least_saved=[compared[_place(image)] for image in least],
            lowest_scores=[compared[_place(image)] for image in lowest],
            failures=failures,
            row_errors=row_errors,
            near_duplicates=self._near_duplicates(job),
            low_resolution=self._low_resolution(job),
            largest=largest,
        )

    def _best_and_worst(self, job: Row) -> tuple[list[Row], list[Row]]:
        """The images that gained most, at most half of all, and of the others those that gained least."""
        most = self.database.fetch_all("report_most_saved", _asked(job, COMPARED_PICTURES))
        most = most[: (job["images_completed"] + 1) // 2]
        least = self.database.fetch_all("report_least_saved", _asked(job, 2 * COMPARED_PICTURES))
        shown = {_place(image) for image in most}
        return most, [image for image in least if _place(image) not in shown][:COMPARED_PICTURES]

    def _low_resolution(self, job: Row) -> list[Row]:
        options = CompressionOptions.from_fields(job["options"])
        sides = {"small_side": SMALL_SIDE, "refused_side": REFUSED_SIDE}
        limits = {"max_width": options.max_width, "max_height": options.max_height}
        return self.database.fetch_all("report_low_resolution", _asked(job, LISTED_IMAGES, **sides, **limits))

    def _near_duplicates(self, job: Row) -> NearDuplicates:
        found = self.database.fetch_all("report_hashes", _asked(job, MAX_HASHES + 1))
        hashed = found[:MAX_HASHES]
        alike = find_alike([(i["perceptual_hash"], i["width"], i["height"]) for i in hashed], MAX_COMPARISONS)
        listed = [[_place(hashed[place]) for place in group[:LISTED_MEMBERS]] for group in alike.groups[:LISTED_GROUPS]]
        images = self._images_at(job, [place for group in listed for place in group])
        return NearDuplicates(
            groups=[[images[place] for place in group] for group in listed],
            sizes=[len(group) for group in alike.groups],
            compared=len(hashed),
            is_complete=alike.is_complete and len(found) <= MAX_HASHES,
        )

    def _images_at(self, job: Row, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Row]:
        listed = json.dumps([{"row_number": row, "position": position} for row, position in places])
        return {_place(image): image for image in self.database.fetch_all("report_places", _asked(job, places=listed))}

    def _compare(self, images: Sequence[Row], deadline: float) -> dict[tuple[int, int], Compared]:
        """Each image with its pictures, small, by its place; several at a time."""
        each = {_place(image): image for image in images}
        with ThreadPoolExecutor(TRANSFERS) as pool:
            compared = pool.map(lambda image: self._compared(image, deadline), each.values())
            return dict(zip(each, compared, strict=True))

    def _compared(self, image: Row, deadline: float) -> Compared:
        return Compared(image, self._before(image, deadline), self._after(image, deadline))

    def _before(self, image: Row, deadline: float) -> Embedded | str:
        seconds = min(FETCH_TIMEOUT_SECONDS, deadline - time.monotonic())
        if seconds <= 0:
            return NO_TIME_MESSAGE
        try:
            fetched = self.fetcher.get(image["source_url"], max_bytes=MAX_IMAGE_BYTES, timeout_seconds=seconds)
        except ImageError as error:
            return error.message
        if fetched is None or len(fetched.body) != image["bytes_before"]:
            return CHANGED_MESSAGE
        return self._thumbnail(fetched.body, deadline)

    def _after(self, image: Row, deadline: float) -> Embedded | str:
        try:
            body = self.bucket.newest(image["object_key"])
        except (BotoCoreError, ClientError):
            logger.warning("image_not_read", request_id=str(image["request_id"]), object_key=image["object_key"])
            return GONE_MESSAGE
        if image["format"] == "avif":  # which the codec writes, and takes from nobody
            return _embedded(body, "avif")
        return self._thumbnail(body, deadline)

    def _thumbnail(self, body: bytes, deadline: float) -> Embedded | str:
        try:
            small = self.codec.compress(body, THUMBNAIL, deadline)
        except ImageError as error:
            return error.message
        except (NotBegun, TimeoutError):
            return NO_TIME_MESSAGE
        return _embedded(small.body, small.format)


def _asked(job: Row, limit: int = 0, **parameters: object) -> dict[str, object]:
    return {"request_id": job["request_id"], "limit": limit, **parameters}


def _embedded(body: bytes, format_name: str) -> Embedded | str:
    if len(body) > MAX_EMBEDDED_BYTES:
        return TOO_LARGE_MESSAGE
    return Embedded(MEDIA_TYPES[format_name][0], body)


def _place(image: Row) -> tuple[int, int]:
    return image["row_number"], image["position"]
