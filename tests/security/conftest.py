"""One stack under attack for all of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from security import bench as benches
from security.bench import Bench


@pytest.fixture(scope="session")
def bench(state_dir: Path) -> Iterator[Bench]:
    with benches.running(state_dir / "security") as running:
        yield running
