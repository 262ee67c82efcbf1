"""compress: the images of a few rows, from their origins to S3, and their outcome into Postgres."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.codec import Codec
from imagejobs.database import Database
from imagejobs.destination_settings import destinations
from imagejobs.executions import Finalizer
from imagejobs.fetch import Fetcher
from imagejobs.queues import Message, Queue
from imagejobs.settings import codec_processes, max_images_out, required
from imagejobs.steps.compress import TRANSFERS, RowWorker

logger = Logger()


@cache
def worker() -> RowWorker:
    """What the environment works with."""
    return RowWorker(
        database=Database.from_environment(),
        bucket=Bucket.from_environment(max_connections=TRANSFERS),
        fetcher=Fetcher(destinations()),
        row_queue=Queue.from_environment("ROW_QUEUE_URL"),
        upload_queue=Queue.from_environment("UPLOAD_QUEUE_URL"),
        max_images_out=max_images_out(),
        finalizer=Finalizer.from_environment(),
        image_base_url=required("IMAGE_BASE_URL"),
        codec=Codec(processes=codec_processes()),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Compress the rows of a batch; a row that is not done is given back to the queue."""
    messages, failures = read(event["Records"])
    given_back = run(messages, context)
    failures += [message.message_id for message in given_back]
    logger.info("rows_compressed", request_ids=request_ids(messages), rows=len(messages), given_back=len(failures))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}


def read(records: list[dict[str, Any]]) -> tuple[list[Message], list[str]]:
    """The messages that name a row, and the ids of those that do not: the dead-letter queue is their place."""
    messages, unreadable = [], []
    for record in records:
        try:
            message = Message.from_event_record(record)
            message.row  # noqa: B018 raises for a body that names none
            messages.append(message)
        except (KeyError, TypeError, ValueError):
            logger.exception("message_unreadable", message_id=record["messageId"])
            unreadable.append(record["messageId"])
    return messages, unreadable


def run(messages: list[Message], context: LambdaContext) -> list[Message]:
    """The messages to give back: of rows that are not done, or all of them when the batch failed as a whole."""
    try:
        return worker().run(messages, lambda: context.get_remaining_time_in_millis() / 1000)
    except Exception:
        logger.exception("batch_failed", request_ids=request_ids(messages))
        for message in messages:
            worker().row_queue.back_off(message)
        return messages


def request_ids(messages: list[Message]) -> list[str]:
    """The jobs that the messages belong to, each once."""
    return sorted({str(message.row.request_id) for message in messages})
