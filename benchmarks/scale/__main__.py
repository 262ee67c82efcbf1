"""Measure and report; `make bench-scale`.

make bench-scale      ROWS=20000 for a short run, KILLS=20, CHECK=1 to fail on a missed target
"""

import os

from benchmarks.report import Figure, finish
from benchmarks.scale import completions, fan_out, kills, plans, result
from benchmarks.scale.bench import Bench

KILL_ROWS = 20_000


def main() -> None:
    """Everything, from the quick to the long."""
    rows, shots = int(os.environ.get("ROWS", "1000000")), int(os.environ.get("KILLS", "20"))
    figures: list[Figure] = []
    with Bench.start() as bench:
        figures += [Figure("messages a second, eight senders : one", fan_out.senders_ratio(bench), at_least=1.2)]
        figures += kills.figures(bench, min(KILL_ROWS, rows), shots)
        *runs, again = [fan_out.fan_out(bench, size) for size in (rows // 100, rows // 10, rows, rows // 10)]
        figures += fan_out.figures(runs, again)
        for run in runs:
            figures += result.write_result(bench, run.key, run.rows)
    figures += completions.figures(min(rows, completions.ROWS))
    figures += plans.figures(max(10 * rows, plans.MIN_IMAGES))
    finish("scale", figures)


if __name__ == "__main__":
    main()
