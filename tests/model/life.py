"""The life of jobs as a Hypothesis state machine: anything that may happen, in any order, at any moment.

Interleaved are whole effects, not the statements within a transaction: what two transactions do to each other while
both are open is left to the tests of the steps.
"""

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from psycopg2.extensions import connection

from imagejobs.bucket import ObjectVersion
from imagejobs.errors import IdempotencyKeyReused
from imagejobs.jobs import failures_key
from imagejobs.steps.fan_out import WEBHOOK_METADATA
from imagejobs.upload_form import UploadForm
from tests.integration.jobs import sheet
from tests.model.actors import Actor, Fault
from tests.model.origin import HOOK
from tests.model.rest import broken_promises, come_to_rest, pass_round
from tests.model.state_machine import Execution
from tests.model.world import DAILY_IMAGES, DEAD, OWNER, ROWS, UPLOADS, World

T = TypeVar("T")

MAX_UPLOADS, MAX_DROPS = 4, 2
NOT_A_SHEET = b"no,header,of,ours\n1,2,3,4\n"

# Which of several, 0 being what matters most.
WHICH = st.sampled_from([0, 0, 0, 1, 2, 3, 5])
# How far somebody gets before something else happens.
EFFECTS = st.sampled_from([None, None, None, 0, 1, 2, 3, 4, 5, 8])
# How often somebody may look at the clock before time is up.
ASKS = st.sampled_from([None, None, None, 1, 2, 4, 7])
# A sheet's rows, each the words of its images.
SHEETS = st.lists(st.sampled_from(["good gone", "good", "good good", "gone", "flaky", "down good", ""]), max_size=3)
KEYS = st.sampled_from([None, None, "one", "two"])
# Of a deliberate fault, kill is the commonest.
FAULTS = st.sampled_from([None, None, None, Fault.KILL, Fault.KILL, Fault.FAIL, Fault.LOSE])

# Which jobs somebody mostly asks this of.
SUITED = {
    "retry": "status IN ('COMPLETED', 'FAILED') AND images_failed > 0",
    "cancel": "finalizable_at IS NULL",
    "redeliver": "status IN ('COMPLETED', 'FAILED') AND webhook_url IS NOT NULL",
}


class Life(RuleBasedStateMachine):
    """Some jobs, and all that may happen to them.

    Few rules, each of many cases: Hypothesis leaves some rules out of each example.

    Args:
        url: Of the database.
        session: The connection to it.
    """

    def __init__(self, url: str, session: connection) -> None:
        super().__init__()
        self._url = url
        self._world = World(session)
        self._uploads: list[tuple[UploadForm, str | None]] = []
        self._answers: dict[str, tuple[UploadForm, object]] = {}
        self._drops: list[dict[str, object]] = []

    @initialize(
        rows=SHEETS, has_webhook=st.booleans(), is_sent=st.booleans(), effects=EFFECTS, end_in_death=st.booleans()
    )
    def begin(self, rows, has_webhook, is_sent, effects, end_in_death):
        """One job is there and somebody at work on it. Who is at work when the example ends dies, or ends it."""
        self._last_fault = Fault.KILL if end_in_death else None
        self.upload(["good gone", *rows], None, has_webhook, None)
        self.fan_out(0, None, None if is_sent else effects)
        self.compress([0, 1], None, effects)

    @precondition(lambda self: len(self._uploads) < MAX_UPLOADS)
    @rule(rows=st.one_of(st.none(), SHEETS), key=KEYS, has_webhook=st.booleans(), effects=EFFECTS, reuses=st.booleans())
    def upload(self, rows, key, has_webhook, effects, *, reuses=False):
        """Without rows: the last one once more."""
        fields = {"reuse": str(reuses).lower(), **({"webhook_url": HOOK} if has_webhook else {})}
        form = UploadForm(_sheet(rows or [""]), fields)
        self._uploads.append((form, key) if rows is not None else self._uploads[-1])
        self._upload(*self._uploads[-1], effects)

    @precondition(lambda self: len(self._drops) < MAX_DROPS)
    @rule(rows=SHEETS, has_webhook=st.booleans(), is_again=st.booleans())
    def drop(self, rows, has_webhook, is_again):
        """At one key. Without rows: what is no sheet."""
        if not (is_again and self._drops):
            metadata = {WEBHOOK_METADATA: HOOK} if has_webhook else {}
            self._drops.append({"Body": _sheet(rows) if rows else NOT_A_SHEET, "Metadata": metadata})
        self._world.s3.put_object(Key="drop/products.csv", **self._drops[-1])

    @rule(which=WHICH, asks=ASKS, effects=EFFECTS)
    def fan_out(self, which, asks, effects):
        if letters := self._world.sqs.of(UPLOADS):
            self._world.fan_out(_pick(letters, which), asks).go_on(effects)

    @rule(which=st.lists(WHICH, min_size=1, max_size=3), asks=ASKS, effects=EFFECTS)
    def compress(self, which, asks, effects):
        if letters := self._world.sqs.of(ROWS):
            picked = {letter.number: letter for letter in (_pick(letters, each) for each in which)}
            self._world.compress(list(picked.values()), asks).go_on(effects)

    @precondition(lambda self: self._world.actors)
    @rule(which=WHICH, effects=EFFECTS, effects_after=EFFECTS)
    def overtake(self, which, effects, effects_after):
        """Somebody is slow: leases run out, the same messages come to others, and then the slow one goes on."""
        slow = _pick(self._world.actors, which)
        self._world.move_clock(50)
        self.fan_out(0, None, effects)
        self.compress([0, 1, 2], None, effects)
        if not slow.has_ended:
            slow.go_on(effects_after)

    @rule(queue=st.sampled_from([ROWS, UPLOADS]), which=WHICH, effects=EFFECTS)
    def bury(self, queue, which, effects):
        """A message is given up, and delivered as a dead letter; or one that is one already."""
        if letters := self._world.sqs.of(queue):
            self._world.dead_letter(_pick(letters, which))
            self._world.bury(_pick(self._world.sqs.of(DEAD), which)).go_on(effects)

    @precondition(lambda self: self._world.actors)
    @rule(which=WHICH, fault=FAULTS, effects=EFFECTS)
    def go_on(self, which, fault, effects):
        _pick(self._world.actors[::-1], which).go_on(effects, fault)

    @rule(seconds=st.sampled_from([0, 5, 20, 61, 3600]), effects=EFFECTS)
    def sweep(self, seconds, effects):
        """Time passes."""
        self._world.move_clock(seconds)
        self._world.sweep().go_on(effects)

    @precondition(lambda self: self._executions())
    @rule(how=st.sampled_from(["once", "once", "twice", "give up", "abort"]), which=WHICH, effects=EFFECTS)
    def finalize(self, how, which, effects):
        """One task of a finalizer or one wait: done, done again, failed for good, or stopped from outside."""
        execution = _pick(self._executions(), which)
        if how == "abort":
            self._world.abort(execution)
        elif execution.waits:
            execution.wake()
        elif how == "give up":
            self._world.give_up_task(execution)
        else:
            task = self._world.task if how == "once" else self._world.repeated_task
            task(execution).go_on(effects)

    @rule(which=WHICH, effects=EFFECTS)
    def cancel(self, which, effects):
        self._control("cancel", which, effects)

    @rule(name=st.sampled_from(["retry", "retry", "redeliver"]), which=WHICH, effects=EFFECTS)
    def go_back(self, name, which, effects):
        self._control(name, which, effects)

    @rule(how=st.sampled_from(["good", "good", "fewer", "same"]), which=WHICH, effects=EFFECTS)
    def correct(self, how, which, effects):
        """The failures of any job that has some, corrected, and sent to be merged; maybe while it is at work."""
        jobs = self._world.query(
            "SELECT request_id, source_key, failures_version FROM job_request WHERE failures_version IS NOT NULL"
            " ORDER BY status IN ('COMPLETED', 'FAILED') DESC, request_id"
        )
        if jobs:
            request_id, source_key, version = _pick(jobs, which)
            failures = self._world.s3.read(ObjectVersion(failures_key(source_key), version)).decode()
            work = partial(self._world.corrector.correct, OWNER, request_id, DAILY_IMAGES, _corrected(failures, how))
            self._world.invoke("correct", work).go_on(effects)

    @rule(hook_status=st.sampled_from([200, 500, 410]), is_mended=st.booleans())
    def answer(self, hook_status, is_mended):
        """What the origin and the receiver of webhooks say from now on."""
        self._world.origin.hook_status, self._world.origin.is_mended = hook_status, is_mended

    @rule()
    def calm(self):
        """For once all goes well, but for those that are slow."""
        pass_round(self._world)

    @invariant()
    def all_holds(self):
        _refute(self._world.failures)
        _refute(self._world.violations())

    def teardown(self):
        """Unless a rule has failed: come to rest, and keep every promise."""
        try:
            if sys.exc_info()[0] is None:
                self._end_actors()
                _refute(come_to_rest(self._world))
                _refute(broken_promises(self._world, self._url))
                _refute(self._world.failures)
        finally:
            self._world.close()

    def _end_actors(self):
        for actor in self._world.actors[:]:
            actor.go_on(fault=self._last_fault)

    def _upload(self, form, key, effects):
        actor = self._world.upload(form, key)
        if key is not None:
            actor.then = partial(self._check_key, actor.then, form, key)
        actor.go_on(effects)

    def _check_key(self, then, form, key, actor: Actor):
        """One key, one form, one job."""
        then(actor)
        if actor.error is None:
            assert self._answers.setdefault(key, (form, actor.result)) == (form, actor.result)
        elif isinstance(actor.error, IdempotencyKeyReused):
            assert any(used == key and each != form for each, used in self._uploads)

    def _control(self, name, which, effects):
        """Of any job; the first are those that it is for."""
        order = f"coalesce({SUITED[name]}, false) DESC, request_id"
        jobs = self._world.query(f"SELECT request_id FROM job_request ORDER BY {order}")
        if jobs:
            work = partial(getattr(self._world.control, name), OWNER, _pick(jobs, which)[0])
            self._world.invoke(name, work).go_on(effects)

    def _executions(self) -> list[Execution]:
        """Those that run, newest first."""
        return [each for each in self._world.step_functions.executions.values() if each.is_running][::-1]


def _sheet(rows: Sequence[str]) -> bytes:
    """A CSV whose images become what their words say; each image has a URL of its own."""
    return sheet(
        *(
            ", ".join(
                f"https://shop.example/{word}/{number}-{place}.jpg" for place, word in enumerate(words.split(), 1)
            )
            for number, words in enumerate(rows, 1)
        )
    )


def _corrected(failures: str, how: str) -> bytes:
    """The file of failed rows with better URLs, or with one URL less, or as it was."""
    header, *rows = csv.reader(io.StringIO(failures, newline=""))
    for row in rows:
        if how == "good":
            row[2] = row[2].replace("/gone/", "/good/") or f"https://shop.example/good/{row[3]}-new.jpg"
        elif how == "fewer":
            row[2] = row[2].rpartition(", ")[0]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


def _pick(options: Sequence[T], which: int) -> T:
    return options[which % len(options)]


def _refute(findings: Iterable[str]) -> None:
    found = list(findings)
    assert not found, "\n".join(found)
