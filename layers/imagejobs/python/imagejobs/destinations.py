"""Steps `api`, `fan_out`, `compress` and `send_webhook`: what the operator says about whom the service contacts.

Three rules, and each of them must let a host pass: its addresses are public (see `addresses`), unless its origin is
named as a private one; it is not among the denied hosts; it is among the allowed ones, if there are any. The lists
hold for private origins, too, so that the allowed hosts are all that is ever contacted.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

from imagejobs.hosts import HostInvalid, IPAddress, is_host_name, parse_authority

IPNetwork: TypeAlias = IPv4Network | IPv6Network

# An address or a prefix in CIDR notation: neither a netmask, which may be read in two ways, nor a zone.
_NETWORK = re.compile(r"[0-9a-f:.]+(/[0-9]{1,3})?")
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


class EntryInvalid(ValueError):
    """An entry of a list cannot be used; its message quotes it and says what an entry looks like."""


@dataclass(frozen=True, slots=True)
class HostList:
    """Hosts by name and by network.

    Attributes:
        names: In lower case.
        suffixes: With the leading dot; each stands for the subdomains of a name, not for the name itself.
        networks: A single address is a network of one.
    """

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    networks: tuple[IPNetwork, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "HostList":
        """Read comma-separated names (`img.shop.example`), suffixes (`*.shop.example`), addresses and networks.

        Raises:
            EntryInvalid: For the first entry that is none of them. An empty text is an empty list.
        """
        names, suffixes, networks = set(), [], []
        for entry in _entries(text):
            name = entry.removeprefix("*.")
            if not is_host_name(name):
                networks.append(_network(entry))
            elif name == entry:
                names.add(name)
            else:
                suffixes.append(f".{name}")
        return cls(frozenset(names), tuple(suffixes), tuple(networks))

    @property
    def is_empty(self) -> bool:
        """Whether it has no entry at all."""
        return not (self.names or self.suffixes or self.networks)

    def has_name(self, host: str) -> bool:
        """Whether a host, in lower case, is listed by its name."""
        return host in self.names or host.endswith(self.suffixes)

    def has_address(self, address: IPAddress) -> bool:
        """Whether an address, or the IPv4 address that the kernel dials for an IPv4-mapped one, is in a network."""
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any(address in network or (mapped and mapped in network) for network in self.networks)


@dataclass(frozen=True, slots=True)
class Destinations:
    """Whom the service may contact; by default every public host.

    Attributes:
        private_origins: "host:port", as `parse_origins` returns them, that may be on any port and address.
        allowed: The only hosts that are contacted; empty for no such restriction.
        denied: Hosts that are not contacted, be they allowed or not.
    """

    private_origins: frozenset[str] = frozenset()
    allowed: HostList = field(default_factory=HostList)
    denied: HostList = field(default_factory=HostList)

    def why_refused(self, host: str, addresses: Collection[IPAddress] | None) -> str | None:
        """Say why the operator's lists do not let a host be contacted.

        Args:
            host: In lower case.
            addresses: All that the host stands for; None while that is unknown, when names alone can refuse it.

        Returns:
            The end of a sentence that begins "the host ...", or None. It never says which address was the reason.
        """
        if self.denied.has_name(host) or any(map(self.denied.has_address, addresses or ())):
            return "is among the hosts that the operator of this service denies; use another one, or ask them"
        if not self._allows(host, addresses):
            return "is not among the hosts that the operator of this service allows; ask them to add it"
        return None

    def _allows(self, host: str, addresses: Collection[IPAddress] | None) -> bool:
        if self.allowed.is_empty or self.allowed.has_name(host):
            return True
        if addresses is None:
            return bool(self.allowed.networks)
        return all(map(self.allowed.has_address, addresses))


ANY_PUBLIC_HOST = Destinations()


def parse_origins(text: str) -> frozenset[str]:
    """Read comma-separated `host:port` entries, an IPv6 address in brackets.

    Raises:
        EntryInvalid: For the first entry that is none. An empty text is an empty set.
    """
    return frozenset(map(_origin, _entries(text)))


def _entries(text: str) -> list[str]:
    # A blank entry is not passed over: a lone comma must not come to mean "any host".
    return [entry.strip().lower() for entry in text.split(",")] if text.strip() else []


def _network(entry: str) -> IPNetwork:
    try:
        network = ip_network(entry) if _NETWORK.fullmatch(entry) else None
    except ValueError:
        network = None
    # One of mapped addresses would look as if it held for the IPv4 addresses in it.
    if network is None or (isinstance(network, IPv6Network) and network.subnet_of(_IPV4_MAPPED)):
        raise EntryInvalid(
            f'the entry "{entry}" is not a host name (img.shop.example), a suffix (*.shop.example), an IP address, '
            "or a network that begins where its prefix does (203.0.113.0/24)"
        )
    return network


def _origin(entry: str) -> str:
    try:
        authority = parse_authority(entry)
    except HostInvalid:
        authority = None
    if authority is None or authority.port is None:
        raise EntryInvalid(f'the entry "{entry}" is not a host and port (images.internal:8080, [fd00::1]:8080)')
    return f"{authority.host}:{authority.port}"
