"""Ending the local stack's processes, and those that a killed one left behind."""

import os
import time
from collections.abc import Callable, Collection

import psutil

KILL_WAIT_SECONDS = 3.0


def end(processes: Collection[psutil.Process], grace_seconds: float) -> None:
    """Ask the processes to end (SIGTERM), and kill those that still run after `grace_seconds`."""
    for process in processes:
        _signal(process.terminate)
    alive = wait_for_end(processes, grace_seconds)
    for process in alive:
        _signal(process.kill)
    wait_for_end(alive, KILL_WAIT_SECONDS)


def wait_for_end(processes: Collection[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the processes to end, at most `seconds`; those that still run.

    One that has ended counts as such before its parent takes notice: the parent of an orphan may be slow to.
    """
    deadline = time.monotonic() + seconds
    while (alive := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def session_members(session_id: int, names: Collection[str]) -> list[psutil.Process]:
    """The processes of one session whose command line has one of `names`.

    The names guard against a session id that the system has given to somebody else since.
    """
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if _session_of(process.pid) == session_id and not set(names).isdisjoint(process.info["cmdline"] or [])
    ]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return
