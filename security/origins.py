"""Campaign: servers whose answers never end, swell, lie about their length, or are hardly HTTP."""

import gzip
from collections.abc import Iterator
from contextlib import suppress
from socket import socket
from threading import Event

from security.bench import Bench
from security.origin import Answer, Origin, http_answer, redirect
from security.pictures import run_failing
from security.tally import Tally

SECONDS = 400.0
PIECE = bytes(65_536)
INJECTED = b"x-injected"
_OK = b"HTTP/1.1 200 OK\r\n"


def run_hostile_origins(bench: Bench) -> Tally:
    """Every answer that is judged at once."""
    tally = run_failing(bench, list(_at_once(bench.origin)), SECONDS)
    injected = sum(INJECTED in head.lower().partition(b"\r\n")[2] for head in bench.origin.heads)
    findings = (f"{injected} requests had a header that an answer had put into their URL",) if injected else ()
    return tally + Tally(wrong=injected, findings=findings)


def run_unending_origins(bench: Bench) -> Tally:
    """Every answer that costs each attempt its whole time, or is hoped to be better the next time."""
    return run_failing(bench, [(name, bench.origin.add(answer)) for name, answer in _TRIED_AGAIN.items()], SECONDS)


def forever(head: bytes, piece: bytes, pause_seconds: float = 0.0) -> Answer:
    """Send a head, and then a piece again and again until nobody listens any more."""

    def send(wire: socket) -> None:
        pause = Event()
        wire.sendall(head)
        while not pause.wait(pause_seconds):
            wire.sendall(piece)

    return send


def _hang(wire: socket) -> None:
    with suppress(OSError):
        wire.recv(1)


def _at_once(origin: Origin) -> Iterator[tuple[str, str]]:
    for name, answer in _ANSWERS.items():
        yield name, origin.add(answer)
    for name, location in _LOCATIONS.items():
        yield name, origin.add(redirect(location))
    target = origin.add(http_answer(b"not a picture"))
    for _ in range(5):
        target = origin.add(redirect(target))
    yield "a chain of redirects", target
    path = origin.add(b"")
    origin.replace(path, redirect(path))
    yield "a redirect to itself", path


_BOMB = gzip.compress(bytes(64 * 1024 * 1024))
_LINE = b"X" * 200_000

_ANSWERS: dict[str, Answer] = {
    "a body that never ends": forever(_OK + b"Content-Type: image/jpeg\r\n\r\n\xff\xd8\xff", PIECE),
    "chunks that never end": forever(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + PIECE + b"\r\n"),
    "a compressed bomb": http_answer(_BOMB, Content_Encoding="gzip"),
    "a bomb in two layers": http_answer(gzip.compress(_BOMB), Content_Encoding="gzip, gzip"),
    "an unknown coding": http_answer(b"x", Content_Encoding="br"),
    "a chunked bomb by Transfer-Encoding": _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "headers that never end": forever(_OK, b"X-Flood: yes\r\n" * 1000),
    "a header line that never ends": forever(_OK + b"X-Flood: ", PIECE.replace(b"\0", b"x")),
    "ten thousand headers": _OK + b"X-Flood: yes\r\n" * 10_000 + b"\r\n",
    "a long status line": b"HTTP/1.1 200 " + _LINE + b"\r\n\r\n",
    "a long name of a header": _OK + _LINE + b": x\r\n\r\n",
    "a negative length": _OK + b"Content-Length: -1\r\n\r\n\xff\xd8\xff",
    "a huge length": _OK + b"Content-Length: 99999999999999999999999\r\n\r\n\xff\xd8\xff",
    "a length of ten gigabytes": _OK + b"Content-Length: 10737418240\r\n\r\n\xff\xd8\xff",
    "a length that is no number": _OK + b"Content-Length: many\r\n\r\nx",
    "a length in another script": _OK + "Content-Length: \u0661\u0660\r\n\r\nx".encode(),
    "two lengths": _OK + b"Content-Length: 1\r\nContent-Length: 1000000\r\n\r\nx",
    "a length and chunks": _OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk's extension that is long": _OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + _LINE + b"\r\nx\r\n0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing but line ends": b"\r\n" * 1000,
    "bytes of all kinds": bytes(range(256)) * 8,
    "a status that is no number": b"HTTP/1.1 OK\r\n\r\n",
    "a negative status": b"HTTP/1.1 -200 OK\r\n\r\n",
    "an old protocol": b"HTTP/0.9 200 OK\r\n\r\nx",
    "a protocol that is none": b"HTTP/9.9 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "206": http_answer(b"x", "206 Partial Content", Content_Range="bytes 0-0/1000"),
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "401": http_answer(b"", "401 Unauthorized", WWW_Authenticate='Basic realm="password, please"'),
    "407": http_answer(b"", "407 Proxy Authentication Required", Proxy_Authenticate="Basic"),
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "a redirect that is empty": http_answer(b"", "302 Found", Location=""),
    "300": http_answer(b"", "300 Multiple Choices", Location="http://127.0.0.1/"),
    "two answers": http_answer(b"not a picture") + http_answer(b"another"),
    "folded headers": _OK + b"X-A: b\r\n c\r\n\td\r\nContent-Length: 1\r\n\r\nx",
    "headers without a name": _OK + b": x\r\n : y\r\nContent-Length: 1\r\n\r\nx",
    "line ends of one byte": b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    "a NUL in a header": _OK + b"X-A: \0\r\nContent-Length: 1\r\n\r\nx",
    "a page that calls itself a picture": http_answer(b"<script>alert(1)</script>", Content_Type="image/jpeg"),
}
_LOCATIONS = {
    "a header within a redirect, coded": "/a%0d%0aX-Injected:%20yes%0d%0a%0d%0a",
    "a header within a redirect, in another script": "/a\u560d\u560aX-Injected: yes",
    "a bare CR within a redirect": "/a\rX-Injected: yes",
    "a redirect of a megabyte": "/" + "a" * 60_000,
    "a redirect of brackets": "http://[",
    "a redirect of other letters": "//пример.испытание/",
}
_TRIED_AGAIN: dict[str, Answer] = {
    "a body that trickles": forever(_OK + b"Content-Length: 1000000\r\n\r\n", b"\xff", 0.5),
    "headers that trickle": forever(_OK, b"X: y\r\n", 2.0),
    "no answer at all": _hang,
    "100 Continue for ever": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "a body that is cut off": _OK + b"Content-Length: 1000\r\n\r\n\xff\xd8\xff",
    "a connection that closes at once": b"",
    "a negative chunk": _OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "a huge chunk": _OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx",
    "a chunk that is no number": _OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n",
    "a status that is none": b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
}
