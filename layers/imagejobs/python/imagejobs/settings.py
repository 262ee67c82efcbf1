"""Settings: environment variables that the template sets, each read by name when it is first needed."""

import os

from imagejobs.limits import IMAGES_OUT_PER_WORKER


class SettingMissing(Exception):
    """The function's environment lacks a variable that the template should set."""


def required(name: str) -> str:
    """The environment variable `name`.

    Raises:
        SettingMissing: It is not set.
    """
    try:
        return os.environ[name]
    except KeyError:
        raise SettingMissing(f"The environment variable {name} is not set; the template sets it.") from None


def max_images_out() -> int:
    """How many images of one job may be sent and not done at a time."""
    return IMAGES_OUT_PER_WORKER * int(required("COMPRESS_CONCURRENCY"))


def private_origins() -> frozenset[str]:
    """The `host:port` origins that may be private addresses; none unless the operator names them."""
    origins = (origin.strip().lower() for origin in required("PRIVATE_ORIGINS").split(","))
    return frozenset(filter(None, origins))
