"""However an address is spelled in a URL: what is taken is the canonical spelling of that address, and it is public."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagejobs.addresses import REFUSED_IPV4, REFUSED_IPV6, check_url, why_not_public
from imagejobs.errors import UrlRefused
from tests.unit.fetch_helpers import destinations

# The same examples at every run, however busy the machine is.
steady = settings(derandomize=True, deadline=None, max_examples=500)

EDGES = [
    address
    for network, _ in REFUSED_IPV4 + REFUSED_IPV6
    for number in (int(network[0]) - 1, int(network[0]), int(network[-1]), int(network[-1]) + 1)
    if 0 <= number < 2**network.max_prefixlen
    for address in [type(network[0])(number)]
]
IPV4_EDGES = st.sampled_from([edge for edge in EDGES if edge.version == 4])
IPV6_EDGES = st.sampled_from([edge for edge in EDGES if edge.version == 6])
IPV4 = st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), IPV4_EDGES)

# IPv4 addresses inside IPv6 ones: compatible, mapped, translated, NAT64, local NAT64, 6to4, Teredo.
EMBEDDINGS = [
    lambda number: number,
    lambda number: (0xFFFF << 32) | number,
    lambda number: (0xFFFF << 48) | number,
    lambda number: (0x0064FF9B << 96) | number,
    lambda number: (0x0064FF9B0001 << 80) | number,
    lambda number: (0x2002 << 112) | (number << 80),
    lambda number: (0x20010000 << 96) | (number ^ 0xFFFFFFFF),
]
EMBEDDED = st.builds(lambda embed, address: IPv6Address(embed(int(address))), st.sampled_from(EMBEDDINGS), IPV4)
PUBLIC_BLOCK = st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(IPv6Address)
IPV6 = st.one_of(st.integers(0, 2**128 - 1).map(IPv6Address), PUBLIC_BLOCK, IPV6_EDGES, EMBEDDED)

# Digits and letters beyond ASCII that Unicode's compatibility mapping, or `int`, reads as those.
FULL_WIDTH = {ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789abcdefx."}
ARABIC_INDIC = {ord(digit): ord(digit) + 0x0630 for digit in "0123456789"}


def numeral(number: int, base: int) -> str:
    return {8: f"0{number:o}", 10: f"{number}", 16: f"0x{number:x}"}[base]


@st.composite
def as_inet_aton_reads_it(draw, address):
    """One to four numbers, each decimal, octal or hexadecimal; the last one fills what is left."""
    parts = draw(st.integers(1, 4))
    bases = draw(st.lists(st.sampled_from([8, 10, 16]), min_size=parts, max_size=parts))
    numbers = [*address.packed[: parts - 1], int.from_bytes(address.packed[parts - 1 :])]
    return ".".join(map(numeral, numbers, bases))


@st.composite
def zero_padded(draw, address):
    return ".".join(f"{byte:0{draw(st.integers(1, 5))}}" for byte in address.packed)


@st.composite
def with_octets_that_overflow(draw, address):
    """As readers take them that keep the lowest eight bits of each number."""
    return ".".join(str(byte + 256 * draw(st.integers(0, 2))) for byte in address.packed)


@st.composite
def with_shown_zeros(draw, address):
    """Eight groups, each with zeros in front of it, up to one more than there is room for."""
    groups = address.exploded.split(":")
    return ":".join(group.lstrip("0").rjust(draw(st.integers(1, 5)), "0") for group in groups)


@st.composite
def with_a_dotted_tail(draw, address):
    """The last 32 bits as an IPv4 address, which may be spelled oddly itself."""
    tail = IPv4Address(address.packed[12:])
    head = address.exploded.rsplit(":", 2)[0]
    return f"{head}:{draw(st.one_of(st.just(str(tail)), as_inet_aton_reads_it(tail), zero_padded(tail)))}"


@st.composite
def percent_encoded(draw, host):
    encode = draw(st.lists(st.booleans(), min_size=len(host), max_size=len(host)))
    return "".join(f"%{ord(c):02X}" if chosen else c for c, chosen in zip(host, encode, strict=True))


def decorations(host: str):
    """What stands around an address, or in place of its letters, for readers that would undo it."""
    return st.one_of(
        st.just(host),
        st.just(host.upper()),
        percent_encoded(host),
        st.just(host.translate(FULL_WIDTH)),
        st.just(host.translate(ARABIC_INDIC)),
        st.just(host.replace(".", "。")),
        st.sampled_from([f"{host}.", f"{host}..", f".{host}", f"{host}%eth0", f"{host}%25eth0", f"{host}\u200b"]),
        st.sampled_from([f"[{host}]", f"[[{host}]]", f"[v1.{host}]", f"%5B{host}%5D", f"[{host}].", f"user@{host}"]),
        st.sampled_from([host.removeprefix("[").removesuffix("]"), host.replace("]", "%eth0]")]),
        st.sampled_from([host.replace("]", "%25eth0]"), host.replace("]", "%25]"), host.replace("[", "[ ")]),
    )


@st.composite
def spelled_ipv4(draw):
    address = draw(IPV4)
    spellings = (as_inet_aton_reads_it, zero_padded, with_octets_that_overflow)
    host = draw(st.one_of(st.just(str(address)), *(spelling(address) for spelling in spellings)))
    return draw(decorations(host)), address


@st.composite
def spelled_ipv6(draw):
    address = draw(IPV6)
    plain = st.sampled_from([address.compressed, address.exploded])
    host = draw(st.one_of(plain, with_shown_zeros(address), with_a_dotted_tail(address)))
    return draw(decorations(f"[{host}]")), address


SPELLED = st.one_of(spelled_ipv4(), spelled_ipv6())


def canonical(address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


@steady
@given(SPELLED, st.sampled_from(["http", "https"]))
def test_what_is_taken_is_the_canonical_spelling_of_a_public_address(spelled, scheme):
    text, address = spelled
    try:
        target = check_url(f"{scheme}://{text}/x")
    except UrlRefused:
        return
    assert target.host == canonical(address)
    assert why_not_public(address) is None


@steady
@given(SPELLED)
def test_a_private_origin_is_met_by_its_own_address_only_however_it_is_spelled(spelled):
    text, address = spelled
    try:
        target = check_url(f"http://{text}:8080/x", destinations(f"{canonical(address)}:8080"))
    except UrlRefused:
        return
    assert target.origin == f"{canonical(address)}:8080"


@steady
@given(SPELLED)
def test_no_spelling_of_a_denied_address_is_taken(spelled):
    text, address = spelled
    denied = getattr(address, "ipv4_mapped", None) or address  # the lists know a mapped address by what is dialled
    for origins in ((), (f"{canonical(address)}:80",)):
        with pytest.raises(UrlRefused):
            check_url(f"http://{text}/x", destinations(*origins, denied=str(denied)))


@steady
@given(st.one_of(IPV4, IPV6), st.sampled_from(["compressed", "exploded"]), st.booleans())
def test_the_standard_spellings_of_an_address_are_judged_like_the_address(address, spelling, upper):
    text = getattr(address, spelling)
    host = f"[{text}]" if address.version == 6 else text
    url = f"http://{host.upper() if upper else host}/x"
    if why_not_public(address):
        with pytest.raises(UrlRefused, match="its address is"):
            check_url(url)
    else:
        assert check_url(url).host == canonical(address)


@steady
@given(IPV4.flatmap(as_inet_aton_reads_it), st.booleans())
def test_an_ipv4_address_in_an_odd_spelling_is_refused_even_from_a_private_origin(host, upper):
    try:
        address = ip_address(host)
    except ValueError:
        with pytest.raises(UrlRefused, match="unusual spelling"):
            check_url(f"http://{host.upper() if upper else host}/x", destinations("127.0.0.1:80"))
    else:
        assert check_url(f"http://{host}/x", destinations(f"{address}:80")).host == host
