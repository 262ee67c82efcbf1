"""The table in docs/reliability.md, written anew by `make reliability`."""

from collections.abc import Mapping
from pathlib import Path

from local.artifacts import PROJECT
from reliability import counts
from reliability.tally import Tally

PAGE = PROJECT / "docs" / "reliability.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def table(tallies: Mapping[str, Tally], seed: int) -> str:
    """The campaigns as a Markdown table, the sum last."""
    return "\n".join(counts.table(f", seed {seed}", tallies, Tally()))


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
