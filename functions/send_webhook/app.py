"""send_webhook: one signed attempt at a webhook."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.callers import Callers
from imagejobs.destination_settings import destinations
from imagejobs.fetch import Fetcher
from imagejobs.steps.send_webhook import Sender
from imagejobs.webhook import request_id_of

logger = Logger()


@cache
def sender() -> Sender:
    """What the environment works with."""
    return Sender(
        bucket=Bucket.from_environment(),
        fetcher=Fetcher(destinations()),
        callers=Callers.from_environment(),
    )


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Send the event that a `close_job` result names once."""
    logger.append_keys(request_id=request_id_of(event["event_id"]), event_id=event["event_id"])
    try:
        answer = sender().send(event)
    except Exception:
        logger.exception("webhook_attempt_failed")
        raise
    logger.info("webhook_attempted", status_code=answer["status_code"], error_message=answer["error_message"])
    return answer
