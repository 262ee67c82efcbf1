"""Which URLs and addresses may be contacted."""

import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagejobs.addresses import (
    MAX_SHOWN_CHARACTERS,
    MAX_URL_CHARACTERS,
    REFUSED_IPV4,
    REFUSED_IPV6,
    check_url,
    resolve,
    shown_url,
    why_not_public,
)
from imagejobs.errors import OriginRefused, OriginUnavailable, UrlRefused
from tests.unit.fetch_helpers import destinations, patch_resolver

# The same examples at every run, however busy the machine is.
steady = settings(derandomize=True, deadline=None)

IPV4 = st.integers(0, 2**32 - 1).map(IPv4Address)
IPV6 = st.integers(0, 2**128 - 1).map(IPv6Address)


# Addresses


@pytest.mark.parametrize("network", [network for network, _ in REFUSED_IPV4 + REFUSED_IPV6], ids=str)
def test_the_first_and_the_last_address_of_every_range_are_refused(network):
    assert why_not_public(network[0])
    assert why_not_public(network[-1])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.100.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "255.255.255.255",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "fe80::1%eth0",
        "4000::1",
    ],
)
def test_an_address_of_a_metadata_service_or_of_this_host_is_refused(address):
    assert why_not_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
    ],
)
def test_a_public_address_beside_a_refused_range_is_taken(address):
    assert why_not_public(ip_address(address)) is None


@steady
@given(st.one_of(IPV4, IPV6))
def test_no_address_that_the_standard_library_calls_private_is_taken(address):
    if not address.is_global or address.is_multicast:
        assert why_not_public(address)


@steady
@given(IPV4)
def test_no_ipv4_address_passes_inside_an_ipv6_address(address):
    number = int(address)
    for disguise in (
        IPv6Address(number),
        IPv6Address((0xFFFF << 32) | number),
        IPv6Address((0x0064FF9B << 96) | number),
        IPv6Address((0x0064FF9B0001 << 80) | number),
        IPv6Address((0x2002 << 112) | (number << 80)),
        IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)),
    ):
        assert why_not_public(disguise), disguise


# URLs


def test_a_url_comes_apart_into_what_a_connection_needs():
    target = check_url("HTTPS://Images.Example/a%20b/cat,1.jpg?size=2#top")
    assert (target.scheme, target.host, target.port) == ("https", "images.example", 443)
    assert target.resource == "/a%20b/cat,1.jpg?size=2"
    assert target.shown == "HTTPS://Images.Example/a%20b/cat,1.jpg"


@pytest.mark.parametrize(
    ("url", "origin", "resource"),
    [
        ("http://images.example", "images.example:80", "/"),
        ("http://images.example:443", "images.example:443", "/"),
        ("http://images.example?a=b", "images.example:80", "/?a=b"),
        ("https://xn--bcher-kva.example/ü.jpg", "xn--bcher-kva.example:443", "/ü.jpg"),
        ("https://my_bucket.s3.example/x@2x.png", "my_bucket.s3.example:443", "/x@2x.png"),
        ("https://8.8.8.8/x", "8.8.8.8:443", "/x"),
        ("https://[2606:4700:4700::1111]/x", "[2606:4700:4700::1111]:443", "/x"),
        ("https://[2606:4700:4700:0:0:0:101.1.17.17]/x", "[2606:4700:4700::6501:1111]:443", "/x"),
        ("http://1.example/", "1.example:80", "/"),
    ],
)
def test_a_plain_public_url_is_taken(url, origin, resource):
    target = check_url(url)
    assert (target.origin, target.resource) == (origin, resource)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ftp://images.example/x", "does not begin with http"),
        ("file:///etc/passwd", "does not begin with http"),
        ("javascript:alert(1)", "does not begin with http"),
        ("images.example/x", "does not begin with http"),
        ("", "does not begin with http"),
        ("http:///x", "names no host"),
        ("http:images.example/x", "names no host"),
        ("http://:80/x", "names no host"),
        ("http://user:password@images.example/x", "user name or password"),
        ("http://user@images.example/x", "user name or password"),
        ("http://images.example:8080/x", "names port 8080"),
        ("http://images.example:22/x", "names port 22"),
        ("http://images.example:080/x", "names no host and port"),
        ("http://images.example:/x", "names no host and port"),
        ("http://images.example:8_0/x", "names no host and port"),
        ("http://images.example:+80/x", "names no host and port"),
        ("http://bücher.example/x", "xn--"),
        ("http://127。0。0。1/x", "xn--"),
        ("http://①②⑦.0.0.1/x", "xn--"),
        ("http://images..example/x", "not a valid name"),
        ("http://images.example./x", "not a valid name"),
        ("http://%31%32%37.0.0.1/x", "not a valid name"),
        ("http://" + "a" * 64 + ".example/x", "not a valid name"),
        ("http://" + "a." * 130 + "example/x", "not a valid name"),
        ("http://images.example\\@127.0.0.1/x", "backslash"),
        ("http://images.example/a b.jpg", "space"),
        (" http://images.example/x", "space"),
        ("http://images.example/x\r\nHost: other", "control character"),
        ("http://exa\tmple.com/x", "control character"),
        ("http://images.example/\x00", "control character"),
        ("http://images.example/\u202egpj.exe", "control character"),
        ("http://images.example/\ud800", "control character"),
        ("http://[::1/x", "cannot be read"),
        ("http://[fe80::1%25eth0]/x", "names no host and port"),
        ("http://[v1.x]/x", "names no host and port|cannot be read"),
        ("http://[1:2]/x", "unusual spelling|cannot be read"),
        ("http://images.example/" + "x" * MAX_URL_CHARACTERS, "longer than"),
        ("http://127.0.0.1/x", "loopback"),
        ("http://169.254.169.254/latest/meta-data/", "metadata"),
        ("http://[::1]/x", "loopback"),
        ("http://[::ffff:127.0.0.1]/x", "IPv4-mapped"),
        ("http://[0:0:0:0:0:FFFF:7F00:0001]/x", "IPv4-mapped"),
        ("http://[64:ff9b::127.0.0.1]/x", "NAT64"),
    ],
)
def test_a_url_that_is_not_plainly_public_is_refused_with_a_sentence(url, sentence):
    with pytest.raises(UrlRefused, match=sentence) as refusal:
        check_url(url)
    assert "password@" not in refusal.value.message
    assert refusal.value.message.endswith(".")


@steady
@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_ends_in_a_target_or_a_refusal(text, path):
    for url in (text, f"http://{text}", f"https://images.example/{path}"):
        try:
            target = check_url(url)
        except UrlRefused:
            continue
        assert target.host.isascii()
        assert target.port in (80, 443)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9100/x", "http://LOCALHOST:9100/x", "http://[::1]:9100/x", "http://[0:0:0:0:0:0:0:1]:9100/x"],
)
def test_a_private_origin_skips_the_rules_on_ports_and_addresses(url):
    assert check_url(url, destinations("127.0.0.1:9100", "localhost:9100", "[::1]:9100")).port == 9100


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9101/x",
        "http://127.0.0.1/x",
        "http://localhost:9100/x",
        "http://u@127.0.0.1:9100/x",
        "ftp://127.0.0.1:9100/x",
        "http://127.1:9100/x",
    ],
)
def test_a_private_origin_opens_no_other_door(url):
    with pytest.raises(UrlRefused):
        check_url(url, destinations("127.0.0.1:9100"))


# The operator's lists


@pytest.mark.parametrize(
    ("url", "allowed", "denied", "sentence"),
    [
        ("https://img.shop.example/x?key=secret", "", "img.shop.example", "among the hosts .* denies"),
        ("https://IMG.Shop.example/x", "", "*.shop.example", "among the hosts .* denies"),
        ("https://img.shop.example/x", "img.shop.example", "*.shop.example", "among the hosts .* denies"),
        ("https://img.shop.example/x", "shop.example", "", "not among the hosts .* allows; ask them to add it"),
        ("https://8.8.8.8/x", "", "8.8.0.0/16", "among the hosts .* denies"),
        ("https://8.8.8.8/x", "1.1.1.0/24,shop.example", "", "not among the hosts .* allows; ask them to add it"),
        ("https://[2606:4700::1111]/x", "", "2606:4700::/32", "among the hosts .* denies"),
        ("https://127.0.0.1/x", "127.0.0.1", "", "loopback"),
        ("https://img.shop.example:8443/x", "img.shop.example", "", "port 8443"),
    ],
)
def test_a_url_that_the_lists_rule_out_is_refused_before_any_look_up(url, allowed, denied, sentence):
    with pytest.raises(UrlRefused, match=sentence) as refusal:
        check_url(url, destinations(allowed=allowed, denied=denied))
    assert "secret" not in refusal.value.message
    assert refusal.value.message.endswith(".")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://IMG.shop.example/x", "img.shop.example"),
        ("https://img.shop.example/x", "*.shop.example"),
        ("https://8.8.8.8/x", "shop.example,8.8.8.8"),
        ("https://img.shop.example/x", "8.8.8.0/24"),
    ],
)
def test_a_url_that_the_lists_allow_or_leave_to_the_look_up_is_taken(url, allowed):
    assert check_url(url, destinations(allowed=allowed, denied="other.example,1.1.1.1")).resource == "/x"


@pytest.mark.parametrize(
    ("origin", "allowed", "denied"),
    [
        ("127.0.0.1:9100", "", "127.0.0.0/8"),
        ("[::ffff:127.0.0.1]:9100", "", "127.0.0.0/8"),
        ("images.internal:9100", "", "*.internal"),
        ("images.internal:9100", "shop.example", ""),
    ],
)
def test_the_lists_hold_for_private_origins_too(origin, allowed, denied):
    assert check_url(f"http://{origin}/x", destinations(origin)).port == 9100
    with pytest.raises(UrlRefused, match="operator"):
        check_url(f"http://{origin}/x", destinations(origin, allowed=allowed, denied=denied))


@pytest.mark.parametrize(
    ("answers", "allowed", "denied"),
    [
        (["8.8.8.8", "1.1.1.1"], "", "1.1.1.0/24"),
        (["1.1.1.1", "8.8.8.8"], "", "1.1.1.0/24"),
        (["8.8.8.8", "1.1.1.1"], "8.8.8.0/24", ""),
        (["8.8.8.8", "2606:4700::1111"], "8.8.8.0/24", ""),
        (["1.1.1.1"], "images.example", "1.1.1.1"),
        (["1.1.1.1"], "1.1.1.1", "images.example"),
        (["1.1.1.1"], "*.images.example", ""),
    ],
)
def test_one_answer_that_the_lists_rule_out_refuses_the_name_without_giving_it_away(
    monkeypatch, answers, allowed, denied
):
    patch_resolver(monkeypatch, answers)
    with pytest.raises(UrlRefused, match=r"images\.example .*operator") as refusal:
        resolve("images.example", destinations(allowed=allowed, denied=denied), timeout_seconds=5)
    assert not [address for address in answers if address in refusal.value.message]


@pytest.mark.parametrize("allowed", ["8.8.8.0/24,2606:4700::/32", "images.example", "*.example", "1.1.1.1,*.example"])
def test_a_name_that_is_allowed_itself_or_with_all_of_its_addresses_is_resolved(monkeypatch, allowed):
    patch_resolver(monkeypatch, ["8.8.8.8", "2606:4700::1111"])
    said = destinations(allowed=allowed, denied="9.9.9.9")
    assert len(resolve("images.example", said, timeout_seconds=5)) == 2


@pytest.mark.parametrize("allowed", ["10.0.0.0/8", "images.example"])
def test_an_allowed_host_must_be_public_all_the_same(monkeypatch, allowed):
    patch_resolver(monkeypatch, ["10.0.0.1"])
    with pytest.raises(UrlRefused, match="private network"):
        resolve("images.example", destinations(allowed=allowed), timeout_seconds=5)


def test_a_private_origin_in_a_denied_network_is_refused(monkeypatch):
    patch_resolver(monkeypatch, ["10.0.0.1"])
    with pytest.raises(UrlRefused, match="denies"):
        resolve("images.internal", destinations(denied="10.0.0.0/8"), private=True, timeout_seconds=5)


# Names


def test_a_name_with_public_addresses_only_is_resolved_in_the_system_s_order(monkeypatch):
    asked = patch_resolver(monkeypatch, ["2606:4700:4700::1111", "1.1.1.1"])
    addresses = resolve("images.example", timeout_seconds=5)
    assert list(map(str, addresses)) == ["2606:4700:4700::1111", "1.1.1.1"]
    assert asked == ["images.example"]


@pytest.mark.parametrize("private", ["10.0.0.1", "::1", "fe80::1%eth0", "64:ff9b::a00:1", "::ffff:10.0.0.1"])
@pytest.mark.parametrize("position", [0, 1])
def test_one_private_answer_among_public_ones_refuses_the_name_without_giving_it_away(monkeypatch, private, position):
    answers = ["93.184.216.34"]
    answers.insert(position, private)
    patch_resolver(monkeypatch, answers)
    with pytest.raises(UrlRefused, match=r"images\.example") as refusal:
        resolve("images.example", timeout_seconds=5)
    assert private not in refusal.value.message


def test_the_name_of_a_private_origin_may_be_private(monkeypatch):
    patch_resolver(monkeypatch, ["127.0.0.1"])
    assert resolve("pictures.test", private=True, timeout_seconds=5) == [IPv4Address("127.0.0.1")]


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), OriginRefused),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), OriginUnavailable),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), OriginUnavailable),
        (OSError(24, "Too many open files"), OriginUnavailable),
    ],
)
def test_a_missing_name_is_final_and_a_silent_name_server_is_not(monkeypatch, failure, error):
    def getaddrinfo(*_, **__):
        raise failure

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    with pytest.raises(error, match=r"images\.example"):
        resolve("images.example", timeout_seconds=5)


def test_a_look_up_ends_with_its_time(monkeypatch):
    released = threading.Event()

    def getaddrinfo(*_, **__):
        released.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "late")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    try:
        with pytest.raises(OriginUnavailable, match="in time"):
            resolve("images.example", timeout_seconds=0.05)
    finally:
        released.set()


# Shown URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://img.example:8443/a/b@2x.png?X-Signature=s#f", "https://img.example:8443/a/b@2x.png"),
        ("https://user:secret@img.example/x", "https://img.example/x"),
        ("https://user:se@cret@img.example/x", "https://img.example/x"),
        ("https://user:sec/ret@img.example/x", "https://user"),
        ("https://user:sec?ret@img.example/x", "https://user"),
        ("https://user:sec#ret@img.example/x", "https://user"),
        ("https://[::1]:80/x?secret", "https://[::1]:80/x"),
        ("//img.example/x?secret", "//img.example/x"),
        ("img.example/x?secret", "img.example/x"),
        ("https://img.example/\x1b[31m\r\nx\ud800", "https://img.example/[31mx"),
        ("?secret", ""),
        ("", ""),
    ],
)
def test_a_shown_url_keeps_the_place_and_drops_the_secrets(url, shown):
    assert shown_url(url) == shown


def test_a_shown_url_is_cut_to_a_sane_length():
    shown = shown_url("https://img.example/" + "x" * 100_000)
    assert len(shown) == MAX_SHOWN_CHARACTERS
    assert shown.endswith("x…")


@steady
@given(st.text())
def test_any_text_can_be_shown(text):
    shown = shown_url(text)
    assert shown.isprintable()
    assert len(shown) <= MAX_SHOWN_CHARACTERS
    assert "?" not in shown
