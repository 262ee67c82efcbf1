"""What reports cost: the hash of each picture beside compressing it, and one report over many images.

The report's statements run against an embedded Postgres; pictures are neither fetched nor scaled, for that has nothing
to do with how many there are. Half of the images share three quarters of their hash with a hundred others.

    PYTHONPATH=layers/imagejobs/python .venv/bin/python -m benchmarks.job_report

IMAGES=1000000 and ROUNDS=20 say how much; CHECK=1 fails on a missed target.
"""

import os
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg2.extensions

from benchmarks.function import peak_megabytes
from benchmarks.pictures import jpegs
from benchmarks.report import Figure, finish
from benchmarks.scale.server import connect, database_at, running
from imagejobs.errors import OriginUnavailable
from imagejobs.image import compress
from imagejobs.image_hash import perceptual_hash
from imagejobs.image_header import read_header
from imagejobs.image_reader import load, open_picture
from imagejobs.options import CompressionOptions
from imagejobs.steps.report import Reporter

OPTIONS = CompressionOptions()
MOST_HASH_SHARE = 0.03
MOST_SECONDS = 60.0  # half of the function's time; the other half is for pictures
MOST_MEGABYTES = 300.0

INSERT_JOB = """
INSERT INTO job_request (request_id, owner, source_key, source_version, status, completion_percentage, rows_staged,
                         rows_sent, rows_total, images_total, images_completed, images_failed, bytes_before,
                         bytes_after, finalizable_at)
SELECT %(request_id)s, 'bench', 'uploads/bench.csv', '1', 'COMPLETED', 100, n, n, n, n, n - n / 20, n / 20, 512000,
       204800, now()
FROM (SELECT %(images)s AS n) AS size
"""
INSERT_FAILED_IMAGES = """
INSERT INTO compressed_images (request_id, row_number, position, product_name, source_url, status, error_code,
                               error_message)
SELECT %(request_id)s, n, 1, 'Product ' || n, 'https://cdn.shop.example/pictures/' || n || '.jpg', 'FAILED',
       (ARRAY['origin_refused', 'image_unreadable', 'url_refused'])[1 + n %% 3], 'The origin answered 404 for it.'
FROM generate_series(20, %(images)s, 20) AS n
"""
INSERT_IMAGES = """
INSERT INTO compressed_images (request_id, row_number, position, product_name, source_url, status, image_url,
                               object_key, format, outcome, width, height, bytes_before, bytes_after, perceptual_hash)
SELECT %(request_id)s, n, 1, 'Product ' || n, 'https://cdn.shop.example/pictures/' || n || '.jpg', 'COMPLETED',
       'https://images.example/images/' || n || '-1-0123456789abcdef.jpg', 'images/' || n || '-1-0123456789abcdef.jpg',
       (ARRAY['jpeg', 'webp', 'png'])[1 + n %% 3], 'smaller', 400 + n %% 1000, 600 + n %% 900,
       200000 + n %% 50000, 100000 + n %% 70000,
       hashint8extended(CASE n %% 2 WHEN 0 THEN n ELSE n / 200 END, 1) & ~65535::bigint | hashint8extended(n, 2) & 65535
FROM generate_series(1, %(images)s) AS n WHERE n %% 20 <> 0
"""


def main() -> None:
    """Measure and report."""
    rounds, images = int(os.environ.get("ROUNDS", "20")), int(os.environ.get("IMAGES", "100000"))
    hashing, compressing = cpu_seconds(jpegs(), rounds)
    with running() as host:
        connection = connect(host)
        request_id = fill(connection, images)
        before = peak_megabytes()
        seconds, page_bytes = report_seconds(host, request_id)
        connection.close()
    figures = [
        Figure("CPU of a picture's hash, ms", hashing * 1000),
        Figure("CPU of compressing it, the hash in it, ms", compressing * 1000),
        Figure("hash : compressing", hashing / compressing, at_most=MOST_HASH_SHARE),
        Figure("images of the job", images),
        Figure("report without its pictures, s", seconds, at_most=MOST_SECONDS),
        Figure("its page, KB", page_bytes / 1000),
        Figure("peak of resident memory before it, MB", before),
        Figure("and with it, MB", peak_megabytes(), at_most=MOST_MEGABYTES),
    ]
    finish("job_report", figures)


def cpu_seconds(pictures: Sequence[bytes], rounds: int) -> tuple[float, float]:
    """CPU seconds of hashing a decoded picture, and of compressing it, in turn."""
    decoded = []
    for body in pictures:
        picture = open_picture(body, read_header(body))
        load(picture)
        decoded.append(picture)
    took = [0.0, 0.0]
    for _ in range(rounds):
        for body, picture in zip(pictures, decoded, strict=True):
            began = time.process_time()
            perceptual_hash(picture, 1)
            hashed = time.process_time()
            compress(body, OPTIONS)
            took[0] += hashed - began
            took[1] += time.process_time() - hashed
    count = rounds * len(pictures)
    return took[0] / count, took[1] / count


def fill(connection: psycopg2.extensions.connection, images: int) -> UUID:
    """A job with so many images, a twentieth of them failed; its id."""
    request_id = uuid4()
    with connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in (INSERT_JOB, INSERT_FAILED_IMAGES, INSERT_IMAGES):
            cursor.execute(statement, {"request_id": request_id, "images": images})
    return request_id


def report_seconds(host: str, request_id: UUID) -> tuple[float, int]:
    """Seconds to write the report, and the bytes of its page."""
    pages: list[bytes] = []

    def put(_key: str, page: bytes, _content_type: str) -> str:
        pages.append(page)
        return "1"

    bucket: Any = SimpleNamespace(put=put, newest=lambda _key: b"")
    database = database_at(host)
    reporter = Reporter(database, bucket, _unreachable(), _unused())
    began = time.monotonic()
    assert reporter.write(request_id, 1, lambda: 120.0)
    seconds = time.monotonic() - began
    database.close()
    return seconds, len(pages[0])


def _unreachable() -> Any:  # noqa: ANN401 what stands for the fetcher
    def get(url: str, **_: object) -> bytes:
        raise OriginUnavailable(f"Nobody was asked for {url}.")

    return SimpleNamespace(get=get)


def _unused() -> Any:  # noqa: ANN401 what stands for the codec
    def refuse(*_: object) -> None:
        raise OriginUnavailable("It was not scaled.")

    return SimpleNamespace(compress=refuse)


if __name__ == "__main__":
    main()
