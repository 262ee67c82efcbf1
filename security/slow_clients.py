"""Clients that open a connection and do not get on: they hold what the service has, and send nothing that is whole."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

from reliability.customer import Caller

TRICKLE_SECONDS = 0.2
BODY_BYTES = 100_000
CONNECT_SECONDS = 10.0


@contextmanager
def slow_clients(caller: Caller, connections: int) -> Iterator[None]:
    """Keep connections open until the block ends.

    A fourth of them sends nothing, one trickles its headers, one trickles its body, and one has hung up amid its body.

    Args:
        caller: Whose token they send.
        connections: How many.
    """
    head = _head(caller)
    with ExitStack() as cleanup:
        clients = [cleanup.enter_context(_connected(caller)) for _ in range(connections)]
        in_headers, in_body, cut = (clients[each::4] for each in range(3))
        for client in (*in_body, *cut):
            client.sendall(head)
        for client in cut:
            client.sendall(bytes(BODY_BYTES // 2))
            client.close()
        pieces = dict.fromkeys(in_headers, head) | dict.fromkeys(in_body, bytes(BODY_BYTES // 2))
        with _trickling(pieces):
            yield


def _connected(caller: Caller) -> socket.socket:
    address = urlsplit(caller.info.api_url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=CONNECT_SECONDS)


def _head(caller: Caller) -> bytes:
    address = urlsplit(caller.info.api_url)
    lines = (
        f"POST {address.path}/upload HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: Bearer {caller.info.token}",
        "Content-Type: multipart/form-data; boundary=XX",
        f"Content-Length: {BODY_BYTES}",
    )
    return "\r\n".join((*lines, "", "")).encode()


@contextmanager
def _trickling(pieces: dict[socket.socket, bytes]) -> Iterator[None]:
    """Send each client's bytes one by one, the last one never."""
    done = threading.Event()
    thread = threading.Thread(target=_trickle, args=(pieces, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _trickle(pieces: dict[socket.socket, bytes], done: threading.Event) -> None:
    sent = 0
    while not done.wait(TRICKLE_SECONDS):
        for client, data in pieces.items():
            with suppress(OSError):  # the server may have had enough
                client.sendall(data[:-1][sent : sent + 1])
        sent += 1
