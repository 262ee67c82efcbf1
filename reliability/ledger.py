"""The judge: holds what a customer sees of a job against what its sheet must come to, exactly once.

*Lost* is what should be there and is not, *doubled* what is there more than once or belongs to nothing, *stuck* a job
that has not ended.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from reliability.customer import ReceivedWebhook, Sheet

ENDED = frozenset({"COMPLETED", "FAILED"})


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is seen of one job from outside.

    Attributes:
        request_ids: Every job that has images of the sheet, or was answered for it.
        status: The job, as `GET /job/status` answers.
        images: Its images, as `GET /job/…/images` answers.
        rows: The finished CSV; None when there is none.
        object_keys: What lies under `images/<request_id>/`.
        results: The distinct contents of its finished CSVs in S3, over all keys and versions, by ETag.
        webhooks: What the customer's server received.
        image_base_url: What stands before an image's key in its public URL.
        webhook_secret: What webhooks must be signed with.
    """

    request_ids: frozenset[str]
    status: Mapping[str, Any]
    images: Sequence[Mapping[str, Any]]
    rows: Sequence[Mapping[str, str]] | None
    object_keys: Sequence[str]
    results: frozenset[str]
    webhooks: Sequence[ReceivedWebhook]
    image_base_url: str
    webhook_secret: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with one or more jobs, a sentence each; three empty lists are what is promised."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(self.lost + other.lost, self.doubled + other.doubled, self.stuck + other.stuck)

    @property
    def findings(self) -> list[str]:
        """All of it."""
        return self.lost + self.doubled + self.stuck


def judge(sheet: Sheet, seen: Sighting) -> Verdict:
    """Judge one job that should have ended."""
    if seen.status["status"] not in ENDED:
        return Verdict(stuck=[f"{sheet.tag}: its status is {seen.status['status']}"])
    lost = [*_lost_images(sheet, seen), *_lost_rows(sheet, seen), *_lost_webhooks(sheet, seen)]
    doubled = [
        *_doubled_jobs(sheet, seen),
        *_doubled_images(sheet, seen),
        *_doubled_rows(seen),
        *_doubled_webhooks(sheet, seen),
    ]
    return Verdict([f"{sheet.tag}: {what}" for what in lost], [f"{sheet.tag}: {what}" for what in doubled])


def _places(sheet: Sheet) -> list[tuple[int, int]]:
    return [(row, place) for row, names in enumerate(sheet.rows, 1) for place in range(1, len(names) + 1)]


def _by_place(seen: Sighting) -> dict[tuple[int, int], Mapping[str, Any]]:
    return {(image["row_number"], image["position"]): image for image in seen.images}


def _lost_images(sheet: Sheet, seen: Sighting) -> Iterator[str]:
    images = _by_place(seen)
    for row, place in _places(sheet):
        image = images.get((row, place))
        expected = "COMPLETED" if sheet.succeeds(row, place) else "FAILED"
        if image is None:
            yield f"row {row}, image {place} is unknown to the API"
        elif image["status"] != expected:
            yield f"row {row}, image {place} is {image['status']}, not {expected}: {image['error_message']}"
        elif expected == "COMPLETED" and _key(image, seen) not in seen.object_keys:
            yield f"row {row}, image {place} has no object at {_key(image, seen)}"
        elif expected == "FAILED" and not image["error_message"]:
            yield f"row {row}, image {place} failed without a reason"


def _key(image: Mapping[str, Any], seen: Sighting) -> str:
    return str(image["image_url"]).removeprefix(f"{seen.image_base_url}/")


def _lost_rows(sheet: Sheet, seen: Sighting) -> Iterator[str]:
    """The finished CSV has the sheet's rows, all and in order, each with the outcome that the API tells."""
    numbers = [row["S. No."] for row in seen.rows or []]
    for number in range(1, len(sheet.rows) + 1):
        if str(number) not in numbers:
            yield f"row {number} is not in the finished CSV"
    if numbers != sorted(numbers, key=int):
        yield "the finished CSV is out of order"
    images = _by_place(seen)
    for row in seen.rows or []:
        number = int(row["S. No."])
        urls = [images.get((number, place), {}).get("image_url") or "" for place in _row_places(sheet, number)]
        if row["Output Image Urls"] != ",".join(urls) or row["Status"] != _row_status(urls):
            yield f"row {number} of the finished CSV is {row['Status']} with {row['Output Image Urls']!r}"


def _row_places(sheet: Sheet, row_number: int) -> range:
    return range(1, len(sheet.rows[row_number - 1]) + 1) if row_number <= len(sheet.rows) else range(0)


def _row_status(urls: Sequence[str]) -> str:
    if not any(urls):
        return "FAILED"
    return "COMPLETED" if all(urls) else "PARTIAL"


def _lost_webhooks(sheet: Sheet, seen: Sighting) -> Iterator[str]:
    accepted = {webhook.headers["webhook-id"] for webhook in seen.webhooks if webhook.accepted}
    if len(accepted) < sheet.generations:
        yield f"the webhooks of {len(accepted)} outcomes were accepted, not of {sheet.generations}"
    for webhook in seen.webhooks:
        try:
            event = Webhook(seen.webhook_secret).verify(webhook.body, dict(webhook.headers))
        except WebhookVerificationError as error:
            yield f"a webhook's signature is wrong: {error}"
        else:
            if event["status"] != seen.status["status"]:
                yield f"a webhook says {event['status']}, the API {seen.status['status']}"


def _doubled_jobs(sheet: Sheet, seen: Sighting) -> Iterator[str]:
    if len(seen.request_ids) > 1:
        yield f"one CSV became the jobs {', '.join(sorted(seen.request_ids))}"
    if len(seen.results) > sheet.generations:
        yield f"there are {len(seen.results)} different finished CSVs, not {sheet.generations}"


def _doubled_images(sheet: Sheet, seen: Sighting) -> Iterator[str]:
    for place, times in Counter((image["row_number"], image["position"]) for image in seen.images).items():
        if times > 1:
            yield f"row {place[0]}, image {place[1]} is {times} times in the API"
    for place in _by_place(seen).keys() - set(_places(sheet)):
        yield f"row {place[0]}, image {place[1]} is not in the sheet"
    owned = {_key(image, seen) for image in seen.images if image["image_url"]}
    for key in sorted(set(seen.object_keys) - owned):
        yield f"{key} belongs to no image"


def _doubled_rows(seen: Sighting) -> Iterator[str]:
    for number, times in Counter(row["S. No."] for row in seen.rows or []).items():
        if times > 1:
            yield f"row {number} is {times} times in the finished CSV"


def _doubled_webhooks(sheet: Sheet, seen: Sighting) -> Iterator[str]:
    bodies: dict[str, set[str]] = defaultdict(set)
    for webhook in seen.webhooks:
        bodies[webhook.headers["webhook-id"]].add(json.dumps(json.loads(webhook.body), sort_keys=True))
    if len(bodies) > sheet.generations:
        yield f"{sheet.generations} outcome(s) were told under the ids {', '.join(sorted(bodies))}"
    for event_id, told in bodies.items():
        if len(told) > 1:
            yield f"{event_id} was told in {len(told)} different ways"
