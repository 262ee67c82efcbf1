"""No row lost, none doubled: the fan-out's process is killed at a random moment, and the event is delivered again.

Every run drops a sheet, kills the function's process within its invocation, and lets a fresh process have the
redelivered event. A proxy before SQS, which no kill reaches, keeps the row number of every message that SQS accepts;
SQS' own count must be the same. SQS delivers at least once, and so does the fan-out: rows that were sent before their
cursor moved have two messages. What must hold: every row and image is in Postgres once, and has a message.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from random import Random

from benchmarks.report import Figure
from benchmarks.scale.bench import Bench
from benchmarks.scale.fan_out import Watch, messages_in
from benchmarks.scale.witness import Witness, witnessing
from imagejobs.steps.fan_out import SEND_IMAGES
from reliability.waiting import until

# An invocation's time, of which a sixth is its lease: a killed one's is over while the run waits.
INVOCATION_SECONDS = 30.0
WAIT_SECONDS = 60.0
SEED = 20_000

STATE = """
SELECT rows_staged, rows_total IS NOT NULL, rows_sent, rows_sent = rows_total,
       coalesce(fan_out_leased_until < now(), true)
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
    with witnessing(bench.info.endpoint_url) as witness:
        staging_seconds, seconds = _undisturbed_seconds(bench, rows, witness)
        attempts = count()
        while len(runs) < kills:
            # Staging is the shorter part by far: every other kill falls into it.
            moment = random.uniform(0, seconds if len(runs) % 2 else staging_seconds)
            run = _killed_run(bench, f"killed-{next(attempts)}", rows, moment, witness)
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


def _undisturbed_seconds(bench: Bench, rows: int, witness: Witness) -> tuple[float, float]:
    """How long staging and all of it take when nobody kills it: the moments are chosen in that time."""
    watch = Watch(bench, bench.drop(rows, "undisturbed"))
    with bench.function("fan_out", max_images_out=rows, sqs_url=witness.url) as function:
        while not watch.sent:
            event = bench.next_event()
            bench.acknowledge(event, watch.invoke(function, event.content))
    _take_messages(bench, witness)
    return watch.staging_seconds, watch.staging_seconds + watch.sending_seconds


def _killed_run(bench: Bench, name: str, rows: int, moment_seconds: float, witness: Witness) -> Run | None:
    """One kill; None when the invocation had ended by then, whose job then counts for nothing."""
    used = bench.query(USED)[0][0]
    key = bench.drop(rows, name)
    event = bench.next_event()
    with bench.function("fan_out", max_images_out=rows, sqs_url=witness.url) as function:
        function.begin(event.content, INVOCATION_SECONDS)
        function.has_answered(moment_seconds)
        was_at_work = function.kill()
    phase = _phase(bench, key)
    until(lambda: _has_no_owner(bench, key), WAIT_SECONDS, "the lease of the killed runs out")
    # Its message would come back after the queue's time-out; the wait is cut short.
    bench.sqs.change_message_visibility(
        QueueUrl=bench.info.upload_queue_url, ReceiptHandle=event.receipt, VisibilityTimeout=0
    )
    _finish(bench, key, rows, witness)
    messages = _take_messages(bench, witness)
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
    return all(is_over for *_, is_over in bench.query(STATE, {"key": key}))


def _finish(bench: Bench, key: str, rows: int, witness: Witness) -> None:
    """Work on the event that comes again, and on those that are handed over, until every row is sent."""
    with bench.function("fan_out", max_images_out=rows, sqs_url=witness.url) as function:
        is_sent = False
        while not is_sent:
            event = bench.next_event()
            function.begin(event.content, INVOCATION_SECONDS)
            bench.acknowledge(event, function.answer())
            ((*_, is_sent, _),) = bench.query(STATE, {"key": key})


def _take_messages(bench: Bench, witness: Witness) -> Counter[int]:
    """Row numbers of the messages that the row queue has, with how often each is there; it is empty afterwards.

    Raises:
        SystemExit: The queue has another number of messages than were seen on their way.
    """
    messages, waiting = witness.take(), messages_in(bench)
    if messages.total() != waiting:
        raise SystemExit(f"{messages.total()} messages were seen on their way; {waiting} are in the queue.")
    bench.sqs.purge_queue(QueueUrl=bench.info.row_queue_url)
    return messages
