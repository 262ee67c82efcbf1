"""The calls of a customer who counts every failure of the service's, and never asks twice."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import requests

from local.stack import StackInfo
from reliability.customer import HEADER
from reliability.waiting import until
from security.tally import Tally

CALL_SECONDS = 30.0
ENDED = frozenset({"COMPLETED", "FAILED"})

Image = dict[str, Any]


def sheet_of(cells: Iterable[str]) -> bytes:
    """A CSV with one row a cell of URLs."""
    rows = ((str(number), f"Product {number}", cell) for number, cell in enumerate(cells, 1))
    return csv_of([HEADER, *rows])


def csv_of(rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV of these rows."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


@dataclass
class Customer:
    """A caller of the API.

    Attributes:
        info: The service.
        failures: Answers with a 5xx so far, a sentence each.
    """

    info: StackInfo
    failures: list[str] = field(default_factory=list)

    @property
    def tally(self) -> Tally:
        """The failures, counted."""
        return Tally(server_errors=len(self.failures), findings=tuple(self.failures))

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:  # noqa: ANN401 as requests takes them
        """One request with the caller's token; redirects are not followed."""
        headers = {"Authorization": f"Bearer {self.info.token}", **arguments.pop("headers", {})}
        answer = requests.request(
            method,
            f"{self.info.api_url}{path}",
            headers=headers,
            timeout=CALL_SECONDS,
            allow_redirects=False,
            **arguments,
        )
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.failures.append(f"{method} {path} was answered {answer.status_code}: {answer.text[:200]}")
        return answer

    def upload(self, sheet: bytes, **fields: str) -> requests.Response:
        """Upload a CSV with further fields of the form."""
        return self.request("POST", "/upload", files={"file": ("products.csv", sheet)}, data=fields)

    def place(self, sheet: bytes, **fields: str) -> str:
        """Upload a CSV that is in order; its request_id.

        Raises:
            AssertionError: It is refused.
        """
        answer = self.upload(sheet, **fields)
        if answer.status_code != HTTPStatus.ACCEPTED:
            raise AssertionError(f"A sheet that is in order was refused: {answer.status_code} {answer.text}")
        return str(answer.json()["request_id"])

    def until_ended(self, request_id: str, seconds: float) -> dict[str, Any]:
        """The job once it has ended.

        Raises:
            TimeoutError: It does not.
        """
        (job,) = until(partial(self._ended, request_id), seconds, f"the job {request_id} ends")
        return job

    def images(self, request_id: str) -> list[Image]:
        """Every image of a job."""
        images: list[Image] = []
        after: str | None = "0-0"
        while after:
            page = self.request("GET", f"/job/{request_id}/images?limit=500&after={after}").json()
            images += page["images"]
            after = page["next"]
        return images

    def result(self, request_id: str) -> tuple[str, list[list[str]]]:
        """The presigned link of the finished CSV, and its rows, the header's first."""
        link = self.request("GET", f"/job/{request_id}/result").headers["Location"]
        text = requests.get(link, timeout=CALL_SECONDS).content.decode("utf-8-sig")
        return link, list(csv.reader(io.StringIO(text, newline="")))

    def _ended(self, request_id: str) -> list[dict[str, Any]]:
        job = self.request("GET", f"/job/status/{request_id}").json()
        return [job] if job.get("status") in ENDED else []


def complaint_about_answer(answer: requests.Response) -> str | None:
    """What is wrong with an answer that should be a refusal: a 4xx with a code and a sentence."""
    try:
        told = answer.json()
    except ValueError:
        return f"was answered {answer.status_code} without JSON"
    if not HTTPStatus.BAD_REQUEST <= answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"was answered {answer.status_code}"
    if not (told.get("code") and str(told.get("message", "")).strip()):
        return f"was answered {answer.status_code} without a code and a sentence: {answer.text[:200]}"
    return None
