"""A wave: some jobs at once on the bench, from their uploads to the judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from reliability.bench import Bench
from reliability.clock import PROMISED_MINUTES, Clock
from reliability.customer import BROKEN, GONE, GOOD, Sheet
from reliability.ledger import Verdict
from reliability.tally import Tally

WAVE_SECONDS = 180.0


def _nothing() -> None:
    pass


@dataclass
class Wave:
    """Some jobs at once.

    Attributes:
        bench: Where.
        jobs: Their sheets, by request_id.
    """

    bench: Bench
    jobs: dict[str, Sheet] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bench.look()
        self._kills, self._faults = self.bench.kills, self._all_faults()

    def place(self, sheets: Sequence[Sheet]) -> None:
        """Upload sheets over the API."""
        for sheet in sheets:
            self.jobs[self.bench.caller.place(sheet, self.bench.shop)] = sheet

    def drop(self, key: str, sheets: Sequence[Sheet]) -> None:
        """Put one version after the other under one key of the bucket."""
        for sheet in sheets:
            self.jobs[self.bench.drop(key, sheet)] = sheet

    def finish(
        self,
        *,
        meanwhile: Callable[[], object] = _nothing,
        afterwards: Callable[[], object] = _nothing,
        deadline_seconds: float = WAVE_SECONDS,
        promised_minutes: int = PROMISED_MINUTES,
    ) -> Tally:
        """Follow the jobs to their end and judge them.

        Args:
            meanwhile: Called again and again until all jobs are settled.
            afterwards: Called when they are, before the judge looks.
            deadline_seconds: What is not settled by then is stuck.
            promised_minutes: And so is what does not get on for so many minutes of the stack's clock.

        Returns:
            The counts, but for `runs` and `duplicates`.
        """
        clock = Clock(self.bench, promised_minutes)
        stuck = clock.until_settled(list(self.jobs), deadline_seconds, meanwhile)
        self.bench.control.disarm()
        afterwards()
        verdict = Verdict(stuck=stuck) if stuck else self.bench.judge(self.jobs)
        return Tally.of(verdict) + Tally(
            kills=self.bench.kills - self._kills,
            faults=self._all_faults() - self._faults,
            jobs=len(self.jobs),
            rows=sum(len(sheet.rows) for sheet in self.jobs.values()),
        )

    def _all_faults(self) -> int:
        return self.bench.faults + self.bench.shop.bad_answers


def ride(bench: Bench, sheets: Sequence[Sheet], meanwhile: Callable[[], object] = _nothing) -> Tally:
    """One wave of uploads, one run each."""
    wave = Wave(bench)
    wave.place(sheets)
    return wave.finish(meanwhile=meanwhile) + Tally(runs=len(sheets))


def small_sheet(tag: str, random: Random, manners: Sequence[str] = (GOOD,), rows: int = 2) -> Sheet:
    """A sheet whose pictures are served by one of `manners`, but for one that is gone and one that is no picture.

    Args:
        tag: Tells it from all others.
        random: Chooses how many rows and pictures it has.
        manners: See `reliability.customer`.
        rows: Rows with good pictures alone, at least.
    """

    def name(number: int) -> str:
        return f"{random.choice(manners)}-{number}.jpg"

    good = [tuple(name(number) for number in range(random.randint(1, 3))) for _ in range(rows + random.randint(0, 3))]
    return Sheet(tag, (*good, (name(1), f"{GONE}-1.jpg"), (f"{BROKEN}-1.jpg",), ()))
