"""The watch over the functions' processes: whom they connect to, and how they end."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import psutil

from imagejobs.addresses import why_not_public
from security.layer import CONNECTED, RECYCLED, STARTED, Event
from security.tally import Tally

# As the engine logs it before it ends the environment, which is then no recycling.
_TIMED_OUT = "Task timed out after"


@dataclass
class Watch:
    """Reads what `security.layer` has noted, and judges it.

    Attributes:
        log: What the layer writes.
        engine_log: What the engine writes, which knows of invocations that took too long.
        origins: "host:port" that functions may connect to although not public.
        socket_dir: Where the Unix sockets lie that they may connect to.
        runtime_apis: "host:port" of the runtime APIs of all processes so far.
    """

    log: Path
    engine_log: Path
    origins: Collection[str]
    socket_dir: Path
    runtime_apis: dict[int, str] = field(default_factory=dict)
    _running: dict[int, str] = field(default_factory=dict)
    _read_to: dict[Path, int] = field(default_factory=dict)

    def look(self) -> Tally:
        """What has happened since the last look."""
        events = [Event(**json.loads(line)) for line in self._new_lines(self.log)]
        private = [self._complaint(event) for event in events if self._note(event)]
        deaths = [*self._deaths(), *self._timeouts()]
        return Tally(private_connections=len(private), worker_deaths=len(deaths), findings=(*private, *deaths))

    @property
    def processes(self) -> list[int]:
        """The functions' processes that ran at the last look."""
        return list(self._running)

    def _note(self, event: Event) -> bool:
        """Take an event in; whether it is a connection that may not be."""
        if event.what == STARTED:
            self._running[event.pid] = event.function
            self.runtime_apis[event.pid] = f"{event.host}:{event.port}"
        elif event.what == RECYCLED:
            self._running.pop(event.pid, None)
        return event.what == CONNECTED and not self._is_allowed(event)

    def _is_allowed(self, event: Event) -> bool:
        origin = f"{event.host}:{event.port}"
        if origin in self.origins or origin == self.runtime_apis.get(event.pid):
            return True
        if not event.port:
            return Path(event.host).is_relative_to(self.socket_dir)
        try:
            address = ip_address(event.host)
        except ValueError:
            return False  # a name: nobody has seen what it stands for
        # Two judges, for the first is the service's own.
        return why_not_public(address) is None and address.is_global

    @staticmethod
    def _complaint(event: Event) -> str:
        return f"{event.function} (process {event.pid}) connected to {event.host}, port {event.port}"

    def _deaths(self) -> Iterator[str]:
        for pid in [pid for pid in self._running if not _runs(pid)]:
            yield f"{self._running.pop(pid)} (process {pid}) ended by itself"

    def _timeouts(self) -> Iterator[str]:
        for line in self._new_lines(self.engine_log):
            if _TIMED_OUT in line:
                yield f"an invocation took too long: {line}"

    def _new_lines(self, path: Path) -> list[str]:
        if not path.exists():
            return []
        with path.open("rb") as log:
            log.seek(self._read_to.get(path, 0))
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read_to[path] = self._read_to.get(path, 0) + len(whole + newline)
        return whole.decode(errors="replace").splitlines()


def _runs(pid: int) -> bool:
    """Whether it does; one that has ended counts as such before its parent takes notice."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
