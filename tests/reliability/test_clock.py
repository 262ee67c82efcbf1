"""The clock: a minute passes only when nothing moves, and counts only against jobs that nobody owns."""

from types import SimpleNamespace

import pytest

from reliability import clock
from reliability.clock import Clock

JOB = "6b5f07cf-d58b-475f-a08d-a0aa44cdb524"
# settled, owned, awaits a message, progress
IDLE = (False, False, False, "idle")
SETTLED = (True, False, False, "settled")


class Bench:
    """A bench whose one job is in the given states, look by look; the last one lasts."""

    def __init__(self, *states, running=(), hidden=0, busy=False, sweep_fails=False):
        self.states = list(states)
        self.minutes = 0
        self.running = running
        self.hidden = hidden
        self.busy = busy
        self.sweep_fails = sweep_fails
        self.info = SimpleNamespace(finalizer_arn="arn")
        self.stepfunctions = SimpleNamespace(get_paginator=lambda _: self.pages("executions", running, "name"))
        self.functions = SimpleNamespace(
            get_paginator=lambda _: self.pages("Functions", ["stack-sweep"], "FunctionName"), invoke=self.sweep
        )

    def pages(self, kind, names, key):
        return SimpleNamespace(paginate=lambda **_: [{kind: [{key: name} for name in names]}])

    def sweep(self, **_):
        return {"FunctionError": "Unhandled"} if self.sweep_fails else {}

    def query(self, sql, parameters):
        if sql.lstrip().startswith("UPDATE"):
            self.minutes += 1
            return []
        return [(JOB, *(self.states.pop(0) if len(self.states) > 1 else self.states[0]))]

    def at_work(self):
        return {}

    def is_busy(self):
        return self.busy

    def hidden_messages(self):
        return self.hidden


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(clock, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(clock, "POLL_SECONDS", 0.001)


def wait(bench, seconds=0.3):
    return Clock(bench).until_settled([JOB], seconds)


def test_a_job_that_settles_is_not_stuck():
    bench = Bench(IDLE, SETTLED)

    assert wait(bench) == []


def test_a_job_that_nothing_moves_is_stuck_after_the_promised_minutes():
    bench = Bench(IDLE)

    (finding,) = wait(bench, 60)

    assert f"{JOB}: nothing moved it for 2 minutes" in finding
    assert bench.minutes == 3


@pytest.mark.parametrize(
    "bench",
    [
        Bench((False, True, False, "leased")),
        Bench((False, False, True, "rung"), hidden=1),
        Bench(IDLE, running=[f"{JOB}-1"]),
        Bench(IDLE, sweep_fails=True),
    ],
    ids=["leased", "a message is hidden", "its finalizer runs", "every sweep dies"],
)
def test_minutes_do_not_count_against_a_job_that_is_owned_or_was_not_swept_for(bench):
    (finding,) = wait(bench)

    assert f"{JOB}: not settled" in finding
    assert bench.minutes > 3


def test_progress_starts_the_count_anew():
    moves = [(False, False, False, f"step {number // 2}") for number in range(20)]

    assert wait(Bench(*moves, SETTLED), 60) == []


def test_no_minute_passes_while_somebody_is_at_work():
    bench = Bench(IDLE, busy=True)

    wait(bench)

    assert bench.minutes == 0
