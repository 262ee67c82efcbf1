"""The customer's side of the demo: a web server with the shop's pictures that also takes the webhook."""

import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from local.cdn import http_server
from local.errors import LocalStackError
from local.ports import LOOPBACK


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """A webhook as it arrived.

    Attributes:
        headers: By lower-case name.
        body: Its bytes, which the signature covers.
    """

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Shop:
    """A running shop.

    Attributes:
        origin: Its `host:port`.
        webhooks: What it has received and nobody has taken yet.
    """

    origin: str
    webhooks: "queue.Queue[ReceivedWebhook]" = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        """Where it serves, without a slash at its end."""
        return f"http://{self.origin}"

    def next_webhook(self, timeout_seconds: float) -> ReceivedWebhook:
        """The next webhook.

        Raises:
            LocalStackError: None arrived in time.
        """
        try:
            return self.webhooks.get(timeout=timeout_seconds)
        except queue.Empty:
            raise LocalStackError(f"No webhook arrived within {timeout_seconds:.0f} s.") from None


@contextmanager
def serving(pictures: Path) -> Iterator[Shop]:
    """Run a shop on a free loopback port until the block ends."""
    received: queue.Queue[ReceivedWebhook] = queue.Queue()
    with http_server(0, partial(_ShopHandler, received, directory=str(pictures))) as port:
        yield Shop(f"{LOOPBACK}:{port}", received)


class _ShopHandler(SimpleHTTPRequestHandler):
    """GET of the pictures, POST of webhooks."""

    def __init__(self, received: "queue.Queue[ReceivedWebhook]", *connection: object, directory: str) -> None:
        self._received = received
        super().__init__(*connection, directory=directory)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        """Accept a webhook."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._received.put(ReceivedWebhook({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it
        """Keep the terminal for the demo's own words."""
