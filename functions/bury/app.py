"""bury: final outcomes for dead-lettered rows and files."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.executions import Finalizer
from imagejobs.metrics import Metric, emit
from imagejobs.queues import Message
from imagejobs.settings import required
from imagejobs.steps.bury import Undertaker

logger = Logger()


@cache
def undertaker() -> Undertaker:
    """What the environment works with."""
    return Undertaker(
        database=Database.from_environment(),
        bucket=Bucket.from_environment(),
        finalizer=Finalizer.from_environment(),
        drop_owner=required("DROP_OWNER"),
        default_webhook_url=required("DEFAULT_WEBHOOK_URL"),
    )


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Bury a batch of dead letters; one that fails stays in the dead-letter queue."""
    failures = []
    for record in event["Records"]:
        logger.remove_keys(["request_ids"])
        try:
            bury(Message.from_event_record(record))
        except Exception:
            logger.exception("burial_failed", message_id=record["messageId"])
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def bury(message: Message) -> None:
    """Bury one dead letter; from here on the log names its jobs."""
    logger.append_keys(request_ids=undertaker().request_ids(message))
    undertaker().bury(message)
    logger.warning("message_buried", message_id=message.message_id)
    emit({Metric.MESSAGES_BURIED: 1}, message_id=message.message_id)
