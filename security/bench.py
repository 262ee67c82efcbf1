"""The bench: one local stack, and a customer's server beside it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.stack import Options, Stack, StackInfo
from reliability import customer
from reliability.customer import Caller, Shop


@dataclass(frozen=True, slots=True)
class Bench:
    """A running stack under attack.

    Attributes:
        info: How to reach it.
        state_dir: Where it keeps its state.
        shop: The customer's server, the only private origin that the operator allows.
    """

    info: StackInfo
    state_dir: Path
    shop: Shop

    @property
    def caller(self) -> Caller:
        """The customer's calls."""
        return Caller(self.info)


@contextmanager
def running(state_dir: Path) -> Iterator[Bench]:
    """Run a bench until the block ends.

    Args:
        state_dir: Where its stack keeps its state; made if needed.
    """
    with customer.serving() as shop, Stack.start(state_dir, Options(private_origins=[shop.origin])) as stack:
        yield Bench(stack.info, state_dir, shop)
