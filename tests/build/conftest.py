"""What `sam build` makes of the template, once, and the same layers for an interpreter that runs here.

The layers that are deployed are for CPython 3.13 on arm64 and x86_64, neither of which need be here. The same Makefile
builds them for the interpreter of the tests, which then imports every handler from nothing but them.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.package_sizes import Build
from tests.template.expansion import ROOT

BIN = Path(sys.executable).parent  # sam, and uv, which the layers' Makefile calls
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAM_CLI_TELEMETRY": "0",
}
LAYERS = {"DependenciesLayer": "dependencies", "CodecsLayer": "codecs"}
TARGET = {"aarch64": "Arm64", "x86_64": "X86"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one of the parallel processes, so that one build serves them all."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("build"))


@pytest.fixture(scope="session")
def build() -> Iterator[Build]:
    with TemporaryDirectory(prefix="imagejobs-build-") as folder:
        run([str(BIN / "sam"), "build", "--no-cached", "--parallel", "--build-dir", folder], cwd=ROOT)
        yield Build.read(Path(folder))


@pytest.fixture(scope="session")
def layers_for_this_interpreter() -> Iterator[dict[str, Path]]:
    """The folders to import from, by the layer's name without its processor."""
    with TemporaryDirectory(prefix="imagejobs-layers-") as folder:
        for name, source in LAYERS.items():
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            make_layer(source, f"{name}{TARGET[platform.machine()]}", Path(folder, name), f"PYTHON_VERSION={version}")
        yield {name: Path(folder, name, "python") for name in LAYERS}


def make_layer(source: str, logical_id: str, target: Path, *variables: str) -> None:
    """Build a layer as `sam build` does."""
    run(["make", f"build-{logical_id}", f"ARTIFACTS_DIR={target}", *variables], cwd=ROOT / "layers" / source)


def run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
