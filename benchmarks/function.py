"""One function of the service in a process of its own, which a benchmark may measure and kill.

The process runs the folder's real handler with the environment that the stack gave the deployed function. The benchmark
plays Lambda's part: an event and the time that is left, one JSON line an invocation.

    python -m benchmarks.function functions/fan_out      what `Function.start` runs
"""

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Answer:
    """What an invocation came to.

    Attributes:
        content: What the handler returned.
        peak_megabytes: Resident memory of the process at most, since it started.
    """

    content: dict[str, Any]
    peak_megabytes: float


@dataclass(frozen=True, slots=True)
class Function:
    """A running process of a function."""

    process: "subprocess.Popen[str]"

    @classmethod
    @contextmanager
    def start(cls, folder: str, environment: Mapping[str, str], log: Path) -> Iterator["Function"]:
        """Run a process until the block ends.

        Args:
            folder: Of the function's code, such as "functions/fan_out".
            environment: Its variables.
            log: Where its own output goes.
        """
        with log.open("a") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.function", folder],
                cwd=PROJECT,
                env={"PYTHONPATH": "layers/imagejobs/python", "PATH": os.defpath, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        try:
            cls._pipe(process.stdout).readline()  # it is warm
            yield cls(process)
        finally:
            process.kill()
            process.communicate()

    def begin(self, event: Mapping[str, Any], seconds: float) -> None:
        """Let it work on an event, with so much time."""
        print(json.dumps({"event": event, "seconds": seconds}), file=self._pipe(self.process.stdin), flush=True)

    def has_answered(self, timeout_seconds: float) -> bool:
        """Whether it answers, or is dead, before that."""
        return bool(select.select([self._pipe(self.process.stdout)], [], [], timeout_seconds)[0])

    def answer(self) -> Answer:
        """Wait for what the invocation came to.

        Raises:
            RuntimeError: The process is dead.
        """
        line = self._pipe(self.process.stdout).readline()
        if not line:
            raise RuntimeError("The function's process ended without an answer; its log says why.")
        return Answer(**json.loads(line))

    def kill(self) -> bool:
        """SIGKILL; whether it was still within its invocation."""
        within = not self.has_answered(0)
        self.process.kill()
        self.process.wait()
        return within

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        return cast("IO[str]", pipe)


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers use of Lambda's context object."""

    deadline: float

    def get_remaining_time_in_millis(self) -> int:
        """Until the invocation's time is up."""
        return round((self.deadline - time.monotonic()) * 1000)


def peak_megabytes(pid: int | None = None) -> float:
    """Resident memory of a process at most; of this one getrusage would count what it was forked from.

    Raises:
        OSError: There is no such process.
    """
    status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    """Serve invocations until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the handler logs is no answer
    handler = load_handler(sys.argv[1])
    print(file=answers, flush=True)
    for line in sys.stdin:
        call = json.loads(line)
        content = handler(call["event"], Context(time.monotonic() + call["seconds"]))
        print(json.dumps({"content": content, "peak_megabytes": peak_megabytes()}), file=answers, flush=True)


def load_handler(folder: str) -> Callable[[Any, Context], dict[str, Any]]:
    """The handler of a function by the folder of its code, such as "functions/fan_out"."""
    path = PROJECT / folder / "app.py"
    spec = importlib.util.spec_from_file_location("app", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"There is no function at {path}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[Any, Context], dict[str, Any]]", module.handler)


if __name__ == "__main__":
    main()
