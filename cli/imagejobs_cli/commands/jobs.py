"""`status`, `cancel`, `redeliver`, `deliveries`: one job, or the latest."""

from pathlib import Path
from uuid import UUID

import click

from imagejobs_cli.commands.common import Invocation, calls_api, job_argument, wait, waits
from imagejobs_cli.documents import Job
from imagejobs_cli.errors import ExitCode
from imagejobs_cli.follow import summary
from imagejobs_cli.output import listed, size

STATUSES = ("PENDING", "PROCESSING", "COMPLETED", "FAILED")


@click.command()
@click.argument("request_id", type=click.UUID, required=False)
@click.option(
    "--status", "wanted", type=click.Choice(STATUSES, case_sensitive=False), help="Without an ID: only these."
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Without an ID: how many.")
@click.option("--wait", "waiting", is_flag=True, help="Show the progress and wait for the job's end.")
@waits
@calls_api
@click.pass_obj
def status(
    invocation: Invocation,
    request_id: UUID | None,
    *,
    wanted: str | None,
    limit: int,
    waiting: bool,
    timeout: float | None,
    output: Path | None,
) -> ExitCode:
    """Say how far a job is, or list the latest ones.

    With --wait, the exit code is of the job's end; without, 0 means that there was an answer.
    """
    if request_id is None:
        if waiting or output:
            raise click.UsageError("Name the job to wait for.")
        _list(invocation, limit, wanted)
    elif waiting or output:
        return wait(invocation, str(request_id), timeout=timeout, output=output)
    else:
        _show(invocation, invocation.api.job(str(request_id)))
    return ExitCode.DONE


def _list(invocation: Invocation, limit: int, wanted: str | None) -> None:
    jobs = list(invocation.api.jobs(limit, wanted))
    if invocation.output.as_json:
        invocation.output.document({"jobs": jobs})
    elif invocation.output.quiet:
        for job in jobs:
            invocation.output.say(job["request_id"])
    else:
        columns = ["Job", "Created", "Status", "%", "Images", "Failed", "Saved"]
        invocation.output.table(columns, [_line(job) for job in jobs])


def _line(job: Job) -> list[object]:
    saved = "dry run" if job.get("dry_run") else size(job["bytes_before"] - job["bytes_after"])
    counts = [job["completion_percentage"], job["images"], job["images_failed"]]
    return [job["request_id"], job["created_at"], job["status"], *counts, saved]


def _show(invocation: Invocation, job: Job) -> None:
    output = invocation.output
    if output.as_json:
        output.document(job)
    elif output.quiet:
        output.say(job["status"])
    else:
        output.table(["Field", "Value"], listed(dict(job)), title=summary(job))


@click.command()
@job_argument
@calls_api
@click.pass_obj
def cancel(invocation: Invocation, request_id: UUID) -> ExitCode:
    """Begin no more images of a job; what is done is kept."""
    answer = invocation.api.cancel(str(request_id))
    _acknowledge(invocation, answer, "request_id", "Cancelled. Images at work may still end; it can be retried then.")
    return ExitCode.DONE


@click.command()
@job_argument
@calls_api
@click.pass_obj
def redeliver(invocation: Invocation, request_id: UUID) -> ExitCode:
    """Send the webhook of an ended job again."""
    answer = invocation.api.redeliver(str(request_id))
    _acknowledge(invocation, answer, "event_id", "On its way; `imagejobs deliveries` says what becomes of it.")
    return ExitCode.DONE


def _acknowledge(invocation: Invocation, answer: dict[str, str], name: str, note: str) -> None:
    if invocation.output.as_json:
        invocation.output.document(answer)
    else:
        invocation.output.say(answer[name])
    invocation.output.note(note)


@click.command()
@job_argument
@calls_api
@click.pass_obj
def deliveries(invocation: Invocation, request_id: UUID) -> ExitCode:
    """List the attempts to deliver a job's webhook.

    The newest comes first.
    """
    found = invocation.api.deliveries(str(request_id))
    if invocation.output.as_json:
        invocation.output.document(found)
        return ExitCode.DONE
    names = ("attempted_at", "event_id", "attempt", "outcome", "status_code", "error_message")
    rows = [[dict(each)[name] for name in names] for each in found["deliveries"]]
    where = found["webhook_url"] or "the job has no webhook"
    invocation.output.table(["At", "Event", "Attempt", "Outcome", "Status", "Error"], rows, title=f"To {where}")
    return ExitCode.DONE
