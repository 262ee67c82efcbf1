"""Actors: what runs at the same time, each in a thread of its own that goes on only when it is told to.

An actor stops before every effect (a call of AWS, a transaction, an exchange over HTTP), so that any number of them can
be interleaved, and ended, between any two effects. One runs at a time: what comes of it depends on the order alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from threading import Semaphore, Thread
from typing import Any

from botocore.exceptions import EndpointConnectionError


class Killed(BaseException):
    """The actor's process is gone: nothing of it goes on, not even what cleans up."""


class Fault(Enum):
    """What happens to one effect.

    KILL ends the actor before it. FAIL: it is refused. LOSE: it happens, and its reply is lost.
    """

    KILL = "kill"
    FAIL = "fail"
    LOSE = "lose"


class Stage:
    """Where actors meet.

    Attributes:
        actor: Who is at work; None while the test itself is.
    """

    actor: "Actor | None" = None

    def enter(self) -> Fault | None:
        """Called before every effect."""
        return self.actor.enter() if self.actor else None

    @contextmanager
    def effect(self) -> Iterator[None]:
        """A call that a fault of the network may refuse, or cut off from its reply."""
        fault = self.enter()
        if fault is Fault.FAIL:
            raise EndpointConnectionError(endpoint_url="https://aws.example")
        yield
        if fault is Fault.LOSE:
            raise EndpointConnectionError(endpoint_url="https://aws.example")


@dataclass
class Actor:
    """One invocation of a step.

    Attributes:
        stage: Where it acts.
        name: What it does.
        work: The step.
        then: Called with the actor once it has ended; it says how.
        result: What `work` returned.
        error: What ended it instead.
        is_disturbed: It had a fault: it may end with any error.
        has_ended: Nothing of it will go on.
    """

    stage: Stage
    name: str
    work: Callable[[], Any]
    then: Callable[["Actor"], None]
    result: Any = None
    error: BaseException | None = None
    is_disturbed: bool = False
    has_ended: bool = False
    _effects: int | None = 0
    _fault: Fault | None = None
    _turn: Semaphore = field(default_factory=lambda: Semaphore(0))
    _pause: Semaphore = field(default_factory=lambda: Semaphore(0))
    _thread: Thread | None = None

    def go_on(self, effects: int | None = None, fault: Fault | None = None) -> None:
        """Go on for so many effects, the first with a fault; by default to the end."""
        self._effects, self._fault = effects, fault
        self.is_disturbed |= fault is not None
        self.stage.actor = self
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self._pause.acquire()
        self.stage.actor = None
        if self.has_ended:
            self._thread.join()
            self.then(self)

    def kill(self) -> None:
        """End it here."""
        self.go_on(1, Fault.KILL)

    def enter(self) -> Fault | None:
        """Wait before an effect until it may happen; its fault.

        Raises:
            Killed: It will not.
        """
        if self._effects == 0:
            self._pause.release()
            self._turn.acquire()
        if self._fault is Fault.KILL:
            raise Killed
        if self._effects is not None:
            self._effects -= 1
        fault, self._fault = self._fault, None
        return fault

    def _run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 what it may end with is the test's to say
            self.error = error
        self.has_ended = True
        self._pause.release()
