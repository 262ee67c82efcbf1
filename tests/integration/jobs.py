"""Builders for tests of state: sheets, jobs, messages, and what came of them."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

import boto3
from psycopg2.extras import Json

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database
from imagejobs.queues import Message, Queue

HEADER = "S. No.,Product Name,Input Image Urls\n"


def plenty() -> float:
    """An invocation with time enough."""
    return 300.0


def urls(count: int, url: str = "https://shop.example/a.jpg") -> list[str]:
    """As many different URLs."""
    return [f"{url}?{number}" for number in range(count)]


def sheet(*cells: str) -> bytes:
    """A CSV with one row for each cell of image URLs."""
    rows = [f'{number},Product {number},"{urls}"\n' for number, urls in enumerate(cells, start=1)]
    return (HEADER + "".join(rows)).encode()


def upload(database: Database, bucket: Bucket, body: bytes, **columns: Any) -> tuple[UUID, ObjectVersion]:
    """A job as the API leaves it: its row, and its CSV in the bucket."""
    request_id = uuid4()
    key = f"uploads/{request_id}.csv"
    job = {
        "request_id": request_id,
        "owner": "shop",
        "source_key": key,
        "source_version": None,
        "options": Json({}),
        "layout": Json({}),
        "webhook_url": None,
        "idempotency_key": None,
        "upload_sha256": None,
        "daily_images": None,
    }
    database.execute("insert_job", {**job, **columns})
    return request_id, ObjectVersion(key, bucket.put(key, body, "text/csv"))


def job_of(database: Database, request_id: UUID) -> dict[str, Any]:
    """The job's row."""
    job = database.fetch_one("get_job", {"request_id": request_id})
    assert job is not None
    return job


def images_of(database: Database, request_id: UUID) -> list[dict[str, Any]]:
    """The job's images in the sheet's order."""
    everything = {"request_id": request_id, "after_row": 0, "after_position": 0, "status": None, "limit": 1_000_000}
    return database.fetch_all("list_images", everything)


def query(connect: Callable[[], Any], sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Any SQL on a connection of its own; rows if it returns some."""
    connection = connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def received(queue: Queue) -> list[Message]:
    """All messages that are visible in the queue now, received."""
    client, url = boto3.client("sqs"), queue._url
    messages: list[Message] = []
    while batch := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        messages += [Message(m["MessageId"], m["ReceiptHandle"], 1, json.loads(m["Body"])) for m in batch]
    return messages


def rows_in(messages: Iterable[Message]) -> list[int]:
    """The row numbers that messages name."""
    return [message.row.row_number for message in messages]


def executions() -> Sequence[str]:
    """Names of the finalizer executions started so far, sorted."""
    client = boto3.client("stepfunctions")
    arn = client.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    return sorted(execution["name"] for execution in client.list_executions(stateMachineArn=arn)["executions"])
