"""What is loaded into a function's process: it notes the start, every socket that connects, and an orderly end.

Python tells its audit hooks of every `socket.connect`. What connects below Python is not told: libpq, which has the
database's Unix socket, and AWS's runtime client, which has the runtime API.
"""

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import Any

STARTED, CONNECTED, RECYCLED = "started", "connected", "recycled"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a function's process did.

    Attributes:
        function: Its name.
        pid: The process.
        what: `STARTED`, `CONNECTED` or `RECYCLED`.
        host: The host connected to, or the path of a Unix socket; of a start, the host of the runtime API.
        port: The port; 0 for a Unix socket.
    """

    function: str
    pid: int
    what: str
    host: str = ""
    port: int = 0


def install(log: Path) -> None:
    """Watch this process from now on: what `sitecustomize` calls.

    Args:
        log: A line of JSON an event is appended to it.
    """
    function = os.environ.get("POWERTOOLS_SERVICE_NAME")
    if function:  # the environment's process itself, not one that it starts without its settings
        journal = Journal(log, function)
        host, _, port = os.environ.get("AWS_LAMBDA_RUNTIME_API", "").partition(":")
        journal.note(STARTED, host, int(port or 0))
        sys.addaudithook(journal.hear)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_await_recycling, args=(journal,), name="recycling", daemon=True).start()


def _await_recycling(journal: "Journal") -> None:
    """The engine asks an environment that it does not need any more to end; what crashes or is killed says nothing.

    A handler of Python's would not do: the main thread waits for the next event in AWS's runtime client.
    """
    signal.sigwait({signal.SIGTERM})
    journal.note(RECYCLED)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)


class Journal:
    """The events of one process.

    Args:
        log: Where they go.
        function: The function that this process is.
    """

    def __init__(self, log: Path, function: str) -> None:
        self._function = function
        self._descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, what: str, host: str = "", port: int = 0) -> None:
        """Append an event: in one write, so that lines of several processes do not mix."""
        event = Event(self._function, os.getpid(), what, host, port)
        os.write(self._descriptor, f"{json.dumps(asdict(event))}\n".encode())

    def hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Python's audit hook."""
        if name == "socket.connect":
            address = arguments[1]
            host, port = address[:2] if isinstance(address, tuple) else (address, 0)
            self.note(CONNECTED, os.fsdecode(host) if isinstance(host, bytes) else str(host), int(port))
