"""Postgres, for every step that keeps state: one connection, short transactions, safe repeats."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

import boto3
import psycopg2
import psycopg2.extensions
import psycopg2.extras

from imagejobs.queries import statement
from imagejobs.settings import required

T = TypeVar("T")
Row = dict[str, Any]
Connect = Callable[[], psycopg2.extensions.connection]

# A proxy keeps a connection to one client for good once it was sent a statement of over 16 KB, its values included:
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html. The text of those that take arrays has
# 4 KB at most (tests/unit/test_queries.py).
MAX_VALUES_BYTES = 12_000

ATTEMPTS = 5
FIRST_DELAY_SECONDS = 0.1

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]


class StatementFailed(Exception):
    """Postgres refused a statement; the message says what, without the values in it."""


class Transaction:
    """One open transaction; it commits when the block it was made for ends without an exception."""

    def __init__(self, cursor: psycopg2.extras.RealDictCursor) -> None:
        self._cursor = cursor

    def execute(self, name: str, parameters: Mapping[str, object] | None = None) -> int:
        """Run the named statement; the number of rows it touched."""
        with _values_kept_back(name):
            self._cursor.execute(statement(name), parameters)
        return int(self._cursor.rowcount)

    def fetch_all(self, name: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Run the named statement; its rows as dictionaries."""
        self.execute(name, parameters)
        return [dict(row) for row in self._cursor.fetchall()]

    def fetch_one(self, name: str, parameters: Mapping[str, object] | None = None) -> Row | None:
        """Run the named statement; its first row, or None."""
        rows = self.fetch_all(name, parameters)
        return rows[0] if rows else None

    def copy(self, name: str, lines: TextIO) -> None:
        """Run the named `COPY … FROM STDIN` with lines in Postgres' text format."""
        with _values_kept_back(name):
            self._cursor.copy_expert(statement(name), lines)

    def run_script(self, sql: str) -> None:
        """Run SQL that is not a named statement: a migration."""
        self._cursor.execute(sql)


class Database:
    """A lazily made, self-mending connection to Postgres. Threads that share it wait for each other's transactions.

    Args:
        connect: Opens a new connection.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connection: psycopg2.extensions.connection | None = None
        self._turn = threading.Lock()

    @classmethod
    def from_environment(cls) -> "Database":
        """The database of the libpq connection string in `DATABASE_DSN`, which says as well how TLS is checked."""
        return cls(_connect_from_environment)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction and commit it.

        A lost connection, a deadlock or a serialization failure runs it again, up to 5 times in about 3 s.
        A COMMIT whose reply was lost runs it again too, so `work` must be built of guarded transitions.

        Raises:
            psycopg2.OperationalError: The database did not answer at any attempt.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._turn, self._transaction() as transaction:
                    return work(transaction)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                if attempt == ATTEMPTS:
                    raise
                time.sleep(FIRST_DELAY_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("unreachable")

    def execute(self, name: str, parameters: Mapping[str, object] | None = None) -> int:
        """One statement in a transaction of its own; the number of rows it touched."""
        return self.transact(lambda transaction: transaction.execute(name, parameters))

    def fetch_all(self, name: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """One statement in a transaction of its own; its rows."""
        return self.transact(lambda transaction: transaction.fetch_all(name, parameters))

    def fetch_one(self, name: str, parameters: Mapping[str, object] | None = None) -> Row | None:
        """One statement in a transaction of its own; its first row, or None."""
        return self.transact(lambda transaction: transaction.fetch_one(name, parameters))

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        if self._connection is None:
            self._connection = self._connect()
        try:
            with (
                self._connection,
                self._connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor,
            ):
                yield Transaction(cursor)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            # The connection may be half-dead; a new one costs a few milliseconds.
            self.close()
            raise


@contextmanager
def _values_kept_back(name: str) -> Iterator[None]:
    """Postgres' details quote whole rows, URLs with their queries among them: they must not reach a log."""
    try:
        yield
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        raise StatementFailed(f"{name}: {error.diag.message_primary}") from None


def json_arrays(records: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """The records as JSON arrays, one after another, each of no more than fits into a statement of 16 KB.

    A record that is too large for that by itself has an array of its own.
    """
    array: list[str] = []
    left = MAX_VALUES_BYTES
    for text in map(json.dumps, records):
        size = len(text) + text.count("'") + text.count("\\") + 2  # as a literal: two of each
        if array and size > left:
            yield f"[{', '.join(array)}]"
            array, left = [], MAX_VALUES_BYTES
        array.append(text)
        left -= size
    if array:
        yield f"[{', '.join(array)}]"


def _connect_from_environment() -> psycopg2.extensions.connection:
    dsn = required("DATABASE_DSN")
    connection: psycopg2.extensions.connection = psycopg2.connect(
        dsn,
        **_credentials(psycopg2.extensions.parse_dsn(dsn)),
        connect_timeout=5,
        keepalives_idle=30,
        tcp_user_timeout=10_000,
        application_name=required("POWERTOOLS_SERVICE_NAME"),
    )
    return connection


def _credentials(server: Mapping[str, str]) -> dict[str, Any]:
    """Those of the secret, read for each connection since RDS changes them; without a secret, IAM's.

    A proxy takes IAM's word for the user in the connection string, in form of a password that is good for 15 minutes.
    """
    if secret_arn := required("DATABASE_SECRET_ARN"):
        secret = boto3.client("secretsmanager").get_secret_value(SecretId=secret_arn)
        credentials = json.loads(secret["SecretString"])
        return {"user": credentials["username"], "password": credentials["password"]}
    token = boto3.client("rds").generate_db_auth_token(server["host"], int(server["port"]), server["user"])
    return {"password": token}
