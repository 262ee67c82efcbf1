"""What goes wrong between the functions and AWS, one HTTP exchange at a time, so that the SDK's own retries happen."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import boto3
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

READING = ("Get", "Head", "List", "Describe")


class Exchange:
    """One request on its way to AWS.

    Attributes:
        service: As botocore's events name it: "s3", "sqs", "sfn", …
        operation: "PutObject", …
    """

    def __init__(self, event_name: str, request: object) -> None:
        _, self.service, self.operation = event_name.split(".")
        self._event_name, self._request = event_name, request

    @property
    def changes_something(self) -> bool:
        """Whether it matters that it was performed."""
        return not self.operation.startswith(READING)

    def perform(self) -> AWSResponse:
        """What AWS answers."""
        return botocore_stubber(self._event_name, self._request)

    def lose_reply(self) -> AWSResponse:
        """AWS does it, and the connection ends before the answer.

        Raises:
            ConnectionClosedError: Always.
        """
        self.perform()
        raise ConnectionClosedError(endpoint_url=self._request.url)

    def report_failed_entries(self) -> AWSResponse:
        """AWS takes the whole batch of messages, and says that it could not take every other one."""
        answer = json.loads(self.perform().content)
        taken = answer["Successful"]
        failed = [{"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in taken[::2]]
        return self._answer(200, json.dumps({"Successful": taken[1::2], "Failed": failed}))

    def unavailable(self) -> AWSResponse:
        """A service that cannot just now; nothing is done."""
        return self._answer(503, "")

    def throttled(self) -> AWSResponse:
        """A service that wants fewer calls, in its own way; nothing is done."""
        if self.service == "s3":
            return self._answer(503, "<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>")
        return self._answer(400, '{"__type": "ThrottlingException", "message": "Rate exceeded"}')

    def _answer(self, status: int, body: str) -> AWSResponse:
        return AWSResponse(self._request.url, status, {}, MockRawResponse(body))


class Wire:
    """What lies between AWS and every client that is made from now on.

    Attributes:
        fault: What becomes of each exchange; None when nothing goes wrong.
    """

    def __init__(self) -> None:
        self.fault: Callable[[Exchange], AWSResponse] | None = None
        events = boto3.DEFAULT_SESSION.events
        events.unregister("before-send", botocore_stubber)
        events.register("before-send", self._exchange)
        boto3.client.cache_clear()

    @contextmanager
    def breaking(self, fault: Callable[[Exchange], AWSResponse]) -> Iterator[None]:
        """Let `fault` have every exchange within the block."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = None

    def _exchange(self, event_name: str, request: object, **_: object) -> AWSResponse:
        exchange = Exchange(event_name, request)
        return self.fault(exchange) if self.fault else exchange.perform()
