"""What needs a clone of the repository: its local stack, and the tokens of any stack."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from imagejobs_cli.errors import Unusable

# Makefile installs into it what the local stack needs, and leaves the stamp.
_PYTHON = ".venv/bin/python"
_INSTALLED = ".venv/local.installed"


def find_repository(folder: Path) -> Path:
    """The clone that a folder is in.

    Raises:
        Unusable: It is in none.
    """
    for each in (folder, *folder.parents):
        if (each / "template.yaml").is_file() and (each / "local" / "stack.py").is_file():
            return each
    raise Unusable("This needs a clone of the service's repository: change into one, and call it there again.")


def run_module(module: str, arguments: Sequence[str]) -> int:
    """Run a module of the clone; its exit code.

    Raises:
        Unusable: There is no clone, or what it needs could not be installed.
    """
    root = _prepared()
    command = [str(root / _PYTHON), "-m", module, *arguments]
    return subprocess.run(command, cwd=root, env=_environment(root), check=False).returncode  # noqa: S603


def become_module(module: str, arguments: Sequence[str]) -> None:
    """Run a module of the clone in this process's place, so that every signal reaches it.

    Raises:
        Unusable: There is no clone, or what it needs could not be installed.
    """
    root = _prepared()
    os.chdir(root)
    os.execve(root / _PYTHON, [_PYTHON, "-m", module, *arguments], _environment(root))  # noqa: S606 no shell is wanted


def _prepared() -> Path:
    root = find_repository(Path.cwd())
    make = ["make", "--silent", "-C", str(root), _INSTALLED]
    try:
        subprocess.run(make, check=True, stdout=sys.stderr)  # noqa: S603 standard output is the module's
    except (OSError, subprocess.CalledProcessError):
        raise Unusable(f"What the local stack needs is not installed: see what {shlex.join(make)} says.") from None
    return root


def _environment(root: Path) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(root / "layers" / "imagejobs" / "python")}
