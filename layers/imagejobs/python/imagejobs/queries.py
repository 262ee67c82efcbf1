"""The SQL of all steps: statements under `-- name --` headings in sql/queries/*.sql.

A `{name}` in a statement stands for the text of another one.
"""

import re
from functools import cache
from importlib.resources import files

_HEADING = re.compile(r"^-- (\w+) --\n", re.MULTILINE)
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)


@cache
def _statements() -> dict[str, str]:
    statements: dict[str, str] = {}
    for path in (files(__package__) / "sql" / "queries").iterdir():
        _, *parts = _HEADING.split(path.read_text(encoding="utf-8"))
        statements.update(zip(parts[::2], parts[1::2], strict=True))
    return statements


@cache
def statement(name: str) -> str:
    """The SQL under the heading `name`, other statements filled in; lines of comment are for its readers only.

    Raises:
        KeyError: No such heading.
    """
    sql = _COMMENT.sub("", _statements()[name])
    return re.sub(r"\{(\w+)\}", lambda match: statement(match[1]), sql).strip()
