"""A migration is applied while the code of the deployment before it still runs, and must let it work on.

The rule and its reasons: docs/deploy.md, "Migrations". A statement that breaks it on purpose, because nothing that may
still run minds, says so in a comment of its own, on the lines before it: `-- contract: <why nothing that runs minds>`.
"""

import re

import pytest

from imagejobs.migrations import migrations

# Those before the first deployment had no code to be safe for.
FIRST_VERSION = 9
UNSAFE = {
    "takes something away": r"\b(DROP|TRUNCATE)\b",
    "gives something another name": r"\bRENAME\b",
    "changes a type": r"\bALTER (COLUMN )?\w+ (SET DATA )?TYPE\b",
    "refuses NULLs that are written today": r"\bSET NOT NULL\b",
    "asks for a value that is not written today": r"\bADD COLUMN\b(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT NULL\b",
}


def unsafe_statements(sql):
    """What is wrong with each statement of a migration, of those that do not name their exception."""
    found = []
    for statement in re.sub(r"'[^']*'", "''", sql).split(";"):
        if re.search(r"^\s*-- contract: \w", statement, re.MULTILINE):
            continue
        code = re.sub(r"--.*", "", statement)
        found += [reason for reason, pattern in UNSAFE.items() if re.search(pattern, code, re.IGNORECASE)]
    return found


def test_every_migration_since_the_rule_lets_the_code_before_it_work_on():
    later = [(name, sql) for version, name, sql in migrations() if version >= FIRST_VERSION]

    assert {name: wrong for name, sql in later if (wrong := unsafe_statements(sql))} == {}


@pytest.mark.parametrize(
    ("sql", "wrong"),
    [
        ("DROP TABLE webhook_delivery;", "takes something away"),
        ("ALTER TABLE job_request\n    ADD COLUMN a int,\n    DROP COLUMN owner;", "takes something away"),
        ("truncate caller_rate", "takes something away"),
        ("ALTER TABLE job_request RENAME COLUMN owner TO caller;", "gives something another name"),
        ("ALTER TABLE job_request ALTER COLUMN owner TYPE varchar(64);", "changes a type"),
        ("ALTER TABLE job_request ALTER COLUMN webhook_url SET NOT NULL;", "refuses NULLs that are written today"),
        ("ALTER TABLE job_request ADD COLUMN b int NOT NULL;", "asks for a value that is not written today"),
        (
            "ALTER TABLE job_request ADD COLUMN a int NOT NULL DEFAULT 0, ADD COLUMN b text NOT NULL;",
            "asks for a value that is not written today",
        ),
        ("-- contract:\nDROP TABLE webhook_delivery;", "takes something away"),
        ("-- contract: nothing reads it since 0009.\nSELECT 1;\nDROP TABLE usage;", "takes something away"),
    ],
)
def test_a_statement_that_breaks_code_that_runs_is_found(sql, wrong):
    assert unsafe_statements(sql) == [wrong]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE job_request ADD COLUMN a int, ADD COLUMN b int NOT NULL DEFAULT 0;  -- drop nothing\n",
        "CREATE TABLE t (id int PRIMARY KEY, kind text NOT NULL CHECK (kind IN ('drop', 'rename')));",
        "CREATE TYPE mood AS ENUM ('good');",
        "CREATE INDEX job_request_owner ON job_request (owner);",
        "-- contract: written by nobody since 0009, which was deployed everywhere.\nALTER TABLE t DROP COLUMN c;",
    ],
)
def test_a_statement_that_adds_or_names_its_exception_is_not(sql):
    assert unsafe_statements(sql) == []
