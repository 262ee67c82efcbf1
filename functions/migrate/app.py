"""migrate: brings the database to the newest schema, with each deployment, before other functions get their code."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.custom_resource import answer
from imagejobs.database import Database
from imagejobs.migrations import migrate

logger = Logger()


def handler(event: dict[str, Any], _context: LambdaContext) -> None:
    """Answer one request of CloudFormation: apply what has not been applied yet; the data outlives the stack."""
    try:
        applied = [] if event["RequestType"] == "Delete" else migrate(Database.from_environment())
    except Exception as error:
        logger.exception("migration_failed")
        answer(event, error)
        return
    logger.info("schema_migrated", applied=applied)
    answer(event)
