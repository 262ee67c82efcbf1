"""Campaign: processes are killed at every point between two effects, and at random moments."""

import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from reliability.bench import Bench
from reliability.customer import Sheet
from reliability.tally import Tally
from reliability.wave import Wave, ride, small_sheet

WAVE_JOBS = 10
# A good image is given up once three workers have died at it, so that fewer kills a wave must never fail one.
COMPRESS_KILLS = 2
# Of the waves, one in so many kills at random moments.
RANDOM_WAVES = 4

# Of an invocation's like operations, the first ones are tried before the others.
FIRST_ORDINALS = 3

# Where a kill means something: not while a process starts, and not before a stack is ready.
EVERYWHERE = r"(?!migrate:)[a-z_.]+:(before|after):.+"
BETWEEN_STATES = r"(finalize\..+|send_webhook):(before|after):.+"
_COMPRESS = "compress"
MAX_PAUSE_SECONDS = 0.5


@dataclass
class Kills:
    """Plans the kills of one bench.

    Attributes:
        bench: Where.
        random: Chooses sheets, points and moments.
        name: Of the campaign.
        killable: Regular expression of the points.
        max_refusals: Webhooks of a job that the customer refuses before one is accepted, at most.
        tried: Points that were armed before.
    """

    bench: Bench
    random: Random
    name: str = "kills"
    killable: str = EVERYWHERE
    max_refusals: int = 0
    tried: set[str] = field(default_factory=set)
    _wave: int = 0

    def run(self, runs: int) -> Tally:
        """So many jobs under kills, in waves; one job before is left alone, to learn the points."""
        tally = self._ride([], 1) + Tally(runs=-1)
        while tally.runs < runs and tally.is_clean:
            jobs = min(WAVE_JOBS, runs - tally.runs)
            if self._wave % RANDOM_WAVES == RANDOM_WAVES // 2:
                tally += self._ride_under_fire(jobs)
            else:
                tally += self._ride(self.choose_points(jobs), jobs)
        return tally

    def choose_points(self, kills: int) -> list[str]:
        """Points that were not tried yet before the others, and few of the worker's at once."""
        points = sorted(point for point in self.bench.points if re.fullmatch(self.killable, point))
        self.random.shuffle(points)
        points.sort(key=lambda point: (point in self.tried, _ordinal(point) > FIRST_ORDINALS))
        worker = [point for point in points if point.startswith(_COMPRESS)][:COMPRESS_KILLS]
        others = [point for point in points if not point.startswith(_COMPRESS)]
        chosen = worker + others[: kills - len(worker)]
        self.tried.update(chosen)
        return chosen

    def _ride(self, points: Sequence[str], jobs: int) -> Tally:
        for point in points:
            self.bench.control.arm(point)
        return ride(self.bench, self._sheets(jobs))

    def _ride_under_fire(self, jobs: int) -> Tally:
        """Kill whoever works, whatever it does at that moment."""
        gun = Gun(self.bench, self.random, jobs)
        wave = Wave(self.bench)
        with gun.firing():
            wave.place(self._sheets(jobs))
            tally = wave.finish(afterwards=gun.cease)
        return tally + Tally(runs=jobs, kills=gun.shots)

    def _sheets(self, jobs: int) -> list[Sheet]:
        self._wave += 1
        sheets = [small_sheet(f"{self.name}-{self._wave}-{number}", self.random) for number in range(jobs)]
        for sheet in sheets:
            self.bench.shop.refusals[sheet.tag] = self.random.randint(0, self.max_refusals)
        return sheets


def _ordinal(point: str) -> int:
    """Which of an invocation's like operations a point belongs to."""
    number = point.rpartition("#")[2]
    return int(number) if number.isdigit() else 1


@dataclass
class Gun:
    """Kills processes that are within an invocation, at moments that have nothing to do with what they do.

    Attributes:
        bench: Where.
        random: Chooses moments and processes.
        bullets: Kills that are left.
        shots: Kills that happened.
    """

    bench: Bench
    random: Random
    bullets: int
    shots: int = 0
    _worker_bullets: int = COMPRESS_KILLS
    _ceased: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def firing(self) -> Iterator[None]:
        """Fire until the block ends, it is told to cease, or all bullets are spent."""
        thread = threading.Thread(target=self._fire)
        thread.start()
        try:
            yield
        finally:
            self.cease()
            thread.join()

    def cease(self) -> None:
        """Fire no more."""
        self._ceased.set()

    def _fire(self) -> None:
        while self.shots < self.bullets and not self._ceased.wait(self.random.uniform(0, MAX_PAUSE_SECONDS)):
            self._shoot()

    def _shoot(self) -> None:
        at_work = self.bench.at_work()
        targets = [pid for pid, function in at_work.items() if function != _COMPRESS or self._worker_bullets]
        if targets:
            pid = self.random.choice(targets)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.shots += 1
                self._worker_bullets -= at_work[pid] == _COMPRESS
