"""report: one page about a job that has ended, to read and to forward."""

from functools import cache
from typing import Any
from uuid import UUID

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.codec import Codec
from imagejobs.database import Database
from imagejobs.destination_settings import destinations
from imagejobs.fetch import Fetcher
from imagejobs.queues import Message, Queue
from imagejobs.steps.report import Reporter

logger = Logger()


@cache
def reporter() -> Reporter:
    """What the environment works with."""
    return Reporter(
        database=Database.from_environment(),
        bucket=Bucket.from_environment(),
        fetcher=Fetcher(destinations()),
        codec=Codec(),
    )


@cache
def report_queue() -> Queue:
    """Where the messages came from."""
    return Queue.from_environment("REPORT_QUEUE_URL")


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Write the reports that the messages name; one that fails is tried again a little later."""
    failures = []
    for record in event["Records"]:
        message = Message.from_event_record(record)
        if not wrote(message, context):
            failures.append({"itemIdentifier": message.message_id})
    return {"batchItemFailures": failures}


def wrote(message: Message, context: LambdaContext) -> bool:
    """Whether the report is there now, or nobody waits for it any more."""
    request_id = message.body["request_id"]
    try:
        written = reporter().write(
            UUID(request_id),
            message.body["generation"],
            lambda: context.get_remaining_time_in_millis() / 1000,
        )
    except Exception:
        logger.exception("report_failed", request_id=request_id)
        report_queue().back_off(message)
        return False
    logger.info("report_finished", request_id=request_id, written=written)
    return True
