"""What end-to-end tests see of a stack: a client of its API, and a customer's server."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import requests

from local.stack import StackInfo
from reliability.query import query
from tests.unit.fetch_helpers import Answer, Request, http_answer, says

T = TypeVar("T")

SAMPLES = Path(__file__).parents[2] / "samples"
HEADER = "S. No.,Product Name,Input Image Urls\n"


def until(what: Callable[[], T], seconds: float = 60.0) -> T:
    """The first truthy value of `what`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.1)
    return value


@dataclass
class Shop:
    """A customer's server: the sample pictures under their names, whatever a test adds, and its webhooks."""

    answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    webhooks: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    origin: str = ""

    def __call__(self, request: Request, wire: Any) -> None:
        if request.line.startswith("POST"):
            self.webhooks[request.resource].append(request)
        answers = self.answers.get(request.resource)
        if answers:
            (answers[0] if len(answers) == 1 else answers.pop(0))(request, wire)
        elif request.line.startswith("POST"):
            says(http_answer(status="204 No Content"))(request, wire)
        else:
            self._picture(request)(request, wire)

    def url(self, resource: str) -> str:
        return f"http://{self.origin}{resource}"

    def _picture(self, request: Request) -> Answer:
        path = SAMPLES / request.resource.removeprefix("/")
        return says(http_answer(path.read_bytes()) if path.is_file() else http_answer(status="404 Not Found"))


@dataclass
class Client:
    """A caller of the API, with what a test wants to see behind it."""

    info: StackInfo

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.info.token}"}
        url = f"{self.info.api_url}{path}"
        return requests.request(
            method, url, **{"headers": headers, "timeout": 30, "allow_redirects": False, **arguments}
        )

    def upload(self, sheet: str | bytes, **fields: str) -> str:
        answer = self.request("POST", "/upload", files={"file": ("products.csv", sheet)}, data=fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["request_id"])

    def status(self, request_id: str) -> dict[str, Any]:
        return dict(self.request("GET", f"/job/status/{request_id}").json())

    def ended(self, request_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """The job's status once it is terminal."""
        return until(lambda: (job := self.status(request_id))["status"] in {"COMPLETED", "FAILED"} and job, seconds)

    def images(self, request_id: str) -> list[dict[str, Any]]:
        return list(self.request("GET", f"/job/{request_id}/images", params={"limit": 500}).json()["images"])

    def finished_csv(self, request_id: str) -> str:
        redirect = self.request("GET", f"/job/{request_id}/result")
        assert redirect.status_code == 303, redirect.text
        answer = requests.get(redirect.headers["Location"], timeout=30)  # without the token
        assert answer.status_code == 200, answer.text
        return answer.content.decode("utf-8")

    def aws(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.info.endpoint_url,
            region_name=self.info.region,
            aws_access_key_id=self.info.aws_access_key_id,
            aws_secret_access_key=self.info.aws_secret_access_key,
        )

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return query(self.info.database_url, sql, parameters)
