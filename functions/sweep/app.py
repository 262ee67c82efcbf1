"""sweep: every minute, rings again for work that stands still."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.database import Database
from imagejobs.executions import Finalizer
from imagejobs.queues import Queue
from imagejobs.settings import max_images_out
from imagejobs.steps.sweep import Sweeper

logger = Logger()


@cache
def sweeper() -> Sweeper:
    """What the environment works with."""
    return Sweeper(
        database=Database.from_environment(),
        row_queue=Queue.from_environment("ROW_QUEUE_URL"),
        upload_queue=Queue.from_environment("UPLOAD_QUEUE_URL"),
        max_images_out=max_images_out(),
        finalizer=Finalizer.from_environment(),
    )


def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, int]:
    """Sweep once."""
    return sweeper().sweep()
