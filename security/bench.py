"""The bench: one local stack whose functions are watched, and the servers of a customer and of a stranger beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.database import NAME as DATABASE_NAME
from local.ports import LOOPBACK, claim_port
from local.stack import Options, Stack, StackInfo
from reliability import customer
from reliability.customer import Caller, Shop
from reliability.faults.preload import write_preload
from reliability.query import query
from security import origin
from security.origin import Origin
from security.tally import Tally
from security.watch import Watch

# The whole schedule of ten attempts at a webhook in half a minute.
WEBHOOK_TIME_SCALE = 0.0001


@dataclass(frozen=True, slots=True)
class Bench:
    """A running stack under attack.

    Attributes:
        info: How to reach it.
        state_dir: Where it keeps its state.
        shop: The customer's server; with `origin`, the only private ones that listen and are allowed.
        origin: A stranger's server.
        closed_origin: Allowed as well, and nobody listens there.
        watch: Over the functions' processes.
    """

    info: StackInfo
    state_dir: Path
    shop: Shop
    origin: Origin
    closed_origin: str
    watch: Watch

    @property
    def caller(self) -> Caller:
        """The customer's calls."""
        return Caller(self.info)

    @property
    def port(self) -> int:
        """Where the stack's AWS is."""
        return urlsplit(self.info.endpoint_url).port or 0

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement on the stack's database; its rows."""
        return query(self.info.database_url, sql, parameters)

    def run(self, campaign: Callable[["Bench"], Tally]) -> Tally:
        """A campaign's counts, with what the watch has seen meanwhile."""
        self.watch.look()
        return campaign(self) + self.watch.look()


@contextmanager
def running(state_dir: Path) -> Iterator[Bench]:
    """Run a bench until the block ends.

    Args:
        state_dir: Where its stack keeps its state; made if needed.
    """
    stack_dir, log = state_dir / "stack", state_dir / "watch.jsonl"
    write_preload(state_dir / "preload", "security.layer", log)
    with customer.serving() as shop, origin.serving() as stranger:
        closed_origin = f"{LOOPBACK}:{claim_port(0)}"
        allowed = [shop.origin, stranger.host_port, closed_origin]
        options = Options(private_origins=allowed, webhook_time_scale=WEBHOOK_TIME_SCALE, preload=state_dir / "preload")
        with Stack.start(stack_dir, options) as stack:
            own = urlsplit(stack.info.endpoint_url).netloc
            watch = Watch(log, stack_dir / "ministack.log", {own, *allowed}, stack_dir / DATABASE_NAME)
            yield Bench(stack.info, stack_dir, shop, stranger, closed_origin, watch)
