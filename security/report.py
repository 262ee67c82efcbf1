"""The table in docs/security.md, written anew by `make security-report`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from local.artifacts import PROJECT
from reliability.counts import table
from security.tally import Tally

PAGE = PROJECT / "docs" / "security.md"
MAX_SANDBOX_SHARE = 0.05
"""Of the worker's CPU: what decoding in a process of its own may cost at most."""


@dataclass(frozen=True, slots=True)
class SandboxCost:
    """What it costs the worker to decode in a child process.

    Attributes:
        alone_seconds: CPU a picture in one process.
        apart_seconds: CPU a picture of worker and child.
    """

    alone_seconds: float
    apart_seconds: float

    @property
    def share(self) -> float:
        """What the child costs, of the worker's CPU; below 0 when it costs less than it saves."""
        return 1 - self.alone_seconds / self.apart_seconds

    @property
    def is_low(self) -> bool:
        """Whether it is below `MAX_SANDBOX_SHARE`."""
        return self.share < MAX_SANDBOX_SHARE


def report(tallies: Mapping[str, Tally], cost: SandboxCost | None) -> str:
    """The campaigns as a Markdown table, the sum last; below it the cost of the sandbox, if it was measured."""
    return "\n".join([*table("", tallies, Tally()), *_cost(cost)])


def _cost(cost: SandboxCost | None) -> Iterator[str]:
    if cost:
        yield ""
        yield (
            f"A picture takes {cost.apart_seconds * 1000:.2f} ms of CPU with the child process and "
            f"{cost.alone_seconds * 1000:.2f} ms without: the sandbox costs {cost.share:.1%} of the worker's CPU."
        )
