"""fan_out: a CSV of 50 MB is checked, staged and rung for in under 200 MB of memory."""

import multiprocessing
from pathlib import Path

import psycopg2
import pytest

from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database
from imagejobs.destinations import ANY_PUBLIC_HOST
from imagejobs.steps.fan_out import FanOut
from tests.integration.jobs import HEADER, plenty

MEGABYTE = 1_000_000
FILE_BYTES = 50 * MEGABYTE


class FileBucket:
    """One file on disk in place of S3: what a process of a function would hold of it, and no more."""

    name = "imagejobs"

    def __init__(self, path):
        self._path = path

    def open(self, _source):
        return Path(self._path).open("rb")

    def metadata(self, _source):
        return {}


class CountingQueue:
    """Counts what is rung for."""

    rung = 0

    def ring_rows(self, rows):
        self.rung += len(rows)


class NoFinalizer:
    """There are images to wait for, so nobody starts it."""

    def start_ready(self, _database, _request_ids):
        pass


def measure(host, name, path, sender):
    """Fan the file out in this process; send its peak of resident memory in bytes and the rows rung for."""
    database, queue = Database(lambda: psycopg2.connect(host=host, user="postgres", dbname=name)), CountingQueue()
    step = FanOut(
        FileBucket(path), database, queue, queue, 10**9, NoFinalizer(), "drop", 1_000_000, "", ANY_PUBLIC_HOST
    )
    step.run(ObjectVersion("drop/large.csv", "1"), plenty)
    sender.send((peak_of_this_process(), queue.rung))


def peak_of_this_process():
    """Bytes of resident memory at most; getrusage would count the process that this one was forked from."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.mark.long
def test_a_sheet_of_50_mb_is_fanned_out_in_under_200_mb(postgres_host, database_name, tmp_path):
    path = tmp_path / "large.csv"
    line = '{n},"Product {n}, blue",https://cdn.shop.example/pictures/{n}.jpg\n'
    rows = 0
    with path.open("w") as file:
        file.write(HEADER)
        while file.tell() < FILE_BYTES:
            file.writelines(line.format(n=n) for n in range(rows + 1, rows + 10_001))
            rows += 10_000
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(postgres_host, database_name, str(path), sender))
    process.start()
    peak_bytes, rung = receiver.recv()
    process.join()
    print(f"{rows:,} rows, {path.stat().st_size / MEGABYTE:.0f} MB: peak {peak_bytes / MEGABYTE:.0f} MB")  # noqa: T201

    assert rung == rows
    assert peak_bytes < 200 * MEGABYTE
