"""Campaign: an image, or a message, at which the function raises, hangs or dies every time.

Its row ends FAILED with a reason, its mates are compressed, and the job ends.
"""

from functools import partial

from reliability.bench import Bench
from reliability.customer import Sheet
from reliability.faults.control import HANG, KILL, RAISE, Poison
from reliability.tally import Tally
from reliability.waiting import until
from reliability.wave import Wave

# Time-outs so short that ten deliveries of a message pass within a minute or two.
TIMES = {
    "CompressTimeoutSeconds": "6",
    "RowVisibilitySeconds": "7",
    "FanOutTimeoutSeconds": "18",
    "UploadVisibilitySeconds": "20",
    "DeadLetterVisibilitySeconds": "3",
}
DEADLINE_SECONDS = 240.0
STRIKE_SECONDS = 30.0
MATES = ("good-1.jpg", "good-2.jpg")
# Rows that no other sheet has: by its number alone a rule knows the poisoned one, before it has a request_id.
IMAGE_ROWS = {KILL: 11, HANG: 12, RAISE: 13}
MESSAGE_ROWS = {KILL: 21, HANG: 22, RAISE: 23}
# The undertaker is killed as well, at its first dead letters.
BURIALS = ("bury:before:invocation", "bury:before:commit#1", "bury:after:commit#1", "bury:after:invocation")


def run_poisoned_images(bench: Bench) -> Tally:
    """Three jobs, each with an image whose storing kills, hangs or raises, among others that are well."""
    bench.control.poison([_image_rule(row, kind) for kind, row in IMAGE_ROWS.items()])
    wave = Wave(bench)
    wave.place([_sheet(f"image-{kind}", row, mates=4) for kind, row in IMAGE_ROWS.items()])
    return _finish(wave)


def run_poisoned_messages(bench: Bench) -> Tally:
    """Three jobs of one message, at which the invocation dies, hangs or raises before it begins."""
    for point in BURIALS:
        bench.control.arm(point)
    bench.control.poison([_message_rule(row, kind) for kind, row in MESSAGE_ROWS.items()])
    wave = Wave(bench)
    for kind, row in MESSAGE_ROWS.items():
        strikes = bench.strikes
        wave.place([_sheet(f"message-{kind}", row, mates=0)])
        until(partial(_has_struck, bench, strikes), STRIKE_SECONDS, f"{kind} strikes")  # or all come in one batch
    return _finish(wave)


def _finish(wave: Wave) -> Tally:
    """A poisoned message moves nothing until it is a dead letter: only the deadline says that it is stuck."""
    tally = wave.finish(deadline_seconds=DEADLINE_SECONDS, promised_minutes=int(DEADLINE_SECONDS))
    return tally + Tally(runs=len(wave.jobs))


def _has_struck(bench: Bench, strikes: int) -> bool:
    return bench.strikes > strikes


def _image_rule(row: int, kind: str) -> Poison:
    return Poison(r"compress:before:s3\.PutObject#\d+", rf"images/[^/]+/{row}-", kind)


def _message_rule(row: int, kind: str) -> Poison:
    return Poison("compress:before:invocation", rf'row_number\\": {row}\b', kind)


def _sheet(tag: str, poisoned_row: int, mates: int) -> Sheet:
    """A few good rows, then rows that name no image, then the poisoned one."""
    rows = [MATES] * mates + [()] * (poisoned_row - mates - 1) + [("good-3.jpg",)]
    return Sheet(f"poison-{tag}", tuple(rows), frozenset({(poisoned_row, 1)}))
