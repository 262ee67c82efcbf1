"""The operator's lists of hosts as the template sets them, for the steps that contact somebody or refuse to."""

from collections.abc import Callable
from typing import TypeVar

from imagejobs.destinations import Destinations, EntryInvalid, HostList, parse_origins
from imagejobs.settings import required

Parsed = TypeVar("Parsed")


class SettingInvalid(Exception):
    """A variable of the function's environment has a value that cannot be used."""


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
