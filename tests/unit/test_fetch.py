"""What a download brings back, and the code that each failure ends in."""

import contextlib
import logging
import os
import socket
import struct
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagejobs.errors import (
    ImageError,
    ImageTooLarge,
    OriginRefused,
    OriginUnavailable,
    UrlRefused,
)
from imagejobs.fetch import (
    MAX_REDIRECTS,
    MAX_REST_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    REQUESTS_PER_HOST,
    Fetched,
    Fetcher,
    Validators,
)
from imagejobs.settings import USER_AGENT
from tests.unit.fetch_helpers import Origin, destinations, http_answer, origin, says, serves, trickles

PICTURE = os.urandom(700_000)
MAX_BYTES = 1_000_000


def get(server: Origin, resource: str = "/cat.jpg", *, timeout_seconds: float = 5) -> Fetched:
    fetcher = Fetcher(destinations(server.origin))
    return fetcher.get(server.url(resource), max_bytes=MAX_BYTES, timeout_seconds=timeout_seconds)


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


# Success


def test_a_picture_comes_back_with_its_content_type():
    with origin(says(http_answer(PICTURE, Content_Type="image/jpeg"))) as server:
        assert get(server) == Fetched(PICTURE, "image/jpeg")


def test_the_request_names_the_service_asks_for_plain_bytes_and_carries_nothing_else():
    with origin(says(http_answer(b"x"))) as server:
        get(server, "/a%20b/cat,1.jpg?size=2&sig=%2Bx/ü")
    assert server.requests[0].line == "GET /a%20b/cat,1.jpg?size=2&sig=%2Bx/%C3%BC HTTP/1.1"
    assert server.requests[0].headers == {
        "host": server.origin,
        "user-agent": USER_AGENT,
        "accept": "*/*",
        "accept-encoding": "identity",
    }


def test_an_empty_body_is_left_to_the_image_module():
    with origin(says(http_answer(b""))) as server:
        assert get(server) == Fetched(b"", None)


@pytest.mark.parametrize(
    "answer",
    [
        chunked(PICTURE[:1], PICTURE[1:65_000], PICTURE[65_000:]),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PICTURE,
        b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE,
        b"HTTP/1.1 100 Continue\r\n\r\n" + http_answer(PICTURE),
        http_answer(PICTURE, Content_Encoding="Identity"),
    ],
    ids=["chunked", "until close", "HTTP/1.0", "after 100 Continue", "identity"],
)
def test_every_plain_framing_of_a_body_is_read_whole(answer):
    with origin(says(answer, then_close=True)) as server:
        assert get(server).body == PICTURE


# Connections


def test_connections_are_kept_for_the_next_request():
    with origin(says(http_answer(PICTURE))) as server:
        fetcher = Fetcher(destinations(server.origin))
        for _ in range(5):
            fetcher.get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5)
    assert (len(server.requests), server.connections) == (5, 1)


def test_a_connection_that_the_origin_closed_meanwhile_is_replaced():
    with origin(says(http_answer(PICTURE, Connection="close"), then_close=True)) as server:
        fetcher = Fetcher(destinations(server.origin))
        for _ in range(2):
            assert fetcher.get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5).body == PICTURE
    assert server.connections == 2


def test_a_refused_body_does_not_leave_its_rest_to_the_next_request():
    def answer(request, wire):
        size = MAX_BYTES + 1 if request.resource == "/large" else 3
        wire.sendall(http_answer(b"x" * size))

    with origin(answer) as server:
        fetcher = Fetcher(destinations(server.origin))
        with pytest.raises(ImageTooLarge):
            fetcher.get(server.url("/large"), max_bytes=MAX_BYTES, timeout_seconds=5)
        assert fetcher.get(server.url("/small"), max_bytes=MAX_BYTES, timeout_seconds=5).body == b"xxx"


def test_threads_share_a_fetcher_and_get_each_their_own_answer():
    def echo(request, wire):
        wire.sendall(http_answer(request.resource.encode() * 1000))

    with origin(echo) as server, ThreadPoolExecutor(8) as threads:
        fetcher = Fetcher(destinations(server.origin))

        def fetch(number):
            return fetcher.get(server.url(f"/{number}"), max_bytes=MAX_BYTES, timeout_seconds=20).body

        bodies = list(threads.map(fetch, range(200)))
    assert bodies == [f"/{number}".encode() * 1000 for number in range(200)]
    assert server.connections <= 8


def test_proxies_in_the_environment_are_ignored(monkeypatch):
    with origin(says(http_answer(b"from a proxy"))) as proxy, origin(says(http_answer(b"direct"))) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.origin}")
        assert get(server).body == b"direct"
    assert proxy.connections == 0


# Redirects


# Asking whether something has changed

MONDAY, TUESDAY = "Mon, 23 Nov 2026 06:00:00 GMT", "Tue, 24 Nov 2026 06:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "etag", "last_modified"),
    [
        ({"ETag": '"a!#-~"'}, '"a!#-~"', None),
        ({"ETag": 'W/"a"', "Last_Modified": MONDAY, "Date": TUESDAY}, 'W/"a"', None),
        ({"ETag": '""'}, '""', None),
        ({"ETag": "unquoted", "Last_Modified": MONDAY, "Date": TUESDAY}, None, MONDAY),
        ({"Last_Modified": MONDAY, "Date": MONDAY.replace("06:00:00", "06:00:01")}, None, MONDAY),
    ],
)
def test_validators_that_may_be_relied_on_come_with_the_picture(headers, etag, last_modified):
    with origin(says(http_answer(b"x", **headers))) as server:
        assert get(server).validators == Validators(server.url(), etag, last_modified)


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"a'},
        {"ETag": '"a b"'},
        {"ETag": '"a", "b"'},
        {"ETag": '"' + "a" * 257 + '"'},
        {"Last_Modified": MONDAY},
        {"Last_Modified": MONDAY, "Date": MONDAY},
        {"Last_Modified": TUESDAY, "Date": MONDAY},
        {"Last_Modified": "yesterday", "Date": TUESDAY},
        {"Last_Modified": MONDAY, "Date": "today"},
        {"Last_Modified": f"{MONDAY}, {MONDAY}", "Date": TUESDAY},
        {"Last_Modified": f"{MONDAY}\0", "Date": TUESDAY},
    ],
    ids=ascii,
)
def test_what_is_no_validator_or_a_weak_date_is_left(headers):
    """A date of the very second in which the answer was sent: the picture may have changed once more in it."""
    with origin(says(http_answer(b"x", **headers))) as server:
        assert get(server).validators is None


def test_a_known_picture_is_asked_for_conditionally_and_its_connection_kept():
    with origin(serves(b"x", ETag='"a"')) as server:
        fetcher = Fetcher(destinations(server.origin))
        first = fetcher.get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5)
        second = fetcher.get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5, known=first.validators)
        third = fetcher.get(server.url("/else"), max_bytes=MAX_BYTES, timeout_seconds=5, known=first.validators)

    assert (second, third.body) == (None, b"x")
    assert [request.headers.get("if-none-match") for request in server.requests] == [None, '"a"', None]
    assert server.connections == 1


def test_after_a_redirect_only_the_url_that_gave_the_validators_is_asked_by_them():
    def answer(request, wire):
        serves(b"x", ETag='"a"')(request, wire) if request.resource == "/there" else wire.sendall(redirect("/there"))

    with origin(answer) as server:
        known = get(server, "/start").validators
        fetcher = Fetcher(destinations(server.origin))
        assert fetcher.get(server.url("/start"), max_bytes=MAX_BYTES, timeout_seconds=5, known=known) is None

    asked = [(request.resource, "if-none-match" in request.headers) for request in server.requests]
    assert asked == [("/start", False), ("/there", False), ("/start", False), ("/there", True)]


def test_a_304_to_one_that_knows_nothing_to_ask_by_is_final():
    with origin(says(http_answer(status="304 Not Modified"))) as server, pytest.raises(OriginRefused, match="304"):
        Fetcher(destinations(server.origin)).get(
            server.url(), max_bytes=MAX_BYTES, timeout_seconds=5, known=Validators(server.url(), None, None)
        )


def redirect(location: str, status: str = "302 Found") -> bytes:
    return http_answer(b"see there", status=status, Location=location)


def by_resource(**answers: bytes):
    def answer(request, wire):
        wire.sendall(answers[request.resource.strip("/").split("?")[0]])

    return answer


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temp", "308 Perm"])
def test_a_redirect_is_followed_on_the_same_connection(status):
    answers = by_resource(start=redirect("there?a=b#c", status), there=http_answer(b"picture"))
    with origin(answers) as server:
        assert get(server, "/start").body == b"picture"
    assert [request.resource for request in server.requests] == ["/start", "/there?a=b"]
    assert server.connections == 1


def test_a_redirect_beyond_ascii_goes_back_as_the_bytes_that_came():
    with origin(says(http_answer(b"x"))) as there, origin(lambda *_: None) as start:
        location = f"http://{there.origin}/b\xfccher 1.jpg".encode("latin-1")
        start.answer = says(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")
        fetcher = Fetcher(destinations(start.origin, there.origin))
        assert fetcher.get(start.url(), max_bytes=MAX_BYTES, timeout_seconds=5).body == b"x"
    assert there.requests[0].resource == "/b%FCcher%201.jpg"


def test_three_redirects_are_followed_and_the_fourth_is_not():
    def answer(request, wire):
        left = int(request.resource.strip("/"))
        wire.sendall(redirect(f"/{left - 1}") if left else http_answer(b"picture"))

    with origin(answer) as server:
        assert get(server, f"/{MAX_REDIRECTS}").body == b"picture"
        with pytest.raises(OriginRefused, match="3 redirects"):
            get(server, f"/{MAX_REDIRECTS + 1}")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/x",
        "http://127.0.0.1/x",
        "http://169.254.169.254/latest/meta-data/",
        "//[::1]/x",
        "http://localhost/x",
        "http://2130706433/x",
        "http://user:password@images.example/x",
        "http://images.example:22/x",
        "http://a\\b/x",
        "http://[::1/x",
        "file:///etc/passwd",
        "gopher://images.example/x",
        "javascript:alert(1)",
    ],
)
def test_a_redirect_is_checked_as_strictly_as_the_first_url(location):
    with origin(says(redirect(location))) as server, pytest.raises(UrlRefused):
        get(server)


def test_a_redirect_without_a_location_is_final():
    with origin(says(http_answer(status="302 Found"))) as server, pytest.raises(OriginRefused, match="302"):
        get(server)


# Statuses


@pytest.mark.parametrize(
    "status",
    ["204 No", "206 Partial", "304 Not Modified", "400 Bad", "401 No", "403 No", "404 No", "410 No"],
)
def test_any_other_status_is_final_and_named(status):
    with (
        origin(says(http_answer(status=status))) as server,
        pytest.raises(OriginRefused, match=status[:3]) as refusal,
    ):
        get(server, "/cat.jpg?signature=secret")
    assert "/cat.jpg" in refusal.value.message
    assert "secret" not in refusal.value.message
    assert not refusal.value.transient
    assert ("anyone may fetch it" in refusal.value.message) == (status[:3] in {"401", "403"})


@pytest.mark.parametrize("status", ["408 Time", "425 Early", "429 Many", "500 Bad", "503 Busy", "599 Odd"])
def test_a_status_that_may_pass_is_transient(status):
    with (
        origin(says(http_answer(b"wait", status=status))) as server,
        pytest.raises(OriginUnavailable, match=status[:3]) as failure,
    ):
        get(server)
    assert failure.value.retry_after_seconds is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("99999999", MAX_RETRY_AFTER_SECONDS),
        ("9" * 5000, MAX_RETRY_AFTER_SECONDS),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS),
        ("-7", None),
        ("1.5", None),
        ("soon", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2015 23:59:59 +99999999999999", None),
        ("", None),
    ],
)
def test_retry_after_is_read_with_care(header, seconds):
    with (
        origin(says(http_answer(status="503 Busy", Retry_After=header))) as server,
        pytest.raises(OriginUnavailable) as failure,
    ):
        get(server)
    assert failure.value.retry_after_seconds == seconds


def test_retry_after_may_be_a_date():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with (
        origin(says(http_answer(status="429 Many", Retry_After=later))) as server,
        pytest.raises(OriginUnavailable) as failure,
    ):
        get(server)
    assert failure.value.retry_after_seconds == pytest.approx(90, abs=5)


# Politeness


def test_no_more_than_a_few_requests_are_with_one_host_at_a_time():
    among, most, full = [], [], threading.Event()

    def answer(request, wire):
        among.append(request)
        most.append(len(among))
        if len(among) == REQUESTS_PER_HOST:
            full.set()
        assert full.wait(10)
        among.remove(request)
        wire.sendall(http_answer(b"x"))

    with origin(answer) as server, ThreadPoolExecutor(3 * REQUESTS_PER_HOST) as pool:
        fetcher = Fetcher(destinations(server.origin))
        urls = [server.url(f"/{number}.jpg") for number in range(3 * REQUESTS_PER_HOST)]
        list(pool.map(lambda url: fetcher.get(url, max_bytes=MAX_BYTES, timeout_seconds=20), urls))

    assert max(most) == REQUESTS_PER_HOST


def test_who_waits_for_a_turn_waits_no_longer_than_for_an_answer():
    full, release = threading.Barrier(REQUESTS_PER_HOST + 1), threading.Event()

    def answer(_, wire):
        full.wait(20)
        assert release.wait(20)
        wire.sendall(http_answer(b"x"))

    with origin(answer) as server, ThreadPoolExecutor(REQUESTS_PER_HOST) as pool:
        fetcher = Fetcher(destinations(server.origin))
        held = [
            pool.submit(fetcher.get, server.url(f"/{number}"), max_bytes=MAX_BYTES, timeout_seconds=20)
            for number in range(REQUESTS_PER_HOST)
        ]
        full.wait(20)
        with pytest.raises(OriginUnavailable, match="in time"):
            fetcher.get(server.url("/late"), max_bytes=MAX_BYTES, timeout_seconds=0.2)
        release.set()
        assert [each.result().body for each in held] == [b"x"] * REQUESTS_PER_HOST
    assert len(server.requests) == REQUESTS_PER_HOST


def test_a_host_that_asks_for_rest_is_not_contacted_meanwhile(monkeypatch):
    now = [1000.0]
    with origin(says(http_answer(status="429 Many", Retry_After="30"))) as server:
        fetcher = Fetcher(destinations(server.origin))
        monkeypatch.setattr("imagejobs.fetch._Rests.now", lambda _: now[0])
        for after, rest_seconds in ((0, 30), (10, 20), (29, 1), (30, 30)):
            now[0] = 1000.0 + after
            with pytest.raises(OriginUnavailable) as failure:
                fetcher.get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5)
            assert failure.value.retry_after_seconds == pytest.approx(rest_seconds)
    assert len(server.requests) == 2


def test_one_url_s_long_pause_does_not_hold_up_its_host_for_longer_than_a_minute(monkeypatch):
    now = [1000.0]
    with origin(says(http_answer(status="503 Busy", Retry_After="3600"))) as server:
        fetcher = Fetcher(destinations(server.origin))
        monkeypatch.setattr("imagejobs.fetch._Rests.now", lambda _: now[0])
        for after, asked in ((0, 1), (59, 1), (MAX_REST_SECONDS, 2)):
            now[0] = 1000.0 + after
            with pytest.raises(OriginUnavailable):
                fetcher.get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5)
            assert len(server.requests) == asked


# Size


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(b"x" * (MAX_BYTES + 1)),
        chunked(b"x" * MAX_BYTES, b"x"),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_BYTES + 1),
    ],
    ids=["Content-Length", "chunked", "until close"],
)
def test_one_byte_too_many_is_too_large(answer):
    with (
        origin(says(answer, then_close=True)) as server,
        pytest.raises(ImageTooLarge, match="1,000,000 bytes"),
    ):
        get(server)


def test_a_body_of_just_the_cap_is_taken():
    with origin(says(http_answer(b"x" * MAX_BYTES))) as server:
        assert len(get(server).body) == MAX_BYTES


@pytest.mark.parametrize("length", [str(MAX_BYTES + 1), "9" * 30])
def test_a_declared_length_over_the_cap_is_refused_before_the_body_comes(length):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    with origin(says(head)) as server, pytest.raises(ImageTooLarge):
        get(server)


def flood(head: bytes):
    """Send the head, then bytes without end."""

    def send(_, wire):
        wire.sendall(head)
        while True:
            wire.sendall(b"x" * 65_536)

    return send


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"",
    ],
    ids=["until close", "chunk of -1", "endless chunk", "length -1", "error", "redirect", "header", "status"],
)
def test_an_endless_answer_costs_little_memory(head):
    tracemalloc.start()
    try:
        with origin(flood(head)) as server, pytest.raises(ImageError):
            get(server)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BYTES
    finally:
        tracemalloc.stop()


def test_a_body_in_tiny_chunks_costs_about_its_size():
    body = b"ab" * 50_000
    answer = chunked(*[b"ab"] * 50_000)
    with origin(says(answer)) as server:
        assert get(server, timeout_seconds=30).body == body


# Encoded, cut, late


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-unknown", "gzip, identity"])
def test_an_encoded_body_is_refused_unread(encoding):
    with (
        origin(says(http_answer(b"\x1f\x8b", Content_Encoding=encoding))) as server,
        pytest.raises(OriginRefused, match="Content-Encoding"),
    ):
        get(server)


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(PICTURE)[:-1],
        chunked(PICTURE)[:-6],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ],
    ids=["in the body", "in a chunk", "bad chunk", "no answer"],
)
def test_a_cut_answer_may_be_whole_next_time(answer):
    with origin(says(answer, then_close=True)) as server, pytest.raises(OriginUnavailable, match="broke off"):
        get(server)


@pytest.mark.parametrize("head", [b"", http_answer(PICTURE)[:1000]], ids=["at once", "in the body"])
def test_a_reset_is_transient(head):
    def reset(_, wire):
        wire.sendall(head)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(wire.detach())

    with origin(reset) as server, pytest.raises(OriginUnavailable, match="broke off"):
        get(server)


def test_a_refused_connection_is_transient():
    with origin(says(b"")) as server:
        pass
    with pytest.raises(OriginUnavailable, match="does not take connections"):
        get(server)


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b""),
        (b"H", b"T"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (http_answer(PICTURE)[:100], b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n"),
        (b"HTTP/1.1 302 Found\r\nLocation: /cat.jpg\r\n\r\n", b"x"),
    ],
    ids=[
        "silent",
        "status",
        "header",
        "headers",
        "100 Continue",
        "body",
        "body until close",
        "chunks",
        "trailer",
        "redirect",
    ],
)
def test_a_trickle_ends_with_the_deadline_wherever_it_trickles(head, piece):
    with origin(trickles(head, piece)) as server:
        started = time.monotonic()
        with pytest.raises(OriginUnavailable, match="in time"):
            get(server, timeout_seconds=0.3)
        assert 0.25 < time.monotonic() - started < 1.5


def test_the_deadline_covers_all_redirects_together():
    def slowly_on(request, wire):
        threading.Event().wait(0.12)
        wire.sendall(redirect("/next"))

    with origin(slowly_on) as server, pytest.raises(OriginUnavailable, match="in time"):
        get(server, timeout_seconds=0.3)


# Answers that are no HTTP


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    ],
    ids=["SSH", "version", "status", "200 headers", "long header", "long status", "two lengths"],
)
def test_an_answer_that_is_no_sound_http_is_final(answer):
    with (
        origin(says(answer, then_close=True)) as server,
        pytest.raises(OriginRefused, match="not valid HTTP"),
    ):
        get(server)


@pytest.fixture(scope="module")
def fickle():
    """An origin whose answer a test changes between requests, and a fetcher for it."""
    with origin(says(b"")) as server:
        yield server, Fetcher(destinations(server.origin))


HEADS = st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\n", b"HTTP/1.1 503 Busy\r\n"])
FIELDS = st.sampled_from(
    [
        b"Content-Length: ",
        b"Transfer-Encoding: chunked",
        b"Location: ",
        b"Retry-After: ",
        b"\r\n",
        b"\r\n\r\n",
        b"-1",
    ]
)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(HEADS, st.lists(st.one_of(FIELDS, st.binary(max_size=20)), max_size=8))
def test_whatever_bytes_come_back_the_end_is_a_body_or_a_coded_error(fickle, head, pieces):
    server, fetcher = fickle
    server.answer = says(head + b"".join(pieces), then_close=True)
    with contextlib.suppress(ImageError):
        assert isinstance(fetcher.get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5).body, bytes)


def test_no_log_line_holds_a_query(caplog):
    broken_header = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nno colon here\r\n\r\nx"
    with caplog.at_level(logging.DEBUG), origin(says(broken_header)) as server:
        get(server, "/cat.jpg?signature=secret")
    assert "secret" not in caplog.text
