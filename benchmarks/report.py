"""A benchmark's figures: a table on the terminal, JSON in build/, and with CHECK=1 an exit code."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

BUILD = Path(__file__).parents[1] / "build"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured, with its unit.
        value: The figure.
        at_least: The target, when there is one.
        at_most: The target, when there is one.
    """

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the target was missed."""
        # Written so that what is not a number misses its target.
        low_enough = self.at_most is None or self.value <= self.at_most
        return not (low_enough and (self.at_least is None or self.value >= self.at_least))

    @property
    def target(self) -> str:
        """The target in words; empty when there is none."""
        limits = ((">=", self.at_least), ("<=", self.at_most))
        return " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)

    def __str__(self) -> str:
        line = f"{self.name:<58} {self.value:>10.3f}"
        if not self.target:
            return line
        return f"{line}   target {self.target}: {'MISSED' if self.missed else 'met'}"


def finish(benchmark: str, figures: Sequence[Figure], details: Mapping[str, object] | None = None) -> None:
    """Print the figures, those with a target last and again in one line, write build/<benchmark>.json, and exit.

    Args:
        benchmark: Its name.
        figures: What was measured.
        details: What the JSON holds beside the figures.
    """
    ordered = sorted(figures, key=lambda figure: bool(figure.target))
    BUILD.mkdir(exist_ok=True)
    run = {"at": datetime.now(UTC).isoformat(), "cores": os.cpu_count(), "python": platform.python_version()}
    path = BUILD / f"{benchmark}.json"
    kept = {**run, "figures": [asdict(figure) for figure in ordered], **(details or {})}
    path.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"\n{benchmark}, kept in {path.relative_to(BUILD.parent)}")
    print("\n".join(map(str, ordered)))
    print("; ".join(f"{each.name} {each.value:.3g} ({each.target})" for each in ordered if each.target))
    sys.exit(int(os.environ.get("CHECK") == "1" and any(figure.missed for figure in ordered)))
