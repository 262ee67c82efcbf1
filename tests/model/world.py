"""The world of the model: the real steps on a real Postgres, and around them stand-ins that the test moves.

What a function's handler does around its step (which message is handled, which is given back) is done here.
"""

import json
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

from psycopg2.extensions import connection

from imagejobs import image
from imagejobs.bucket import DROP_PREFIX, IMAGE_PREFIX, UPLOAD_PREFIX, Bucket, ObjectVersion
from imagejobs.database import Database, Transaction
from imagejobs.destinations import ANY_PUBLIC_HOST
from imagejobs.errors import RequestError
from imagejobs.executions import Finalizer
from imagejobs.queues import Message, Queue
from imagejobs.steps import api, compress, fan_out, finalize, sweep
from imagejobs.steps.bury import StillWorkedOn, Undertaker
from imagejobs.steps.compress import RowWorker
from imagejobs.steps.control import Control
from imagejobs.steps.correct import Corrector
from imagejobs.steps.fan_out import FanOut
from imagejobs.steps.finalize import Closer
from imagejobs.steps.send_webhook import Sender
from imagejobs.steps.sweep import Sweeper
from imagejobs.upload_form import UploadForm
from imagejobs.usage import Allowance
from imagejobs.webhook import new_secret
from operations.verify import statements
from tests.model.actors import Actor, Fault, Stage
from tests.model.cloud import Letter, S3Client, SqsClient, StepFunctionsClient
from tests.model.origin import Origin
from tests.model.state_machine import Execution

T = TypeVar("T")

OWNER = "shop"
DAILY_IMAGES = 1_000_000
MAX_IMAGES_OUT = 2
UPLOADS, ROWS, DEAD = "uploads", "rows", "dead"
# As in the template.
VISIBILITY_SECONDS = {UPLOADS: 1800.0, ROWS: 720.0, DEAD: 180.0}
INVOCATION_SECONDS = 300.0


class Clock:
    """The time of everything; it moves when the test moves it."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Ledger(Database):
    """The database: each transaction is an effect, and says whose it is. One connection serves all actors in turn.

    Args:
        session: The connection.
        stage: Where its transactions are effects.
    """

    def __init__(self, session: connection, stage: Stage) -> None:
        super().__init__(lambda: session)
        self._stage = stage

    def transact(self, work: Callable[[Transaction], T]) -> T:
        fault = self._stage.enter()
        result = super().transact(partial(self._signed, work))
        # The real one runs it again when the reply to a COMMIT was lost.
        return super().transact(partial(self._signed, work)) if fault is Fault.LOSE else result

    def _signed(self, work: Callable[[Transaction], T], transaction: Transaction) -> T:
        name = self._stage.actor.name if self._stage.actor else "test"
        transaction.run_script(f"SET LOCAL model.actor = '{name}'")
        return work(transaction)


@dataclass(eq=False)
class Promise:
    """A transfer that is done when somebody asks for its result, and says so at once."""

    work: Callable[[], Any]
    results: list[Any] = field(default_factory=list)

    def result(self) -> Any:
        if not self.results:
            self.results.append(self.work())
        return self.results[0]

    def add_done_callback(self, tell: Callable[["Promise"], None]) -> None:
        tell(self)


class Pool:
    """Stands for a ThreadPoolExecutor: an actor does one thing at a time."""

    def __init__(self, *_: Any) -> None: ...

    def shutdown(self, *, cancel_futures: bool) -> None: ...

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Promise:
        return Promise(partial(work, *arguments))


class AtWork(compress.AtWork):
    """What is at work is renewed whenever something else was committed."""

    renewal_is_due = True


class Hurry:
    """The remaining seconds of an invocation whose time is up when it asks for the n-th time; None for never."""

    def __init__(self, asks: int | None) -> None:
        self._asks = asks

    def __call__(self) -> float:
        if self._asks is None:
            return INVOCATION_SECONDS
        self._asks -= 1
        return INVOCATION_SECONDS if self._asks >= 0 else 1.0


class World:
    """The service, and what it lives on.

    Args:
        session: A connection to a database with transitions.sql; it is emptied.

    Attributes:
        actors: Invocations that have not ended.
        failures: Errors that a step ended with or swallowed, and should not have.
        unwritable: Jobs whose finalizer has given up the finished CSV, once.
        unswept: Jobs whose finalizer has given up removing strays, once.
        late: Who stored an image when its job was done already, by its key.
        buried: Rows, as request id and number, that were to be buried.
    """

    def __init__(self, session: connection) -> None:
        self._session = session
        self.clock = Clock()
        self.stage = Stage()
        self.database = Ledger(session, self.stage)
        self.sqs = SqsClient(self.stage, self.clock)
        self.s3 = S3Client(self.stage, self._notice)
        self.step_functions = StepFunctionsClient(self.stage)
        self.origin = Origin(self.stage)
        self.actors: list[Actor] = []
        self.failures: list[str] = []
        self.unwritable: set[str] = set()
        self.unswept: set[str] = set()
        self.late: dict[str, Actor] = {}
        self.buried: set[tuple[str, int]] = set()
        self._numbers = 0
        self._tasks: dict[str, Actor] = {}
        self._make_steps()
        self._patches = self._patch()
        self.query("DEALLOCATE ALL")
        self.query(f"PREPARE held AS {_violations(without='stuck')}")
        self.query(f"PREPARE held_at_rest AS {_violations(without='')}")
        for table in ("job_request", "model.violation", "model.lease"):  # on small tables quicker than TRUNCATE
            self.query(f"DELETE FROM {table}")

    def close(self) -> None:
        """End every actor and give the steps back what they had."""
        for actor in self.actors[:]:
            actor.kill()
        self._patches.close()

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Any SQL; rows if it returns some."""
        with self._session, self._session.cursor() as cursor:
            cursor.execute("SET LOCAL model.actor = 'test'")
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def violations(self, *, at_rest: bool = False) -> list[str]:
        """What violates operations/invariants.sql, and what transitions.sql has written down.

        Args:
            at_rest: Whether nothing is left to do, so that nothing may look stuck either.
        """
        return [
            f"{name}: {request_id}: {detail}"
            for name, request_id, detail in self.query(f"EXECUTE {'held_at_rest' if at_rest else 'held'}")
            # A job whose finished CSV could not be written ends without it.
            if name != "job_result" or request_id not in self.unwritable
        ]

    def move_clock(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.seconds += seconds
        self.query("UPDATE model.clock SET moment = moment + make_interval(secs => %s)", seconds)

    def invoke(self, name: str, work: Callable[[], Any], then: Callable[[Actor], None] = lambda _: None) -> Actor:
        """A new actor, before its first effect; `then` is called when it has ended."""
        self._numbers += 1
        actor = Actor(self.stage, f"{name}-{self._numbers}", work, lambda ended: self._end(ended, then))
        self.actors.append(actor)
        return actor

    def upload(self, form: UploadForm, key: str | None) -> Actor:
        """POST /upload."""
        allowance = Allowance(OWNER, DAILY_IMAGES, requests_per_minute=1_000)
        arguments: Any = {"allowance": allowance, "form": form, "destinations": ANY_PUBLIC_HOST, "idempotency_key": key}
        return self.invoke("upload", partial(api.accept_upload, self.database, self.bucket, **arguments))

    def fan_out(self, letter: Letter, asks: int | None) -> Actor:
        """Deliver a message of the upload queue."""
        message = self._receive(UPLOADS, letter)

        def handle() -> None:
            try:
                for record in message.body["Records"]:
                    self._fan_out.run(ObjectVersion.from_event_record(record), Hurry(asks))
            except Exception:
                self._queues[UPLOADS].back_off(message)
                raise

        return self.invoke("fan_out", handle, partial(self._acknowledge, [letter]))

    def compress(self, letters: Sequence[Letter], asks: int | None) -> Actor:
        """Deliver messages of the row queue."""
        messages = [self._receive(ROWS, letter) for letter in letters]

        def handle() -> list[Message]:
            try:
                return self._worker.run(messages, Hurry(asks))
            except Exception:
                for message in messages:
                    self._queues[ROWS].back_off(message)
                raise

        return self.invoke("compress", handle, partial(self._acknowledge, letters))

    def dead_letter(self, letter: Letter) -> None:
        """Move a message to the dead-letter queue."""
        letter.is_deleted = True
        self.sqs.add(DEAD, letter.body)

    def bury(self, letter: Letter) -> Actor:
        """Deliver a dead letter."""
        message = self._receive(DEAD, letter)
        if "request_id" in message.body:
            self.buried.add((str(message.row.request_id), message.row.row_number))
        return self.invoke("bury", lambda: self._undertaker.bury(message), partial(self._acknowledge, [letter]))

    def sweep(self) -> Actor:
        """The schedule's minute is over."""
        return self.invoke("sweep", self._sweeper.sweep)

    def is_at_task(self, execution: Execution) -> bool:
        """Whether the function that an execution waits for is at work."""
        return execution.name in self._tasks

    def task(self, execution: Execution) -> Actor:
        """The function that an execution waits for: the one at work, else a new one."""
        if execution.name not in self._tasks:
            work = partial(self._functions[execution.resource], execution.input())
            self._tasks[execution.name] = self.invoke("task", work, partial(self._end_task, execution))
        return self._tasks[execution.name]

    def repeated_task(self, execution: Execution) -> Actor:
        """The same function once more, whose answer nobody waits for."""
        return self.invoke("repeated_task", partial(self._functions[execution.resource], execution.input()))

    def give_up_task(self, execution: Execution) -> None:
        """The task has failed for good; its function may still be at work."""
        self._tasks.pop(execution.name, None)
        if execution.at == "WriteResult":
            self.unwritable.add(execution.data["request_id"])
        if execution.at == "RemoveStrays":
            self.unswept.add(execution.data["request_id"])
        execution.fail()

    def abort(self, execution: Execution) -> None:
        """An operator stops an execution; its function may still be at work."""
        self._tasks.pop(execution.name, None)
        execution.status = "ABORTED"

    def _notice(self, stored: ObjectVersion) -> None:
        """S3 tells the upload queue of sheets; the test remembers who stores what nobody will look for any more."""
        if stored.key.startswith((DROP_PREFIX, UPLOAD_PREFIX)):
            self.sqs.add(UPLOADS, json.dumps(stored.as_event()))
        elif stored.key.startswith(IMAGE_PREFIX) and self.stage.actor:
            done = "SELECT 1 FROM job_request WHERE request_id = %s AND finalizable_at IS NOT NULL"
            if self.query(done, stored.key.split("/")[1]):
                self.late[stored.key] = self.stage.actor

    def _make_steps(self) -> None:
        clients: tuple[Any, Any, Any] = (self.s3, self.sqs, self.step_functions)
        database, bucket = self.database, Bucket(clients[0], "imagejobs")
        uploads, rows = Queue(clients[1], UPLOADS), Queue(clients[1], ROWS)
        finalizer = Finalizer(clients[2], "arn:aws:states:::stateMachine:finalizer")
        fetcher: Any = self.origin
        secrets = [new_secret()]
        callers: Any = SimpleNamespace(webhook_secrets=lambda _: secrets)
        codec: Any = SimpleNamespace(  # the real one, without its own process
            start=lambda _: None, compress=lambda body, options, _deadline: image.compress(body, options)
        )
        reports: Any = SimpleNamespace(ring_report=lambda *_: None)  # nobody waits for one
        closer = Closer(database, bucket, reports, "https://api.example", 1.0, 2)
        sender = Sender(bucket, fetcher, callers)
        self.bucket = bucket
        self.control = Control(database, uploads, finalizer)
        self.corrector = Corrector(database, bucket, self.control.ring)
        self._queues = {UPLOADS: uploads, ROWS: rows}
        self._fan_out = FanOut(
            bucket, database, rows, uploads, MAX_IMAGES_OUT, finalizer, OWNER, DAILY_IMAGES, "", ANY_PUBLIC_HOST
        )
        self._worker = RowWorker(
            database, bucket, fetcher, rows, uploads, MAX_IMAGES_OUT, finalizer, "https://cdn.example", codec
        )
        self._undertaker = Undertaker(database, bucket, finalizer, OWNER, "")
        self._sweeper = Sweeper(database, rows, uploads, MAX_IMAGES_OUT, finalizer)
        self._functions: dict[str, Callable[[Any], Any]] = {
            "${FinalizeFunctionArn}": lambda event: closer.run(event["step"], event["state"]),
            "${SendWebhookFunctionArn}": sender.send,
        }

    def _patch(self) -> ExitStack:
        """Chunks so small that few rows make many; no time and nothing random but the test's own."""
        time = SimpleNamespace(monotonic=self.clock, sleep=lambda _: None)
        logger = SimpleNamespace(exception=self._note_swallowed, warning=lambda *_, **__: None)
        names: dict[Any, dict[str, Any]] = {
            api: {"uuid4": _uuid},
            compress: {"uuid4": _uuid, "time": time, "logger": logger, "ThreadPoolExecutor": Pool, "AtWork": AtWork},
            fan_out: {"uuid4": _uuid, "time": time, "logger": logger, "STAGE_CHARACTERS": 100, "SEND_IMAGES": 2},
            finalize: {"PAGE_IMAGES": 2},
            sweep: {"logger": logger},
        }
        names[compress]["LEASE_IMAGES"] = 2
        patches = ExitStack()
        for module, values in names.items():
            patches.enter_context(patch.multiple(module, **values))
        return patches

    def _receive(self, queue: str, letter: Letter) -> Message:
        letter.visible_at = self.clock.seconds + VISIBILITY_SECONDS[queue]
        return Message(str(letter.number), str(letter.number), max(1, letter.receives), json.loads(letter.body))

    def _acknowledge(self, letters: Sequence[Letter], actor: Actor) -> None:
        """What was handled is deleted; what was given back, or was in a dead actor's hands, stays."""
        if actor.error is None:
            kept = {message.message_id for message in actor.result or []}
            for letter in letters:
                letter.is_deleted |= str(letter.number) not in kept

    def _end_task(self, execution: Execution, actor: Actor) -> None:
        """The execution goes on if it still waits for this one; one that failed is tried again."""
        if self._tasks.get(execution.name) is actor:
            del self._tasks[execution.name]
            if actor.error is None:
                execution.succeed(json.loads(json.dumps(actor.result)))

    def _end(self, actor: Actor, then: Callable[[Actor], None]) -> None:
        self.actors.remove(actor)
        if not (actor.is_disturbed or actor.error is None or isinstance(actor.error, RequestError | StillWorkedOn)):
            self.failures.append(f"{actor.name}: {actor.error!r}")
        then(actor)

    def _note_swallowed(self, what: str, **_: Any) -> None:
        """A step logs an error and goes on; it should have none but the test's faults."""
        if self.stage.actor and not self.stage.actor.is_disturbed:
            self.failures.append(f"{self.stage.actor.name}: {what}: {sys.exc_info()[1]!r}")


def _violations(without: str) -> str:
    """All invariants but one, as one query."""
    queries = [
        f"SELECT '{name}', request_id::text, detail FROM ({sql.rstrip().removesuffix(';')}) AS {name}"
        for name, _, sql in statements()
        if name != without
    ]
    return "\nUNION ALL\n".join([*queries, "SELECT 'transition', request_id::text, what FROM model.violation"])


def _uuid() -> UUID:
    """The same in a repetition: Hypothesis seeds `random`."""
    return UUID(int=random.getrandbits(128), version=4)
