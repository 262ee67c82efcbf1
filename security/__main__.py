"""`python -m security`: runs every campaign, prints and keeps the table; what `make security-report` calls.

Exit code 0 when nothing was wrong and the sandbox costs less than 5 % of the worker's CPU.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pictures import jpegs
from benchmarks.sandbox import cpu_seconds
from reliability.report import write_table
from security import bench
from security.bench import Bench
from security.described_requests import run_described_requests
from security.fair_share import run_fair_share
from security.files import run_malformed_files
from security.load import run_load
from security.origins import run_hostile_origins, run_unending_origins
from security.report import PAGE, SandboxCost, report
from security.secrets import run_secret_search
from security.sheets import run_hostile_sheets
from security.tally import Tally
from security.urls import run_hostile_urls, run_named_webhooks

SANDBOX = "the sandbox"
SANDBOX_ROUNDS = 60

# In this order: the search for secrets comes last, and so reads what all of them wrote.
CAMPAIGNS: dict[str, Callable[[Bench], Tally]] = {
    "hostile URLs": run_hostile_urls,
    "webhooks to private names": run_named_webhooks,
    "hostile origins": run_hostile_origins,
    "unending origins": run_unending_origins,
    "malformed files": run_malformed_files,
    "hostile sheets": run_hostile_sheets,
    "requests as described": run_described_requests,
    "load": run_load,
    "fair share": run_fair_share,
    "secrets": run_secret_search,
}


def main() -> int:
    """Run what the command line asks for."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stack that is ended in order leaves nothing behind
    only = _parse_arguments().only
    tallies: dict[str, Tally] = {}
    for name, tally in _run(only):
        tallies[name] = tally
        for finding in tally.findings:
            print(f"  {finding}", flush=True)
    cost = _measure_sandbox() if only in SANDBOX else None
    text = report(tallies, cost)
    print(f"\n{text}")
    if not only:
        write_table(PAGE, text)
    return int(not (all(tally.is_clean for tally in tallies.values()) and (cost is None or cost.is_low)))


def _run(only: str) -> Iterator[tuple[str, Tally]]:
    chosen = {name: campaign for name, campaign in CAMPAIGNS.items() if only in name}
    if not chosen:
        return
    with TemporaryDirectory(prefix="imagejobs-security-") as state_dir, bench.running(Path(state_dir)) as running:
        for name, campaign in chosen.items():
            began = time.monotonic()
            print(f"{name} …", end=" ", flush=True)
            tally = running.run(campaign)
            print(f"{time.monotonic() - began:.0f} s", flush=True)
            yield name, tally


def _measure_sandbox() -> SandboxCost:
    print(f"{SANDBOX} …", flush=True)
    return SandboxCost(*cpu_seconds(jpegs(), SANDBOX_ROUNDS))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m security", description=__doc__)
    parser.add_argument("--only", default="", help="part of the campaigns' names; the page then stays as it is")
    arguments = parser.parse_args()
    if not any(arguments.only in name for name in (*CAMPAIGNS, SANDBOX)):
        parser.error(f"no campaign has {arguments.only!r} in its name: {', '.join((*CAMPAIGNS, SANDBOX))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
