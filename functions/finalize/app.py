"""finalize: the finalizer's steps that need the database."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.settings import required
from imagejobs.steps.finalize import Closer

logger = Logger()


@cache
def closer() -> Closer:
    """What the environment works with."""
    return Closer(
        database=Database.from_environment(),
        bucket=Bucket.from_environment(),
        api_base_url=required("API_BASE_URL"),
        webhook_time_scale=float(required("WEBHOOK_TIME_SCALE")),
    )


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Run the step that the state machine names, on its state."""
    result = closer().run(event["step"], event["state"])
    logger.info("step_finished", step=event["step"], request_id=event["state"]["request_id"])
    if result.get("outcome") == "exhausted":
        with single_metric(name="WebhookExhausted", unit=MetricUnit.Count, value=1):
            logger.warning("webhook_exhausted", request_id=event["state"]["request_id"])
    return result
