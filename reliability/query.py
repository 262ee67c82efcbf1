"""One statement on the stack's database, for those who look on from outside."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2


def query(
    database_url: str, sql: str, parameters: Sequence[object] | Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """Run a statement in a transaction of its own; its rows, none for an UPDATE."""
    database = psycopg2.connect(database_url)
    try:
        with database, database.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        database.close()
