"""The origin that benchmarks download from, a process of its own: pictures in turn, each with bytes of its own."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection


@contextmanager
def serving(pictures: Sequence[bytes], latency_seconds: float = 0.0) -> Iterator[str]:
    """Serve `/<anything>/<number>.jpg` until the block ends; the origin's `host:port`.

    Args:
        pictures: Served in turn, by the number; a JPEG with its path in it. None ever changes, as its ETag says.
        latency_seconds: Between a request and its answer.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(pictures, latency_seconds, sender), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{receiver.recv()}"
    finally:
        process.terminate()
        process.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # a connection that does not fit waits a second for its second attempt

    def handle_error(self, *_: object) -> None:
        """Nothing: a preflight hangs up when it has seen enough."""


def _commented(picture: bytes, text: str) -> bytes:
    """The same picture, if it is a JPEG with a comment segment (ITU-T T.81, B.2.4.5) behind its first marker."""
    if not picture.startswith(b"\xff\xd8"):
        return picture
    comment = text.encode()
    return picture[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + picture[2:]


def _serve(pictures: Sequence[bytes], latency_seconds: float, sender: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            time.sleep(latency_seconds)
            etag = f'"{self.path}"'
            is_known = self.headers["If-None-Match"] == etag
            number = int(self.path.rsplit("/", 1)[1].removesuffix(".jpg"))
            body = b"" if is_known else _commented(pictures[number % len(pictures)], self.path)
            self.send_response(304 if is_known else 200)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    sender.send(server.server_port)
    server.serve_forever()
