"""The stack's clock: waits for jobs to end, and lets a minute pass whenever nothing moves by itself any more."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from reliability.bench import Bench
from reliability.waiting import until

# A job must move on within so many minutes of the stack's clock after its last owner has died.
PROMISED_MINUTES = 2
# Nothing has moved for so long, and nobody is at work: a minute passes.
QUIET_SECONDS = 1.5
POLL_SECONDS = 0.2
# More than one must do no harm.
SWEEPERS = 2
QUIET_DEADLINE_SECONDS = 90.0

# What the sweeper alone looks at. Leases and rests are never aged: they end when they end.
_AGE = """
UPDATE job_request
SET updated_at = updated_at - make_interval(secs => %(seconds)s),
    finalizable_at = finalizable_at - make_interval(secs => %(seconds)s),
    swept_at = swept_at - make_interval(secs => %(seconds)s)
WHERE settled_at IS NULL
"""

# Whether somebody owns a part of a job or it rests until a known time, whether a message is all that it waits for
# (leases and fan-outs that stopped are the sweeper's to find), and everything that changes when it gets on.
_STATES = """
SELECT job.request_id::text, job.settled_at IS NOT NULL,
       coalesce(job.fan_out_leased_until > now(), false)
       OR EXISTS (SELECT FROM compressed_images AS image WHERE image.request_id = job.request_id
                  AND image.status = 'PENDING' AND (image.leased_until > now() OR image.not_before > now())),
       coalesce(job.source_version IS NULL
       OR job.rows_sent = job.rows_total AND job.finalizable_at IS NULL
       AND NOT EXISTS (SELECT FROM compressed_images AS image
                       WHERE image.request_id = job.request_id AND image.lease_token IS NOT NULL), false),
       concat_ws(' ', job.status, job.source_version, job.rows_staged, job.rows_sent, job.images_completed,
                 job.images_failed, job.fan_out_token, job.fan_out_attempt, job.finalizable_at IS NULL,
                 job.generation, job.finalizer_run,
                 (SELECT concat_ws(' ', sum(attempt), sum(crashes), count(lease_token)) FROM compressed_images AS image
                  WHERE image.request_id = job.request_id),
                 (SELECT count(*) FROM webhook_delivery AS delivery WHERE delivery.request_id = job.request_id))
FROM job_request AS job WHERE job.request_id = ANY(%(request_ids)s::uuid[])
"""


def until_quiet(bench: Bench) -> None:
    """Wait until nobody is at work and no message waits.

    Raises:
        TimeoutError: That does not come.
    """
    until(lambda: not (bench.is_busy() or bench.hidden_messages()), QUIET_DEADLINE_SECONDS, "nobody is at work")


@dataclass(frozen=True, slots=True)
class State:
    """A job between two looks.

    Attributes:
        settled: It has ended, and so has its webhook.
        owned: Somebody holds a lease of it, or it rests.
        awaits_message: A message that a queue hides will wake it.
        progress: Differs once it has got on.
    """

    settled: bool
    owned: bool
    awaits_message: bool
    progress: str


@dataclass
class Clock:
    """Watches jobs until they end.

    Attributes:
        bench: Where they run.
        promised_minutes: A job that has no owner must get on within so many.
    """

    bench: Bench
    promised_minutes: int = PROMISED_MINUTES
    _waited: Counter[str] = field(default_factory=Counter)
    _moved_at: float = 0.0

    def pass_seconds(self, seconds: int) -> bool:
        """Let time pass for the sweeper, and let two of them sweep at once; whether one came to its end."""
        self.bench.query(_AGE, {"seconds": seconds})
        invoke = partial(self.bench.functions.invoke, FunctionName=self._sweep_function())
        with ThreadPoolExecutor(SWEEPERS) as pool:
            sweeps = [pool.submit(invoke) for _ in range(SWEEPERS)]
        return any("FunctionError" not in sweep.result() for sweep in sweeps)

    def until_settled(
        self, request_ids: list[str], deadline_seconds: float, meanwhile: Callable[[], object] = lambda: None
    ) -> list[str]:
        """Wait until jobs are settled; what is stuck, a sentence each.

        Args:
            request_ids: The jobs.
            deadline_seconds: What is not settled by then is stuck.
            meanwhile: Called at every look.
        """
        self._waited.clear()
        seen: dict[str, State] = {}
        deadline = time.monotonic() + deadline_seconds
        while time.monotonic() < deadline:
            meanwhile()
            states = self._states(request_ids)
            if len(states) == len(request_ids) and all(state.settled for state in states.values()):
                return []
            self._note_moves(seen, states)
            seen = states
            stuck = [job for job, minutes in self._waited.items() if minutes > self.promised_minutes]
            if stuck:
                return [f"{job}: nothing moved it for {self.promised_minutes} minutes: {states[job]}" for job in stuck]
            self._let_pass(states)
            time.sleep(POLL_SECONDS)
        return [f"{job}: not settled: {state}" for job, state in seen.items() if not state.settled]

    def _note_moves(self, before: Mapping[str, State], now: Mapping[str, State]) -> None:
        moved = [job for job, state in now.items() if job not in before or before[job].progress != state.progress]
        for job in moved:
            self._waited[job] = 0
        if moved or self.bench.at_work():
            self._moved_at = time.monotonic()

    def _let_pass(self, states: Mapping[str, State]) -> None:
        """A minute, if nothing moves; it counts for the jobs that nobody owns."""
        if time.monotonic() - self._moved_at < QUIET_SECONDS or self.bench.is_busy():
            return
        owned = self._running_executions()
        hidden = self.bench.hidden_messages() > 0
        owned |= {job for job, state in states.items() if state.owned or (state.awaits_message and hidden)}
        waiting = [job for job, state in states.items() if not state.settled and job not in owned]
        self._moved_at = time.monotonic()
        if self.pass_seconds(60):
            self._waited.update(waiting)

    def _states(self, request_ids: list[str]) -> dict[str, State]:
        rows = self.bench.query(_STATES, {"request_ids": request_ids})
        return {request_id: State(*state) for request_id, *state in rows}

    def _running_executions(self) -> set[str]:
        """The jobs whose finalizer runs or waits."""
        pages = self.bench.stepfunctions.get_paginator("list_executions")
        found = pages.paginate(stateMachineArn=self.bench.info.finalizer_arn, statusFilter="RUNNING")
        return {execution["name"][:36] for page in found for execution in page["executions"]}

    def _sweep_function(self) -> str:
        pages = self.bench.functions.get_paginator("list_functions").paginate()
        names = [function["FunctionName"] for page in pages for function in page["Functions"]]
        return next(name for name in names if name.endswith("-sweep"))
