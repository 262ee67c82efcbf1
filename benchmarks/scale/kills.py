"""No row lost, none doubled: the fan-out's process is killed at a random moment, and the event is delivered again.

Every run drops a sheet, kills the function's process within its invocation, and lets a fresh process have the
redelivered event. Another process meanwhile takes every message from the row queue and keeps its row number. SQS
delivers at least once, and so does the fan-out: rows that were sent before their cursor moved have two messages. What
must hold: every row and image is in Postgres once, and has a message.
"""

import json
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from random import Random
from urllib.parse import urlsplit

from benchmarks.report import Figure
from benchmarks.scale.bench import Bench, Event
from benchmarks.scale.fan_out import Watch
from imagejobs.steps.fan_out import SEND_IMAGES
from local.ministack import client_options, session
from reliability.waiting import until

# An invocation's time, of which a sixth is its lease: a killed one's is over while the run waits.
INVOCATION_SECONDS = 30.0
WAIT_SECONDS = 60.0
SEED = 20_000

STATE = """
SELECT rows_staged, rows_total IS NOT NULL, rows_sent, rows_sent = rows_total,
       coalesce(fan_out_leased_until < now(), true), request_id::text
FROM job_request WHERE source_key = %(key)s
"""
IMAGES = """
SELECT count(*), count(DISTINCT (row_number, position)), coalesce(max(row_number), 0)
FROM compressed_images JOIN job_request AS job USING (request_id) WHERE job.source_key = %(key)s
"""
USED = "SELECT coalesce(sum(images), 0)::bigint FROM caller_usage"


@dataclass(frozen=True, slots=True)
class Run:
    """What one kill left, after the job went on.

    Attributes:
        phase: What the fan-out was at.
        rows_lost: Rows without an image in Postgres, or without a message.
        rows_doubled: Images in Postgres that are there twice, or were counted twice against the day's quota.
        messages_doubled: Messages over one a row.
    """

    phase: str
    rows_lost: int
    rows_doubled: int
    messages_doubled: int


def figures(bench: Bench, rows: int, kills: int) -> list[Figure]:
    """Kill as many times, at jobs of as many rows; prints a line a kill."""
    random, runs = Random(SEED), list[Run]()
    with collecting(bench) as collector:
        staging_seconds, seconds = _undisturbed_seconds(bench, rows, collector)
        attempts = count()
        while len(runs) < kills:
            # Staging is the shorter part by far: every other kill falls into it.
            moment = random.uniform(0, seconds if len(runs) % 2 else staging_seconds)
            run = _killed_run(bench, f"killed-{next(attempts)}", rows, moment, collector)
            if run:
                print(f"kill {len(runs) + 1}, {run}", flush=True)
                runs.append(run)
    phases = Counter(run.phase for run in runs)
    return [
        Figure(f"kills at {rows:,} rows", len(runs), at_least=kills),
        *[Figure(f"kills while {phase}", times) for phase, times in sorted(phases.items())],
        Figure("rows lost after kills", sum(run.rows_lost for run in runs), at_most=0),
        Figure("rows doubled after kills", sum(run.rows_doubled for run in runs), at_most=0),
        Figure(
            "messages doubled by a kill, at most", max(run.messages_doubled for run in runs), at_most=float(SEND_IMAGES)
        ),
    ]


def _undisturbed_seconds(bench: Bench, rows: int, collector: "Collector") -> tuple[float, float]:
    """How long staging and all of it take when nobody kills it: the moments are chosen in that time."""
    watch = Watch(bench, bench.drop(rows, "undisturbed"))
    with bench.function("fan_out", max_images_out=rows) as function:
        while not watch.sent:
            event = bench.next_event()
            bench.acknowledge(event, watch.invoke(function, event.content))
    collector.take(bench.query(STATE, {"key": watch.key})[0][-1])
    return watch.staging_seconds, watch.staging_seconds + watch.sending_seconds


def _killed_run(bench: Bench, name: str, rows: int, moment_seconds: float, collector: "Collector") -> Run | None:
    """One kill; None when the invocation had ended by then, whose job then counts for nothing."""
    used = bench.query(USED)[0][0]
    key = bench.drop(rows, name)
    event = bench.next_event()
    with bench.function("fan_out", max_images_out=rows) as function:
        function.begin(event.content, INVOCATION_SECONDS)
        function.has_answered(moment_seconds)
        was_at_work = function.kill()
    phase = _phase(bench, key)
    until(lambda: _has_no_owner(bench, key), WAIT_SECONDS, "the lease of the killed runs out")
    # Its message would come back after the queue's time-out; the wait is cut short.
    bench.sqs.change_message_visibility(
        QueueUrl=bench.info.upload_queue_url, ReceiptHandle=event.receipt, VisibilityTimeout=0
    )
    _finish(bench, key, rows, bench.next_event())
    ((*_, request_id),) = bench.query(STATE, {"key": key})
    messages = collector.take(request_id)
    if not was_at_work:
        return None
    ((images, distinct, last_row),) = bench.query(IMAGES, {"key": key})
    counted = bench.query(USED)[0][0] - used
    return Run(
        phase=phase,
        rows_lost=max(rows - distinct, rows - last_row) + len(set(range(1, rows + 1)) - messages.keys()),
        rows_doubled=(images - distinct) + abs(counted - rows) + len(messages.keys() - set(range(1, rows + 1))),
        messages_doubled=sum(messages.values()) - len(messages),
    )


def _phase(bench: Bench, key: str) -> str:
    """What the job row says that the fan-out was at."""
    for staged, is_declared, sent, *_ in bench.query(STATE, {"key": key}):
        if is_declared:
            return "sending" if sent else "sending its first messages"
        return "staging" if staged else "checking, or staging its first rows"
    return "accepting the file"


def _has_no_owner(bench: Bench, key: str) -> bool:
    return all(is_over for *_, is_over, _ in bench.query(STATE, {"key": key}))


def _finish(bench: Bench, key: str, rows: int, event: Event) -> None:
    """Work on the event, and on those that are handed over, until every row is sent."""
    with bench.function("fan_out", max_images_out=rows) as function:
        while True:
            function.begin(event.content, INVOCATION_SECONDS)
            bench.acknowledge(event, function.answer())
            if all(is_sent for _, _, _, is_sent, *_ in bench.query(STATE, {"key": key})):
                return
            event = bench.next_event()


@dataclass(frozen=True, slots=True)
class Collector:
    """The process that takes all messages of the row queue."""

    pipe: Connection

    def take(self, request_id: str) -> Counter[int]:
        """Row numbers of a job's messages, with how often each came, once there are no more."""
        self.pipe.send(request_id)
        messages: Counter[int] = self.pipe.recv()
        return messages


@contextmanager
def collecting(bench: Bench) -> Iterator[Collector]:
    """Take messages in a process of its own until the block ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (bench.info.endpoint_url, bench.info.row_queue_url, theirs)
    process = context.Process(target=_collect, args=arguments, daemon=True)
    process.start()
    try:
        yield Collector(ours)
    finally:
        process.terminate()
        process.join()


def _collect(endpoint_url: str, queue_url: str, pipe: Connection) -> None:
    """Answer for a job when the queue was found empty after it was asked for."""
    sqs = session().client("sqs", **client_options(urlsplit(endpoint_url).port or 0))
    jobs: dict[str, Counter[int]] = {}
    asked: str | None = None
    while True:
        messages = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get(
            "Messages", []
        )
        for message in messages:
            row = json.loads(message["Body"])
            jobs.setdefault(row["request_id"], Counter())[row["row_number"]] += 1
        if messages:
            entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
            sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type]
        elif asked:
            pipe.send(jobs.pop(asked, Counter()))
            asked = None
        elif pipe.poll(0.2):
            asked = pipe.recv()
