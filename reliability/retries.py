"""Campaign: jobs with failed images are retried while processes are killed; each retry is a generation of its own."""

from random import Random

from reliability.bench import Bench
from reliability.clock import Clock
from reliability.customer import BROKEN, GONE, GOOD, LATE, Sheet
from reliability.kills import Kills
from reliability.tally import Tally
from reliability.wave import WAVE_SECONDS, Wave

WAVE_JOBS = 10


def run_retries(bench: Bench, random: Random, runs: int) -> Tally:
    """So many jobs whose pictures are not all there at first, retried under kills once they are."""
    kills = Kills(bench, random)
    tally = Tally()
    while tally.runs < runs and tally.is_clean:
        tally += _ride(bench, kills, f"retries-{tally.runs}")
    return tally


def _ride(bench: Bench, kills: Kills, tag: str) -> Tally:
    bench.shop.has_restocked = False
    wave = Wave(bench)
    wave.place([_sheet(f"{tag}-{number}") for number in range(WAVE_JOBS)])
    Clock(bench).until_settled(list(wave.jobs), WAVE_SECONDS)
    bench.shop.has_restocked = True
    for point in kills.choose_points(WAVE_JOBS):
        bench.control.arm(point)
    for request_id in wave.jobs:
        bench.caller.retry(request_id)
    return wave.finish() + Tally(runs=WAVE_JOBS)


def _sheet(tag: str) -> Sheet:
    rows = ((GOOD, LATE), (LATE,), (LATE, GONE), (GOOD,), (BROKEN,))
    names = tuple(tuple(f"{manner}-{number}.jpg" for number, manner in enumerate(row)) for row in rows)
    return Sheet(tag, names, generations=2)
