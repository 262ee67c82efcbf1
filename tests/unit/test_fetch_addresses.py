"""Which address a connection really goes to, whatever its name says before, then and later."""

import contextlib
import socket
import threading
import time

import pytest

from imagejobs.errors import OriginRefused, OriginUnavailable, UrlRefused
from imagejobs.fetch import Fetcher
from tests.unit.fetch_helpers import (
    PUBLIC_ADDRESS,
    destinations,
    http_answer,
    make_authority,
    origin,
    patch_resolver,
    patch_wire,
    says,
    trickles,
)

URL = "http://images.example/cat.jpg"


def get(fetcher: Fetcher, url: str = URL, *, timeout_seconds: float = 5) -> bytes:
    return fetcher.get(url, max_bytes=1000, timeout_seconds=timeout_seconds).body


@pytest.fixture
def server():
    with origin(says(http_answer(b"picture"))) as served:
        yield served


def test_the_very_address_that_was_checked_is_dialled_and_the_name_stays_in_the_request(monkeypatch, server):
    asked = patch_resolver(monkeypatch, [PUBLIC_ADDRESS])
    dialled = patch_wire(monkeypatch, server.port)
    assert get(Fetcher()) == b"picture"
    assert (asked, dialled) == (["images.example"], [(PUBLIC_ADDRESS, 80)])
    assert server.requests[0].headers["host"] == "images.example"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        [PUBLIC_ADDRESS, "127.0.0.1"],
        ["127.0.0.1", PUBLIC_ADDRESS],
    ],
    ids=str,
)
def test_a_name_with_a_private_answer_is_never_dialled(monkeypatch, server, addresses):
    patch_resolver(monkeypatch, addresses)
    dialled = patch_wire(monkeypatch, server.port)
    with pytest.raises(UrlRefused, match=r"images\.example"):
        get(Fetcher())
    assert dialled == []


def test_a_name_that_turns_private_after_the_check_gains_nothing(monkeypatch, server):
    asked = patch_resolver(monkeypatch, [PUBLIC_ADDRESS], ["127.0.0.1"])
    dialled = patch_wire(monkeypatch, server.port)
    fetcher = Fetcher()
    assert [get(fetcher), get(fetcher)] == [b"picture", b"picture"]
    assert len(asked) == len(dialled) == server.connections == 1


def test_a_name_that_turned_private_is_refused_once_its_connection_is_gone(monkeypatch):
    patch_resolver(monkeypatch, [PUBLIC_ADDRESS], ["127.0.0.1"])
    with origin(says(http_answer(b"picture", Connection="close"))) as server:
        dialled = patch_wire(monkeypatch, server.port)
        fetcher = Fetcher()
        assert get(fetcher) == b"picture"
        with pytest.raises(UrlRefused):
            get(fetcher)
    assert len(dialled) == 1


def test_a_redirect_to_a_name_with_a_private_answer_is_refused(monkeypatch):
    patch_resolver(monkeypatch, [PUBLIC_ADDRESS], ["10.0.0.1"])
    to_the_inside = http_answer(status="302 Found", Location="http://inside.example/")
    with origin(says(to_the_inside)) as server:
        dialled = patch_wire(monkeypatch, server.port)
        with pytest.raises(UrlRefused, match=r"inside\.example"):
            get(Fetcher())
    assert len(dialled) == 1


def test_a_connection_that_ends_elsewhere_is_refused_before_anything_is_sent(monkeypatch, server):
    patch_resolver(monkeypatch, [PUBLIC_ADDRESS])
    patch_wire(monkeypatch, server.port, peer="127.0.0.1")
    with pytest.raises(UrlRefused, match="another address"):
        get(Fetcher())
    assert server.requests == []


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch, server):
    patch_resolver(monkeypatch, ["1.1.1.1", "8.8.8.8", PUBLIC_ADDRESS])
    dialled = patch_wire(monkeypatch, server.port, black_holes=["1.1.1.1", "8.8.8.8"])
    assert get(Fetcher(), timeout_seconds=0.6) == b"picture"
    assert [address for address, _ in dialled] == ["1.1.1.1", "8.8.8.8", PUBLIC_ADDRESS]


def test_a_host_whose_addresses_are_all_silent_is_unavailable(monkeypatch, server):
    patch_resolver(monkeypatch, ["1.1.1.1", "8.8.8.8"])
    patch_wire(monkeypatch, server.port, black_holes=["1.1.1.1", "8.8.8.8"])
    with pytest.raises(OriginUnavailable, match="does not take connections"):
        get(Fetcher(), timeout_seconds=0.2)


def test_a_private_origin_does_not_lend_its_connections_to_the_same_host_on_another_port(monkeypatch, server):
    patch_resolver(monkeypatch, ["127.0.0.1"])
    fetcher = Fetcher(destinations(f"Pictures.test:{server.port}"))
    assert get(fetcher, f"http://PICTURES.test:{server.port}/x") == b"picture"
    with pytest.raises(UrlRefused, match=r"pictures\.test"):
        get(fetcher, "http://pictures.test/x")


@pytest.mark.parametrize(
    ("answers", "allowed", "denied"),
    [
        ([PUBLIC_ADDRESS], "", "93.184.216.0/24"),
        ([PUBLIC_ADDRESS], "1.1.1.0/24", ""),
        ([PUBLIC_ADDRESS, "1.1.1.1"], "93.184.216.0/24", ""),
    ],
)
def test_a_name_whose_addresses_the_lists_rule_out_is_never_dialled(monkeypatch, server, answers, allowed, denied):
    patch_resolver(monkeypatch, answers)
    dialled = patch_wire(monkeypatch, server.port)
    with pytest.raises(UrlRefused, match=r"images\.example .*operator"):
        get(Fetcher(destinations(allowed=allowed, denied=denied)))
    assert dialled == []


def test_a_name_whose_addresses_are_all_allowed_is_dialled(monkeypatch, server):
    patch_resolver(monkeypatch, [PUBLIC_ADDRESS])
    dialled = patch_wire(monkeypatch, server.port)
    assert get(Fetcher(destinations(allowed="93.184.216.0/24"))) == b"picture"
    assert dialled == [(PUBLIC_ADDRESS, 80)]


@pytest.mark.parametrize(("allowed", "denied"), [("", "*.other.example"), ("images.example", "")])
def test_a_redirect_to_a_host_that_the_lists_rule_out_is_refused_unasked(monkeypatch, allowed, denied):
    asked = patch_resolver(monkeypatch, [PUBLIC_ADDRESS])
    elsewhere = http_answer(status="302 Found", Location="http://cdn.other.example/")
    with origin(says(elsewhere)) as server:
        patch_wire(monkeypatch, server.port)
        with pytest.raises(UrlRefused, match=r"cdn\.other\.example.*operator"):
            get(Fetcher(destinations(allowed=allowed, denied=denied)))
    assert asked == ["images.example"]


def test_a_kept_connection_serves_no_other_host_at_the_same_address(monkeypatch, server):
    patch_resolver(monkeypatch, [PUBLIC_ADDRESS])
    dialled = patch_wire(monkeypatch, server.port)
    fetcher = Fetcher(destinations(allowed="*.example", denied="denied.example"))
    assert get(fetcher) == b"picture"
    for url in ("http://denied.example/cat.jpg", f"http://{PUBLIC_ADDRESS}/cat.jpg"):
        with pytest.raises(UrlRefused, match="operator"):
            get(fetcher, url)
    assert get(fetcher, "http://other.example/cat.jpg") == b"picture"
    assert len(dialled) == server.connections == 2


def test_an_ipv6_address_can_be_a_private_origin():
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    port = listener.getsockname()[1]
    heard: list[bytes] = []

    def answer_once():
        wire, _ = listener.accept()
        with wire:
            heard.append(wire.recv(1000))
            wire.sendall(http_answer(b"picture"))

    thread = threading.Thread(target=answer_once)
    thread.start()
    with listener:
        assert get(Fetcher(destinations(f"[::1]:{port}")), f"http://[::1]:{port}/x") == b"picture"
        thread.join()
    assert f"Host: [::1]:{port}\r\n".encode() in heard[0]


def test_a_missing_name_is_final(monkeypatch):
    def getaddrinfo(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    with pytest.raises(OriginRefused, match="does not exist"):
        get(Fetcher())


def test_a_slow_name_server_counts_towards_the_deadline(monkeypatch):
    released = threading.Event()

    def getaddrinfo(*_, **__):
        released.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "late")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    started = time.monotonic()
    try:
        with pytest.raises(OriginUnavailable, match="in time"):
            get(Fetcher(), timeout_seconds=0.3)
    finally:
        released.set()
    assert time.monotonic() - started < 1.5


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusting(authority, monkeypatch):
    """A fetcher that trusts the test's authority, in a world where every name is at the public address."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    patch_resolver(monkeypatch, [PUBLIC_ADDRESS])
    return Fetcher()


def test_name_and_certificate_are_the_host_s_whatever_address_was_dialled(authority, trusting, monkeypatch):
    named: list[str | None] = []
    context = authority.server_context("images.example")
    context.sni_callback = lambda _socket, name, _context: named.append(name)
    with origin(says(http_answer(b"picture")), tls=context) as server:
        dialled = patch_wire(monkeypatch, server.port)
        for _ in range(2):
            assert get(trusting, "https://images.example/x") == b"picture"
    assert named == ["images.example"]
    assert dialled == [(PUBLIC_ADDRESS, 443)]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("certified", "expired"), [("other.example", False), ("images.example", True), (PUBLIC_ADDRESS, False)]
)
def test_a_certificate_that_does_not_fit_is_final(authority, trusting, monkeypatch, certified, expired):
    context = authority.server_context(certified, expired=expired)
    with origin(says(http_answer(b"picture")), tls=context) as server:
        patch_wire(monkeypatch, server.port)
        with pytest.raises(OriginRefused, match=r"images\.example.*certificate"):
            get(trusting, "https://images.example/x")
    assert server.requests == []


def test_a_certificate_of_an_unknown_authority_is_final(authority, monkeypatch, tmp_path):
    stranger = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    patch_resolver(monkeypatch, [PUBLIC_ADDRESS])
    with origin(says(http_answer(b"x")), tls=stranger.server_context("images.example")) as server:
        patch_wire(monkeypatch, server.port)
        with pytest.raises(OriginRefused, match="certificate"):
            get(Fetcher(), "https://images.example/x")


def listening(react):
    """A listener whose only connection is handed to `react` before any TLS."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        wire, _ = listener.accept()
        with wire:
            wire.recv(65_536)
            react(wire)

    thread = threading.Thread(target=accept)
    thread.start()
    return listener, thread


def test_a_server_without_tls_is_final(trusting, monkeypatch):
    listener, thread = listening(lambda wire: wire.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with listener:
        patch_wire(monkeypatch, listener.getsockname()[1])
        with pytest.raises(OriginRefused, match="TLS"):
            get(trusting, "https://images.example/x")
        thread.join()


def test_a_handshake_that_breaks_off_is_transient(trusting, monkeypatch):
    listener, thread = listening(lambda wire: None)
    with listener:
        patch_wire(monkeypatch, listener.getsockname()[1])
        with pytest.raises(OriginUnavailable, match="broke off"):
            get(trusting, "https://images.example/x")
        thread.join()


def test_a_handshake_that_stalls_ends_with_the_deadline(trusting, monkeypatch):
    released = threading.Event()
    listener, thread = listening(lambda wire: released.wait(10))
    with listener:
        patch_wire(monkeypatch, listener.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(OriginUnavailable, match="in time"):
            get(trusting, "https://images.example/x", timeout_seconds=0.3)
        assert time.monotonic() - started < 1.5
        released.set()
        thread.join()


def test_a_body_that_trickles_under_tls_ends_with_the_deadline(authority, trusting, monkeypatch):
    answer = trickles(b"HTTP/1.1 200 OK\r\n\r\n", b"x")
    with origin(answer, tls=authority.server_context("images.example")) as server:
        patch_wire(monkeypatch, server.port)
        started = time.monotonic()
        with pytest.raises(OriginUnavailable, match="in time"):
            get(trusting, "https://images.example/x", timeout_seconds=0.5)
        assert time.monotonic() - started < 1.5


def test_a_receiver_that_reads_in_a_trickle_under_tls_ends_with_the_deadline(authority, trusting, monkeypatch):
    listener = socket.create_server(("127.0.0.1", 0))
    # A small buffer, at about 8 MB/s: there is always room for a little more, and no single send is late.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    context = authority.server_context("images.example")

    def read_slowly():
        wire, _ = listener.accept()
        pause = threading.Event()
        with contextlib.suppress(OSError), context.wrap_socket(wire, server_side=True) as served:
            while served.recv(16_384):
                pause.wait(0.002)

    thread = threading.Thread(target=read_slowly)
    thread.start()
    with listener:
        patch_wire(monkeypatch, listener.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(OriginUnavailable, match="in time"):
            trusting.post("https://images.example/hook", bytes(20_000_000), {}, timeout_seconds=0.5)
        assert time.monotonic() - started < 1.5
    thread.join()


def test_a_body_cut_under_tls_is_transient(authority, trusting, monkeypatch):
    answer = says(http_answer(b"picture")[:-1], then_close=True)
    with origin(answer, tls=authority.server_context("images.example")) as server:
        patch_wire(monkeypatch, server.port)
        with pytest.raises(OriginUnavailable, match="broke off"):
            get(trusting, "https://images.example/x")
