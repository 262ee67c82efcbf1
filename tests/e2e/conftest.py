"""One local stack for all end-to-end tests, a shop whose pictures it fetches, and a client of its API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Options, Stack, StackInfo
from tests.e2e.customer import Client, Shop
from tests.unit.fetch_helpers import origin


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one of the parallel processes, so that one stack serves them all."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group("stack"))


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    shop = Shop()
    with origin(shop) as server:
        shop.origin = server.origin
        yield shop


@pytest.fixture(scope="session")
def stack(shop: Shop, state_dir: Path) -> Iterator[StackInfo]:
    options = Options(private_origins=[shop.origin], webhook_time_scale=0.01)
    with Stack.start(state_dir / "stack", options) as running:
        yield running.info


@pytest.fixture(scope="session")
def client(stack: StackInfo) -> Client:
    return Client(stack)
