"""Steps `compress` and `send_webhook`, before anything is sent: which URLs and addresses may be contacted.

A URL that a stranger names must lead to the public internet and nowhere else: not to the runtime's own API
on loopback, not to the cloud's metadata service, not into the VPC; and to no host that the operator's lists rule
out. `check_url` judges what is written, `resolve` what the name stands for at this moment.
"""

import re
import socket
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from threading import Thread
from urllib.parse import SplitResult, urlsplit

from imagejobs.destinations import ANY_PUBLIC_HOST, Destinations
from imagejobs.errors import OriginRefused, OriginUnavailable, UrlRefused
from imagejobs.hosts import Authority, HostInvalid, IPAddress, parse_authority

DEFAULT_PORTS = {"http": 80, "https": 443}

# RFC 9110, section 4.1: everyone should support URIs of at least 8,000 octets; more is nobody's image.
MAX_URL_CHARACTERS = 8000
# Long enough to recognise the picture, short enough for a cell, a log line and a webhook.
MAX_SHOWN_CHARACTERS = 200

# The reason beside each range finishes the sentence "the address is ...". Sources: the IANA IPv4 and IPv6
# Special-Purpose Address Registries, whose globally reachable oddities (AS112, AMT, PCP) are refused as well,
# for no image lives there; the multicast registries; the clouds' own documents for their metadata services.
REFUSED_IPV4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this host itself (RFC 1122)"),
        ("10.0.0.0/8", "in a private network (RFC 1918)"),
        ("100.64.0.0/10", "carrier-grade NAT, and Alibaba's metadata service (RFC 6598)"),
        ("127.0.0.0/8", "loopback, where Lambda keeps its runtime API (RFC 1122)"),
        ("168.63.129.16/32", "Azure's platform service, although it looks public"),
        ("169.254.0.0/16", "link-local, with the clouds' metadata services (RFC 3927)"),
        ("172.16.0.0/12", "in a private network (RFC 1918)"),
        ("192.0.0.0/24", "kept for IETF protocols, and Oracle's metadata service (RFC 6890)"),
        ("192.0.2.0/24", "for documentation (RFC 5737)"),
        ("192.31.196.0/24", "an AS112 sink for DNS (RFC 7535)"),
        ("192.52.193.0/24", "for multicast tunnels, AMT (RFC 7450)"),
        ("192.88.99.0/24", "the old 6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "in a private network (RFC 1918)"),
        ("192.175.48.0/24", "an AS112 sink for DNS (RFC 7534)"),
        ("198.18.0.0/15", "for benchmarks of networks (RFC 2544)"),
        ("198.51.100.0/24", "for documentation (RFC 5737)"),
        ("203.0.113.0/24", "for documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved, or the broadcast address (RFC 1112, RFC 919)"),
    )
)
REFUSED_IPV6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified, which means this host (RFC 4291)"),
        ("::1/128", "loopback (RFC 4291)"),
        ("::/96", "an IPv4 address in disguise, IPv4-compatible (RFC 4291)"),
        ("::ffff:0:0/96", "an IPv4 address in disguise, IPv4-mapped (RFC 4291)"),
        ("::ffff:0:0:0/96", "an IPv4 address in disguise, IPv4-translated (RFC 2765)"),
        ("64:ff9b::/96", "an IPv4 address behind NAT64 (RFC 6052)"),
        ("64:ff9b:1::/48", "an IPv4 address behind a local NAT64 (RFC 8215)"),
        ("100::/64", "a sink that discards (RFC 6666)"),
        ("100:0:0:1::/64", "a dummy prefix (RFC 9780)"),
        ("2001::/23", "kept for IETF protocols: Teredo, ORCHID, benchmarks (RFC 2928)"),
        ("2001:db8::/32", "for documentation (RFC 3849)"),
        ("2002::/16", "an IPv4 address behind 6to4 (RFC 3056)"),
        ("2620:4f:8000::/48", "an AS112 sink for DNS (RFC 7534)"),
        ("3fff::/20", "for documentation (RFC 9637)"),
        ("5f00::/16", "for segment routing (RFC 9602)"),
        ("fc00::/7", "unique local, with AWS's own services at fd00:ec2::/32 (RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)
# The only block from which IANA hands out public IPv6 addresses ("IPv6 Global Unicast Address Assignments").
GLOBAL_UNICAST_IPV6 = IPv6Network("2000::/3")

# What follows the host and is no port may be a password with "/", "?" or "#" in it: nothing after it shows.
_SHOWN = re.compile(
    r"(?P<scheme>(?:[a-z][a-z0-9+.-]*:)?//|)(?:[^/]*@)?(?P<host>(?:\[[^\]/]*\]|[^:/]*)(?::[0-9]*(?=/|$))?)"
    r"(?P<path>(?:/.*)?\Z)?",
    re.IGNORECASE,
)

_NO_SUCH_HOST = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed `check_url`, in the parts that a connection needs.

    Attributes:
        scheme: "http" or "https".
        host: In lower case; an IPv6 address in its canonical spelling, in brackets.
        port: The port as written, or the scheme's own.
        resource: Path and query, as they go into the request line; never empty.
        shown: The URL as messages may show it.
    """

    scheme: str
    host: str
    port: int
    resource: str
    shown: str

    @property
    def origin(self) -> str:
        """The "host:port" that an operator's list of private origins would name."""
        return f"{self.host}:{self.port}"


def why_not_public(address: IPAddress) -> str | None:
    """Say why an address is not one of the public internet.

    Returns:
        The end of a sentence that begins "the address is ...", or None for a public address.

    Example:
        >>> why_not_public(ip_address("127.0.0.1"))
        'loopback, where Lambda keeps its runtime API (RFC 1122)'
    """
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in REFUSED_IPV4 if address in network), None)
    for network, reason in REFUSED_IPV6:
        if address in network:
            return reason
    return None if address in GLOBAL_UNICAST_IPV6 else "not in the public part of IPv6 (2000::/3)"


def check_url(url: str, destinations: Destinations = ANY_PUBLIC_HOST) -> Target:
    """Take a URL apart and refuse whatever is not plainly an http(s) URL that may be contacted. Asks no name server.

    Args:
        url: As the caller wrote it, without whitespace around it.
        destinations: What the operator says. A private origin skips the rules on ports and public addresses,
            nothing else.

    Raises:
        UrlRefused: With a sentence that says what to change.
    """
    shown = shown_url(url)
    parts = _split(url, shown)
    authority = _authority(parts, shown)
    port = authority.port or DEFAULT_PORTS[parts.scheme]
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = Target(parts.scheme, authority.host, port, resource, shown)
    if target.origin not in destinations.private_origins:
        _require_public(target, authority.address)
    why = destinations.why_refused(target.host, [authority.address] if authority.address else None)
    if why:
        raise UrlRefused(f"The host of {shown} {why}.")
    return target


def resolve(
    host: str, destinations: Destinations = ANY_PUBLIC_HOST, *, private: bool = False, timeout_seconds: float
) -> list[IPAddress]:
    """Look a host up once, and require every answer to be one that may be contacted.

    Args:
        host: A name in lower case, or a literal address without brackets.
        destinations: What the operator says.
        private: True for a private origin, whose addresses need not be public.
        timeout_seconds: Wall clock; the system's own resolver may wait far longer than a request may.

    Returns:
        The addresses in the system's order of preference; at least one.

    Raises:
        UrlRefused: At least one answer is not public, or ruled out by the lists. One is enough: mixed answers are
            an attack.
        OriginRefused: The name does not exist.
        OriginUnavailable: The name server did not answer, or not in time.
    """
    try:
        addresses = _look_up(host, timeout_seconds)
    except TimeoutError as error:
        raise OriginUnavailable(f"The name {host} could not be looked up in time.") from error
    except OSError as error:
        if error.errno in _NO_SUCH_HOST:
            # The name servers have spoken: a name without an address is a typing error far more often than
            # an outage, and retries would only hide it from the one who can mend it.
            raise OriginRefused(f"The host {host} does not exist; check its spelling.") from error
        raise OriginUnavailable(f"The name {host} cannot be looked up at the moment.") from error
    for address in () if private else addresses:
        reason = why_not_public(address)
        if reason:
            # The address stays unnamed, or the message would be a look-up service for the names inside.
            raise UrlRefused(f"The host {host} is not contacted: it has an address that is {reason}.")
    why = destinations.why_refused(host, addresses)
    if why:
        raise UrlRefused(f"The host {host} {why}.")
    return addresses


def shown_url(url: str) -> str:
    """Shorten a URL to what messages, logs and the finished CSV may show; takes any text, never raises.

    Returns:
        scheme://host[:port]/path without userinfo, query, fragment or control characters, cut to
        `MAX_SHOWN_CHARACTERS`.

    Example:
        >>> shown_url("https://user:password@img.example/cat.jpg?signature=abc#top")
        'https://img.example/cat.jpg'
    """
    # Cut before anything else, so that a cell of 100 kB costs no more than a real URL.
    printable = "".join(filter(str.isprintable, url[:MAX_URL_CHARACTERS]))
    parts = _SHOWN.match(re.split(r"[?#]", printable, maxsplit=1)[0])
    shown = "".join(part or "" for part in parts.groups()) if parts else ""
    return shown if len(shown) <= MAX_SHOWN_CHARACTERS else shown[: MAX_SHOWN_CHARACTERS - 1] + "…"


def _split(url: str, shown: str) -> SplitResult:
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlRefused(f"The URL {shown} is longer than {MAX_URL_CHARACTERS:,} characters.")
    # The standard library drops tabs, line ends and leading blanks; other readers do not. Nobody may differ.
    if not url.isprintable() or " " in url or "\\" in url:
        raise UrlRefused(f"The URL {shown} holds a space, a backslash or a control character; percent-encode it.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UrlRefused(f"The URL {shown} cannot be read; check its brackets and its host.") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise UrlRefused(f"The URL {shown} does not begin with http:// or https://.")
    return parts


def _authority(parts: SplitResult, shown: str) -> Authority:
    if "@" in parts.netloc:
        raise UrlRefused(f"The URL {shown} holds a user name or password; leave it out.")
    if not parts.netloc.isascii():
        raise UrlRefused(f"The host of {shown} has letters beyond ASCII; write it in its xn-- form.")
    try:
        return parse_authority(parts.netloc)
    except HostInvalid as error:
        raise UrlRefused(f"The URL {shown} names {error}.") from error


def _require_public(target: Target, literal: IPAddress | None) -> None:
    if target.port not in DEFAULT_PORTS.values():
        raise UrlRefused(f"The URL {target.shown} names port {target.port}; only 80 and 443 are contacted.")
    reason = why_not_public(literal) if literal else None
    if reason:
        raise UrlRefused(f"The URL {target.shown} is not contacted: its address is {reason}.")


def _look_up(host: str, timeout_seconds: float) -> list[IPAddress]:
    # `getaddrinfo` takes no time-out and cannot be interrupted, so it gets a thread that may be left behind;
    # the system's resolver ends it soon enough. Kept connections make look-ups rare.
    answer: Future[list[IPAddress]] = Future()

    def ask() -> None:
        try:
            rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answer.set_result([ip_address(row[4][0]) for row in rows])
        except (OSError, ValueError) as error:
            answer.set_exception(error)

    Thread(target=ask, name="resolve", daemon=True).start()
    return answer.result(timeout_seconds)
