"""A proxy before SQS that keeps the row number of every message that SQS accepts, whatever becomes of the sender.

Taking the messages out of the queue instead would take minutes: the local engine goes through the whole queue for each
batch that is received.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import urlsplit

TARGET = "AmazonSQS.SendMessageBatch"


@dataclass
class Witness:
    """What went through the proxy.

    Attributes:
        url: Of the proxy, for an SQS client.
    """

    url: str = ""
    _rows: Counter[int] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def see(self, request: bytes, answer: bytes) -> None:
        """Keep the rows of a batch that were accepted; an S3 event that is handed over names none."""
        accepted = {entry["Id"] for entry in json.loads(answer).get("Successful", [])}
        bodies = [json.loads(each["MessageBody"]) for each in json.loads(request)["Entries"] if each["Id"] in accepted]
        with self._lock:
            self._rows.update(body["row_number"] for body in bodies if "row_number" in body)

    def take(self) -> Counter[int]:
        """Row numbers with how often each was accepted, since the last time."""
        with self._lock:
            rows, self._rows = self._rows, Counter()
            return rows


@contextmanager
def witnessing(endpoint_url: str) -> Iterator[Witness]:
    """Run the proxy until the block ends."""
    witness = Witness()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            engine = HTTPConnection(urlsplit(endpoint_url).netloc)
            engine.request("POST", self.path, request, dict(self.headers))
            response = engine.getresponse()
            answer = response.read()
            engine.close()
            if self.headers.get("X-Amz-Target") == TARGET and response.status == 200:
                witness.see(request, answer)
            self.send_response(response.status)
            self.send_header("Content-Type", response.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it
            pass

        def handle(self) -> None:
            """A sender that was killed has closed its connection in the middle."""
            with suppress(ConnectionError):
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    witness.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield witness
    finally:
        server.shutdown()
        server.server_close()
