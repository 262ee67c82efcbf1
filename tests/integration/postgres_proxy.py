"""A proxy before Postgres that can keep the answer of a COMMIT to itself: all is committed, and nobody is told.

It listens on a Unix socket, as the embedded server does: there libpq wants no TLS, so that the functions connect
through it by their own code.
"""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PORT = 5432
# https://www.postgresql.org/docs/current/protocol-message-formats.html: Query and ReadyForQuery.
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
READY = b"Z\x00\x00\x00\x05"


class PostgresProxy:
    """A proxy that runs until it is closed.

    Args:
        directory: Where its socket goes: what libpq takes as `host`.
        server: The directory of the server's socket.

    Attributes:
        loses_reply: Asked at every COMMIT; when it says True, the connection ends in the answer's place.
    """

    def __init__(self, directory: Path, server: str) -> None:
        self.host = str(directory)
        self.loses_reply: Callable[[], bool] = lambda: False
        self._server_path = _socket_path(server)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(_socket_path(self.host))
        self._listener.listen()
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """End all connections."""
        for end in (self._listener, *self._clients):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server_path)
            while True:
                for sender in select.select([client, server], [], [])[0]:
                    # A client that waits for each answer sends its COMMIT by itself.
                    data = sender.recv(65536)
                    if not data:
                        return
                    (server if sender is client else client).sendall(data)
                    if data == COMMIT and self.loses_reply():
                        _wait_until_ready(server)
                        return


@contextmanager
def proxy_before(server: str, directory: Path) -> Iterator[PostgresProxy]:
    """A proxy before the server whose socket's directory is `server`."""
    proxy = PostgresProxy(directory, server)
    try:
        yield proxy
    finally:
        proxy.close()


def _socket_path(directory: str) -> str:
    return f"{directory}/.s.PGSQL.{PORT}"


def _wait_until_ready(server: socket.socket) -> None:
    """Until the server has answered; the last byte of ReadyForQuery is the transaction's state."""
    answer = b""
    while answer[-6:-1] != READY:
        answer += server.recv(65536)
