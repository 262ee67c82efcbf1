"""The folder through which the harness and the fault layer in the functions' processes speak.

A *point* is a place in a function between two effects: `<function>:<before|after>:<operation>#<n>`, n counting the
operation within one invocation, as in `compress:after:s3.PutObject#2` or `fan_out:before:commit#1`.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

# What happens at a point: the process kills itself, the operation raises, or it never returns.
KILL, RAISE, HANG = "kill", "raise", "hang"
REACHED = "reached"
FAILED = "failed"  # the invocation raised


@dataclass(frozen=True, slots=True)
class Arrival:
    """A process at a point, as the log has it.

    Attributes:
        pid: The process.
        point: Where.
        action: What happened there; `REACHED` for nothing.
    """

    pid: int
    point: str
    action: str


@dataclass(frozen=True, slots=True)
class Poison:
    """A rule that strikes every time.

    Attributes:
        point: Regular expression of a point's whole name.
        pattern: Regular expression searched for in the call's parameters, or in the invocation's event.
        action: `KILL`, `RAISE` or `HANG`.
    """

    point: str
    pattern: str
    action: str


@dataclass(frozen=True, slots=True)
class Noise:
    """Random faults of AWS calls and commits.

    Attributes:
        share: Of all calls, from 0 to 1.
        seed: What the processes' random numbers start from.
    """

    share: float
    seed: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """An SQS message that a function was given.

    Attributes:
        queue_arn: Where it came from.
        body: Its text.
    """

    queue_arn: str
    body: str


class Control:
    """The control folder, seen from both sides.

    Args:
        folder: Made if needed.
    """

    def __init__(self, folder: Path) -> None:
        self._plans = folder / "plans"
        self._log = folder / "points.log"
        self._poison = folder / "poison.json"
        self._noise = folder / "noise.json"
        self._deliveries = folder / "deliveries.jsonl"
        self._tokens = count()
        self._read_to = 0
        self._plans.mkdir(parents=True, exist_ok=True)
        self._log.touch()

    # ── The harness ──────────────────────────────────────────────────────────────────────────────────────────────

    def arm(self, point: str, action: str = KILL) -> None:
        """Let the next process at `point` meet `action`, once."""
        folder = self._plans / point
        folder.mkdir(exist_ok=True)
        (folder / f"{next(self._tokens):06d}-{action}").touch()

    def disarm(self) -> None:
        """Take back what was armed and has not been met, poison and noise."""
        for token in self._plans.glob("*/*"):
            token.unlink(missing_ok=True)
        self.poison([])
        self.disturb(None)

    def poison(self, rules: Sequence[Poison]) -> None:
        """Let the rules hold from now on, and no others."""
        _write(self._poison, [asdict(rule) for rule in rules])

    def disturb(self, noise: Noise | None) -> None:
        """Make AWS calls and commits fail at random from now on; None ends that."""
        _write(self._noise, asdict(noise) if noise else None)

    def arrivals(self) -> list[Arrival]:
        """What was logged since the last call."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read_to += len(whole + newline)
        return [_arrival(line) for line in whole.decode().splitlines()]

    def deliveries(self) -> list[Delivery]:
        """Every message that functions were given so far, repeats included."""
        if not self._deliveries.exists():
            return []
        return [Delivery(**json.loads(line)) for line in self._deliveries.read_text(encoding="utf-8").splitlines()]

    # ── The functions' processes ─────────────────────────────────────────────────────────────────────────────────

    def take(self, point: str) -> str | None:
        """What is armed at `point`, which is then another's no more; None when nothing is."""
        for token in sorted((self._plans / point).glob("*")):
            try:
                token.unlink()
            except FileNotFoundError:  # another process was quicker
                continue
            return token.name.split("-", 1)[1]
        return None

    def poisoned(self, point: str, text: str) -> str | None:
        """What the rules say for this point and the text of its call or event."""
        for rule in _read(self._poison) or []:
            if re.fullmatch(rule["point"], point) and re.search(rule["pattern"], text):
                return str(rule["action"])
        return None

    def noise(self) -> Noise | None:
        """The random faults of now."""
        settings = _read(self._noise)
        return Noise(**settings) if settings else None

    def note(self, point: str, action: str = REACHED) -> None:
        """Log an arrival; a process that is killed right after has been heard."""
        _append(self._log, f"{os.getpid()} {point} {action}")

    def note_delivery(self, delivery: Delivery) -> None:
        """Log a message that this process was given."""
        _append(self._deliveries, json.dumps(asdict(delivery)))


def _arrival(line: str) -> Arrival:
    pid, point, action = line.split()
    return Arrival(int(pid), point, action)


def _append(path: Path, line: str) -> None:
    """One write to the end of the file: lines of several processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def _write(path: Path, value: Any) -> None:  # noqa: ANN401 JSON
    """Replace the file at once: a reader sees the old one or the new one."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(path)


def _read(path: Path) -> Any:  # noqa: ANN401 JSON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
