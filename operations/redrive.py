"""`python -m operations.redrive`: gives what was given up another chance; `--dry-run` only says what that would be.

Letters that are still in a dead-letter queue go back to the queue they came from. Ended jobs with images that were
given up (`image_abandoned`) are retried as `POST /job/<id>/retry` does it, with all their failed images; those that
their owner cancelled are not. Exit code 0 when all of it was done, 1 when some was refused, 2 when it broke off.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError

from imagejobs.database import Database
from imagejobs.errors import ImageAbandoned, RequestError
from imagejobs.executions import Finalizer
from imagejobs.queues import MessagesNotSent, Queue
from imagejobs.steps.control import Control
from operations.letters import DeadLetterQueue, Letter
from operations.target import STACK_FILE, Target, TargetUnknown

# Bury's event source receives what it cannot bury again and again, as soon as that can be seen.
HIDDEN = (
    "; hidden: {hidden:,}, which bury has received. They can be seen after the queue's visibility time-out; to be "
    "quicker than bury then, disable its event source mapping first."
)

_ABANDONED = """
SELECT job.request_id, job.owner, count(*)
FROM job_request AS job JOIN compressed_images AS image USING (request_id)
WHERE job.status IN ('COMPLETED', 'FAILED') AND job.cancelled_at IS NULL AND image.error_code = %s
GROUP BY job.request_id
ORDER BY job.created_at, job.request_id
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Redrive the stack that the command line names; the exit code."""
    options = _parse(arguments)
    try:
        refused = redrive(_target(options), dry_run=options.dry_run)
    except (TargetUnknown, MessagesNotSent, psycopg2.Error, BotoCoreError, ClientError) as error:
        print(f"Broken off: {error}\nWhat was done until here stays done; run it again.", file=sys.stderr)
        return 2
    return int(refused > 0)


def redrive(target: Target, *, dry_run: bool) -> int:
    """Redrive letters, then jobs, and print each; safe to repeat.

    Args:
        target: The stack; all of its names are needed.
        dry_run: Change nothing.

    Returns:
        How many letters and jobs were refused; they are as they were.

    Raises:
        MessagesNotSent, psycopg2.Error, BotoCoreError, ClientError: A service does not answer, or refuses to.
    """
    names, sqs = target.names, target.sqs()
    refused = sum(
        redrive_letters(DeadLetterQueue(sqs, names[dead_letters], names[source]), dry_run=dry_run)
        for source, dead_letters in (
            ("upload_queue_url", "upload_dead_letter_queue_url"),
            ("row_queue_url", "row_dead_letter_queue_url"),
        )
    )
    refused += retry_jobs(target, dry_run=dry_run)
    if dry_run:
        print("A dry run: nothing was changed.")
    return refused


def redrive_letters(queue: DeadLetterQueue, *, dry_run: bool) -> int:
    """Send every letter that can be seen back to its source; how many were refused.

    Those that stay are seen again when this ends, however it ends.
    """
    hidden, taken, staying = queue.hidden(), 0, list[Letter]()
    try:
        for letters in queue.receive():
            staying += letters
            taken += len(letters)
            done = [] if dry_run else queue.send_back(letters)
            staying[-len(letters) :] = [letter for letter in letters if letter not in done]
            for letter in letters:
                print(f"{queue.name}: {_described(letter)}: {_outcome(letter in done, dry_run)}")
    finally:
        queue.release(staying)
    print(f"{queue.name}: letters seen: {taken:,}" + (HIDDEN.format(hidden=hidden) if hidden else ""))
    return 0 if dry_run else len(staying)


def retry_jobs(target: Target, *, dry_run: bool) -> int:
    """Retry every ended job with images that were given up; how many were refused."""
    jobs, refused = _abandoned(target), 0
    queue, finalizer = Queue(target.sqs(), target.names["upload_queue_url"]), target.names["finalizer_arn"]
    with closing(Database(target.connect)) as database:
        control = Control(database, queue, Finalizer(target.stepfunctions(), finalizer))
        for request_id, owner, images in jobs:
            outcome = "would be retried"
            if not dry_run:
                try:
                    outcome = f"retried as generation {control.retry(owner, request_id)}"
                except RequestError as error:  # somebody else was quicker
                    outcome, refused = f"not retried: {error.message}", refused + 1
            print(f"Job {request_id}, images given up: {images:,}: {outcome}")
    print(f"Ended jobs with images given up: {len(jobs):,}")
    return refused


def _abandoned(target: Target) -> list[tuple[Any, ...]]:
    with closing(target.connect()) as database, database.cursor() as cursor:
        cursor.execute(_ABANDONED, (ImageAbandoned.code,))
        return cursor.fetchall()


def _described(letter: Letter) -> str:
    age = timedelta(seconds=round((datetime.now(UTC) - letter.sent_at).total_seconds()))
    return f"{letter.message_id}, {letter.subject}, deliveries: {letter.receive_count}, {age} old"


def _outcome(done: bool, dry_run: bool) -> str:  # noqa: FBT001
    return "would be sent back" if dry_run else "sent back" if done else "not sent back, stays here"


def _target(options: argparse.Namespace) -> Target:
    if options.stack_name:
        return Target.deployed(options.stack_name, options.database_url)
    return Target.local(options.stack)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m operations.redrive", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    parser.add_argument("--stack", type=Path, default=STACK_FILE, help="stack.json of a local stack (%(default)s)")
    parser.add_argument("--stack-name", help="of a deployed CloudFormation stack, found with AWS's own environment")
    parser.add_argument("--database-url", help="of a deployed stack")
    options = parser.parse_args(arguments)
    if bool(options.database_url) != bool(options.stack_name):
        parser.error("--database-url and --stack-name name a deployed stack together.")
    return options


if __name__ == "__main__":
    sys.exit(main())
