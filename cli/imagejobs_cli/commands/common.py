"""What commands share: the invocation that they write for, and options that mean the same everywhere."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click

from imagejobs_cli.client import Api
from imagejobs_cli.errors import ExitCode
from imagejobs_cli.follow import follow, outcome, report, summary
from imagejobs_cli.output import Output
from imagejobs_cli.settings import find_connection

Command = TypeVar("Command", bound=Callable[..., Any])

STANDARD_OUTPUT = Path("-")


@dataclass
class Invocation:
    """One call of the command line."""

    output: Output = field(default_factory=Output)
    profile: str | None = None

    @cached_property
    def api(self) -> Api:
        """The API that this call is about.

        Raises:
            Unusable: No settings lead to one.
        """
        return Api(find_connection(self.profile, self.output.warn), self.output.note)

    def save(self, url: str, target: Path) -> None:
        """Write what a URL serves to a file, or into a pipe or the like once it is there whole."""
        if target == STANDARD_OUTPUT or (target.exists() and not target.is_file()):
            self._pour(url, target)
        else:
            size_bytes = self.api.download(url, target.resolve())
            self.output.note(f"{target}: {size_bytes:,} bytes")

    def _pour(self, url: str, target: Path) -> None:
        with TemporaryDirectory(prefix="imagejobs-") as folder:
            whole = Path(folder, "download")
            self.api.download(url, whole)
            with whole.open("rb") as content, click.open_file(str(target), "wb") as stream:
                shutil.copyfileobj(content, stream)


def wait(
    invocation: Invocation, request_id: str, *, timeout: float | None, output: Path | None, generation: int = 1
) -> ExitCode:
    """Follow a job to its end, report it, and fetch its finished CSV where that was asked for.

    Args:
        invocation: Whose.
        request_id: The job.
        timeout: Seconds after which to give up; None for never.
        output: Where the finished CSV goes; None for nowhere.
        generation: The one to wait for.
    """
    api = invocation.api
    job = follow(api, request_id, invocation.output, timeout, generation)
    if output == STANDARD_OUTPUT:  # which is the sheet's alone
        invocation.output.note(summary(job))
    else:
        report(api, job, invocation.output)
    if output and job["result_url"]:
        invocation.save(api.link(request_id, "result"), output)
    return outcome(job)


def writes(command: Command) -> Command:
    """Options of every command that writes something."""
    as_json = click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="One JSON document on standard output: what the API answers.",
    )
    quiet = click.option(
        "--quiet", "-q", is_flag=True, expose_value=False, callback=_set_quiet, help="Ids and errors, and no more."
    )
    return as_json(quiet(command))


def calls_api(command: Command) -> Command:
    """Options of every command that calls the API."""
    profile = click.option(
        "--profile",
        expose_value=False,
        callback=_set_profile,
        metavar="NAME",
        help="Of the configuration file. Else IMAGEJOBS_API_URL and IMAGEJOBS_TOKEN, else IMAGEJOBS_PROFILE, else the "
        "local stack that runs in this folder or above it.",
    )
    return profile(writes(command))


def waits(command: Command) -> Command:
    """Options of commands that may wait for a job's end."""
    timeout = click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="Wait no longer; exit code 5, the job goes on.",
    )
    output = click.option(
        "--output",
        type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
        metavar="FILE",
        help="Wait, and write the finished CSV there; - for standard output.",
    )
    return timeout(output(command))


def job_argument(command: Command) -> Command:
    """The job that a command is about."""
    return click.argument("request_id", type=click.UUID, metavar="REQUEST_ID")(command)


def existing_file() -> click.Path:
    """A file that there is."""
    return click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 click's
    context.find_object(Invocation).output.as_json |= value  # type: ignore[union-attr]


def _set_quiet(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 click's
    context.find_object(Invocation).output.quiet |= value  # type: ignore[union-attr]


def _set_profile(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    context.find_object(Invocation).profile = value  # type: ignore[union-attr]
