"""What ends a command before it has done what it was asked for, and the exit codes that scripts go by.

    click.ClickException
    └── CommandError          the message for the person at the terminal; `exit_code`, `code`
        ├── Unusable      2   settings, a local file or an argument that cannot be used
        ├── Refused       4   the API's own words
        ├── Unreachable   5   no answer, or a server's fault, after several attempts
        ├── TimedOut      5   `--timeout` is over
        └── Interrupted 130   Ctrl-C

A message never holds a token, or a URL that grants something.
"""

from enum import IntEnum
from typing import ClassVar

import click


class ExitCode(IntEnum):
    """What the command's process ends with; docs/guides/command-line.md has the same table."""

    DONE = 0
    JOB_FAILED = 1
    UNUSABLE = 2
    IMAGES_FAILED = 3
    REFUSED = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


class CommandError(click.ClickException):
    """Root of the tree.

    Args:
        message: What is wrong and what to do.
        code: A stable word for scripts, the API's own where it gave one; by default the class's.
    """

    default_code: ClassVar[str]

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class Unusable(CommandError):
    """Settings, a local file or an argument that cannot be used."""

    default_code = "unusable"
    exit_code = ExitCode.UNUSABLE


class Refused(CommandError):
    """The API said no; asking the same again is no use."""

    default_code = "refused"
    exit_code = ExitCode.REFUSED


class Unreachable(CommandError):
    """No answer, or none but a server's fault."""

    default_code = "unreachable"
    exit_code = ExitCode.UNREACHABLE


class TimedOut(CommandError):
    """The job has not ended within `--timeout`; it goes on."""

    default_code = "timed_out"
    exit_code = ExitCode.UNREACHABLE


class Interrupted(CommandError):
    """Ctrl-C; what the service does goes on."""

    default_code = "interrupted"
    exit_code = ExitCode.INTERRUPTED
