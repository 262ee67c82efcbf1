"""`python -m operations.verify`: checks what must hold on a stack, in Postgres (invariants.sql) and in S3 (objects.py).

It changes nothing. Exit code 0 when all holds, 1 when something does not, 2 when that could not be found out.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import boto3
import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from psycopg2.extensions import connection

from operations import objects
from operations.target import STACK_FILE, Target, TargetUnknown

STUCK_AFTER_MINUTES = 10.0
SHOWN = 3

_HEADING = re.compile(r"^-- (\w+) --\n-- (.+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What checking one invariant found.

    Attributes:
        name: The invariant's.
        sentence: What is wrong where it is violated.
        violations: How often it is.
        first: The first few, each with its request id or S3 key.
    """

    name: str
    sentence: str
    violations: int
    first: Sequence[str]

    def __str__(self) -> str:
        if not self.violations:
            return f"ok        {self.name}"
        lines = [f"VIOLATED  {self.name}: {self.violations:,}. {self.sentence}", *self.first]
        if self.violations > len(self.first):
            lines.append("…")
        return "\n          ".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the stack that the command line names, and print one line an invariant; the exit code."""
    options = _parse(arguments)
    violated = False
    try:
        for finding in verify(_target(options), stuck_after_minutes=options.stuck_after_minutes):
            print(finding, flush=True)
            violated |= finding.violations > 0
    except (TargetUnknown, psycopg2.Error, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 2
    return int(violated)


def verify(target: Target, *, stuck_after_minutes: float = STUCK_AFTER_MINUTES) -> Iterator[Finding]:
    """Check one invariant after the other; what violates them passes through flat memory.

    Args:
        target: The stack; of its names, `bucket` is needed.
        stuck_after_minutes: How long work may stand still.

    Raises:
        psycopg2.Error, BotoCoreError, ClientError: Postgres or S3 does not answer, or refuses to.
    """
    with closing(target.connect()) as database:
        # One view of all tables, and no way to change one.
        database.set_session(isolation_level="REPEATABLE READ", readonly=True)
        _set_stuck_after(database, stuck_after_minutes)
        for name, sentence, sql in statements():
            yield _finding(name, sentence, _violations(database, sql))
    for check in objects.CHECKS:
        yield _finding(check.__name__, check.__doc__ or "", check(target))


def statements() -> list[tuple[str, str, str]]:
    """The invariants of invariants.sql, in order: name, what is wrong where it is violated, query."""
    text = Path(__file__).with_name("invariants.sql").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    return list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))


def _set_stuck_after(database: connection, minutes: float) -> None:
    with database.cursor() as cursor:
        cursor.execute("SELECT set_config('imagejobs.stuck_after_minutes', %s, true)", (str(minutes),))


def _violations(database: connection, sql: str) -> Iterator[str]:
    """The rows of an invariant's query, by a server-side cursor."""
    with database.cursor(name="violations") as cursor:
        cursor.execute(sql)
        for request_id, detail in cursor:
            yield f"{request_id}: {detail}"


def _finding(name: str, sentence: str, violations: Iterable[str]) -> Finding:
    count, first = 0, []
    for count, violation in enumerate(violations, start=1):
        if count <= SHOWN:
            first.append(violation)
    return Finding(name, sentence, count, first)


def _target(options: argparse.Namespace) -> Target:
    if options.database_url:
        return Target(options.database_url, {"bucket": options.bucket}, boto3.Session(), {})
    return Target.local(options.stack)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m operations.verify", description=__doc__)
    parser.add_argument("--stack", type=Path, default=STACK_FILE, help="stack.json of a local stack (%(default)s)")
    parser.add_argument("--database-url", help="of a deployed stack; its bucket is found with AWS's own environment")
    parser.add_argument("--bucket", help="of a deployed stack")
    parser.add_argument("--stuck-after-minutes", type=float, default=STUCK_AFTER_MINUTES, help="(%(default)s)")
    options = parser.parse_args(arguments)
    if bool(options.database_url) != bool(options.bucket):
        parser.error("--database-url and --bucket name a deployed stack together.")
    return options


if __name__ == "__main__":
    sys.exit(main())
