"""Completions a second with many workers on one hot job row, beside as many jobs as workers, and the old way to count.

Workers here run the statements that an invocation of `compress` runs over a batch of ten rows with an image each, and
nothing else: no picture, no S3. Every run gives the same rows to the same number of processes; what differs is

- `one job`: all rows are one job's, so that every batch counts on one row of job_request, last in its transaction;
- `a job each`: the rows are spread over as many jobs as workers: what the machine does when nobody waits for a row;
- `locked first`: one job, whose row every worker locks before it updates its images, as was done before;
- `counted alone`: one job, images leased beforehand: only the transactions that count, in both orders.

The first three also with a millisecond between function and database, as in a cloud: then it is not the CPU that
decides, but how long a transaction holds the row.
"""

import json
import multiprocessing
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any
from uuid import UUID, uuid4

from psycopg2.extras import Json

from benchmarks.report import Figure
from benchmarks.scale.server import connect, database_at, running
from imagejobs import database as database_module
from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database, Transaction
from imagejobs.jobs import ring_for_more

ROWS = 100_000
RUN_ROWS = 10_000
WORKERS = (8, 16, 32)
BATCH_ROWS = 10
LEASE_IMAGES = 20
ROUND_TRIP_SECONDS = 0.001
TARGET = 2_000

INSERT_IMAGES = """
INSERT INTO compressed_images (request_id, row_number, position, product_name, source_url)
SELECT %(request_id)s, n, 1, 'Product ' || n, 'https://cdn.shop.example/pictures/' || n || '.jpg'
FROM generate_series(1, %(rows)s) AS n
"""
DECLARE_JOB = """
UPDATE job_request SET status = 'PROCESSING', rows_staged = %(rows)s, rows_sent = %(rows)s, rows_total = %(rows)s,
                       images_total = %(rows)s
WHERE request_id = %(request_id)s
"""
COUNTERS = """
SELECT count(*) FILTER (WHERE finalizable_at IS NOT NULL), sum(images_completed)::bigint FROM job_request
WHERE request_id = ANY(%(request_ids)s::uuid[])
"""

Batch = tuple[UUID, list[int]]


@dataclass(frozen=True, slots=True)
class Way:
    """How a run's workers go about it.

    Attributes:
        name: For the report.
        jobs: That the rows are spread over.
        locks_first: Whether the jobs are locked before their images are updated.
        is_leased: Whether the images were leased before the clock starts.
    """

    name: str
    jobs: int = 1
    locks_first: bool = False
    is_leased: bool = False


def figures(rows: int) -> list[Figure]:
    """Every way with every number of workers, in turn."""
    found: list[Figure] = []
    with running() as host:
        for workers in WORKERS:
            for round_trip_seconds in (0.0, ROUND_TRIP_SECONDS):
                found += _compare(host, min(rows, RUN_ROWS), workers, round_trip_seconds)
        alone = Way("counted alone", is_leased=True)
        first = Way("counted alone, locked first", locks_first=True, is_leased=True)
        rates = [completions_per_second(host, way, rows, WORKERS[1], 0.0) for way in (first, alone)]
    return [
        *found,
        Figure(f"completions/s on one job of {rows:,} images, counted alone, locked first", rates[0]),
        Figure(f"completions/s on one job of {rows:,} images, counted alone", rates[1], at_least=TARGET),
    ]


def _compare(host: str, rows: int, workers: int, round_trip_seconds: float) -> list[Figure]:
    ways = (Way("one job"), Way("a job each", jobs=workers), Way("locked first", locks_first=True))
    rates = {way.name: completions_per_second(host, way, rows, workers, round_trip_seconds) for way in ways}
    network = f", {round_trip_seconds * 1000:.0f} ms away" if round_trip_seconds else ""
    return [
        *[Figure(f"completions/s, {workers} workers, {name}{network}", rate) for name, rate in rates.items()],
        Figure(
            f"completions/s, {workers} workers, one job : a job each{network}", rates["one job"] / rates["a job each"]
        ),
    ]


def completions_per_second(host: str, way: Way, rows: int, workers: int, round_trip_seconds: float) -> float:
    """One run over fresh jobs.

    Raises:
        SystemExit: A completion was lost or counted twice, or a job is not known to be done.
    """
    database = database_at(host)
    request_ids = [_insert_job(database, host, rows // way.jobs) for _ in range(way.jobs)]
    token = uuid4()
    batches = [
        (request_id, list(range(first, min(first + BATCH_ROWS, rows // way.jobs + 1))))
        for request_id in request_ids
        for first in range(1, rows // way.jobs + 1, BATCH_ROWS)
    ]
    random.Random(rows).shuffle(batches)
    leased = [_lease(database, batch, token) for batch in batches] if way.is_leased else []
    _administrate(host, "VACUUM ANALYZE")
    _administrate(host, "CHECKPOINT")
    seconds = _run(host, way, [leased or batches, token, round_trip_seconds], workers)
    with connect(host) as connection, connection.cursor() as cursor:
        cursor.execute(COUNTERS, {"request_ids": request_ids})
        counted = cursor.fetchone()
    connection.close()
    database.close()
    images = rows // way.jobs * way.jobs
    if counted != (way.jobs, images):
        raise SystemExit(f"{images} images of {way.jobs} jobs were done; the jobs say {counted}.")
    return images / seconds


def _run(host: str, way: Way, work: Sequence[Any], workers: int) -> float:
    """Seconds that the processes take for all batches, from the moment when all of them are connected."""
    batches, token, round_trip_seconds = work
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(workers + 1)
    processes = [
        context.Process(
            target=_work, args=(host, way, batches[number::workers], token, round_trip_seconds, ready), daemon=True
        )
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    ready.wait()
    began = time.monotonic()
    for process in processes:
        process.join()
    return time.monotonic() - began


def _work(host: str, way: Way, batches: Sequence[Any], token: UUID, round_trip_seconds: float, ready: Barrier) -> None:
    """One worker: its batches, one after the other."""
    database = database_at(host)
    database.fetch_one("seconds_to_next_day")  # it is connected
    execute = Transaction.execute

    def execute_far_away(self: Transaction, name: str, parameters: Mapping[str, object] | None = None) -> int:
        time.sleep(round_trip_seconds)
        return execute(self, name, parameters)

    if round_trip_seconds:
        database_module.Transaction.execute = execute_far_away  # type: ignore[method-assign]
    ready.wait()
    for batch in batches:
        if way.is_leased:
            database.transact(partial(settle, batch, token, way))
        else:
            work_on(database, batch, way)


def work_on(database: Database, batch: Batch, way: Way) -> None:
    """One invocation's statements over a batch of rows, in the order of `RowWorker.run`."""
    request_id, row_numbers = batch
    keys = {"request_ids": [request_id] * len(row_numbers), "row_numbers": row_numbers}
    while True:
        token = uuid4()
        lease = {**keys, "token": token, "lease_seconds": 20.0}
        images = database.fetch_all("lease_images", {**lease, "crashed": False, "limit": LEASE_IMAGES})
        images = images or database.fetch_all("lease_images", {**lease, "crashed": True, "limit": 1})
        if not images:
            break
        database.transact(partial(settle, images, token, way))
        ring_for_more(database, _Silent(), [request_id], 1000)  # type: ignore[arg-type]
    database.execute("finish_repeated_urls", keys)
    database.fetch_all("list_finalizable_among", {"request_ids": [request_id]})
    database.fetch_all("list_unfinished_rows", keys)


def settle(images: Sequence[Mapping[str, Any]], token: UUID, way: Way, transaction: Transaction) -> None:
    """The transaction that ends a batch."""
    if way.locks_first:
        transaction.fetch_all("lock_jobs", {"request_ids": list({image["request_id"] for image in images})})
    finished = [{**_completed(image), "lease_token": str(token)} for image in images]
    transaction.fetch_all("finish_images", {"finished": json.dumps(finished)})
    if way.locks_first:
        transaction.execute("release_images", {"released": "[]"})


class _Silent:
    """Every row is sent, so nobody is rung."""

    def ring_file(self, source: ObjectVersion) -> None:
        """Never called."""
        raise AssertionError(source)


def _completed(image: Mapping[str, Any]) -> dict[str, Any]:
    key = f"images/{image['request_id']}/{image['row_number']}-1-0123456789abcdef.jpg"
    return {
        "image_id": str(image["image_id"]),
        "status": "COMPLETED",
        "image_url": f"https://images.example/{key}",
        "object_key": key,
        "format": "jpeg",
        "outcome": "smaller",
        "width": 1200,
        "height": 1400,
        "bytes_before": 512_000,
        "bytes_after": 204_800,
        "encoder": "jpegli",
        "encoder_quality": 80,
        "cpu_ms": 25,
    }


def _insert_job(database: Database, host: str, rows: int) -> UUID:
    request_id = uuid4()
    job = {
        "request_id": request_id,
        "owner": "bench",
        "source_key": f"drop/{request_id}.csv",
        "source_version": "1",
        "options": Json({}),
        "layout": Json({}),
        "webhook_url": None,
        "idempotency_key": None,
        "upload_sha256": None,
        "daily_images": None,
    }
    database.execute("insert_job", job)
    with connect(host) as connection, connection.cursor() as cursor:
        cursor.execute(INSERT_IMAGES, {"request_id": request_id, "rows": rows})
        cursor.execute(DECLARE_JOB, {"request_id": request_id, "rows": rows})
    connection.close()
    return request_id


def _lease(database: Database, batch: Batch, token: UUID) -> list[dict[str, Any]]:
    request_id, row_numbers = batch
    keys = {"request_ids": [request_id] * len(row_numbers), "row_numbers": row_numbers}
    lease = {**keys, "token": token, "lease_seconds": 3600.0, "crashed": False, "limit": LEASE_IMAGES}
    return database.fetch_all("lease_images", lease)


def _administrate(host: str, sql: str) -> None:
    connection = connect(host)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()
