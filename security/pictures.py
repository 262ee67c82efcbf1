"""Sheets whose pictures should fail, with good ones beside them: how they end, held against how they must."""

from collections.abc import Iterator, Mapping, Sequence

from imagejobs.errors import ImageError
from security.bench import Bench
from security.customer import Customer, Image, sheet_of
from security.tally import Tally

# One good row after so many hostile ones: as messages travel in batches of ten, every batch has some.
HOSTILE_ROWS = 4
GOOD_NAME = "good-1.jpg"

CODES = frozenset(error.code for error in ImageError.__subclasses__())


def run_failing(bench: Bench, cases: Sequence[tuple[str, str]], seconds: float) -> Tally:
    """Compress hostile URLs, each of which must fail for itself.

    Args:
        bench: Where.
        cases: What each is, and its URL.
        seconds: How long all of it may take.
    """
    customer = Customer(bench.info)
    good = f"http://{bench.shop.origin}/beside/{GOOD_NAME}"
    rows = list(_mixed(cases, ("a good image beside them", good)))
    request_id = customer.place(sheet_of(url for _, url in rows))
    customer.until_ended(request_id, seconds)
    images = {image["row_number"]: image for image in customer.images(request_id)}
    findings = [*_findings(rows, images, good), *_lost(rows, customer.result(request_id)[1])]
    return Tally(cases=len(cases), wrong=len(findings), findings=tuple(findings)) + customer.tally


def complaint_about_failure(image: Image) -> str | None:
    """What is wrong with an image that should have failed: with a known code and a sentence."""
    message = image["error_message"] or ""
    if image["status"] != "FAILED":
        return f"ended {image['status']}"
    if image["error_code"] not in CODES:
        return f"failed with the code {image['error_code']}"
    if not (message.endswith(".") and message.isprintable()):
        return f"failed without a sentence: {message!r}"
    return None


def _mixed(cases: Sequence[tuple[str, str]], good: tuple[str, str]) -> Iterator[tuple[str, str]]:
    for number, case in enumerate(cases):
        if number % HOSTILE_ROWS == 0:
            yield good
        yield case


def _findings(rows: Sequence[tuple[str, str]], images: Mapping[int, Image], good: str) -> Iterator[str]:
    for number, (name, url) in enumerate(rows, 1):
        image = images.get(number)
        if image is None:
            yield f"{name}: {url!r} is unknown to the API"
        elif url == good and image["status"] != "COMPLETED":
            yield f"{name} failed: {image['error_message']}"
        elif url != good and (complaint := complaint_about_failure(image)):
            yield f"{name}: {url[:200]!r} {complaint}"


def _lost(rows: Sequence[object], finished: Sequence[Sequence[str]]) -> Iterator[str]:
    if len(finished) != len(rows) + 1:
        yield f"the finished CSV has {len(finished) - 1} rows, the sheet has {len(rows)}"
