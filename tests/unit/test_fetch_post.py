"""How a webhook is delivered."""

import socket
import time

import pytest

from imagejobs.errors import OriginUnavailable, UrlRefused
from imagejobs.fetch import Fetcher, Posted
from imagejobs.settings import USER_AGENT
from tests.unit.fetch_helpers import destinations, http_answer, origin, patch_resolver, says, trickles

BODY = b'{"a": "\xc3\xbc"}'
HEADERS = {"content-type": "application/json", "webhook-id": "evt_1"}


def post(server, *, timeout_seconds: float = 5) -> Posted:
    fetcher = Fetcher(destinations(server.origin))
    return fetcher.post(server.url("/hook?key=1"), b'{"a": "\xc3\xbc"}', HEADERS, timeout_seconds=timeout_seconds)


def test_the_body_and_headers_arrive_as_given():
    with origin(says(http_answer(b"thanks"))) as server:
        assert post(server) == Posted(200, None)
    (request,) = server.requests
    assert request.line == "POST /hook?key=1 HTTP/1.1"
    assert request.body == BODY
    assert request.headers == {
        "host": server.origin,
        "content-type": "application/json",
        "content-length": "11",
        "webhook-id": "evt_1",
        "user-agent": USER_AGENT,
        "accept-encoding": "identity",
        "connection": "close",
    }


@pytest.mark.parametrize("status_code", [200, 204, 301, 302, 307, 400, 404, 410, 500, 503])
def test_any_status_is_returned_and_no_redirect_followed(status_code):
    with origin(says(http_answer(status=f"{status_code} X", Location="/other"))) as server:
        assert post(server).status_code == status_code
    assert len(server.requests) == 1


def test_a_connection_that_was_to_be_closed_is_not_used_again():
    with origin(says(http_answer())) as server:
        fetcher = Fetcher(destinations(server.origin))
        for _ in range(3):
            fetcher.post(server.url("/hook"), BODY, HEADERS, timeout_seconds=5)
        assert server.connections == 3


def test_retry_after_is_returned():
    with origin(says(http_answer(status="429 Slow down", Retry_After="30"))) as server:
        assert post(server) == Posted(429, 30.0)


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(b"x" * 1_000_000),
        http_answer(b"x", Content_Encoding="gzip"),
        http_answer(b"xx")[:-1],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["large", "encoded", "cut", "bad chunk"],
)
def test_a_status_stands_whatever_becomes_of_the_body(answer):
    with origin(says(answer, then_close=True)) as server:
        assert post(server).status_code == 200


def test_a_body_that_trickles_after_the_status_costs_no_more_than_the_deadline():
    with origin(trickles(b"HTTP/1.1 200 OK\r\n\r\n", b"x")) as server:
        started = time.monotonic()
        assert post(server, timeout_seconds=0.3).status_code == 200
        assert time.monotonic() - started < 1.5


def test_a_receiver_that_never_answers_is_unavailable_at_the_deadline():
    with origin(trickles(b"HTTP/1.1 200 OK\r\nX: ", b"x")) as server:
        started = time.monotonic()
        with pytest.raises(OriginUnavailable, match="in time") as failure:
            post(server, timeout_seconds=0.3)
        assert time.monotonic() - started < 1.5
    assert "key" not in failure.value.message


def test_a_receiver_that_never_reads_is_unavailable_at_the_deadline():
    # The system takes the connection; nobody ever accepts it, and the body is more than its buffers hold.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = f"127.0.0.1:{listener.getsockname()[1]}"
        fetcher = Fetcher(destinations(receiver))
        started = time.monotonic()
        with pytest.raises(OriginUnavailable, match="in time"):
            fetcher.post(f"http://{receiver}/hook", bytes(20_000_000), {}, timeout_seconds=0.3)
        assert time.monotonic() - started < 1.5


def test_a_receiver_that_is_gone_is_unavailable():
    with origin(says(b"")) as server:
        pass
    with pytest.raises(OriginUnavailable, match="does not take connections"):
        post(server)


@pytest.mark.parametrize("url", ["http://127.0.0.1/hook", "http://inside.example/hook", "http://u@x.example/"])
def test_a_receiver_that_is_not_public_is_refused(monkeypatch, url):
    patch_resolver(monkeypatch, ["10.0.0.1"])
    with pytest.raises(UrlRefused):
        Fetcher().post(url, b"{}", {}, timeout_seconds=5)


def test_a_fresh_connection_is_made_for_every_delivery():
    with origin(says(http_answer(b"ok", Connection="close"))) as server:
        fetcher = Fetcher(destinations(server.origin))
        for _ in range(2):
            fetcher.post(server.url(), b"{}", {}, timeout_seconds=5)
    assert server.connections == 2
