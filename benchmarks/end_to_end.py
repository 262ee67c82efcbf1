"""Images a second end to end on the local stack, beside the bare decode-encode loop on the same cores.

One job of 1,000 pictures, from its upload to its status COMPLETED, on a stack that has been warmed up: emulated AWS,
Postgres, the origin and the images' transfers all take their CPU from the same cores.

    make bench            IMAGES=200 for a short run, CORPUS=dir for other pictures, CHECK=1 to fail below the target
"""

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from benchmarks.pictures import jpegs
from benchmarks.report import Figure, finish
from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from local.stack import Options, Stack, StackInfo

WARM_UP_IMAGES = 60
TARGET_RATIO = 0.30
JOB_SECONDS = 900.0


def main() -> None:
    """Measure and report."""
    images = int(os.environ.get("IMAGES", "1000"))
    pictures = jpegs()
    with serving(pictures) as origin, TemporaryDirectory(prefix="imagejobs-bench-") as state_dir:
        with Stack.start(Path(state_dir), Options(private_origins=[origin])) as stack:
            run_job(stack.info, origin, WARM_UP_IMAGES)
            seconds = run_job(stack.info, origin, images)
        loop_seconds = run_loop(pictures, images)
    finish(
        "end_to_end",
        [
            Figure("pictures", images),
            Figure("end to end, images/s", images / seconds),
            Figure(f"bare decode-encode loop on {cores()} cores, images/s", images / loop_seconds),
            Figure("end to end : loop", loop_seconds / seconds, at_least=TARGET_RATIO),
        ],
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_job(info: StackInfo, origin: str, images: int) -> float:
    """Seconds from the upload of a job of as many one-image rows to its end."""
    rows = "".join(f"{n},Product {n},http://{origin}/{n}.jpg\n" for n in range(1, images + 1))
    sheet = f"S. No.,Product Name,Input Image Urls\n{rows}"
    started = time.monotonic()
    accepted = _call(info, "POST", "/upload", files={"file": ("bench.csv", sheet)})
    while time.monotonic() < started + JOB_SECONDS:
        job = _call(info, "GET", f"/job/status/{accepted['request_id']}")
        if job["status"] in {"COMPLETED", "FAILED"}:
            break
        time.sleep(0.1)
    if job["images_completed"] != images:
        raise SystemExit(f"The job did not complete every image: {job}")
    return time.monotonic() - started


def _call(
    info: StackInfo, method: str, path: str, files: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {info.token}"}
    answer = requests.request(method, f"{info.api_url}{path}", headers=headers, timeout=60, files=files)
    answer.raise_for_status()
    return dict(answer.json())


def run_loop(pictures: Sequence[bytes], images: int) -> float:
    """Seconds that one process a core takes for as many pictures, from memory to memory."""
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        pool.map(_compress, [pictures[0]] * cores(), chunksize=1)
        started = time.monotonic()
        pool.map(_compress, [pictures[n % len(pictures)] for n in range(images)], chunksize=4)
        return time.monotonic() - started


def _compress(body: bytes) -> int:
    return len(compress(body, CompressionOptions()).body)


@contextmanager
def serving(pictures: Sequence[bytes]) -> Iterator[str]:
    """An origin in a process of its own that serves the pictures in turn; its `host:port`."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(pictures, sender), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{receiver.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(pictures: Sequence[bytes], sender: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = pictures[int(self.path.strip("/").removesuffix(".jpg")) % len(pictures)]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sender.send(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
