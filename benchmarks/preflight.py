"""How far a preflight's estimates are off, and what it takes itself: the pictures of CORPUS over the local stack.

A sheet of one small picture; then, of the corpus once and of twenty of each picture, a preflight and the run that it
tells of. Nothing else may run on the machine: seconds are compared.

    CORPUS=dir PYTHONPATH=layers/imagejobs/python .venv/bin/python -m benchmarks.preflight
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.codec_pictures import uploads
from benchmarks.origin import serving
from benchmarks.report import Figure, finish
from benchmarks.shop import upload, wait_until_done
from local.stack import Options, Stack, StackInfo

TIMES = (1, 20)
WARM_UP_IMAGES = 60
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """A job that has ended.

    Attributes:
        seconds: From its upload.
        job: Its status.
    """

    seconds: float
    job: Mapping[str, Any]


def main() -> None:
    """Measure and report."""
    bodies = [picture.body for picture in uploads()]
    with (
        serving(bodies) as origin,
        serving([min(bodies, key=len)]) as origin_of_one,
        TemporaryDirectory(prefix="imagejobs-bench-") as folder,
        Stack.start(Path(folder), Options(private_origins=[origin, origin_of_one])) as stack,
    ):
        run(stack.info, origin, WARM_UP_IMAGES, dry_run=False)
        alone = [run(stack.info, origin_of_one, 1, dry_run=False).seconds for _ in range(ROUNDS)]
        figures = [Figure("one small picture, seconds", median(alone))]
        for times in TIMES:
            figures += compared(stack.info, origin, times * len(bodies))
    finish("preflight", figures)


def run(info: StackInfo, origin: str, images: int, *, dry_run: bool) -> Run:
    """A job of as many images."""
    began = time.monotonic()
    job = wait_until_done(info, upload(info, origin, images, dry_run=dry_run), images)
    return Run(time.monotonic() - began, job)


def compared(info: StackInfo, origin: str, images: int) -> list[Figure]:
    """A preflight, and the run that it tells of."""
    looked, done = (run(info, origin, images, dry_run=dry_run) for dry_run in (True, False))
    estimate = looked.job["preflight"]["estimate"]
    return [
        Figure(f"{images} images: preflight, seconds", looked.seconds),
        Figure(f"{images} images: run, seconds", done.seconds),
        Figure(f"{images} images: seconds, estimate : run", estimate["seconds"] / done.seconds),
        Figure(f"{images} images: bytes after, estimate : run", estimate["bytes_after"] / done.job["bytes_after"]),
        Figure(
            f"{images} images: bytes before, preflight : run", looked.job["bytes_before"] / done.job["bytes_before"]
        ),
        Figure(f"{images} images: USD a million, estimate", estimate["usd"] / images * 1e6),
    ]


if __name__ == "__main__":
    main()
