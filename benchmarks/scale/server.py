"""An embedded Postgres with the newest schema, and nothing else of the stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2

from imagejobs.database import Database
from imagejobs.migrations import migrate
from local import database as embedded


@contextmanager
def running() -> Iterator[str]:
    """Run a server until the block ends; its libpq host. It has the settings of the local stack's, fsync among them."""
    with TemporaryDirectory(prefix="imagejobs-scale-") as state_dir:
        data_dir = Path(state_dir) / "postgres"
        data_dir.mkdir()
        with embedded.running(data_dir) as server:
            host = embedded.socket_dir(server)
            database = database_at(host)
            migrate(database)
            database.close()
            yield host


def connect(host: str) -> psycopg2.extensions.connection:
    """A connection to the server's one database."""
    return psycopg2.connect(host=host, user=embedded.USER, dbname=embedded.NAME)


def database_at(host: str) -> Database:
    """The database as the steps use it."""
    return Database(lambda: connect(host))
