"""Memory and rate of the fan-out: the real function, from the S3 event to a message a row in SQS.

No function takes from the row queue. So that the fan-out does not wait for images to be done (decision 0012), it may
have as many out as the sheet has; nothing else is changed. An invocation has a minute: large sheets are handed over.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

from benchmarks.function import Answer, Function
from benchmarks.report import Figure
from benchmarks.scale.bench import Bench
from imagejobs import queues
from imagejobs.queues import Queue, Row

INVOCATION_SECONDS = 60.0
POLL_SECONDS = 0.1
JOB = "SELECT rows_total IS NOT NULL, rows_sent = rows_total FROM job_request WHERE source_key = %(key)s"
ROUNDS = 5
ROUND_ROWS = 1000


@dataclass(frozen=True, slots=True)
class FanOutRun:
    """One sheet, fanned out.

    Attributes:
        key: The sheet's, by which its job is found.
        rows: Of the sheet.
        peak_megabytes: Resident memory of the function's process at most.
        staged_per_second: Rows, from the event to the declared totals.
        sent_per_second: Rows, from there to the last message.
        invocations: That it took.
        messages: In the row queue afterwards.
    """

    key: str
    rows: int
    peak_megabytes: float
    staged_per_second: float
    sent_per_second: float
    invocations: int
    messages: int


def fan_out(bench: Bench, rows: int) -> FanOutRun:
    """Fan a sheet out, in a fresh process, into an empty row queue; it is emptied again afterwards."""
    key = bench.drop(rows, f"rows-{uuid4()}")
    with bench.function("fan_out", max_images_out=max(rows, 100)) as function:
        watch = Watch(bench, key)
        invocations = 0
        while not watch.sent:
            event = bench.next_event()
            answer = watch.invoke(function, event.content)
            bench.acknowledge(event, answer)
            invocations += 1
    messages = messages_in(bench)
    bench.sqs.purge_queue(QueueUrl=bench.info.row_queue_url)
    return FanOutRun(
        key=key,
        rows=rows,
        peak_megabytes=answer.peak_megabytes,
        staged_per_second=rows / watch.staging_seconds,
        sent_per_second=rows / watch.sending_seconds,
        invocations=invocations,
        messages=messages,
    )


def messages_in(bench: Bench) -> int:
    """Messages of the row queue that wait."""
    answer = bench.sqs.get_queue_attributes(
        QueueUrl=bench.info.row_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@dataclass
class Watch:
    """Looks at a job while the fan-out works on it; time between invocations does not count.

    Attributes:
        bench: Where.
        key: The job's sheet.
        staging_seconds: Within invocations, until the totals were declared.
        sending_seconds: Within invocations, after that.
        sent: Whether every row is sent.
    """

    bench: Bench
    key: str
    staging_seconds: float = 0.0
    sending_seconds: float = 0.0
    sent: bool = False
    _staged: bool = False

    def invoke(self, function: Function, event: dict[str, object]) -> Answer:
        """One invocation."""
        since = time.monotonic()
        function.begin(event, INVOCATION_SECONDS)
        while not function.has_answered(POLL_SECONDS):
            since = self._look(since)
        self._look(since)
        return function.answer()

    def _look(self, since: float) -> float:
        """Add the time since then to what the fan-out was at; now."""
        now = time.monotonic()
        if self._staged:
            self.sending_seconds += now - since
        else:
            self.staging_seconds += now - since
        for staged, sent in self.bench.query(JOB, {"key": self.key}):
            self._staged, self.sent = staged, bool(sent)
        return now


def senders_ratio(bench: Bench) -> float:
    """Messages a second of as many threads as the product has, beside one thread; in turn, the median of the ratios."""
    queue, job = Queue(bench.sqs, bench.info.row_queue_url), uuid4()
    rows = [Row(job, number, 1, "bench") for number in range(1, ROUND_ROWS + 1)]
    senders, ratios = queues.SENDERS, []
    for _ in range(ROUNDS):
        seconds = []
        for queues.SENDERS in (1, senders):
            began = time.monotonic()
            queue.ring_rows(rows)
            seconds.append(time.monotonic() - began)
        ratios.append(seconds[0] / seconds[1])
    bench.sqs.purge_queue(QueueUrl=bench.info.row_queue_url)
    return median(ratios)


def figures(runs: Sequence[FanOutRun], again: FanOutRun) -> list[Figure]:
    """Of runs by growing size. The last is held against those of the size before it, one before and one after it."""
    found = []
    for run in (*runs, again):
        found += [
            Figure(f"fan-out of {run.rows:,} rows, peak of memory, MB", run.peak_megabytes, at_most=200),
            Figure(f"fan-out of {run.rows:,} rows, checked and staged a second", run.staged_per_second),
            Figure(f"fan-out of {run.rows:,} rows, sent a second", run.sent_per_second),
            Figure(f"fan-out of {run.rows:,} rows, invocations", run.invocations),
            Figure(f"fan-out of {run.rows:,} rows, messages : rows", run.messages / run.rows, at_least=1, at_most=1),
        ]
    small, middle, large = runs
    return [
        *found,
        Figure("fan-out, peak of memory, largest : smallest", large.peak_megabytes / small.peak_megabytes, at_most=1.5),
        Figure(
            f"staged a second, {large.rows:,} : {middle.rows:,} rows",
            large.staged_per_second / median([middle.staged_per_second, again.staged_per_second]),
            at_least=0.75,
        ),
        Figure(
            f"sent a second, {large.rows:,} : {middle.rows:,} rows",
            large.sent_per_second / median([middle.sent_per_second, again.sent_per_second]),
            at_least=0.75,
        ),
    ]
