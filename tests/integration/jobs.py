"""Builders for tests of state: sheets, jobs, messages, and what came of them."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
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
        "options": Json({}),
        "webhook_url": None,
    }
    database.execute("insert_uploaded_job", {**job, **columns})
    return request_id, ObjectVersion(key, bucket.put(key, body, "text/csv"))


def finish(database: Database, request_id: UUID, *, failing: Collection[tuple[int, int]] = ()) -> None:
    """End every pending image of a staged job as a compression would; FAILED at each (row, position) in `failing`.

    A completed image had 1000 bytes and has 400.
    """
    token, rows = uuid4(), sorted({image["row_number"] for image in images_of(database, request_id)})
    keys = {"request_ids": [request_id] * len(rows), "row_numbers": rows}
    leased = database.fetch_all("lease_images", {**keys, "token": token, "lease_seconds": 60})
    finished = [_outcome(image, failed=(image["row_number"], image["position"]) in failing) for image in leased]
    database.execute("finish_images", {"finished": json.dumps(finished), "token": token})


def _outcome(image: dict[str, Any], *, failed: bool) -> dict[str, Any]:
    if failed:
        failure = {"error_code": "origin_refused", "error_message": "The origin answered 404."}
        return {"image_id": str(image["image_id"]), "status": "FAILED", **failure}
    key = f"images/{image['request_id']}/{image['row_number']}-{image['position']}.jpg"
    result = {"image_url": f"https://images.example/{key}", "object_key": key, "format": "jpeg", "outcome": "smaller"}
    sizes = {"width": 40, "height": 30, "bytes_before": 1000, "bytes_after": 400}
    return {"image_id": str(image["image_id"]), "status": "COMPLETED", **result, **sizes}


def job_of(database: Database, request_id: UUID) -> dict[str, Any]:
    """The job's row."""
    job = database.fetch_one("get_job", {"request_id": request_id})
    assert job is not None
    return job


def images_of(database: Database, request_id: UUID) -> list[dict[str, Any]]:
    """The job's images in the sheet's order."""
    everything = {"request_id": request_id, "after_row": 0, "after_position": 0, "limit": 1_000_000}
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
