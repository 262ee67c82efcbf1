"""CPU of a running stack's processes, by the part of the stack that each belongs to."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

CODEC = "codec"
EMULATOR = "emulator"


def cpu_seconds(state_dir: Path) -> dict[str, float]:
    """CPU seconds by part: of all processes that this one started, of the stack's Postgres, and of their dead children.

    Args:
        state_dir: The stack's.
    """
    found: dict[str, float] = {}
    for process in processes(state_dir):
        try:
            part, times = part_of(process.cmdline(), process.environ()), process.cpu_times()
        except psutil.NoSuchProcess:  # what it took is among its parent's times by now
            continue
        spent = times.user + times.system + times.children_user + times.children_system
        found[part] = found.get(part, 0.0) + spent
    return found


def processes(state_dir: Path) -> Iterable[psutil.Process]:
    """Every process once; Postgres may have made itself independent of this one."""
    postmaster = psutil.Process(int((state_dir / "postgres" / "postmaster.pid").read_text().split()[0]))
    started = psutil.Process().children(recursive=True)
    return {*started, postmaster, *postmaster.children(recursive=True)}


def part_of(command: Iterable[str], environment: Mapping[str, str]) -> str:
    """The part that a process belongs to: a function by its step, else what its command line tells."""
    line = " ".join(command)
    if "imagejobs.codec_child" in line:
        return CODEC
    if "awslambdaric" in line:
        return environment.get("POWERTOOLS_SERVICE_NAME", "other functions")
    if "postgres" in line:
        return "Postgres"
    return EMULATOR if "ministack" in line else "origin"


def ms_an_image(before: Mapping[str, float], after: Mapping[str, float], images: int) -> dict[str, float]:
    """CPU milliseconds an image of each part between two looks, the most first."""
    spent = {part: (seconds - before.get(part, 0.0)) / images * 1000 for part, seconds in after.items()}
    return dict(sorted(spent.items(), key=lambda one: one[1], reverse=True))


def outside_the_codec(parts: Mapping[str, float], loop_ms: float) -> dict[str, float]:
    """The same without what coding itself takes: of the codec's process only what it takes beyond the bare loop."""
    return {**parts, CODEC: parts[CODEC] - loop_ms}
