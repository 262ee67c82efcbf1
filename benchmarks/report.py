"""A benchmark's figures: a table on the terminal, JSON in build/, and with CHECK=1 an exit code."""

import json
import os
import platform
import sys
from collections.abc import Sequence
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
        at_least: The target, when one is stated.
    """

    name: str
    value: float
    at_least: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the target was missed."""
        return self.at_least is not None and self.value < self.at_least

    def __str__(self) -> str:
        line = f"{self.name:<58} {self.value:>10.3f}"
        if self.at_least is None:
            return line
        return f"{line}   target >= {self.at_least:g}: {'MISSED' if self.missed else 'met'}"


def finish(benchmark: str, figures: Sequence[Figure]) -> None:
    """Print the figures, those with a target last, write build/<benchmark>.json, and exit."""
    ordered = sorted(figures, key=lambda figure: figure.at_least is not None)
    BUILD.mkdir(exist_ok=True)
    run = {"at": datetime.now(UTC).isoformat(), "cores": os.cpu_count(), "python": platform.python_version()}
    path = BUILD / f"{benchmark}.json"
    path.write_text(json.dumps({**run, "figures": [asdict(figure) for figure in ordered]}, indent=2) + "\n")
    print(f"\n{benchmark}, kept in {path.relative_to(BUILD.parent)}")
    print("\n".join(map(str, ordered)))
    sys.exit(int(os.environ.get("CHECK") == "1" and any(figure.missed for figure in ordered)))
