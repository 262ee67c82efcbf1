"""Ten rows of one caller behind twenty thousand of another's: they wait for the few that are out, not for all.

SQS's own fair queues do nothing here: the local engine takes message groups and ignores them.
"""

from uuid import uuid4

from benchmarks.deployed import variables
from imagejobs.limits import IMAGES_OUT_PER_WORKER
from reliability.customer import GOOD, Caller, Sheet
from reliability.ledger import ENDED
from reliability.waiting import until
from security.bench import Bench
from security.callers import Limits, let_in
from security.tally import Tally

LARGE_ROWS = 20_000
SMALL_ROWS = 10
# What may be done of the large job meanwhile: what is out when the small one comes, what is sent while its own fan-out
# starts and reads the sheet, and what is done while its finished CSV is written.
MAX_WINDOWS_PASSED = 4
BEGIN_SECONDS = 120.0
END_SECONDS = 120.0


def run_fair_share(bench: Bench, large_rows: int = LARGE_ROWS) -> Tally:
    """Upload a large sheet, then another caller's small one; `cases` are the small one's rows."""
    run = uuid4().hex[:8]
    large, small = let_in(bench, {f"large-{run}": Limits(), f"small-{run}": Limits()})
    large_job = large.place(_sheet(f"large-{run}", large_rows), bench.shop)
    until(lambda: _done(large, large_job), BEGIN_SECONDS, "the large job is worked on")
    done_before = _done(large, large_job)
    small_job = small.place(_sheet(f"small-{run}", SMALL_ROWS), bench.shop)
    until(lambda: small.status(small_job)["status"] in ENDED, END_SECONDS, "the small job ends")
    passed = _done(large, large_job) - done_before
    large.cancel(large_job)
    print(f"{passed:,} of {large_rows:,} images were done while {SMALL_ROWS} waited …", end=" ", flush=True)
    limit = MAX_WINDOWS_PASSED * IMAGES_OUT_PER_WORKER * int(variables(bench.info, "compress")["COMPRESS_CONCURRENCY"])
    if passed <= limit and done_before + passed < large_rows:
        return Tally(cases=SMALL_ROWS)
    finding = f"{passed} images of another caller's job were done while ten waited, and no more than {limit} may be"
    return Tally(cases=SMALL_ROWS, wrong=1, findings=(finding,))


def _done(caller: Caller, request_id: str) -> int:
    return int(caller.status(request_id)["images_completed"])


def _sheet(tag: str, rows: int) -> Sheet:
    return Sheet(tag, tuple((f"{GOOD}-{number}.jpg",) for number in range(rows)))
