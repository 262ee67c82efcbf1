"""The named statements: each found, each used, each with the parameters that it is given."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from imagejobs import queries
from imagejobs.database import MAX_VALUES_BYTES
from imagejobs.queries import statement

PROJECT = Path(__file__).parents[2]
QUERIES = PROJECT / "layers" / "imagejobs" / "python" / "imagejobs" / "sql" / "queries"
# Where statements run: the service, and the commands around it.
SOURCES = [
    path for folder in ("layers", "functions", "local", "benchmarks") for path in (PROJECT / folder).rglob("*.py")
]

HEADINGS = [
    name for path in QUERIES.glob("*.sql") for name in re.findall(r"(?m)^-- (\w+) --$", path.read_text("utf-8"))
]
INSERTED = {name for path in QUERIES.glob("*.sql") for name in re.findall(r"\{(\w+)\}", path.read_text("utf-8"))}
RUNNERS = {"execute", "fetch_all", "fetch_one", "copy", "statement"}


def names_in_code() -> set[str]:
    """Every literal first argument of a call that runs a named statement."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        call.args[0].value
        for call in calls
        if _called(call) in RUNNERS
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and re.fullmatch(r"[a-z_]+", str(call.args[0].value))
    }


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def test_every_statement_has_a_name_of_its_own():
    assert [name for name, times in Counter(HEADINGS).items() if times > 1] == []


def test_every_statement_that_the_code_names_is_there():
    assert names_in_code() - set(HEADINGS) == set()


def test_every_statement_is_used():
    assert set(HEADINGS) - names_in_code() - INSERTED == set()


@pytest.mark.parametrize("name", sorted(set(HEADINGS) - INSERTED))
def test_a_statement_is_one_complete_statement(name):
    sql = statement(name)

    assert "{" not in sql
    assert sql.endswith(";")
    without_comments = re.sub(r"--[^\n]*", "", sql)
    assert ";" not in without_comments.rstrip(";")
    assert without_comments.count("(") == without_comments.count(")")


def test_every_parameter_is_named():
    for name in HEADINGS:
        assert "%s" not in re.sub(r"%\(\w+\)s", "", statement(name))


def test_a_statement_stays_below_the_size_that_pins_a_proxied_session():
    """RDS Proxy pins at 16 KB of text; what is left is for the parameters, MAX_VALUES_BYTES where they are arrays."""
    sizes = {name: len(statement(name)) for name in HEADINGS}
    of_arrays = [size for name, size in sizes.items() if "jsonb_to_recordset" in statement(name)]

    assert max(sizes.values()) < 5 * 1024
    assert of_arrays
    assert max(of_arrays) + MAX_VALUES_BYTES < 16 * 1024


@pytest.mark.parametrize("name", sorted(set(HEADINGS)))
def test_no_statement_keeps_a_proxied_session_to_one_client_by_what_it_does(name):
    """https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html; the loader goes around it."""
    words = re.sub(r"--[^\n]*", "", statement(name)).upper()

    assert not re.search(r"\b(TEMP|TEMPORARY|DECLARE|LISTEN|PREPARE|SET_CONFIG|PG_ADVISORY\w*|NEXTVAL)\b", words)
    assert not re.match(r"\s*SET\b", words)


def test_a_name_in_braces_stands_for_that_statements_text():
    for name in ("finish_images", "fail_images"):
        assert statement("count_terminal").rstrip(";") in statement(name)


def test_a_statement_begins_below_its_heading_and_ends_before_the_next(monkeypatch):
    text = (
        "-- one --\n-- Why.\nSELECT 1;\n\n-- two --\nSELECT 2 WHERE\n  -- as {one}\n  {three};\n\n-- three --\ntrue\n"
    )
    _, *parts = queries._HEADING.split(text)
    monkeypatch.setattr(queries, "_statements", lambda: dict(zip(parts[::2], parts[1::2], strict=True)))
    statement.cache_clear()
    try:
        assert statement("one") == "SELECT 1;"
        assert statement("two") == "SELECT 2 WHERE\n  true;"
    finally:
        statement.cache_clear()


def test_a_name_that_there_is_not_is_an_error():
    with pytest.raises(KeyError, match="no_such_statement"):
        statement("no_such_statement")
