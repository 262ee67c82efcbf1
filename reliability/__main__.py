"""`python -m reliability`: runs every campaign, prints and keeps the table; what `make reliability` calls.

Exit code 0 when nothing was lost, doubled or stuck, and every invariant of `make verify` holds.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from reliability import bench, poison
from reliability.bench import SHORT_TIMES, Bench
from reliability.disorder import run_disorder
from reliability.kills import BETWEEN_STATES, Kills
from reliability.noise import run_bad_origins, run_noise
from reliability.outages import OUTAGE_SECONDS, run_outage
from reliability.poison import run_poisoned_images, run_poisoned_messages
from reliability.report import PAGE, table, write_table
from reliability.retries import run_retries
from reliability.tally import Tally

Campaign = Callable[[Bench], Tally]

JOBS_IN_OUTAGE = 50


def main() -> int:
    """Run what the command line asks for."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stack that is ended in order leaves nothing behind
    arguments = _parse_arguments()
    tallies: dict[str, Tally] = {}
    for name, tally in _run_all(arguments.runs, arguments.seed, arguments.only):
        tallies[name] = tally
        for finding in tally.findings:
            print(f"  {finding}", flush=True)
    text = table(tallies, arguments.seed)
    print(f"\n{text}")
    if not arguments.only:
        write_table(PAGE, text)
    return int(not all(tally.is_clean for tally in tallies.values()))


def _run_all(runs: int, seed: int, only: str) -> Iterator[tuple[str, Tally]]:
    """The campaigns with their counts; those of the second bench have time-outs of their own."""
    ordinary: dict[str, Campaign] = {
        "kills": lambda bench: Kills(bench, Random(seed)).run(runs),
        "kills between the finalizer's states, webhooks refused": lambda bench: Kills(
            bench, Random(seed), name="webhooks", killable=BETWEEN_STATES, max_refusals=3
        ).run(runs // 5),
        "duplicates and disorder": lambda bench: run_disorder(bench, Random(seed), runs // 5),
        "retries under kills": lambda bench: run_retries(bench, Random(seed), runs // 5),
        "calls that fail, replies that are lost": lambda bench: run_noise(bench, Random(seed), runs // 5),
        "origins that misbehave": lambda bench: run_bad_origins(bench, Random(seed), runs // 10),
        "Postgres restarted": lambda bench: run_outage(bench, Random(seed), JOBS_IN_OUTAGE, 0),
        f"Postgres away for {OUTAGE_SECONDS:.0f} s": lambda bench: run_outage(
            bench, Random(seed), JOBS_IN_OUTAGE, OUTAGE_SECONDS
        ),
    }
    poisoned: dict[str, Campaign] = {
        "poisoned images": run_poisoned_images,
        "poisoned messages": run_poisoned_messages,
    }
    for campaigns, times in ((ordinary, SHORT_TIMES), (poisoned, poison.TIMES)):
        chosen = {name: campaign for name, campaign in campaigns.items() if only in name}
        with TemporaryDirectory(prefix="imagejobs-reliability-") as state_dir:
            if chosen:
                with bench.running(Path(state_dir), times) as running:
                    yield from _run(running, chosen)


def _run(running: Bench, campaigns: dict[str, Campaign]) -> Iterator[tuple[str, Tally]]:
    for name, campaign in campaigns.items():
        began = time.monotonic()
        print(f"{name} …", end=" ", flush=True)
        tally = campaign(running)
        violations = tuple(running.violations())
        print(f"{time.monotonic() - began:.0f} s", flush=True)
        yield name, tally + Tally(lost=len(violations), findings=violations)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reliability", description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="jobs under kills; the other campaigns are in proportion")
    parser.add_argument("--seed", type=int, default=1, help="what the random numbers start from")
    parser.add_argument("--only", default="", help="part of the campaigns' names; the page then stays as it is")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
