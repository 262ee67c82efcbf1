"""Steps `api`, `fan_out`, `compress` and `send_webhook`: how a host is written, by a stranger or by the operator.

One spelling, one host: what is taken here comes out in the spelling by which lists and kept connections know it.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address

# RFC 1123 names, and the underscore that some real hosts carry.
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# No leading zero in the port: one spelling, one origin.
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[^:\[\]]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
# "Ends in a number" as in the WHATWG URL standard, section 3.5: such a host is an IPv4 address or nothing.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


class HostInvalid(ValueError):
    """Its message ends the sentence "The URL ... names ..."."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The part of a URL that says whom to connect to.

    Attributes:
        host: A name in lower case; an IPv4 address; an IPv6 address in its canonical spelling (RFC 5952), in brackets.
        address: The address that the host spells out; None for a name.
        port: None unless it was written.
    """

    host: str
    address: IPAddress | None
    port: int | None


def parse_authority(text: str) -> Authority:
    """Read "host" or "host:port".

    Raises:
        HostInvalid: Not ASCII, percent-encoded, with a trailing dot, an address in an unusual spelling, and the like.
    """
    parts = _AUTHORITY.fullmatch(text.lower()) if text.isascii() else None
    if parts is None:
        raise HostInvalid("no host and port that can be read")
    host, port = parts["host"], parts["port"]
    if not host.startswith("[") and _NAME.fullmatch(host) is None:
        raise HostInvalid("a host that is not a valid name")
    address = _literal_address(host)
    canonical = f"[{address}]" if isinstance(address, IPv6Address) else host
    return Authority(canonical, address, int(port) if port else None)


def is_host_name(text: str) -> bool:
    """Whether the text, in lower case, is a name and could not be meant as an IPv4 address."""
    return _NAME.fullmatch(text) is not None and _ENDS_IN_NUMBER.fullmatch(text) is None


def _literal_address(host: str) -> IPAddress | None:
    bracketed = host.startswith("[")
    if not bracketed and _ENDS_IN_NUMBER.fullmatch(host) is None:
        return None
    try:
        # `ipaddress` takes dotted decimal without leading zeros only; octal, hexadecimal, short and single
        # numbers, which C libraries read each in their own way, end in the ValueError.
        return IPv6Address(host[1:-1]) if bracketed else IPv4Address(host)
    except ValueError as error:
        raise HostInvalid("an IP address in an unusual spelling; write it plainly, or use a host name") from error
