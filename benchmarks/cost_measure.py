"""What `make cost` needs and no other benchmark measures: CPU and bytes of three sizes of picture, bytes in Postgres.

Takes half a minute. JSON in build/cost_measure.json.
"""

import os
from contextlib import ExitStack
from statistics import fmean, median

from benchmarks.pictures import RENDERED_SIZE, rendered
from benchmarks.report import Figure, finish
from benchmarks.scale.completions import Way, completions_per_second
from benchmarks.scale.server import connect, running
from benchmarks.worker import ask, pinned, run_loop
from imagejobs.codec import MALLOC
from imagejobs.image import compress
from imagejobs.options import CompressionOptions

SIZES = {"0.4 MP": (730, 548), "1.7 MP": RENDERED_SIZE, "12 MP": (4000, 3000)}
ROUNDS = 5
ROWS = 10_000
WORKERS = 8

DATABASE_BYTES = "bytes an image in Postgres, with indexes"
WAL_BYTES = "bytes an image in Postgres's log"
DATABASE_RATE = f"images/s leased and ended, {WORKERS} workers"


def main() -> None:
    """Measure and report."""
    finish("cost_measure", [*pictures(), *database()])


def cpu_ms(size: str) -> str:
    """The name of the figure."""
    return f"CPU an image of {size}, ms"


def bytes_before(size: str) -> str:
    """The name of the figure."""
    return f"bytes before, {size}"


def bytes_after(size: str) -> str:
    """The name of the figure."""
    return f"bytes after, {size}"


def pictures() -> list[Figure]:
    """CPU of each size on one core, the sizes in turn so that other load falls on all alike, and bytes."""
    core = min(os.sched_getaffinity(0))
    bodies = {name: rendered(size) for name, size in SIZES.items()}
    with ExitStack() as cleanup:
        loops = {name: cleanup.enter_context(pinned(core, run_loop, found, MALLOC)) for name, found in bodies.items()}
        rounds = [{name: ask(loop, len(bodies[name])) for name, loop in loops.items()} for _ in range(ROUNDS)]
    figures = []
    for name, found in bodies.items():
        after = [len(compress(body, CompressionOptions()).body) for body in found]
        figures += [
            Figure(cpu_ms(name), median(each[name].cpu_ms for each in rounds)),
            Figure(bytes_before(name), fmean(map(len, found))),
            Figure(bytes_after(name), fmean(after)),
        ]
    return figures


def database() -> list[Figure]:
    """What images leave in Postgres that are staged, leased, ended and counted, and how fast they do."""
    with running() as host:
        connection = connect(host)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_lsn()")
            (began,) = cursor.fetchone() or ("0/0",)
            rate = completions_per_second(host, Way("one job"), ROWS, WORKERS, 0.0)
            cursor.execute(
                "SELECT pg_total_relation_size('compressed_images'), pg_wal_lsn_diff(pg_current_wal_lsn(), %s)::bigint",
                (began,),
            )
            table, wal = cursor.fetchone() or (0, 0)
        connection.close()
    return [Figure(DATABASE_BYTES, table / ROWS), Figure(WAL_BYTES, wal / ROWS), Figure(DATABASE_RATE, rate)]


if __name__ == "__main__":
    main()
