"""What is loaded into a function's process: it notes every point reached, and strikes where the harness planned it.

It stands between the function and its libraries: around every AWS call (`botocore`), every HTTP exchange beneath it,
every COMMIT (`psycopg2`) and every invocation (`awslambdaric`). The function's own code is untouched.
"""

import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
from awslambdaric import bootstrap  # type: ignore[import-untyped]
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from reliability.faults.control import FAILED, HANG, KILL, RAISE, REACHED, Control, Delivery

Handler = Callable[[Any, Any], Any]

# What random faults do to an exchange with AWS, in equal shares.
UNAVAILABLE, THROTTLED, REPLY_LOST = "unavailable", "throttled", "reply_lost"
ENTRIES_FAILED, COMMIT_REPLY_LOST = "entries_failed", "commit_reply_lost"
EXCHANGE_FAULTS = (UNAVAILABLE, THROTTLED, REPLY_LOST)

# As services answer: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html for S3, JSON for the others.
_S3_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_JSON_THROTTLED = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()

_CALL: Callable[..., Any] = vars(BaseClient)["_make_api_call"]  # every operation of every client goes through it
_FOR_GOOD = ExitStack()


class Struck(Exception):
    """The harness has planned this failure."""


@contextmanager
def installed(control: Control, function: str) -> Iterator["Layer"]:
    """Put the layer under this process until the block ends.

    Args:
        control: Where plans are and the log goes.
        function: The function that this process is.
    """
    layer = Layer(control, function)
    find_handler = bootstrap._get_handler

    def get_handler(name: str) -> Handler:
        return partial(layer.invoke, find_handler(name))

    with ExitStack() as restored:
        for owner, name, value in (
            (BaseClient, "_make_api_call", _method(layer.call, _CALL)),
            (URLLib3Session, "send", _method(layer.exchange, URLLib3Session.send)),
            (psycopg2, "connect", partial(psycopg2.connect, connection_factory=layer.connection_type())),
            (bootstrap, "_get_handler", get_handler),
        ):
            restored.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield layer


def install(folder: Path) -> None:
    """Put the layer under this process for good: what `sitecustomize` calls.

    Args:
        folder: The control folder.
    """
    function = os.environ.get("POWERTOOLS_SERVICE_NAME")
    if function:  # the environment's process itself, not one that it starts without its settings
        control = Control(folder)
        _FOR_GOOD.enter_context(installed(control, function))
        control.note(f"{function}:started")


class Layer:
    """The layer of one process.

    Args:
        control: Where plans are and the log goes.
        function: The function that this process is.
    """

    def __init__(self, control: Control, function: str) -> None:
        self._control = control
        self._function = function
        self._label = function
        self._ordinals: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._random: random.Random | None = None
        self._thread = threading.local()

    def invoke(self, handler: Handler, event: Any, context: Any) -> Any:  # noqa: ANN401 as the handler says
        """One invocation."""
        step = event.get("step") if isinstance(event, Mapping) else None
        self._label = f"{self._function}.{step}" if step else self._function
        self._ordinals.clear()
        text = json.dumps(event, default=str)
        self._note_deliveries(event)
        self.reach("before:invocation", text)
        try:
            answer = handler(event, context)
        except Exception:
            self._control.note(f"{self._label}:after:invocation", FAILED)
            raise
        self.reach("after:invocation", text)
        return answer

    def call(self, original: Callable[..., Any], client: Any, operation: str, parameters: Any) -> Any:  # noqa: ANN401
        """One call of an AWS API."""
        name = f"{client.meta.service_model.service_name}.{operation}"
        text = json.dumps({key: value for key, value in parameters.items() if key != "Body"}, default=str)
        self._thread.call = name
        with self._around(name, text):
            if operation == "SendMessageBatch" and self._strikes_at_random():
                return self._send_some(original, client, parameters)
            return original(client, operation, parameters)

    def exchange(self, original: Callable[..., Any], session: Any, request: AWSPreparedRequest) -> Any:  # noqa: ANN401
        """One HTTP exchange with AWS; a call that is retried makes several."""
        fault = self._exchange_fault()
        if fault in {UNAVAILABLE, THROTTLED}:
            return _refusal(request, self._thread.call, fault)
        answer = original(session, request)
        if fault == REPLY_LOST:
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    def commit(self, original: Callable[[], Any]) -> Any:  # noqa: ANN401 psycopg2's None
        """One COMMIT."""
        with self._around("commit", ""):
            answer = original()
            if self._strikes_at_random():
                self._control.note(f"{self._label}:at:commit", COMMIT_REPLY_LOST)
                raise psycopg2.OperationalError("server closed the connection unexpectedly")
            return answer

    def connection_type(self) -> type[psycopg2.extensions.connection]:
        """A connection whose commits are points."""
        layer = self

        class Connection(psycopg2.extensions.connection):
            def commit(self) -> None:  # `with connection:` calls it too
                layer.commit(super().commit)

        return Connection

    def reach(self, place: str, text: str) -> None:
        """Be at a point, and meet what waits there.

        Raises:
            Struck: That was planned.
        """
        point = f"{self._label}:{place}"
        action = self._control.take(point) or self._control.poisoned(point, text) or REACHED
        self._control.note(point, action)
        if action == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if action == HANG:
            threading.Event().wait()
        if action == RAISE:
            raise Struck(point)

    @contextmanager
    def _around(self, operation: str, text: str) -> Iterator[None]:
        with self._lock:
            self._ordinals[operation] += 1
            number = self._ordinals[operation]
        self.reach(f"before:{operation}#{number}", text)
        yield
        self.reach(f"after:{operation}#{number}", text)

    def _note_deliveries(self, event: Any) -> None:  # noqa: ANN401 an event has any shape
        records = event.get("Records", []) if isinstance(event, Mapping) else []
        for record in records:
            self._control.note_delivery(Delivery(record["eventSourceARN"], record["body"]))

    def _strikes_at_random(self) -> bool:
        noise = self._control.noise()
        if noise is None:
            return False
        with self._lock:
            self._random = self._random or random.Random(f"{noise.seed} {self._function} {os.getpid()}")
            return self._random.random() < noise.share

    def _exchange_fault(self) -> str | None:
        if not self._strikes_at_random() or self._random is None:
            return None
        fault = self._random.choice(EXCHANGE_FAULTS)
        self._control.note(f"{self._label}:at:{self._thread.call}", fault)
        return fault

    def _send_some(self, original: Callable[..., Any], client: Any, parameters: Any) -> Any:  # noqa: ANN401
        """SQS takes every second entry of the batch, and says so."""
        self._control.note(f"{self._label}:at:sqs.SendMessageBatch", ENTRIES_FAILED)
        sent, refused = parameters["Entries"][1::2], parameters["Entries"][::2]
        answer = original(client, "SendMessageBatch", {**parameters, "Entries": sent}) if sent else {}
        failed = [{"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in refused]
        return {**answer, "Failed": failed + answer.get("Failed", [])}


class _Body(BytesIO):
    """A response body as botocore reads it from urllib3."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def _refusal(request: AWSPreparedRequest, call: str, fault: str) -> AWSResponse:
    """An answer of AWS to a call that it did not perform."""
    if fault == UNAVAILABLE:
        return AWSResponse(request.url, 500, HTTPHeaders(), _Body())
    if call.startswith("s3."):
        return AWSResponse(request.url, 503, HTTPHeaders(), _Body(_S3_SLOW_DOWN))
    return AWSResponse(request.url, 400, HTTPHeaders(), _Body(_JSON_THROTTLED))


def _method(around: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """`around` as a method in place of `original`, which it is given first."""

    def method(self: Any, *arguments: Any) -> Any:  # noqa: ANN401
        return around(original, self, *arguments)

    return method
