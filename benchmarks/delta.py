"""What a sheet costs that was uploaded before, and what looking for earlier images costs where there are none.

On a warm local stack three jobs in turn, a few rounds: of images that are not looked for (`reuse=false`), of images
that are and were never there, and the last one again, none of whose images has changed.

    make bench            IMAGES=100, ROUNDS=1 for a short run, CORPUS=dir for other pictures, CHECK=1 to fail on a miss
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.origin import serving
from benchmarks.pictures import jpegs
from benchmarks.report import Figure, finish
from benchmarks.shop import upload, wait_until_done
from benchmarks.stack_cpu import cpu_seconds, ms_an_image
from local.stack import Options, Stack, StackInfo

WARM_UP_IMAGES = 60
SHOWN = ("codec", "compress", "emulator", "Postgres")
# The look-ups may take no more of Postgres than a fifth of what an image takes without them.
MOST_OF_POSTGRES = 1.2
MOST_OF_THE_FIRST = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """What a job took.

    Attributes:
        seconds: From its upload to its end.
        cpu_ms: CPU milliseconds an image, by part of the stack.
    """

    seconds: float
    cpu_ms: Mapping[str, float]

    @property
    def all_cpu_ms(self) -> float:
        """CPU milliseconds an image of the whole stack."""
        return sum(self.cpu_ms.values())


@dataclass(frozen=True, slots=True)
class Bench:
    """A stack that jobs are measured on.

    Attributes:
        info: The stack.
        state_dir: Its state.
        origin: Where the pictures are.
        images: Of each job.
    """

    info: StackInfo
    state_dir: Path
    origin: str
    images: int

    def run(self, folder: str, *, reuse: bool) -> Job:
        """A job from its upload to its end."""
        before, began = cpu_seconds(self.state_dir), time.monotonic()
        request_id = upload(self.info, self.origin, self.images, folder=f"{folder}/", reuse=reuse)
        wait_until_done(self.info, request_id, self.images)
        seconds = time.monotonic() - began
        return Job(seconds, ms_an_image(before, cpu_seconds(self.state_dir), self.images))

    def round(self, number: int) -> tuple[Job, Job, Job]:
        """Not looked for, looked for in vain, and found."""
        known = f"known-{number}"
        return self.run(f"new-{number}", reuse=False), self.run(known, reuse=True), self.run(known, reuse=True)


def main() -> None:
    """Measure and report."""
    images, rounds = int(os.environ.get("IMAGES", "300")), int(os.environ.get("ROUNDS", "5"))
    with (
        serving(jpegs()) as origin,
        TemporaryDirectory(prefix="imagejobs-bench-") as folder,
        Stack.start(Path(folder), Options(private_origins=[origin])) as stack,
    ):
        wait_until_done(stack.info, upload(stack.info, origin, WARM_UP_IMAGES), WARM_UP_IMAGES)
        bench = Bench(stack.info, Path(folder), origin, images)
        measured = [bench.round(number) for number in range(rounds)]
    plain, first, second = zip(*measured, strict=True)
    finish(
        "delta",
        [
            Figure("images a job", images),
            *(
                Figure(f"CPU an image of {part}, {name}, ms", median(job.cpu_ms.get(part, 0.0) for job in jobs))
                for part in SHOWN
                for name, jobs in {"not looked for": plain, "looked for": first, "unchanged": second}.items()
            ),
            Figure(
                "Postgres, looked for : not looked for",
                median(b.cpu_ms["Postgres"] / a.cpu_ms["Postgres"] for a, b, _ in measured),
                at_most=MOST_OF_POSTGRES,
            ),
            Figure("all CPU, looked for : not looked for", median(b.all_cpu_ms / a.all_cpu_ms for a, b, _ in measured)),
            Figure("time, looked for : not looked for", median(b.seconds / a.seconds for a, b, _ in measured)),
            Figure("all CPU, unchanged : first", median(c.all_cpu_ms / b.all_cpu_ms for _, b, c in measured)),
            Figure(
                "time, unchanged : first",
                median(c.seconds / b.seconds for _, b, c in measured),
                at_most=MOST_OF_THE_FIRST,
            ),
        ],
    )


if __name__ == "__main__":
    main()
