"""A progress bar for a terminal; whole lines where the output goes elsewhere."""

import sys
from dataclasses import dataclass

WIDTH = 40


@dataclass
class Progress:
    """Shows how far something is; `show` redraws it."""

    shown: str = ""

    def show(self, percentage: int, note: str) -> None:
        """Show `percentage` (0 to 100) and a few words, unless that is what is shown."""
        line = f"{bar(percentage)} {percentage:3d} %  {note}"
        if line == self.shown:
            return
        self.shown = line
        # ANSI: back to the first column, and clear the rest of the line.
        print(f"\r{line}\x1b[K" if sys.stdout.isatty() else line, end=self._line_end(percentage), flush=True)

    def _line_end(self, percentage: int) -> str:
        return "" if sys.stdout.isatty() and percentage < 100 else "\n"


def bar(percentage: int) -> str:
    """A bar that is `percentage` full."""
    filled = WIDTH * percentage // 100
    return "█" * filled + "░" * (WIDTH - filled)
