"""Images a second end to end on the local stack, beside the bare decode-encode loop on the same cores.

One job of 1,000 pictures, from its upload to its status COMPLETED, on a stack that has been warmed up: emulated AWS,
Postgres, the origin and the images' transfers all take their CPU from the same cores.

    make bench            IMAGES=200 for a short run, CORPUS=dir for other pictures, CHECK=1 to fail below the target
"""

import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from benchmarks.origin import serving
from benchmarks.pictures import jpegs
from benchmarks.report import Figure, finish
from benchmarks.shop import upload, wait_until_done
from imagejobs.codec import MALLOC
from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from local.stack import Options, Stack, StackInfo

WARM_UP_IMAGES = 60
TARGET_RATIO = 0.30


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
    started = time.monotonic()
    wait_until_done(info, upload(info, origin, images), images)
    return time.monotonic() - started


def run_loop(pictures: Sequence[bytes], images: int) -> float:
    """Seconds that one process a core takes for as many pictures, from memory to memory."""
    # Memory is managed as in the codec's process, without which the loop would be slower by a fifth.
    with patch.dict(os.environ, MALLOC), multiprocessing.get_context("spawn").Pool(cores()) as pool:
        pool.map(_compress, [pictures[0]] * cores(), chunksize=1)
        started = time.monotonic()
        pool.map(_compress, [pictures[n % len(pictures)] for n in range(images)], chunksize=4)
        return time.monotonic() - started


def _compress(body: bytes) -> int:
    return len(compress(body, CompressionOptions()).body)


if __name__ == "__main__":
    main()
