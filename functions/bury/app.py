"""bury: final outcomes for dead-lettered rows and files."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.executions import Finalizer
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
        try:
            undertaker().bury(Message.from_event_record(record))
            logger.warning("message_buried", message_id=record["messageId"], queue=record["eventSourceARN"])
        except Exception:
            logger.exception("burial_failed", message_id=record["messageId"])
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}
