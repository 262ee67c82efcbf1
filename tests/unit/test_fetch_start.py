"""A look at the start of an image: what is asked for, what is read, and that it fails as a download does."""

import re
from itertools import count

import pytest

from imagejobs.errors import ImageError, ImageTooLarge, OriginRefused, OriginUnavailable, UrlRefused
from imagejobs.fetch import START_BYTES, FetchedStart, Fetcher
from tests.unit.fetch_helpers import Answer, Origin, Request, destinations, http_answer, origin, says
from tests.unit.test_fetch import PICTURE, chunked

MAX_BYTES = 1_000_000
RANGE = f"bytes=0-{START_BYTES - 1}"


def look(server: Origin, *, enough_bytes: int = 100, fetcher: Fetcher | None = None) -> FetchedStart:
    fetcher = fetcher or Fetcher(destinations(server.origin))
    return fetcher.get_start(
        server.url(), lambda start: len(start) >= enough_bytes, max_bytes=MAX_BYTES, timeout_seconds=5
    )


def ranges(picture: bytes, **headers: str) -> Answer:
    """An origin that has ranges."""

    def answer(request: Request, wire) -> None:
        asked = re.fullmatch(r"bytes=0-(\d+)", request.headers.get("range", ""))
        if not asked:
            wire.sendall(http_answer(picture))
            return
        part = picture[: int(asked[1]) + 1]
        told = {"Content_Range": f"bytes 0-{len(part) - 1}/{len(picture)}", **headers}
        wire.sendall(http_answer(part, status="206 Partial Content", **told))

    return answer


def unless_ranged(refusal: bytes, picture: bytes = PICTURE) -> Answer:
    """An origin that answers a request for a range with something else than for the whole."""
    return lambda request, wire: wire.sendall(refusal if "range" in request.headers else http_answer(picture))


def test_a_range_is_asked_for_and_tells_the_length_of_all():
    with origin(ranges(PICTURE)) as server:
        assert look(server) == FetchedStart(PICTURE[:START_BYTES], len(PICTURE))
    assert [request.headers["range"] for request in server.requests] == [RANGE]


def test_the_connection_is_kept_after_a_range():
    with origin(ranges(PICTURE)) as server:
        fetcher = Fetcher(destinations(server.origin))
        for _ in range(4):
            look(server, fetcher=fetcher)
    assert (len(server.requests), server.connections) == (4, 1)


def test_a_small_image_is_whole():
    with origin(ranges(b"x" * 50)) as server:
        start = look(server, enough_bytes=60)
    assert (start, start.is_whole) == (FetchedStart(b"x" * 50, 50), True)


def test_the_whole_is_asked_for_when_the_range_is_not_enough_and_read_no_further_than_needed():
    with origin(ranges(PICTURE)) as server:
        start = look(server, enough_bytes=3 * START_BYTES)
    assert start == FetchedStart(PICTURE[: 4 * START_BYTES], len(PICTURE))
    assert [request.headers.get("range") for request in server.requests] == [RANGE, None]


def test_an_image_that_never_has_enough_is_read_to_its_end():
    with origin(ranges(PICTURE)) as server:
        start = look(server, enough_bytes=MAX_BYTES)
    assert (start.body, start.is_whole) == (PICTURE, True)


def test_an_origin_without_ranges_is_asked_once_and_its_length_believed():
    with origin(says(http_answer(PICTURE))) as server:
        assert look(server) == FetchedStart(PICTURE[:START_BYTES], len(PICTURE))
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [0, 1, START_BYTES - 1, START_BYTES, START_BYTES + 1, 700_000])
@pytest.mark.parametrize("framing", ["chunked", "until close"])
def test_what_has_no_length_is_counted(size, framing):
    body = PICTURE[:size]
    answer = chunked(*([body] if body else [])) if framing == "chunked" else b"HTTP/1.0 200 OK\r\n\r\n" + body
    with origin(says(answer, then_close=True)) as server:
        start = look(server)
    assert start == FetchedStart(body[:START_BYTES], size)


@pytest.mark.parametrize(
    "refusal",
    [
        http_answer(status="416 Range Not Satisfiable", Content_Range="bytes */700000"),
        http_answer(status="403 Forbidden"),
        http_answer(
            PICTURE[5 : START_BYTES + 5], status="206 Partial", Content_Range=f"bytes 5-{START_BYTES + 4}/700000"
        ),
        http_answer(PICTURE[:START_BYTES], status="206 Partial", Content_Range=f"bytes 0-{START_BYTES - 1}/*"),
        http_answer(PICTURE[:START_BYTES], status="206 Partial"),
        http_answer(PICTURE[:10], status="206 Partial", Content_Range="bytes 0-9/700000"),
        http_answer(b"", status="204 No Content"),
    ],
    ids=["416", "403", "another range", "no total", "no range", "too short", "204"],
)
def test_what_may_be_the_ranges_doing_is_asked_again_without(refusal):
    with origin(unless_ranged(refusal)) as server:
        assert look(server) == FetchedStart(PICTURE[:START_BYTES], len(PICTURE))
    assert [request.headers.get("range") for request in server.requests] == [RANGE, None]


@pytest.mark.parametrize(
    ("answer", "error", "requests"),
    [
        (http_answer(status="404 Not Found"), OriginRefused, 1),
        (http_answer(status="410 Gone"), OriginRefused, 1),
        (http_answer(status="403 Forbidden"), OriginRefused, 2),
        (http_answer(status="503 Busy"), OriginUnavailable, 1),
        (http_answer(status="429 Slow Down", Retry_After="7"), OriginUnavailable, 1),
        (http_answer(b"x", Content_Encoding="gzip"), OriginRefused, 1),
        (http_answer(b"x", status="206 P", Content_Range="bytes 0-0/1", Content_Encoding="br"), OriginRefused, 1),
        (http_answer(status="302 Found", Location="http://10.0.0.1/cat.jpg"), UrlRefused, 1),
        (http_answer(status="302 Found", Location="/again"), OriginRefused, 4),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n", ImageTooLarge, 1),
        (http_answer(status="206 P", Content_Range=f"bytes 0-{START_BYTES - 1}/2000000"), ImageTooLarge, 1),
        (chunked(PICTURE, PICTURE), ImageTooLarge, 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nxyz", OriginUnavailable, 1),
        (b"nonsense\r\n\r\n", OriginRefused, 1),
    ],
    ids=[f"answer {number}" for number in range(14)],
)  # fmt: skip
def test_a_look_fails_as_a_download_does(answer, error, requests):
    with origin(says(answer, then_close=b" 302 " not in answer)) as server:
        with pytest.raises(ImageError) as looked:
            look(server)
        asked = len(server.requests)
        with pytest.raises(ImageError) as downloaded:
            Fetcher(destinations(server.origin)).get(server.url(), max_bytes=MAX_BYTES, timeout_seconds=5)
    assert type(looked.value) is error
    assert asked == requests
    if "206" not in answer[:20].decode("latin-1"):
        assert (type(downloaded.value), downloaded.value.message) == (error, looked.value.message)


def test_both_requests_share_one_deadline():
    requests = count()

    def answer(_: Request, wire) -> None:
        if next(requests) == 0:
            wire.sendall(http_answer(status="416 Range Not Satisfiable"))  # and never answers the second

    with origin(answer) as server, pytest.raises(OriginUnavailable, match="in time"):
        Fetcher(destinations(server.origin)).get_start(
            server.url(), lambda _: True, max_bytes=MAX_BYTES, timeout_seconds=0.3
        )
