"""Campaign: every S3 event and every row message comes up to three times, shuffled, some of them an hour late."""

from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Literal

from reliability.bench import Bench
from reliability.clock import Clock, until_quiet
from reliability.faults.control import Delivery
from reliability.tally import Tally
from reliability.wave import Wave, small_sheet

WAVE_JOBS = 10
# And so many versions of one dropped file, each a job of its own.
VERSIONS = 3
COPIES = 2
HOUR_SECONDS = 3600
MAX_DELAY_SECONDS = 3


def run_disorder(bench: Bench, random: Random, runs: int) -> Tally:
    """So many jobs, their messages copied."""
    tally = Tally()
    while tally.runs < runs and tally.is_clean:
        tally += _ride(bench, random, f"disorder-{tally.runs}")
    return tally


def _ride(bench: Bench, random: Random, tag: str) -> Tally:
    copier = Copier(bench, random)
    wave = Wave(bench)
    wave.place([small_sheet(f"{tag}-{number}", random) for number in range(WAVE_JOBS)])
    wave.drop(f"drop/{tag}.csv", [small_sheet(f"{tag}-version-{number}", random) for number in range(VERSIONS)])
    tally = wave.finish(meanwhile=copier.send_some, afterwards=copier.send_late)
    return tally + Tally(runs=len(wave.jobs), duplicates=copier.sent)


@dataclass
class Copier:
    """Sends every message again that a function is given from now on.

    Attributes:
        bench: Where.
        random: Chooses copies, their order and their delay.
        sent: Copies so far.
    """

    bench: Bench
    random: Random
    sent: int = 0
    _late: list[Delivery] = field(default_factory=list)
    _copied: set[Delivery] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._copied.update(self._originals())  # earlier jobs' messages are none of this wave's

    def send_some(self) -> None:
        """Two copies of each message that was not copied yet: each soon, or kept until its job has ended."""
        found = self._originals() - self._copied
        self._copied |= found
        copies = sorted(found, key=lambda delivery: delivery.body) * COPIES
        self.random.shuffle(copies)
        for copy in copies:
            if self.random.random() < 0.5:
                self._late.append(copy)
            else:
                self._send(copy, self.random.randint(0, MAX_DELAY_SECONDS))

    def send_late(self) -> None:
        """An hour later, by the stack's clock: the copies that were kept, and wait until all are worked off."""
        self.send_some()
        Clock(self.bench).pass_seconds(HOUR_SECONDS)
        self.random.shuffle(self._late)
        for copy in self._late:
            self._send(copy, 0)
        self._late.clear()
        until_quiet(self.bench)

    def _originals(self) -> set[Delivery]:
        return {delivery for delivery in self.bench.control.deliveries() if delivery.queue_arn in self._queues}

    def _send(self, copy: Delivery, delay_seconds: int) -> None:
        queue_url = self._queues[copy.queue_arn]
        self.bench.sqs.send_message(QueueUrl=queue_url, MessageBody=copy.body, DelaySeconds=delay_seconds)
        self.sent += 1

    @cached_property
    def _queues(self) -> dict[str, str]:
        """The URLs of the queues whose messages are copied, by ARN; a dead letter is nobody's bell."""
        urls = (self.bench.info.upload_queue_url, self.bench.info.row_queue_url)
        name: Literal["QueueArn"] = "QueueArn"
        answers = {url: self.bench.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name]) for url in urls}
        return {answer["Attributes"][name]: url for url, answer in answers.items()}
