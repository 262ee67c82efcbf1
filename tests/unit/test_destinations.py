"""The operator's lists: what an entry stands for, and that one which cannot be used is never passed over."""

from ipaddress import ip_address

import pytest

from imagejobs.destination_settings import SettingInvalid
from imagejobs.destination_settings import destinations as destinations_of_environment
from imagejobs.destinations import ANY_PUBLIC_HOST, Destinations, EntryInvalid, HostList, parse_origins
from imagejobs.settings import SettingMissing

MALFORMED_ENTRIES = [
    "https://img.example",
    "img.example/x",
    "img.example:443",
    "img..example",
    "img.example.",
    "bücher.example",
    "img example",
    "img.example;cdn.example",
    "*",
    "*.",
    "*.*.example",
    "*img.example",
    "img.*.example",
    "*.8.8.8.8",
    "203.0.113.5/24",
    "203.0.113.0/33",
    "203.0.113.0/255.255.255.0",
    "203.0.113.0/",
    "203.0.113",
    "010.0.0.1",
    "0x7f.0.0.1",
    "[2001:db8::1]",
    "2001:db8::1/32",
    "2001:db8::/129",
    "fe80::1%eth0",
    "::ffff:203.0.113.7",
    "::ffff:203.0.113.0/120",
]


def test_names_suffixes_addresses_and_networks_are_told_apart():
    hosts = HostList.parse(" IMG.Shop.example, *.cdn.example,203.0.113.7 ,198.51.100.0/24,2001:DB8::/32")
    assert hosts.names == {"img.shop.example"}
    assert hosts.suffixes == (".cdn.example",)
    assert list(map(str, hosts.networks)) == ["203.0.113.7/32", "198.51.100.0/24", "2001:db8::/32"]


@pytest.mark.parametrize("host", ["img.shop.example", "a.cdn.example", "a.b.cdn.example"])
def test_a_host_is_listed_by_its_name_or_as_a_subdomain_of_a_suffix(host):
    assert HostList.parse("img.shop.example,*.cdn.example").has_name(host)


@pytest.mark.parametrize("host", ["cdn.example", "xcdn.example", "a.img.shop.example", "cdn.example.com"])
def test_a_suffix_is_not_the_name_itself_and_a_name_not_its_subdomains(host):
    assert not HostList.parse("img.shop.example,*.cdn.example").has_name(host)


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("203.0.113.7", True),
        ("::ffff:203.0.113.7", True),
        ("203.0.114.7", False),
        ("2001:db8::7", True),
        ("fe80::1%eth0", True),
        ("2001:db9::7", False),
    ],
)
def test_an_address_is_listed_by_its_network(address, listed):
    assert HostList.parse("203.0.113.0/24,2001:db8::/32,fe80::/10").has_address(ip_address(address)) is listed


@pytest.mark.parametrize("text", ["", "  "])
def test_no_entries_are_an_empty_list(text):
    assert HostList.parse(text).is_empty
    assert parse_origins(text) == frozenset()
    assert Destinations(parse_origins(text), HostList.parse(text), HostList.parse(text)) == ANY_PUBLIC_HOST


@pytest.mark.parametrize("entry", MALFORMED_ENTRIES)
def test_an_entry_that_is_none_of_them_is_refused_by_its_own_words(entry):
    with pytest.raises(EntryInvalid) as refusal:
        HostList.parse(f"img.shop.example,{entry}")
    assert f'"{entry}"' in str(refusal.value)


@pytest.mark.parametrize("text", [",", "img.example,", ",img.example", "img.example,,cdn.example"])
def test_a_blank_entry_is_no_entry(text):
    with pytest.raises(EntryInvalid, match='""'):
        HostList.parse(text)


def test_private_origins_are_known_by_their_canonical_spelling():
    origins = parse_origins("Images.Internal:8080, 10.0.0.1:80,[FD00:0:0::1]:9100")
    assert origins == {"images.internal:8080", "10.0.0.1:80", "[fd00::1]:9100"}


@pytest.mark.parametrize(
    "entry",
    ["images.internal", "http://images.internal:80", "images.internal:080", "10.1:80", "::1:80", "[::1]", "a:80/x", ""],
)
def test_a_private_origin_that_is_no_host_and_port_is_refused_by_its_own_words(entry):
    with pytest.raises(EntryInvalid) as refusal:
        parse_origins(f"images.internal:8080,{entry}")
    assert f'"{entry}"' in str(refusal.value)


# From the environment


@pytest.fixture
def environment(monkeypatch):
    for name in ("PRIVATE_ORIGINS", "ALLOWED_HOSTS", "DENIED_HOSTS"):
        monkeypatch.setenv(name, "")
    return monkeypatch


def test_the_environment_names_all_three_lists(environment):
    environment.setenv("PRIVATE_ORIGINS", "images.internal:8080")
    environment.setenv("ALLOWED_HOSTS", "*.shop.example")
    environment.setenv("DENIED_HOSTS", "old.shop.example")
    said = destinations_of_environment()
    assert said.private_origins == {"images.internal:8080"}
    assert (said.allowed.suffixes, said.denied.names) == ((".shop.example",), {"old.shop.example"})


def test_an_empty_environment_means_every_public_host(environment):
    assert destinations_of_environment() == ANY_PUBLIC_HOST


@pytest.mark.parametrize("name", ["PRIVATE_ORIGINS", "ALLOWED_HOSTS", "DENIED_HOSTS"])
def test_a_list_that_cannot_be_used_is_named_with_its_entry(environment, name):
    environment.setenv(name, "images.internal:8080,https://x" if name == "PRIVATE_ORIGINS" else "a.example,https://x")
    with pytest.raises(SettingInvalid, match=f'{name} .*"https://x"'):
        destinations_of_environment()


@pytest.mark.parametrize("name", ["PRIVATE_ORIGINS", "ALLOWED_HOSTS", "DENIED_HOSTS"])
def test_a_list_that_is_missing_does_not_count_as_empty(environment, name):
    environment.delenv(name)
    with pytest.raises(SettingMissing, match=name):
        destinations_of_environment()
