"""One local stack for all end-to-end tests, a shop whose pictures it fetches, and a client of its API."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Options, Stack, StackInfo
from tests.e2e.customer import Client, Shop
from tests.unit.fetch_helpers import origin


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    shop = Shop()
    with origin(shop) as server:
        shop.origin = server.origin
        yield shop


@pytest.fixture(scope="session")
def stack(shop: Shop, state_dir: Path) -> Iterator[StackInfo]:
    options = Options(allow_origins=[shop.origin], webhook_time_scale=0.01)
    with Stack.start(state_dir / "stack", options) as running:
        yield running.info


@pytest.fixture(scope="session")
def client(stack: StackInfo) -> Client:
    return Client(stack)
