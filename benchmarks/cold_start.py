"""CPU of importing each function's handler, beside `import boto3` and beside boto3 with the function's own libraries.

Every import is one of a fresh process, in turn, of an interpreter that has what a function has on Lambda and nothing
else: of what the checks install here, boto3 would load awscrt and pyOpenSSL, half as much again. Bytecode is compiled.

    make bench            ROUNDS=5 for a short run, CHECK=1 to fail over a target
"""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.report import Figure, finish

PROJECT = Path(__file__).parents[1]
LAYER = PROJECT / "layers" / "imagejobs" / "python"
FUNCTIONS = PROJECT / "functions"
LOCKS = sorted(PROJECT.glob("layers/*/requirements.txt"))
# What Lambda's runtime adds to the layers: boto3 and what it needs.
RUNTIME = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")

ROUNDS = 15
MOST_BESIDE_BOTO3 = 1.3

TIMED = "import time; began = time.process_time(); import {modules}; print(time.process_time() - began)"

# Of the imports that the handler's module comes to, those that stand in our own code.
NAMED = """
import builtins, json, sys
load, named = builtins.__import__, set()
def note(name, namespace=None, *others):
    if namespace and namespace["__name__"].partition(".")[0] in {"app", "imagejobs"}:
        named.add(name)
    return load(name, namespace, *others)
builtins.__import__ = note
import app
print(json.dumps(sorted(name for name in named if name.partition(".")[0] not in sys.stdlib_module_names)))
"""


def main() -> None:
    """Measure and report."""
    steps = sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py"))
    with TemporaryDirectory(prefix="imagejobs-cold-") as folder:
        python = interpreter(Path(folder))
        libraries = {step: imported_libraries(python, step) for step in steps}
        rounds = [
            {step: in_turn(python, step, libraries[step]) for step in steps}
            for _ in range(int(os.environ.get("ROUNDS", ROUNDS)))
        ]
    finish("cold_start", figures(rounds), {"libraries": libraries, "rounds": rounds})


def figures(rounds: Sequence[dict[str, tuple[float, float, float]]]) -> list[Figure]:
    """Of each function the medians, and the median of the rounds' ratios."""
    found = [Figure("import boto3, CPU ms", median(boto3 for each in rounds for boto3, _, _ in each.values()))]
    for step in rounds[0]:
        took = [each[step] for each in rounds]
        found += [
            Figure(f"{step}, CPU ms", median(handler for _, _, handler in took)),
            Figure(f"{step}, boto3 and its libraries, CPU ms", median(libraries for _, libraries, _ in took)),
            Figure(f"{step} : {MOST_BESIDE_BOTO3} x boto3 + its libraries", median(map(ratio, took)), at_most=1.0),
        ]
    return found


def ratio(took: tuple[float, float, float]) -> float:
    """What the handler took beside what it may: so many times boto3, and what its libraries take beyond that."""
    boto3, libraries, handler = took
    return handler / (MOST_BESIDE_BOTO3 * boto3 + libraries - boto3)


def in_turn(python: Path, step: str, libraries: Iterable[str]) -> tuple[float, float, float]:
    """CPU milliseconds of importing boto3, boto3 with the libraries, and the step's handler."""
    return (
        cpu_ms(python, step, ["boto3"]),
        cpu_ms(python, step, ["boto3", *libraries]),
        cpu_ms(python, step, ["app"]),
    )


def cpu_ms(python: Path, step: str, modules: Iterable[str]) -> float:
    """CPU milliseconds of importing the modules in a fresh process, where the step's code lies."""
    return float(run(python, step, TIMED.format(modules=", ".join(modules)))) * 1000


def imported_libraries(python: Path, step: str) -> list[str]:
    """Modules of packages that the step's handler, or a module of ours that it loads, imports by name."""
    named: list[str] = json.loads(run(python, step, NAMED))
    return [name for name in named if name.partition(".")[0] != "imagejobs"]


def run(python: Path, step: str, code: str) -> str:
    """What the code prints, with the step's folder and the layer to import from."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(LAYER)}
    command = [str(python), "-c", code]
    return subprocess.run(
        command, cwd=FUNCTIONS / step, env=environment, capture_output=True, check=True, text=True
    ).stdout


def interpreter(folder: Path) -> Path:
    """Make an interpreter for which only the packages of runtime and layers are installed, and compile our own code."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for name in {*RUNTIME, *(name for lock in LOCKS for name in pinned(lock.read_text(encoding="utf-8")))}:
        for path in top_level(distribution(name)):
            (site / path.name).symlink_to(path)
    subprocess.run([str(python), "-m", "compileall", "-q", str(LAYER), str(FUNCTIONS)], check=True)
    return python


def pinned(requirements: str) -> set[str]:
    """Names of the distributions that a lock file pins."""
    return set(re.findall(r"^([a-z0-9-]+)==", requirements, re.MULTILINE))


def top_level(installed: Distribution) -> set[Path]:
    """The packages, modules and other folders of a distribution, as they lie in its site-packages."""
    parts = {file.parts[0] for file in installed.files or () if file.parts[0] not in {"..", "__pycache__"}}
    return {Path(str(installed.locate_file(part))) for part in parts}


if __name__ == "__main__":
    main()
