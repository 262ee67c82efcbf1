"""finalize: the finalizer's steps that need the database."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.queues import Queue
from imagejobs.settings import required
from imagejobs.steps.finalize import Closer

logger = Logger()


@cache
def closer() -> Closer:
    """What the environment works with."""
    return Closer(
        database=Database.from_environment(),
        bucket=Bucket.from_environment(),
        report_queue=Queue.from_environment("REPORT_QUEUE_URL"),
        api_base_url=required("API_BASE_URL"),
        webhook_time_scale=float(required("WEBHOOK_TIME_SCALE")),
        compress_concurrency=int(required("COMPRESS_CONCURRENCY")),
    )


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Run the step that the state machine names, on its state."""
    logger.append_keys(step=event["step"], request_id=event["state"]["request_id"])
    try:
        result = closer().run(event["step"], event["state"])
    except Exception:
        logger.exception("step_failed")
        raise
    logger.info("step_finished", outcome=result.get("outcome"))
    return result
