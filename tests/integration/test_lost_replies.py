"""What was done and never answered: each commit and each call of every step, in turn, as if it had not been told.

Postgres' answers are cut by a proxy before it, AWS' by a layer under the SDK. Whatever is repeated then, by the SDK, by
the step or by its queue, the outcome is that of a run in which nothing was lost.
"""

from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Lock

import pytest

from imagejobs.database import Database
from imagejobs.steps.sweep import UNMOVED_SECONDS
from tests.integration.handlers import lease_row
from tests.integration.jobs import query, sheet
from tests.integration.pipeline import (
    Pipeline,
    assert_sound,
    forget_execution,
    outcome,
    shop,
    skip_delays,
    stop_execution,
)
from tests.integration.postgres_proxy import proxy_before
from tests.integration.state_machine import tasks


@dataclass
class Loss:
    """Replies that get lost, in one invocation of one step.

    Attributes:
        step: The step.
        nth: Which of its commits, or calls: the first is 1.
        lasting: Whether all others of its kind that follow in the invocation are lost too: no repeat is of use.
        lost: What was lost.
    """

    step: str
    nth: int
    lasting: bool
    lost: list[str] = field(default_factory=list)
    _seen: int = 0
    _running: bool = False
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def around(self, step: str):
        """One invocation; of the one in which something was lost, all repeats go well."""
        self._running = step == self.step and not self.lost
        yield
        self._running = False

    def strikes(self, operation: str) -> bool:
        """Whether the reply of this operation, which has begun just now, is to be lost."""
        with self._lock:
            self._seen += self._running
            strikes = self._running and (self._seen == self.nth or (self.lasting and self.lost[:1] == [operation]))
            self.lost += [operation] * strikes
            return strikes


@pytest.fixture(autouse=True)
def no_delays(monkeypatch):
    skip_delays(monkeypatch)


@pytest.fixture
def proxy(postgres_host, state_dir, database_name):
    directory = state_dir / database_name
    directory.mkdir()
    with proxy_before(postgres_host, directory) as proxy:
        yield proxy


@pytest.fixture
def pipeline(functions, connect, bucket, upload_queue, row_queue, proxy):
    functions.values["DATABASE_DSN"] += f" host={proxy.host}"  # the last one counts
    with shop(functions) as server:
        yield Pipeline(functions, connect, bucket, upload_queue, row_queue, server)


def a_job(pipeline):
    """Two images and a webhook that is accepted the second time; one image comes late, one row is dead-lettered."""
    url = pipeline.shop.url
    pipeline.shop.answer.asked.clear()
    pipeline.route = lambda bell: replace(bell, function="bury") if bell.message.body.get("row_number") == 3 else bell
    file = sheet(f"{url('/good-1')}, {url('/missing')}", url("/busy"), url("/good-2"))
    request_id = pipeline.upload(file, {"webhook_url": url("/hook")})
    pipeline.run()
    return [request_id]


def a_short_job(pipeline):
    """One image, and a webhook that is accepted the second time."""
    request_id = pipeline.upload(sheet(pipeline.shop.url("/good")), {"webhook_url": pipeline.shop.url("/hook")})
    pipeline.run()
    return [request_id]


def a_buried_file(pipeline):
    """A dropped file that is dead-lettered."""
    pipeline.route = lambda bell: replace(bell, function="bury")
    pipeline.drop("drop/products.csv", sheet(pipeline.shop.url("/good")), webhook_url=pipeline.shop.url("/hook"))
    pipeline.run()
    return [query(pipeline.connect, "SELECT request_id FROM job_request ORDER BY created_at DESC LIMIT 1")[0][0]]


def standing_work(pipeline):
    """One job of each kind that only the sweeper finds: what should have moved it was lost, or killed."""
    never_begun, never_worked_on, killed_at_work, never_finalized, killed_at_the_end = jobs = [
        pipeline.upload(sheet(pipeline.shop.url("/good"))) for _ in range(5)
    ]
    pipeline.take_in()
    pipeline.lose(never_begun)
    while pipeline.bells:
        pipeline.act()
    pipeline.take_in()
    pipeline.lose(never_worked_on, killed_at_work)
    with closing(Database(pipeline.connect)) as database:
        lease_row(database, killed_at_work, 1, seconds=1)
    pipeline.act()
    forget_execution(never_finalized)
    stop_execution(killed_at_the_end)
    pipeline.pause(UNMOVED_SECONDS + 3600)
    pipeline.around = nullcontext  # this sweep has found all of them
    pipeline.run()
    return jobs


CASES = [
    (a_short_job, "api"),
    *((a_job, step) for step in ("fan_out", "compress", "bury", "remove_strays")),
    *((a_short_job, step) for step in tasks() if step != "remove_strays"),
    (a_buried_file, "bury"),
    (standing_work, "sweep"),
]
NAMES = [f"{step}-{scenario.__name__}" for scenario, step in CASES]


def discover(pipeline, scenario, step, inject):
    """Run a scenario without a loss, then with one after the other until there is nothing more to lose.

    `inject` makes the loss that it is given happen. Returns all that was lost.
    """
    pipeline.around = nullcontext
    expected = [outcome(pipeline, request_id) for request_id in scenario(pipeline)]
    for found in expected:
        assert_sound(found)
    lost = []
    for lasting in (False, True):
        for nth in count(1):
            loss = Loss(step, nth, lasting)
            inject(loss)
            pipeline.around = loss.around
            found = [outcome(pipeline, request_id) for request_id in scenario(pipeline)]
            if not loss.lost:
                break
            assert found == expected, loss
            lost += loss.lost
    return lost


@pytest.mark.parametrize(("scenario", "step"), CASES, ids=NAMES)
def test_a_commit_whose_reply_was_lost_changes_nothing(pipeline, proxy, scenario, step):
    def inject(loss):
        proxy.loses_reply = lambda: loss.strikes("COMMIT")

    assert discover(pipeline, scenario, step, inject)


@pytest.mark.parametrize(
    ("scenario", "step"),
    [case for case in CASES if case[1] in ("api", "fan_out", "compress", "write_result", "sweep")]
    + [(a_buried_file, "bury")],
)
def test_a_call_whose_reply_was_lost_changes_nothing(pipeline, wire, scenario, step):
    def inject(loss):
        def fault(exchange):
            lost = exchange.changes_something and loss.strikes(exchange.operation)
            return exchange.lose_reply() if lost else exchange.perform()

        wire.fault = fault

    assert discover(pipeline, scenario, step, inject)


def test_messages_that_were_sent_and_reported_as_failed_change_nothing(pipeline, wire):
    def inject(loss):
        def fault(exchange):
            lost = exchange.operation == "SendMessageBatch" and loss.strikes(exchange.operation)
            return exchange.report_failed_entries() if lost else exchange.perform()

        wire.fault = fault

    assert discover(pipeline, a_job, "fan_out", inject)
