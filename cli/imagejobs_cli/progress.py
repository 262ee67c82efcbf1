"""How far a job is, drawn while it runs: a bar on a terminal, lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from imagejobs_cli.documents import Job
from imagejobs_cli.output import Output, size

# Between two lines of a log that nobody watches.
LINE_SECONDS = 10.0

Draw = Callable[[Job], None]


@dataclass
class Pace:
    """How long the rest of a job takes, going by what was done since it is watched."""

    clock: Callable[[], float] = time.monotonic
    _first: tuple[float, int] | None = field(default=None, init=False)

    def seconds_left(self, job: Job) -> float | None:
        """The estimate; None while nothing was done, or how much there is to do is unknown."""
        now, done = self.clock(), done_images(job)
        if self._first is None:
            self._first = now, done
        began, done_then = self._first
        if job["images"] is None or done <= done_then:
            return None
        return (now - began) / (done - done_then) * (job["images"] - done)


@contextmanager
def drawing(output: Output) -> Iterator[Draw]:
    """What shows a job each time that it is asked about."""
    if not output.is_talkative:
        yield lambda _job: None
    elif output.notes.is_terminal:
        with _bar(output.notes) as draw:
            yield draw
    else:
        yield _Lines().draw


@contextmanager
def _bar(console: Console) -> Iterator[Draw]:
    pace = Pace()
    columns = (SpinnerColumn(), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("waiting for the sheet to be read", total=None)

        def draw(job: Job) -> None:
            if job["images"] is not None:
                progress.update(
                    task, total=100, completed=job["completion_percentage"], description=described(job, pace)
                )

        yield draw


@dataclass
class _Lines:
    pace: Pace = field(default_factory=Pace)
    shown: str = ""
    shown_at: float = -LINE_SECONDS

    def draw(self, job: Job) -> None:
        line = f"{job['completion_percentage']:3d} %  {described(job, self.pace)}"
        is_due = self.pace.clock() >= self.shown_at + LINE_SECONDS or has_ended(job)
        if is_due and line != self.shown:
            click.echo(line, err=True)
            self.shown, self.shown_at = line, self.pace.clock()


def described(job: Job, pace: Pace) -> str:
    """The images done, the bytes saved and the time left."""
    seconds_left = pace.seconds_left(job)
    if job["images"] is None:
        return "waiting for the sheet to be read"
    parts = [f"{done_images(job):,} of {job['images']:,} images"]
    if job["images_failed"]:
        parts.append(f"{job['images_failed']:,} failed")
    if not job.get("dry_run"):
        parts.append(f"{size(job['bytes_before'] - job['bytes_after'])} saved")
    if seconds_left and not has_ended(job):
        parts.append(f"{duration(seconds_left)} left")
    return ", ".join(parts)


def done_images(job: Job) -> int:
    """Images that need no more work."""
    return job["images_completed"] + job["images_failed"]


def has_ended(job: Job) -> bool:
    """Whether nothing more happens by itself."""
    return job["status"] in {"COMPLETED", "FAILED"}


def duration(seconds: float) -> str:
    """A time for a person.

    >>> duration(75)
    '1 min 15 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
