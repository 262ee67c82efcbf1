"""What `pip install .` brings: the command, and of other packages those that it imports."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CLI = ROOT / "cli" / "imagejobs_cli"


def imported_packages():
    for path in CLI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield str(node.module).partition(".")[0]


def test_it_depends_on_what_it_imports_and_on_nothing_else():
    named = {re.match(r"[a-z0-9]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    locked = set((ROOT / "requirements" / "cli.in").read_text(encoding="utf-8").split())

    assert set(imported_packages()) - sys.stdlib_module_names - {"imagejobs_cli"} == named == locked
