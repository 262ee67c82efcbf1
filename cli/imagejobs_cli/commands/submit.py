"""`submit`, `preflight`, `retry`: what begins work."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import click

from imagejobs_cli.commands.common import Invocation, calls_api, existing_file, job_argument, wait, waits
from imagejobs_cli.errors import ExitCode, Interrupted, Unreachable

Command = TypeVar("Command", bound=Callable[..., Any])

# Form fields with an option of their own, and the word that stands for their value; the API says what may be in them.
NAMED_FIELDS = {
    "quality": ("1-100", "Of lossy codings; 80 where it is not given."),
    "format": ("keep|jpeg|webp|avif|auto", "Of the compressed images."),
    "max_width": ("PIXELS", "Nothing is enlarged."),
    "max_height": ("PIXELS", "Nothing is enlarged."),
    "preset": ("shopify|woocommerce", "The sheet is an export of this shop system."),
    "columns": ("JSON", "Where the sheet has what is needed, by its own headings."),
    "webhook_url": ("URL", "Gets a signed POST when the job has ended."),
}


def uploads(command: Command) -> Command:
    """The sheet, how it is to be done, and what to wait for; all form fields can be given, the commonest by name."""
    decorators: list[Callable[..., Any]] = [
        click.argument("file", type=existing_file()),
        *(click.option(_flag(name), name, metavar=sign, help=text) for name, (sign, text) in NAMED_FIELDS.items()),
        click.option("--reuse/--no-reuse", default=None, help="Whether to take over what was compressed before."),
        click.option(
            "--option",
            "-o",
            "others",
            multiple=True,
            metavar="NAME=VALUE",
            callback=_split,
            help="Any other form field of the API, such as effort=max; may be given several times.",
        ),
        click.option("--idempotency-key", metavar="KEY", help="Repeated with it, the same command is the same job."),
        waits,
        calls_api,
        click.pass_obj,
    ]
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _split(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    fields = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE, such as effort=max.")
        fields[name.replace("-", "_")] = text
    return fields


@click.command()
@click.option("--wait", "waiting", is_flag=True, help="Show the progress and wait for the job's end.")
@click.option("--dry-run", is_flag=True, default=None, help="Look at every image and compress none, as `preflight`.")
@uploads
def submit(invocation: Invocation, **arguments: Any) -> ExitCode:  # noqa: ANN401 see _submit
    """Compress the images that the CSV FILE names.

    Writes the job's request_id; with --wait, how the job has ended and what has failed. FILE may be gzipped.
    """
    return _submit(invocation, **arguments)


@click.command()
@click.option("--wait/--no-wait", "waiting", default=True, help="Wait for what is found, which is the default.")
@uploads
def preflight(invocation: Invocation, **arguments: Any) -> ExitCode:  # noqa: ANN401 see _submit
    """Say what would become of the CSV FILE.

    Nothing is compressed. Exit code 3: some images or rows would fail.
    """
    return _submit(invocation, dry_run=True, **arguments)


def _submit(
    invocation: Invocation,
    *,
    file: Path,
    waiting: bool,
    timeout: float | None,
    output: Path | None,
    idempotency_key: str | None,
    **fields: Any,  # noqa: ANN401 as click parsed them
) -> ExitCode:
    request_id = _send(invocation, file, _as_form(**fields), idempotency_key or str(uuid4()))
    if waiting or output:
        invocation.output.note(f"Job {request_id}")
        return wait(invocation, request_id, timeout=timeout, output=output)
    return _accepted(invocation, {"request_id": request_id})


def _as_form(others: Mapping[str, str], **named: str | bool | None) -> dict[str, str]:
    """The form's fields as text; those that were not given are the API's to choose."""
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in named.items()}
    return {**others, **{name: text for name, text in texts.items() if text is not None}}


def _send(invocation: Invocation, sheet: Path, fields: Mapping[str, str], key: str) -> str:
    """Upload a sheet; its request_id. What cuts this off says how to repeat it without a second job."""
    again = f"Repeat it with --idempotency-key {key}: should it have arrived, that is the same job."
    try:
        return invocation.api.submit(sheet, fields, key)
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted while uploading. {again}") from None
    except Unreachable as error:
        raise Unreachable(f"{error.message} {again}", error.code) from None


@click.command()
@job_argument
@click.argument("corrected", type=existing_file(), required=False)
@click.option("--wait", "waiting", is_flag=True, help="Show the progress and wait for the job's end.")
@waits
@calls_api
@click.pass_obj
def retry(
    invocation: Invocation,
    request_id: UUID,
    corrected: Path | None,
    *,
    waiting: bool,
    timeout: float | None,
    output: Path | None,
) -> ExitCode:
    """Do the failed images of an ended job again.

    What was done stays. CORRECTED is what `imagejobs results REQUEST_ID --failures` gave, with better cells.
    """
    job = str(request_id)
    generation = invocation.api.retry(job, corrected)
    if waiting or output:
        return wait(invocation, job, timeout=timeout, output=output, generation=generation)
    return _accepted(invocation, {"request_id": job, "generation": generation})


def _accepted(invocation: Invocation, answer: Mapping[str, str | int]) -> ExitCode:
    if invocation.output.as_json:
        invocation.output.document(answer)
    else:
        invocation.output.say(str(answer["request_id"]))
    invocation.output.note(f"Accepted. `imagejobs status {answer['request_id']} --wait` follows it.")
    return ExitCode.DONE
