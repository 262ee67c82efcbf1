"""Settings: environment variables that the template sets, each read by name when it is first needed."""

import os
from collections.abc import Callable
from typing import TypeVar

from imagejobs.destinations import Destinations, EntryInvalid, HostList, parse_origins
from imagejobs.limits import IMAGES_OUT_PER_WORKER, MEGABYTES_PER_VCPU

USER_AGENT = "ImageProcessingAPI/1.0"
"""What the service calls itself to other servers."""

Parsed = TypeVar("Parsed")


class SettingMissing(Exception):
    """The function's environment lacks a variable that the template should set."""


class SettingInvalid(Exception):
    """A variable of the function's environment has a value that cannot be used."""


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


def codec_processes() -> int:
    """How many pictures may be coded at a time: one for each vCPU that the function's memory comes with."""
    return max(1, int(required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")) // MEGABYTES_PER_VCPU)


def destinations() -> Destinations:
    """Whom the operator lets the service contact.

    Raises:
        SettingMissing: A list is not set.
        SettingInvalid: A list has an entry that cannot be used; to pass it over could open what it should close.
    """
    return Destinations(
        private_origins=_parsed(parse_origins, "PRIVATE_ORIGINS", required("PRIVATE_ORIGINS")),
        allowed=_parsed(HostList.parse, "ALLOWED_HOSTS", required("ALLOWED_HOSTS")),
        denied=_parsed(HostList.parse, "DENIED_HOSTS", required("DENIED_HOSTS")),
    )


def _parsed(parse: Callable[[str], Parsed], name: str, value: str) -> Parsed:
    try:
        return parse(value)
    except EntryInvalid as error:
        raise SettingInvalid(
            f"The environment variable {name} cannot be used: {error}. Correct the template's parameter behind it."
        ) from None
