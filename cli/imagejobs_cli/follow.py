"""Waiting for a job, and what its end means for the one who waits."""

import time
from itertools import islice

from imagejobs_cli.client import Api
from imagejobs_cli.documents import Job
from imagejobs_cli.errors import ExitCode, Interrupted, TimedOut, Unreachable
from imagejobs_cli.output import Output, listed, size
from imagejobs_cli.progress import drawing, has_ended

FIRST_PAUSE_SECONDS = 0.3
# Of a token's 600 requests a minute, a waiting command takes 30.
LAST_PAUSE_SECONDS = 2.0
PAUSE_GROWTH = 1.2
# A laptop that was shut, a network that is away: the job does not mind either.
OUTAGE_SECONDS = 300.0
# Failures shown at a job's end; a job may have a million.
MAX_FAILURES_SHOWN = 20


def follow(api: Api, request_id: str, output: Output, timeout_seconds: float | None = None, generation: int = 1) -> Job:
    """Show a job until it has ended.

    Args:
        api: Whose job it is.
        request_id: The job.
        output: Where it is shown.
        timeout_seconds: When to give up; None for never.
        generation: The one to wait for, after a retry.

    Raises:
        TimedOut, Interrupted, Unreachable: The job goes on.
    """
    again = f"The job goes on; `imagejobs status {request_id} --wait` follows it again."
    give_up_at = float("inf") if timeout_seconds is None else time.monotonic() + timeout_seconds
    pause_seconds = FIRST_PAUSE_SECONDS
    try:
        with drawing(output) as draw:
            while True:
                job = _ask_through_outages(api, request_id, give_up_at)
                draw(job)
                if has_ended(job) and job["generation"] >= generation:
                    return job
                left_seconds = give_up_at - time.monotonic()
                if left_seconds <= 0:
                    raise TimedOut(f"Not ended within {timeout_seconds:g} s. {again}")
                time.sleep(min(pause_seconds, left_seconds))
                pause_seconds = min(pause_seconds * PAUSE_GROWTH, LAST_PAUSE_SECONDS)
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted. {again}") from None
    except Unreachable as error:
        raise Unreachable(f"{error.message} {again}", error.code) from None


def _ask_through_outages(api: Api, request_id: str, give_up_at: float) -> Job:
    outage_ends_at = min(give_up_at, time.monotonic() + OUTAGE_SECONDS)
    while True:
        try:
            return api.job(request_id)
        except Unreachable:
            if time.monotonic() >= outage_ends_at:
                raise


def outcome(job: Job) -> ExitCode:
    """The exit code of a command that has waited for the job's end."""
    if job["status"] == "FAILED":
        return ExitCode.JOB_FAILED
    if job["images_failed"] or job["rows_failed"]:
        return ExitCode.IMAGES_FAILED
    return ExitCode.DONE


def report(api: Api, job: Job, output: Output) -> None:
    """Write how a job has ended, with what failed in it."""
    if output.as_json:
        output.document(job)
    elif output.quiet:
        output.say(job["request_id"])
    else:
        output.say(summary(job))
        if found := job.get("preflight"):
            output.table(["Found", "Value"], listed(found))
        if job["images_failed"]:
            _show_failures(api, job, output)


def summary(job: Job) -> str:
    """One line: what became of the job."""
    parts = [f"{job['status']}: {job['images_completed']:,} of {job['images'] or 0:,} images"]
    counted = {
        "failed": job["images_failed"],
        "unchanged": job["images_unchanged"],
        "reused": job.get("images_reused", 0),
        f"{'row' if job['rows_failed'] == 1 else 'rows'} that cannot be read": job["rows_failed"],
    }
    parts += [f"{number:,} {what}" for what, number in counted.items() if number]
    before, after = job["bytes_before"], job["bytes_after"]
    if before and not job.get("dry_run"):
        parts.append(f"{size(before)} became {size(after)} ({100 * (before - after) / before:.0f} % saved)")
    line = ", ".join(parts)
    return f"{line}. {job['error_message']}" if job["error_message"] else line


def _show_failures(api: Api, job: Job, output: Output) -> None:
    names = ("row_number", "product_name", "error_message", "source_url")
    failed = islice(api.images(job["request_id"], status="FAILED"), MAX_FAILURES_SHOWN)
    rows = [[dict(image)[name] for name in names] for image in failed]
    output.table(["Row", "Product", "Error", "URL"], rows, title="What failed")
    unseen = job["images_failed"] - len(rows)
    if unseen > 0:
        output.note(f"{unseen:,} more: `imagejobs results {job['request_id']} --failures` has them all.")
