"""What end-to-end tests see of a stack: a client of its API, with credentials of the account that it runs in."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

from operations.target import Target
from reliability.query import query
from tests.description import check_answer
from tests.e2e.shops import Shop

T = TypeVar("T")

HEADER = "S. No.,Product Name,Input Image Urls\n"


def until(what: Callable[[], T], seconds: float = 120.0) -> T:
    """The first truthy value of `what`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.2)  # 300 calls a minute at most: a token of the default limits has 600
    return value


@dataclass
class Client:
    """A caller of the API, with what a test wants to see behind it."""

    target: Target
    token: str

    @classmethod
    def local(cls, stack_file: Path) -> "Client":
        """Of the local stack that a `stack.json` describes."""
        return cls(Target.local(stack_file), json.loads(stack_file.read_text(encoding="utf-8"))["token"])

    @property
    def api_url(self) -> str:
        return self.target.names["api_url"]

    @property
    def bucket(self) -> str:
        return self.target.names["bucket"]

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """The API's answer, which is as it is described."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(
            method,
            f"{self.api_url}{path}",
            **{"headers": headers, "timeout": 30, "allow_redirects": False, **arguments},
        )
        check_answer(method, path, answer.status_code, answer.headers, answer.text)
        return answer

    def upload(self, sheet: str | bytes, **fields: str) -> str:
        """A job's id; unless it says so, the job reuses nothing of another test's."""
        fields = {"reuse": "false", **fields}
        answer = self.request("POST", "/upload", files={"file": ("products.csv", sheet)}, data=fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["request_id"])

    def status(self, request_id: str) -> dict[str, Any]:
        answer = self.request("GET", f"/job/status/{request_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ended(self, request_id: str, seconds: float = 120.0) -> dict[str, Any]:
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

    def accepted_event(self, request_id: str, execution: str = "1") -> dict[str, Any]:
        """What the job's webhook said, once the finalizer has seen it accepted.

        Args:
            request_id: The job's.
            execution: What its finalizer's execution is called beyond that: the generation, and `-2` for a second run.
        """
        output = until(lambda: self._finalizer_output(f"{request_id}-{execution}"))
        assert output["next"]["outcome"] == "delivered", output["answer"]
        stored = output["closed"]["webhook"]
        content = self.aws("s3").get_object(Bucket=self.bucket, Key=stored["key"], VersionId=stored["version"])
        return dict(json.loads(json.load(content["Body"])["body"]))

    def _finalizer_output(self, execution: str) -> dict[str, Any] | None:
        """The state that an execution has ended with, None before that."""
        stepfunctions = self.aws("stepfunctions")
        machine = self.target.names["finalizer_arn"]
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{execution}"
        try:
            described = stepfunctions.describe_execution(executionArn=arn)
        except stepfunctions.exceptions.ExecutionDoesNotExist:
            return None
        assert described["status"] in {"RUNNING", "SUCCEEDED"}, described
        return json.loads(described["output"]) if described["status"] == "SUCCEEDED" else None

    def aws(self, service: str) -> Any:
        return self.target.session.client(service, **self.target.client_options)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """A statement on a local stack's database; a deployed one's is not reached from here."""
        assert self.target.database_url, "mark the test as local"
        return query(self.target.database_url, sql, parameters)


@dataclass(frozen=True)
class Surroundings:
    """What the tests work in: a stack, pictures that it can fetch, and where it may send webhooks.

    Attributes:
        client: Of the stack's API.
        shop: Whose pictures it fetches.
        webhook_url: Accepts every webhook; empty when there is no such place.
    """

    client: Client
    shop: Shop
    webhook_url: str
