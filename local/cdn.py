"""The public image server of the local stack: what CloudFront in front of the private bucket is on AWS."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError

from local.ministack import client_options, session
from local.ports import LOOPBACK

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PREFIX = "/images/"
CHUNK_BYTES = 64 * 1024

# As the template's ResponseHeadersPolicy: an image is never a page, whatever its bytes say.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@contextmanager
def serving(cdn_port: int, ministack_port: int, bucket: str) -> Iterator[None]:
    """Serve the bucket's images on a loopback port until the block ends."""
    s3 = session().client("s3", **client_options(ministack_port))
    with http_server(cdn_port, partial(_ImageHandler, s3, bucket)):
        yield


@contextmanager
def http_server(port: int, handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve HTTP on a loopback port (0 for any) until the block ends; the port."""
    server = ThreadingHTTPServer((LOOPBACK, port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _ImageHandler(BaseHTTPRequestHandler):
    """GET and HEAD of the bucket's objects under `images/`; 404 for all else."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def __init__(self, s3: "S3Client", bucket: str, *connection: object) -> None:
        self._s3 = s3
        self._bucket = bucket
        super().__init__(*connection)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with the object."""
        self._answer(self._s3.get_object)

    def do_HEAD(self) -> None:
        """Answer with the object's headers."""
        self._answer(self._s3.head_object)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it
        """Keep the terminal for the stack's own words."""

    def _answer(self, read: Callable[..., Mapping[str, Any]]) -> None:
        path = urlsplit(self.path).path
        if not path.startswith(PREFIX):
            self._send_head(HTTPStatus.NOT_FOUND, {"Content-Length": "0"})
            return
        try:
            answer = read(Bucket=self._bucket, Key=unquote(path[1:]))
        except ClientError:
            self._send_head(HTTPStatus.NOT_FOUND, {"Content-Length": "0"})
            return
        self._send_head(HTTPStatus.OK, _headers(answer))
        if "Body" in answer:
            for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                self.wfile.write(chunk)

    def _send_head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, **SECURITY_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()


def _headers(answer: Mapping[str, Any]) -> dict[str, str]:
    """The object's headers that CloudFront passes on."""
    headers = {"Content-Type": answer["ContentType"], "Content-Length": str(answer["ContentLength"])}
    return headers | {"Cache-Control": answer.get("CacheControl", ""), "ETag": answer["ETag"]}
