"""The invariants that need S3: each a generator of what violates it, whose docstring says what is wrong.

Postgres and S3 are read as two streams in the order of keys, so that any number of them passes through flat memory.
Postgres is asked first: what a commit speaks of was stored before it.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

from psycopg2.extensions import connection

from imagejobs.bucket import IMAGE_PREFIX, RESULT_PREFIX
from operations.target import Target

T = TypeVar("T")
U = TypeVar("U")

PAGE = 1000  # keys that S3 lists, and Postgres is asked about, at a time

# Postgres sorts as S3 does, by bytes.
_IMAGES = """
SELECT object_key, bytes_after
FROM (SELECT DISTINCT object_key, bytes_after FROM compressed_images WHERE status = 'COMPLETED') AS image
ORDER BY object_key COLLATE "C"
"""

# An image that was completed, or a job that was begun, after `_IMAGES` was asked is known to this.
_UNCLAIMED = """
SELECT stored.key
FROM unnest(%s::text[], %s::uuid[]) AS stored (key, request_id)
LEFT JOIN job_request AS job USING (request_id)
WHERE coalesce(job.status, 'FAILED') IN ('COMPLETED', 'FAILED')
  AND NOT EXISTS (SELECT FROM compressed_images AS image
                  WHERE image.request_id = stored.request_id AND image.object_key = stored.key)
  AND NOT EXISTS (SELECT FROM compressed_images AS image
                  WHERE image.object_key = stored.key AND image.reused IS NOT NULL)
ORDER BY stored.key
"""

# A sheet that was not read has no rows, and a file with the reason, unless S3 takes no key of that length.
_RESULTS = """
SELECT key, version, request_id
FROM (
    SELECT request_id, result_key AS key, result_version AS version FROM job_request
    WHERE status IN ('COMPLETED', 'FAILED') AND rows_total > 0 AND result_key IS NOT NULL
    UNION ALL
    SELECT request_id, regexp_replace(source_key, '^(drop|uploads)/', %s) || '.failures.csv', failures_version
    FROM job_request WHERE status IN ('COMPLETED', 'FAILED') AND failures_version IS NOT NULL
    UNION ALL
    SELECT request_id, regexp_replace(source_key, '^(drop|uploads)/', %s) || '.error.json', NULL FROM job_request
    WHERE status IN ('COMPLETED', 'FAILED') AND rows_total = 0
) AS result
WHERE octet_length(key) <= 1024
ORDER BY key COLLATE "C"
"""


def image_objects(target: Target) -> Iterator[str]:
    """A completed image has no object in S3, or one of another size."""
    with closing(target.connect()) as database:
        for key, image_sizes, object_sizes in _outer_join(_images(database), _stored_images(target)):
            if image_sizes and image_sizes != object_sizes:
                found = f"{object_sizes[0]:,} bytes" if object_sizes else "none"
                yield f"{key}: {image_sizes[0]:,} bytes expected, found {found}"


def stray_objects(target: Target) -> Iterator[str]:
    """An object under images/ belongs to no image, and its job, if there is one, has ended."""
    with closing(target.connect()) as database:
        joined = _outer_join(_images(database), _stored_images(target))
        unmatched = (key for key, image_sizes, _ in joined if not image_sizes)
        while keys := list(islice(unmatched, PAGE)):
            with database.cursor() as cursor:
                cursor.execute(_UNCLAIMED, (keys, [_request_id(key) for key in keys]))
                yield from (key for (key,) in cursor.fetchall())


def result_objects(target: Target) -> Iterator[str]:
    """An ended job's finished CSV, its failures, or the file that says why there is none, is not in S3."""
    with closing(target.connect()) as database:
        expected = (
            (key, (version, request_id))
            for key, version, request_id in _stream(database, _RESULTS, RESULT_PREFIX, RESULT_PREFIX)
        )
        for key, jobs, versions in _outer_join(expected, _stored_results(target)):
            for version, request_id in jobs:
                if not versions or version not in {None, *versions}:
                    yield f"{request_id}: {key}" + (f" version {version}" if version else "")


CHECKS: tuple[Callable[[Target], Iterator[str]], ...] = (image_objects, stray_objects, result_objects)


def _outer_join(
    left: Iterable[tuple[str, T]], right: Iterable[tuple[str, U]]
) -> Iterator[tuple[str, list[T], list[U]]]:
    """For each key of two streams sorted by it: what the left one has there, and what the right one has."""
    tagged: Iterator[tuple[str, bool, Any]] = heapq.merge(
        ((key, False, value) for key, value in left), ((key, True, value) for key, value in right), key=itemgetter(0, 1)
    )
    for key, group in groupby(tagged, key=itemgetter(0)):
        values = [(from_right, value) for _, from_right, value in group]
        yield key, [v for from_right, v in values if not from_right], [v for from_right, v in values if from_right]


def _images(database: connection) -> Iterator[tuple[str, int]]:
    """Key and size of every completed image."""
    return _stream(database, _IMAGES)


def _stream(database: connection, sql: str, *parameters: object) -> Iterator[Any]:
    """The rows of a query by a server-side cursor."""
    with database.cursor(name="stream") as cursor:
        cursor.execute(sql, parameters)
        yield from cursor


def _stored_images(target: Target) -> Iterator[tuple[str, int]]:
    """Key and size of every object under images/."""
    pages = target.s3().get_paginator("list_objects_v2").paginate(Bucket=target.names["bucket"], Prefix=IMAGE_PREFIX)
    return ((stored["Key"], stored["Size"]) for page in pages for stored in page.get("Contents", []))


def _stored_results(target: Target) -> Iterator[tuple[str, str]]:
    """Key and version of every version of every object under results/."""
    pages = (
        target.s3().get_paginator("list_object_versions").paginate(Bucket=target.names["bucket"], Prefix=RESULT_PREFIX)
    )
    return ((stored["Key"], stored["VersionId"]) for page in pages for stored in page.get("Versions", []))


def _request_id(key: str) -> str | None:
    """The job in whose folder an object lies; None in a folder that is no job's."""
    try:
        return str(UUID(key.removeprefix(IMAGE_PREFIX).partition("/")[0]))
    except ValueError:
        return None
