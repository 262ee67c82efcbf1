"""migrate: numbered SQL files, each applied once, in order, forward only."""

import re
from importlib.resources import files

from imagejobs.database import Database, Transaction

_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")
# The lock makes a second migrate wait, and then find nothing to do; its key is this project's own.
_LEDGER = """
SELECT pg_advisory_xact_lock(4912067);
SET LOCAL lock_timeout = '5s'; -- while it waits for a table, everybody else waits behind it
CREATE TABLE IF NOT EXISTS schema_migration (
    version    int PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


def migrations() -> list[tuple[int, str, str]]:
    """All migrations as (version, file name, SQL), in order."""
    paths = (files(__package__) / "sql" / "migrations").iterdir()
    numbered = [(match, path) for path in paths if (match := _FILE_NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path.name, path.read_text(encoding="utf-8")) for match, path in numbered)


def migrate(database: Database) -> list[str]:
    """Apply what has not been applied, in one transaction; the file names applied now."""
    return database.transact(_apply_missing)


def _apply_missing(transaction: Transaction) -> list[str]:
    transaction.run_script(_LEDGER)
    applied = {row["version"] for row in transaction.fetch_all("list_migrations")}
    missing = [migration for migration in migrations() if migration[0] not in applied]
    for version, name, sql in missing:
        transaction.run_script(sql)
        transaction.execute("record_migration", {"version": version, "name": name})
    return [name for _, name, _ in missing]
