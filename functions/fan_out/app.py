"""fan_out: from a CSV in S3 to rows in Postgres and one message a row."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.database import Database
from imagejobs.destination_settings import destinations
from imagejobs.executions import Finalizer
from imagejobs.jobs import sheet_request_id
from imagejobs.queues import Message, Queue
from imagejobs.settings import max_images_out, required
from imagejobs.steps.fan_out import FanOut

logger = Logger()


@cache
def fan_out() -> FanOut:
    """What the environment works with."""
    return FanOut(
        bucket=Bucket.from_environment(),
        database=Database.from_environment(),
        row_queue=Queue.from_environment("ROW_QUEUE_URL"),
        upload_queue=Queue.from_environment("UPLOAD_QUEUE_URL"),
        max_images_out=max_images_out(),
        finalizer=Finalizer.from_environment(),
        drop_owner=required("DROP_OWNER"),
        drop_daily_images=int(required("DROP_DAILY_IMAGES")),
        default_webhook_url=required("DEFAULT_WEBHOOK_URL"),
        destinations=destinations(),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Fan out the files of a batch of S3 events; an event that fails is given back to the queue."""
    failures = []
    for message in map(Message.from_event_record, event["Records"]):
        logger.remove_keys(["request_id"])
        try:
            _fan_out(message, context)
        except Exception:
            logger.exception("fan_out_failed", message_id=message.message_id)
            fan_out().upload_queue.back_off(message)
            failures.append({"itemIdentifier": message.message_id})
    return {"batchItemFailures": failures}


def _fan_out(message: Message, context: LambdaContext) -> None:
    for record in message.body.get("Records", []):  # s3:TestEvent has none
        source = ObjectVersion.from_event_record(record)
        logger.append_keys(request_id=sheet_request_id(fan_out().bucket.name, source))
        fan_out().run(source, lambda: context.get_remaining_time_in_millis() / 1000)
        logger.info("file_fanned_out", key=source.key, version=source.version)
