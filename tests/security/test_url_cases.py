"""The hostile URLs are what they say: each leads to a private place, or to none."""

import pytest

from imagejobs.addresses import REFUSED_IPV4, REFUSED_IPV6, check_url
from imagejobs.errors import UrlRefused
from security.url_cases import hostile_urls, loopback_names, private_addresses


def test_every_range_is_tried_at_both_ends():
    hosts = {host for _, host in private_addresses()}

    for network, _ in REFUSED_IPV4:
        assert {str(network[0]), str(network[-1])} <= hosts
    for network, _ in REFUSED_IPV6:
        assert {f"[{network[0]}]", f"[{network[-1]}]"} <= hosts


def test_only_names_need_a_look_up_to_be_seen_through():
    names = {f"http://{name}/picture.jpg" for name in loopback_names()}
    passed = []
    for _, url in hostile_urls([4566]):
        try:
            check_url(url)
        except UrlRefused:
            continue
        passed.append(url.lower())

    assert set(passed) <= names


@pytest.mark.parametrize("port", [4566, 9001])
def test_ports_of_the_stack_s_own_are_tried(port):
    urls = {url for _, url in hostile_urls([port])}

    assert {f"http://127.0.0.1:{port}/picture.jpg", f"http://[::1]:{port}/picture.jpg"} <= urls


def test_names_of_loopback_are_taken_from_the_machine_s_table(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost me # comment\n::1 ip6-localhost\n192.0.2.1 other\n\n")

    assert loopback_names(hosts) == ["ip6-localhost", "localhost", "me"]
