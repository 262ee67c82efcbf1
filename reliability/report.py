"""The table in docs/reliability.md, written anew by `make reliability`."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from local.artifacts import PROJECT
from reliability.tally import Tally

PAGE = PROJECT / "docs" / "reliability.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def table(tallies: Mapping[str, Tally], seed: int) -> str:
    """The campaigns as a Markdown table, the sum last."""
    return "\n".join(_lines(tallies, seed))


def write_table(page: Path, text: str) -> None:
    """Put the table between the page's markers.

    Raises:
        ValueError: The page lacks them.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise ValueError(f"{page} lacks the lines {BEGIN} and {END}, between which the table goes.")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _lines(tallies: Mapping[str, Tally], seed: int) -> Iterator[str]:
    columns = Tally.columns()
    yield f"| {datetime.now(UTC):%Y-%m-%d}, seed {seed} | {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * len(columns)}"
    for name, tally in tallies.items():
        yield _line(name, [f"{getattr(tally, column):,}" for column in columns])
    total = sum(tallies.values(), Tally())
    yield _line("**all**", [f"**{getattr(total, column):,}**" for column in columns])


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"
