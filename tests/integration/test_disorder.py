"""Duplicates and disorder: everything comes up to three times, shuffled, and some of it an hour late."""

from dataclasses import dataclass, field
from random import Random
from uuid import UUID

import pytest

from tests.integration.handlers import load_event
from tests.integration.jobs import query, sheet
from tests.integration.pipeline import BATCH_MESSAGES, Bell, Pipeline, assert_sound, outcome, shop, skip_delays

HOUR_SECONDS = 3600


@dataclass
class Disorder(Pipeline):
    """A pipeline whose queues, schedule and state machine repeat and shuffle what they can.

    Attributes:
        random: Decides.
        late: Further deliveries, for an hour after all jobs have ended.
    """

    random: Random = field(default_factory=Random)
    late: list[Bell] = field(default_factory=list)

    def take_in(self) -> None:
        """What has arrived, once, twice or three times; the repeats now or late."""
        known = len(self.bells)
        super().take_in()
        for bell in self.bells[known:]:
            for _ in range(self.random.randrange(3)):
                self.random.choice((self.bells, self.late)).append(bell)

    def act(self) -> None:
        """Whatever comes first: a batch, a state of an execution, a sweep, a few seconds."""
        choices = [*self.bells, *self.executions, self.sweep, self.wait]
        chosen = self.random.choice(choices)
        if isinstance(chosen, Bell):
            waiting = [bell for bell in self.bells if bell.function == chosen.function]
            size = self.random.randint(1, BATCH_MESSAGES[chosen.function])
            self.deliver(self.random.sample(waiting, min(size, len(waiting))))
        elif callable(chosen):
            chosen()
        else:
            self.step(chosen)

    def invoke(self, function, event):
        """A step of the finalizer may run twice; Step Functions takes the second answer."""
        if function in ("finalize", "send_webhook") and self.random.random() < 0.3:
            super().invoke(function, event)
        return super().invoke(function, event)

    def sweep(self) -> None:
        """The schedule's next event, or a second one for the same minute."""
        self.invoke("sweep", load_event("sweep"))

    def wait(self) -> None:
        """Less than what rests would wait for, more than the sweeper looks back."""
        self.pause(self.random.uniform(0, 120))

    def deliver_late(self) -> None:
        """The rest, an hour later, some of it from the dead-letter queues."""
        self.pause(HOUR_SECONDS)
        self.bells += [Bell(self.random.choice((bell.function, "bury")), bell.message) for bell in self.late]
        self.late = []
        while self.bells:
            self.act()
        self.run()


@pytest.fixture(autouse=True)
def no_delays(monkeypatch):
    skip_delays(monkeypatch)


@pytest.fixture
def disorder(functions, connect, bucket, upload_queue, row_queue):
    with shop(functions) as server:
        yield Disorder(functions, connect, bucket, upload_queue, row_queue, server)


def jobs_of(disorder, key):
    found = query(disorder.connect, "SELECT request_id FROM job_request WHERE source_key = %s ORDER BY 1", key)
    return [UUID(str(request_id)) for (request_id,) in found]


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(6, 20))])
def test_whatever_comes_twice_late_or_out_of_order_every_job_ends_once(disorder, seed):
    """An upload, and one CSV dropped twice under one key: two jobs, whatever becomes of their events."""
    disorder.random = Random(seed)
    url = disorder.shop.url
    hook = url("/hook")
    cells = (f"{url('/good-1')}, {url('/missing')}", url("/busy"), "", f"{url('/good-2')}, {url('/good-3')}")
    uploaded = disorder.upload(sheet(*cells), {"webhook_url": hook})
    for _ in range(2):
        disorder.drop("drop/products.csv", sheet(*cells[2:]), webhook_url=hook)

    disorder.run()

    dropped = jobs_of(disorder, "drop/products.csv")
    assert query(disorder.connect, "SELECT count(*) FROM job_request") == [(3,)]
    assert len(dropped) == 2
    ended = [outcome(disorder, request_id) for request_id in (uploaded, *dropped)]
    for found in ended:
        assert_sound(found)
        assert found["executions"] == ["<id>-1"]
        assert found["deliveries"][-1]["outcome"] == "delivered"
    assert [found["job"]["images_completed"] for found in ended] == [4, 2, 2]

    disorder.deliver_late()

    assert [outcome(disorder, request_id) for request_id in (uploaded, *dropped)] == ended
    assert query(disorder.connect, "SELECT count(*) FROM job_request") == [(3,)]
