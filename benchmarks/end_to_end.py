"""Images a second end to end on the local stack, beside the bare decode-encode loop on the same cores.

One job of 1,000 pictures, from its upload to its status COMPLETED, on a stack that has been warmed up: emulated AWS,
Postgres, the origin and the images' transfers all take their CPU from the same cores. What each of them takes an image
is told, and summed up but for the coding itself, which takes what the loop takes.

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
from benchmarks.stack_cpu import CODEC, EMULATOR, cpu_seconds, ms_an_image, outside_the_codec
from imagejobs.codec import MALLOC
from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from local.stack import Options, Stack, StackInfo

WARM_UP_IMAGES = 60
TARGET_RATIO = 0.50
MOST_OUTSIDE_THE_CODEC_MS = 20.0


def main() -> None:
    """Measure and report."""
    images = int(os.environ.get("IMAGES", "1000"))
    pictures = jpegs()
    with serving(pictures) as origin, TemporaryDirectory(prefix="imagejobs-bench-") as folder:
        state_dir = Path(folder)
        with Stack.start(state_dir, Options(private_origins=[origin])) as stack:
            run_job(stack.info, origin, WARM_UP_IMAGES)
            before = cpu_seconds(state_dir)
            seconds = run_job(stack.info, origin, images)
            parts = ms_an_image(before, cpu_seconds(state_dir), images)
        loop_seconds, loop_cpu_seconds = run_loop(pictures, images)
    outside = outside_the_codec(parts, loop_cpu_seconds / images * 1000)
    finish(
        "end_to_end",
        [
            Figure("pictures", images),
            Figure("end to end, images/s", images / seconds),
            Figure(f"bare decode-encode loop on {cores()} cores, images/s", images / loop_seconds),
            Figure("CPU an image of the loop, ms", loop_cpu_seconds / images * 1000),
            *(Figure(f"CPU an image of {part}, ms", cpu_ms) for part, cpu_ms in parts.items()),
            Figure("CPU of the codec's process beyond the loop's, ms", outside[CODEC]),
            Figure("CPU outside the codec without the emulator, ms", sum(outside.values()) - outside[EMULATOR]),
            Figure("CPU an image outside the codec, ms", sum(outside.values()), at_most=MOST_OUTSIDE_THE_CODEC_MS),
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


def run_loop(pictures: Sequence[bytes], images: int) -> tuple[float, float]:
    """Seconds, and CPU seconds, that one process a core takes for as many pictures, from memory to memory."""
    # Memory is managed as in the codec's process, without which the loop would be slower by a fifth.
    with patch.dict(os.environ, MALLOC), multiprocessing.get_context("spawn").Pool(cores()) as pool:
        pool.map(_compress, [pictures[0]] * cores(), chunksize=1)
        started = time.monotonic()
        took = pool.map(_compress, [pictures[n % len(pictures)] for n in range(images)], chunksize=4)
        return time.monotonic() - started, sum(took)


def _compress(body: bytes) -> float:
    """CPU seconds that one picture takes."""
    began = time.process_time()
    compress(body, CompressionOptions())
    return time.process_time() - began


if __name__ == "__main__":
    main()
