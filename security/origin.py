"""A stranger's server: says byte for byte what a campaign tells it to."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from socket import AF_INET6, socket
from urllib.parse import urlsplit

from local.ports import LOOPBACK

# The bytes of an answer, or what sends it.
Answer = bytes | Callable[[socket], None]

WIRE_SECONDS = 60.0
MAX_HEAD_BYTES = 65_536
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def http_answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A sound answer; `Content_Type="text/html"` becomes `Content-Type: text/html`."""
    named = {"Content-Length": str(len(body)), "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def redirect(location: str) -> bytes:
    """A redirect to wherever."""
    return http_answer(b"", "302 Found", Location=location)


@dataclass
class Origin:
    """A running server.

    Attributes:
        host_port: Its "host:port".
        connections: Connections that were made to it.
        heads: The requests that it received, without their bodies.
    """

    host_port: str = ""
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    _default: Answer = NOT_FOUND
    _answers: dict[str, Answer] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, answer: Answer, rest: str = "") -> str:
        """Answer so from now on; the URL, with `rest` behind its path."""
        path = f"/{next(self._numbers)}"
        self._answers[path] = answer
        return f"http://{self.host_port}{path}{rest}"

    def replace(self, url: str, answer: Answer) -> None:
        """Answer otherwise from now on.

        Args:
            url: What `add` has returned.
            answer: The new one.
        """
        self._answers[urlsplit(url).path] = answer

    def answer_to(self, head: bytes) -> Answer:
        """What a request gets."""
        self.heads.append(head)
        line = head.split(b"\r\n", 1)[0].split(b" ")
        path = line[1].decode("latin-1").partition("?")[0] if len(line) > 1 else ""
        return self._answers.get(path, self._default)


@contextmanager
def serving(host: str = LOOPBACK, port: int = 0, answer: Answer = NOT_FOUND) -> Iterator[Origin]:
    """Run such a server until the block ends.

    Args:
        host: A loopback address.
        port: 0 for any that is free.
        answer: To whatever was not added.

    Raises:
        OSError: It cannot listen there.
    """
    origin = Origin(_default=answer)
    with _server_type(host)((host, port), partial(_Handler, origin)) as server:
        origin.host_port = (
            f"[{host}]:{server.server_address[1]}" if ":" in host else f"{host}:{server.server_address[1]}"
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield origin
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # a client that never reads must not hold the end up
    request_queue_size = 128


class _ServerOnIPv6(_Server):
    address_family = AF_INET6


def _server_type(host: str) -> type[_Server]:
    return _ServerOnIPv6 if ":" in host else _Server


class _Handler(socketserver.BaseRequestHandler):
    """One request a connection."""

    def __init__(self, origin: Origin, *connection: object) -> None:
        self._origin = origin
        super().__init__(*connection)  # type: ignore[arg-type]

    def handle(self) -> None:
        """Read the head, and answer as planned until the client has enough."""
        self._origin.connections += 1
        wire: socket = self.request
        wire.settimeout(WIRE_SECONDS)
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES and (piece := wire.recv(MAX_HEAD_BYTES)):
                head += piece
            answer = self._origin.answer_to(head)
            if isinstance(answer, bytes):
                wire.sendall(answer)
            else:
                answer(wire)
