"""Campaign: files that no sound picture is, through the whole worker; what is served afterwards is a picture alone."""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
from PIL import Image as Pillow

from imagejobs.image_header import MAX_PIXELS, format_of
from imagejobs.image_result import MEDIA_TYPES
from local.cdn import SECURITY_HEADERS
from security.bench import Bench
from security.customer import CALL_SECONDS, Customer, Image, sheet_of
from security.file_cases import MARK, Case, hostile_files
from security.origin import http_answer
from security.pictures import complaint_about_failure
from security.tally import Tally

SECONDS = 1200.0
MUTATIONS = 40
FOLDER_VARIABLE = "MALFORMED_DIR"


def run_malformed_files(bench: Bench, mutations: int = MUTATIONS, every: int = 1) -> Tally:
    """Every file as an image's, with those of third parties that MALFORMED_DIR names, if it is set.

    Args:
        bench: Where.
        mutations: Damaged copies of every sound file.
        every: Of how many files one is tried.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    cases = list(hostile_files(mutations, Path(folder) if folder else None))[::every]
    customer = Customer(bench.info)
    request_id = customer.place(sheet_of(bench.origin.add(http_answer(body)) for _, body in cases))
    customer.until_ended(request_id, SECONDS)
    findings = tuple(_findings(cases, customer.images(request_id)))
    return Tally(cases=len(cases), wrong=len(findings), findings=findings) + customer.tally


def _findings(cases: Sequence[Case], images: Sequence[Image]) -> Iterator[str]:
    outcomes = {image["row_number"]: image for image in images}
    with requests.Session() as session:
        for number, (name, body) in enumerate(cases, 1):
            image = outcomes.get(number)
            if image is None:
                yield f"{name} is unknown to the API"
            elif image["status"] != "COMPLETED":
                complaint = complaint_about_failure(image)
                yield from [f"{name} {complaint}"] if complaint else []
            else:
                answer = session.get(image["image_url"], timeout=CALL_SECONDS)
                yield from (f"{name}: {what}" for what in _wrong_with(answer, body, image))


def _wrong_with(answer: requests.Response, original: bytes, image: Image) -> Iterator[str]:
    """What is wrong with the picture that is served for a file."""
    served = answer.content
    media_type = MEDIA_TYPES.get(format_of(original), ("none",))[0]
    headers = {**SECURITY_HEADERS, "Content-Type": media_type}
    for header, value in headers.items():
        if answer.headers.get(header) != value:
            yield f"it is served with {header}: {answer.headers.get(header)}, not {value}"
    if answer.status_code != 200 or len(served) != image["bytes_after"]:
        yield f"{len(served)} bytes are served with {answer.status_code}, not {image['bytes_after']}"
    if len(served) > len(original):
        yield f"it grew from {len(original)} to {len(served)} bytes"
    if format_of(served) != format_of(original):
        yield f"it is served as {format_of(served) or 'no picture'}, not {format_of(original)}"
    if MARK in served:
        yield "it is served with what was planted in it"
    if reason := _why_undecodable(served):
        yield f"it cannot be decoded: {reason}"


def _why_undecodable(body: bytes) -> str | None:
    try:
        with warnings.catch_warnings(action="ignore"), Pillow.open(io.BytesIO(body)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return f"it has {picture.width} x {picture.height} pixels"
            picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        return str(error)
    return None
