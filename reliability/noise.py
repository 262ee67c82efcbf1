"""Campaign: AWS calls are throttled, fail, or lose their reply, COMMITs lose theirs, and origins misbehave."""

from random import Random

from reliability.bench import Bench
from reliability.customer import BUSY, GOOD, RESETTING, SLOW, TRICKLING
from reliability.faults.control import Noise
from reliability.tally import Tally
from reliability.wave import ride, small_sheet

WAVE_JOBS = 10
SHARES = (0.05, 0.20)
BAD_MANNERS = (GOOD, SLOW, TRICKLING, RESETTING, BUSY)


def run_noise(bench: Bench, random: Random, runs: int) -> Tally:
    """So many jobs, half of them under few random faults and half under many."""
    tally = Tally()
    while tally.runs < runs and tally.is_clean:
        share = SHARES[tally.runs // WAVE_JOBS % len(SHARES)]
        bench.control.disturb(Noise(share, random.randrange(1_000_000)))
        sheets = [small_sheet(f"noise-{tally.runs}-{number}", random) for number in range(WAVE_JOBS)]
        tally += ride(bench, sheets)
    return tally


def run_bad_origins(bench: Bench, random: Random, runs: int) -> Tally:
    """So many jobs whose origins are slow, trickle, reset, or answer 503 at first."""
    tally = Tally()
    while tally.runs < runs and tally.is_clean:
        sheets = [small_sheet(f"origins-{tally.runs}-{number}", random, BAD_MANNERS) for number in range(WAVE_JOBS)]
        tally += ride(bench, sheets)
    return tally
