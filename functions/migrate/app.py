"""migrate: brings the database to the newest schema."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagejobs.database import Database
from imagejobs.migrations import migrate

logger = Logger()


def handler(_event: dict[str, Any], _context: LambdaContext) -> dict[str, list[str]]:
    """Apply what has not been applied yet; the names of the files."""
    applied = migrate(Database.from_environment())
    logger.info("schema_migrated", applied=applied)
    return {"applied": applied}
