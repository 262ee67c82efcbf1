"""What a command writes: its result to standard output, all else to standard error."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imagejobs_cli.errors import CommandError


@dataclass
class Output:
    """How much is written, and in which form.

    Args:
        as_json: One JSON document on standard output, and errors as `{"code", "message"}`.
        quiet: Nothing but the result and errors; what names it, where there is a choice.
    """

    as_json: bool = False
    quiet: bool = False
    console: Console = field(default_factory=lambda: Console(highlight=False))
    notes: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    @property
    def is_talkative(self) -> bool:
        """Whether a person reads along."""
        return not (self.as_json or self.quiet)

    def document(self, value: object) -> None:
        """Write the JSON document that `--json` asks for."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))

    def say(self, text: str) -> None:
        """Write a line of the result."""
        click.echo(shown(text))

    def note(self, text: str) -> None:
        """Tell the person what happens meanwhile, or what to do next."""
        if self.is_talkative:
            self.notes.print(Text(shown(text)), soft_wrap=True)  # above a bar that is drawn there

    def warn(self, text: str) -> None:
        """Tell what should be mended."""
        click.echo(f"Warning: {shown(text)}", err=True)

    def error(self, error: click.ClickException) -> None:
        """Tell why the command ends."""
        if not isinstance(error, CommandError):
            error.show()
        elif self.as_json:
            click.echo(json.dumps({"code": error.code, "message": error.message}, ensure_ascii=False), err=True)
        else:
            click.echo(f"Error: {shown(error.message)}", err=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
        """Write a table; where it is read by a program, lines with tabs and without a heading."""
        cells = [["" if cell is None else shown(str(cell)) for cell in row] for row in rows]
        if not self.console.is_terminal:
            for row in cells:
                click.echo("\t".join(row))
            return
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")  # a URL is of no use without its end
        for row in cells:
            table.add_row(*map(Text, row))
        self.console.print(table)


def shown(text: str) -> str:
    """Text of a sheet, a server or a shop, without what a terminal would obey and without line breaks."""
    return "".join(character if character.isprintable() else " " for character in text)


def size(size_bytes: int) -> str:
    """Bytes for a person, in powers of 1000.

    >>> size(1_234_567)
    '1.2 MB'
    """
    amount, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def listed(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """A document's values by their dotted names, for a table of two columns; lists and truths as in the document."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            pairs += [(f"{name}.{inner}", each) for inner, each in listed(value)]
        else:
            pairs.append((name, json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else value))
    return pairs
