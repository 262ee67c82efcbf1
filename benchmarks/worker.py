"""One environment of `compress` on one core, beside the bare decode-encode loop on that core.

The handler itself is invoked with full batches of one-image rows. Origin, S3, SQS and Postgres are a local stack's,
on other cores. The loop, an origin that answers at once, and one that takes 150 ms are measured in turn.

    make bench            IMAGES=200 for a short run, CORPUS=dir for other pictures, CHECK=1 to fail over a target
"""

import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial, wraps
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import psutil

from benchmarks.deployed import receive, session_of, take_over_rows, variables
from benchmarks.function import Context, load_handler
from benchmarks.origin import serving
from benchmarks.pictures import jpegs
from benchmarks.report import Figure, finish
from benchmarks.shop import upload, wait_until_done
from imagejobs.codec import MALLOC
from imagejobs.image import compress
from imagejobs.options import CompressionOptions
from local.stack import Options, Stack, StackInfo

P = ParamSpec("P")
T = TypeVar("T")

ROUNDS = 5
IMAGES = 200
LATENCY_SECONDS = 0.15
LEAST_AT_ONCE = 0.85
LEAST_WITH_LATENCY = 0.80
MOST_OUTSIDE_THE_CODEC = 0.20
INVOCATION_SECONDS = 120.0

PARTS = {
    "download": ("imagejobs.fetch", "Fetcher", "get"),
    "codec's pipes": ("imagejobs.codec", "Codec", "compress"),
    "upload": ("imagejobs.bucket", "Bucket", "put"),
    "database": ("imagejobs.database", "Database", "transact"),
}
"""What takes the environment's own CPU, by the call that it is measured in, within its thread."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What some images took.

    Attributes:
        images: How many.
        seconds: Wall clock; of invocations, all of them together.
        cpu_seconds: CPU, with that of children.
        parts: CPU seconds of the environment's own process, by part.
    """

    images: int
    seconds: float
    cpu_seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def a_second(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds an image."""
        return self.cpu_seconds / self.images * 1000


def main() -> None:
    """Measure and report."""
    images = int(os.environ.get("IMAGES", IMAGES))
    pictures = jpegs()
    core, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others)
    with ExitStack() as cleanup:
        origins = [cleanup.enter_context(serving(pictures, latency)) for latency in (0.0, LATENCY_SECONDS)]
        state_dir = Path(cleanup.enter_context(TemporaryDirectory(prefix="imagejobs-bench-")))
        stack = cleanup.enter_context(Stack.start(state_dir, Options(private_origins=origins)))
        batch_size = take_over_rows(stack.info)
        loop = cleanup.enter_context(pinned(core, run_loop, pictures, MALLOC))
        compress_variables = variables(stack.info, "compress")
        environment = cleanup.enter_context(pinned(core, run_environment, batch_size, compress_variables))
        measure = partial(run_job, stack.info, images=images, batch_size=batch_size, environment=environment)
        near, far = origins
        measure(near)
        measure(far)
        rounds = [(ask(loop, images), measure(near), measure(far)) for _ in range(ROUNDS)]
    finish("worker", figures(rounds), {"rounds": [[asdict(one) for one in each] for each in rounds]})


def figures(rounds: Sequence[tuple[Measured, Measured, Measured]]) -> list[Figure]:
    """What has a target, and what explains it."""
    images = rounds[0][1].images
    outside = [1 - loop.cpu_seconds / at_once.cpu_seconds for loop, at_once, _ in rounds]
    parts = {name: median(at_once.parts[name] for _, at_once, _ in rounds) / images * 1000 for name in PARTS}
    rest = median(at_once.cpu_ms - loop.cpu_ms for loop, at_once, _ in rounds) - sum(parts.values())
    return [
        Figure("pictures", images * len(rounds)),
        Figure("bare loop, images/s", median(loop.a_second for loop, _, _ in rounds)),
        Figure("CPU an image of the loop, ms", median(loop.cpu_ms for loop, _, _ in rounds)),
        Figure("CPU an image of the worker, ms", median(at_once.cpu_ms for _, at_once, _ in rounds)),
        *(Figure(f"of it {name}, ms", cpu_ms) for name, cpu_ms in {**parts, "all else": rest}.items()),
        Figure(
            "origin that answers at once, worker : loop",
            median(at_once.a_second / loop.a_second for loop, at_once, _ in rounds),
            at_least=LEAST_AT_ONCE,
        ),
        Figure(
            f"origin that takes {LATENCY_SECONDS * 1000:.0f} ms, worker : loop",
            median(late.a_second / loop.a_second for loop, _, late in rounds),
            at_least=LEAST_WITH_LATENCY,
        ),
        Figure("CPU outside the codec : all of it", median(outside), at_most=MOST_OUTSIDE_THE_CODEC),
    ]


def run_job(info: StackInfo, origin: str, images: int, batch_size: int, environment: Connection) -> Measured:
    """Compress a job of as many images, with full batches as far as there are rows for them."""
    queue = session_of(info).client("sqs", endpoint_url=info.endpoint_url)
    request_id = upload(info, origin, images)
    found: list[Measured] = []
    while sum(each.images for each in found) < images:
        records = receive(queue, info.row_queue_url, min(batch_size, images - sum(each.images for each in found)))
        found.append(ask(environment, records))
        for record in records:
            queue.delete_message(QueueUrl=info.row_queue_url, ReceiptHandle=record["receiptHandle"])
    wait_until_done(info, request_id, images)
    parts = {name: sum(each.parts[name] for each in found) for name in PARTS}
    return Measured(images, sum(each.seconds for each in found), sum(each.cpu_seconds for each in found), parts)


@contextmanager
def pinned(
    core: int, run: Callable[[Connection, T], None], given: T, environment: Mapping[str, str]
) -> Iterator[Connection]:
    """A process on one core, with further environment variables, that answers what it is asked until the block ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_pin, args=(core, run, theirs, given))
    with patch.dict(os.environ, environment):
        process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def _pin(core: int, run: Callable[[Connection, T], None], questions: Connection, given: T) -> None:
    os.sched_setaffinity(0, [core])
    with suppress(EOFError):
        run(questions, given)


def ask(process: Connection, question: object) -> Measured:
    """The answer of a pinned process."""
    process.send(question)
    answer: Measured = process.recv()
    return answer


def run_loop(questions: Connection, pictures: Sequence[bytes]) -> None:
    """Asked for a number of images, compress as many from memory to memory."""
    compress(pictures[0], CompressionOptions())
    while True:
        images = questions.recv()
        began, cpu_began = time.monotonic(), time.process_time()
        for number in range(images):
            compress(pictures[number % len(pictures)], CompressionOptions())
        questions.send(Measured(images, time.monotonic() - began, time.process_time() - cpu_began))


def run_environment(questions: Connection, _: int) -> None:
    """Asked with the records of an event, invoke the function's handler with it."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 the handler's log, for as long as it runs
    cpu_seconds_of = measure_parts()
    handler = load_handler("functions/compress")
    while True:
        records = questions.recv()
        cpu_seconds_of.update(dict.fromkeys(PARTS, 0.0))
        began, cpu_began = time.monotonic(), cpu_seconds()
        answer = handler({"Records": records}, Context(began + INVOCATION_SECONDS))
        seconds, cpu = time.monotonic() - began, cpu_seconds() - cpu_began
        questions.send(
            Measured(
                len(records) - len(answer["batchItemFailures"]),
                seconds,
                cpu,
                dict(cpu_seconds_of),
            )
        )


def cpu_seconds() -> float:
    """CPU of this process and the children that it has, to the nanosecond as clock_getcpuclockid(3) reads them."""
    children = [time.clock_gettime((~child.pid << 3) | 2) for child in psutil.Process().children()]
    return time.process_time() + sum(children)


def measure_parts() -> dict[str, float]:
    """Wrap the calls of `PARTS`; the CPU seconds of each from here on."""
    cpu_seconds_of = dict.fromkeys(PARTS, 0.0)
    for part, (module, owner, name) in PARTS.items():
        found = getattr(importlib.import_module(module), owner)
        setattr(found, name, _measured(getattr(found, name), part, cpu_seconds_of))
    return cpu_seconds_of


def _measured(call: Callable[P, T], part: str, cpu_seconds_of: dict[str, float]) -> Callable[P, T]:
    @wraps(call)
    def measured(*arguments: P.args, **named: P.kwargs) -> T:
        began = time.thread_time()
        try:
            return call(*arguments, **named)
        finally:
            cpu_seconds_of[part] += time.thread_time() - began

    return measured


if __name__ == "__main__":
    main()
