"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1


def until(what: Callable[[], T], seconds: float, wanted: str) -> T:
    """The first truthy value of `what`.

    Args:
        what: Asked again and again.
        seconds: How long.
        wanted: What is waited for, for the error.

    Raises:
        TimeoutError: There is none in time.
    """
    deadline = time.monotonic() + seconds
    while not (value := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {seconds:.0f} s: {wanted}.")
        time.sleep(POLL_SECONDS)
    return value
