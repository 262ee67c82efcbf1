"""What campaigns count, and the table that shows it; `reliability` and `security` have counts of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Self

FINDINGS = "findings"


class Counts:
    """The base of frozen dataclasses of numbers, and of `findings`, that add up field by field."""

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in self._names()))

    @classmethod
    def columns(cls) -> list[str]:
        """The names of the counts."""
        return [name for name in cls._names() if name != FINDINGS]

    @classmethod
    def _names(cls) -> list[str]:
        dataclass: Any = cls
        return [each.name for each in fields(dataclass)]


def table(heading: str, tallies: Mapping[str, Counts], nothing: Counts) -> Iterator[str]:
    """The campaigns as lines of a Markdown table, the sum last.

    Args:
        heading: Follows the date in the first cell.
        tallies: By the campaigns' names.
        nothing: Zeros, of the same kind.
    """
    columns = nothing.columns()
    yield _line(f"{datetime.now(UTC):%Y-%m-%d}{heading}", [column.replace("_", " ") for column in columns])
    yield f"| --- |{' ---: |' * len(columns)}"
    for name, tally in tallies.items():
        yield _line(name, [f"{getattr(tally, column):,}" for column in columns])
    total = sum(tallies.values(), nothing)
    yield _line("**all**", [f"**{getattr(total, column):,}**" for column in columns])


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
