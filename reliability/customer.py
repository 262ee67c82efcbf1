"""The customer's side: sheets, a server with their pictures that takes the webhooks, and the calls of the API.

A picture's name says how the server serves it: `good-3.jpg`, `gone-1.jpg`, `busy-2.jpg`.
"""

import csv
import io
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

import requests
from PIL import Image

from local.cdn import http_server
from local.ports import LOOPBACK
from local.stack import StackInfo
from reliability.waiting import until

HEADER = ("S. No.", "Product Name", "Input Image Urls")
HOOKS = "/hooks/"
# Manners of serving: what can be compressed in the end, and what cannot.
GOOD, SLOW, TRICKLING, RESETTING, BUSY = "good", "slow", "trickling", "resetting", "busy"
GONE, BROKEN = "gone", "broken"
LATE = "late"  # gone until the shop has restocked
HOPELESS = frozenset({GONE, BROKEN})
# Requests that meet bad manners before one is served well.
BAD_ANSWERS = 2
SLOW_SECONDS = 1.5
TRICKLES = 8

CALL_SECONDS = 30.0
ANSWER_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV whose finished form is known beforehand.

    Attributes:
        tag: Tells it from all others; part of its pictures' URLs.
        rows: The pictures' names, row by row; a row may have none.
        poisoned: (row number, position) of pictures that the harness makes impossible to compress.
        generations: Outcomes that its job comes to: one, and one a retry.
    """

    tag: str
    rows: tuple[tuple[str, ...], ...]
    poisoned: frozenset[tuple[int, int]] = frozenset()
    generations: int = 1

    def succeeds(self, row_number: int, position: int) -> bool:
        """Whether a picture can be compressed."""
        name = self.rows[row_number - 1][position - 1]
        return manner(name) not in HOPELESS and (row_number, position) not in self.poisoned

    def text(self, origin: str) -> str:
        """The CSV, with URLs of a server at `origin` (host:port)."""
        lines = io.StringIO()
        writer = csv.writer(lines)
        writer.writerow(HEADER)
        for number, names in enumerate(self.rows, start=1):
            urls = ",".join(f"http://{origin}/{self.tag}/{name}" for name in names)
            writer.writerow((number, f"Product {number}", urls))
        return lines.getvalue()


def manner(name: str) -> str:
    """How the picture of this name is served."""
    return name.split("-", 1)[0]


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """A webhook as it arrived.

    Attributes:
        headers: By lower-case name.
        body: Its bytes, which the signature covers.
        accepted: Whether the customer's answer was a 2xx.
    """

    headers: Mapping[str, str]
    body: bytes
    accepted: bool


@dataclass
class Shop:
    """The customer's running server.

    Attributes:
        pictures: JPEGs that are served in turn.
        refusals: Answers with 500 that a sheet's webhooks meet before they are accepted, by tag.
        webhooks: What arrived, by tag.
        bad_answers: Answers so far that were bad on purpose.
        has_restocked: Whether late pictures are there by now.
        origin: Its `host:port`.
    """

    pictures: list[bytes]
    refusals: Counter[str] = field(default_factory=Counter)
    webhooks: dict[str, list[ReceivedWebhook]] = field(default_factory=lambda: defaultdict(list))
    bad_answers: int = 0
    has_restocked: bool = False
    origin: str = ""
    _asked: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def picture(self, name: str) -> bytes:
        """The bytes of a picture's name."""
        number = int(name.split("-", 1)[1].split(".", 1)[0])
        return self.pictures[number % len(self.pictures)]

    def hook(self, sheet: Sheet) -> str:
        """Where a sheet's webhooks go."""
        return f"http://{self.origin}{HOOKS}{sheet.tag}"

    def is_bad_turn(self, path: str) -> bool:
        """Whether this request for a path meets bad manners; counts it."""
        with self._lock:
            self._asked[path] += 1
            bad = self._asked[path] <= BAD_ANSWERS
            self.bad_answers += bad
            return bad

    def take_webhook(self, tag: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Keep a webhook; whether it is accepted."""
        with self._lock:
            accepted = self.refusals[tag] <= 0
            self.refusals[tag] -= not accepted
            self.bad_answers += not accepted
            self.webhooks[tag].append(ReceivedWebhook(headers, body, accepted))
            return accepted


@contextmanager
def serving() -> Iterator[Shop]:
    """Run the customer's server on a free loopback port until the block ends."""
    shop = Shop([_jpeg(number) for number in range(4)])
    with http_server(0, partial(_ShopHandler, shop)) as port:
        shop.origin = f"{LOOPBACK}:{port}"
        yield shop


def _jpeg(number: int) -> bytes:
    """A small picture: the codec must not be what a campaign waits for."""
    file = io.BytesIO()
    Image.effect_noise((96 + 16 * number, 96), 60).convert("RGB").save(file, "JPEG", quality=95)
    return file.getvalue()


class _ShopHandler(BaseHTTPRequestHandler):
    """GET of pictures, POST of webhooks."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def __init__(self, shop: Shop, *connection: object) -> None:
        self._shop = shop
        super().__init__(*connection)  # type: ignore[arg-type]

    def handle(self) -> None:
        """Serve until the client goes, which may be killed at any moment."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Serve a picture as its name says."""
        name = self.path.rsplit("/", 1)[-1]
        kind = manner(name)
        if kind == GONE or (kind == LATE and not self._shop.has_restocked):
            self._answer(HTTPStatus.NOT_FOUND)
        elif kind == BROKEN:
            self._answer(HTTPStatus.OK, b"This is not a picture.")
        elif kind in {GOOD, LATE} or not self._shop.is_bad_turn(self.path):
            self._answer(HTTPStatus.OK, self._shop.picture(name))
        else:
            self._misbehave(kind, self._shop.picture(name))

    def do_POST(self) -> None:
        """Take a webhook."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        accepted = self._shop.take_webhook(self.path.removeprefix(HOOKS), headers, body)
        self._answer(HTTPStatus.NO_CONTENT if accepted else HTTPStatus.INTERNAL_SERVER_ERROR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it
        """Keep the terminal for the report."""

    def _misbehave(self, kind: str, picture: bytes) -> None:
        if kind == BUSY:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE)
        elif kind == SLOW:
            time.sleep(SLOW_SECONDS)
            self._answer(HTTPStatus.OK, picture)
        elif kind == RESETTING:
            self._head(HTTPStatus.OK, len(picture))
            self.wfile.write(picture[: len(picture) // 2])
            self.close_connection = True
        elif kind == TRICKLING:
            self._trickle(picture)

    def _trickle(self, picture: bytes) -> None:
        self._head(HTTPStatus.OK, len(picture))
        step = len(picture) // TRICKLES + 1
        for start in range(0, len(picture), step):
            self.wfile.write(picture[start : start + step])
            time.sleep(SLOW_SECONDS / TRICKLES)

    def _answer(self, status: HTTPStatus, body: bytes = b"") -> None:
        self._head(status, len(body))
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, length: int) -> None:
        self.send_response(status)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(length))
        self.end_headers()


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller of the API who asks again when the service fails, or does not answer.

    Every call raises `TimeoutError` when that goes on, and `AssertionError` when it is refused.

    Attributes:
        info: The service.
    """

    info: StackInfo

    def place(self, sheet: Sheet, shop: Shop) -> str:
        """Upload a sheet; its request_id."""
        form = {
            "file": ("products.csv", sheet.text(shop.origin).encode()),
            "webhook_url": (None, shop.hook(sheet).encode()),
            "reuse": (None, b"false"),  # each job's objects are its own, to be counted
        }
        answer = self._call("POST", "/upload", files=form, headers={"Idempotency-Key": sheet.tag})
        return str(answer["request_id"])

    def retry(self, request_id: str) -> None:
        """Have a job's failed images tried again; an earlier call, its answer lost, may have done it already."""
        answer = self._answer("POST", f"/job/{request_id}/retry")
        if not answer.ok and answer.json()["code"] != "nothing_to_retry":
            raise AssertionError(f"{request_id} is not retried: {answer.text}")

    def cancel(self, request_id: str) -> None:
        """Have no more images of a job begun."""
        self._call("POST", f"/job/{request_id}/cancel")

    def status(self, request_id: str) -> dict[str, Any]:
        """The job as its owner sees it."""
        return self._call("GET", f"/job/status/{request_id}")

    def images(self, request_id: str) -> list[dict[str, Any]]:
        """Every image of a job."""
        images: list[dict[str, Any]] = []
        after: str | None = "0-0"
        while after:
            page = self._call("GET", f"/job/{request_id}/images?limit=500&after={after}")
            images += page["images"]
            after = page["next"]
        return images

    def finished_csv(self, request_id: str) -> list[dict[str, str]] | None:
        """The rows of the finished CSV; None when there is none."""
        answer = self._answer("GET", f"/job/{request_id}/result")
        if answer.status_code != HTTPStatus.SEE_OTHER:
            return None
        text = requests.get(answer.headers["Location"], timeout=CALL_SECONDS).content.decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 as requests takes them
        """The JSON of an answer that is no refusal."""
        answer = self._answer(method, path, **arguments)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    def _answer(self, method: str, path: str, **arguments: Any) -> requests.Response:  # noqa: ANN401
        """The first answer that is no failure of the service's."""
        request = partial(self._request, method, path, **arguments)
        (answer,) = until(request, ANSWER_SECONDS, f"{method} {path} is answered")
        return answer

    def _request(self, method: str, path: str, **arguments: Any) -> list[requests.Response]:  # noqa: ANN401
        """One request; nothing when the service fails (a response itself is false when it is a refusal)."""
        headers = {"Authorization": f"Bearer {self.info.token}", **arguments.pop("headers", {})}
        url = f"{self.info.api_url}{path}"
        try:
            answer = requests.request(
                method, url, headers=headers, timeout=CALL_SECONDS, allow_redirects=False, **arguments
            )
        except requests.RequestException:
            return []
        return [answer] if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR else []
