"""Peak resident memory of `compress` and its codec, while it works on full-size photographs, ten rows an invocation.

The function's own process, in the environment that the local stack gave it, is invoked three times with ten one-image
rows; origin, S3, SQS and Postgres are the stack's. The worker's peak and that of its codec child are added, although
they need not come at the same moment.

    make bench            CHECK=1 to fail over the target
"""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil

from benchmarks.deployed import receive, session_of, take_over_rows, variables
from benchmarks.function import Function, peak_megabytes
from benchmarks.origin import serving
from benchmarks.pictures import camera_jpegs
from benchmarks.report import Figure, finish
from benchmarks.shop import upload, wait_until_done
from local.stack import Options, Stack, StackInfo

ROWS = 10
INVOCATIONS = 3
INVOCATION_SECONDS = 120.0
LOOK_SECONDS = 0.02
MOST_MEGABYTES = 1000
SIZES = {12: (4000, 3000), 24: (6000, 4000)}
TARGETS = {12: MOST_MEGABYTES}


def main() -> None:
    """Measure and report."""
    pictures = {megapixels: camera_jpegs(size, ROWS) for megapixels, size in SIZES.items()}
    figures: list[Figure] = []
    with ExitStack() as cleanup:
        origins = {megapixels: cleanup.enter_context(serving(bodies)) for megapixels, bodies in pictures.items()}
        state_dir = Path(cleanup.enter_context(TemporaryDirectory(prefix="imagejobs-bench-")))
        stack = cleanup.enter_context(Stack.start(state_dir, Options(private_origins=list(origins.values()))))
        take_over_rows(stack.info)
        for megapixels, origin in origins.items():
            worker, codec = peaks(stack.info, origin, state_dir / "compress.log")
            name = f"ten JPEGs of {megapixels} MP"
            figures += [
                Figure(f"{name}: median size, MB", median(map(len, pictures[megapixels])) / 1e6),
                Figure(f"{name}: peak MB of the worker", worker),
                Figure(f"{name}: peak MB of the codec", codec),
                Figure(f"{name}: peak MB of worker and codec", worker + codec, at_most=TARGETS.get(megapixels)),
            ]
    finish("memory", figures)


def peaks(info: StackInfo, origin: str, log: Path) -> tuple[float, float]:
    """Megabytes that one environment's worker and the largest of its codec children came to in some invocations."""
    with Function.start("functions/compress", variables(info, "compress"), log) as function:
        found = [invoke(info, origin, function) for _ in range(INVOCATIONS)]
    return max(worker for worker, _ in found), max(codec for _, codec in found)


def invoke(info: StackInfo, origin: str, function: Function) -> tuple[float, float]:
    """One invocation with a batch of rows: the worker's peak in megabytes so far, and the largest of its children's.

    Raises:
        SystemExit: It gave rows back.
    """
    queue = session_of(info).client("sqs", endpoint_url=info.endpoint_url)
    request_id = upload(info, origin, ROWS)
    records = receive(queue, info.row_queue_url, ROWS)
    function.begin({"Records": records}, INVOCATION_SECONDS)
    codec = 0.0
    answered = False
    while not answered:
        answered = function.has_answered(LOOK_SECONDS)
        codec = max(codec, largest_child(psutil.Process(function.process.pid).children()))
    answer = function.answer()
    if answer.content["batchItemFailures"]:
        raise SystemExit(f"Rows were given back: {answer.content}")
    for record in records:
        queue.delete_message(QueueUrl=info.row_queue_url, ReceiptHandle=record["receiptHandle"])
    wait_until_done(info, request_id, ROWS)
    return answer.peak_megabytes, codec


def largest_child(children: Sequence[psutil.Process]) -> float:
    """The largest peak in megabytes of processes that may be about to end."""
    largest = 0.0
    for child in children:
        with suppress(OSError, IndexError):  # it has ended, or has no memory any more
            largest = max(largest, peak_megabytes(child.pid))
    return largest


if __name__ == "__main__":
    main()
