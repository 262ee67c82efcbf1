"""After a restart: Postgres and S3 are as they were, queues and executions are gone; every bell rings again.

It does no harm to work that needs no ringing: the service does nothing twice for a repeated message.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

import psycopg2
from psycopg2.extensions import connection

from local.ministack import client_options, session

# Nothing is in a queue and nobody works: cursors into the queue go back, leases end.
_FORGET_QUEUE = """
UPDATE job_request SET rows_sent = 0, fan_out_token = NULL, fan_out_leased_until = NULL
WHERE status IN ('PENDING', 'PROCESSING') AND finalizable_at IS NULL;
UPDATE compressed_images SET lease_token = NULL, leased_until = NULL WHERE lease_token IS NOT NULL;
"""

_FINISHED_SOURCES = "SELECT source_key, source_version FROM job_request WHERE finalizable_at IS NOT NULL"

# Jobs whose finalizer was cut off; it goes on with the first attempt at the webhook that was not recorded.
_UNFINISHED_EXECUTIONS = """
SELECT request_id::text, generation, finalizer_run FROM job_request
WHERE finalizable_at IS NOT NULL AND settled_at IS NULL
"""


def ring_again(port: int, database_url: str, outputs: Mapping[str, str]) -> None:
    """Ring for every file, row and finalizer that had not come to its end when the stack stopped.

    Args:
        port: The port that ministack listens on.
        database_url: The database, migrated.
        outputs: The template's outputs.
    """
    database = psycopg2.connect(database_url)
    try:
        with database, database.cursor() as cursor:
            cursor.execute(_FORGET_QUEUE)
        _ring_files(port, outputs, set(_rows(database, _FINISHED_SOURCES)))
        _start_finalizers(port, outputs["FinalizerArn"], _rows(database, _UNFINISHED_EXECUTIONS))
    finally:
        database.close()


def _rows(database: connection, query: str) -> list[tuple[Any, ...]]:
    with database, database.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def _ring_files(port: int, outputs: Mapping[str, str], finished: set[tuple[Any, ...]]) -> None:
    sqs = session().client("sqs", **client_options(port))
    for key, version in _sources(port, outputs["BucketName"]):
        if (key, version) not in finished:
            sqs.send_message(QueueUrl=outputs["UploadQueueUrl"], MessageBody=_created_event(key, version))


def _sources(port: int, bucket: str) -> Iterator[tuple[str, str]]:
    """Every version of every CSV in the bucket."""
    versions = session().client("s3", **client_options(port)).get_paginator("list_object_versions")
    for prefix in ("uploads/", "drop/"):
        for page in versions.paginate(Bucket=bucket, Prefix=prefix):
            for version in page.get("Versions", []):
                yield version["Key"], version["VersionId"]


def _created_event(key: str, version: str) -> str:
    """The event that S3 sends, as far as the service reads it.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    described = {"key": quote_plus(key, safe="/"), "versionId": version}
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": described}}
    return json.dumps({"Records": [record]})


def _start_finalizers(port: int, arn: str, jobs: list[tuple[Any, ...]]) -> None:
    stepfunctions = session().client("stepfunctions", **client_options(port))
    for request_id, generation, run in jobs:
        stepfunctions.start_execution(
            stateMachineArn=arn,
            name=f"{request_id}-{generation}" + (f"-{run}" if run > 1 else ""),
            input=json.dumps({"request_id": request_id, "generation": generation, "run": run}),
        )
