"""Steps `compress` and `send_webhook`: the one way out to hosts that strangers name.

A connection looks its host up once, requires every answer to be public, dials one of those very addresses
and checks who answers, so that a name which changes its mind between check and use (DNS rebinding) gains
nothing. A kept connection stays with the address that was checked. urllib3 is used as it is, without
`requests` around it: nothing here reads proxies, cookies or credentials from the environment.
"""

import http.client
import logging
import re
import ssl
import string
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, SOCK_STREAM, socket
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urljoin
from weakref import WeakKeyDictionary

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
from urllib3.exceptions import SSLError as TlsError
from urllib3.exceptions import TimeoutError as ExchangeTimeoutError

from imagejobs.addresses import Target, check_url, resolve
from imagejobs.destinations import ANY_PUBLIC_HOST, Destinations
from imagejobs.errors import HostAtRest, ImageError, ImageTooLarge, OriginRefused, OriginUnavailable, UrlRefused
from imagejobs.hosts import IPAddress
from imagejobs.settings import USER_AGENT

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_REDIRECTS = 3
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
# RFC 9110 (408, 429), RFC 8470 (425): the same request may succeed later. So may every 5xx.
TRANSIENT_STATUSES = frozenset({408, 425, 429})
# A day: the longest pause in the schedule of webhooks, and longer than any image waits.
MAX_RETRY_AFTER_SECONDS = 86_400.0

# Reads of this size keep what a body of thousands of tiny chunks costs in memory near its own size.
READ_BYTES = 256 * 1024
# However long one URL's Retry-After is, other URLs of its host, and other callers, wait no longer than this.
MAX_REST_SECONDS = 60.0
# What is read of a body that nobody wants, so that its sender sees a whole exchange and not a reset.
MAX_DISCARDED_BYTES = 16 * 1024

# What one environment asks of one host at a time; what goes beyond that waits for its turn.
REQUESTS_PER_HOST = 8
# Kept connections, idle ones included, stay at 256: a quarter of the 1,024 file descriptors that Lambda gives.
KEPT_HOSTS = 32

# What is asked for of an image that is only looked at; one of 33 pictures had its size further back, behind a profile.
START_BYTES = 32 * 1024
_CONTENT_RANGE = re.compile(r"bytes 0-[0-9]{1,12}/([0-9]{1,12})")
# What is not there is not there without a Range either; any other refusal may be that of the Range.
_MISSING_STATUSES = frozenset({404, 410})

# RFC 9110, section 8.8.3, without its bytes beyond ASCII; what is longer is not kept.
_ENTITY_TAG = re.compile(r'(W/)?"[!#-~]{0,256}"')
# What an HTTP date is made of in its three forms (section 5.6.7). A stranger's header may hold all else, such as NUL,
# which Postgres keeps in no text.
_HTTP_DATE = re.compile(r"[A-Za-z0-9 ,:-]{1,40}")

_GET_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
# Hours lie between two webhooks to one host; a connection kept so long would be dead on its next use.
_POST_HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"}


@dataclass(frozen=True, slots=True)
class Validators:
    """By what an origin can be asked whether an image has changed (RFC 9110, section 8.8); one of the two.

    Attributes:
        url: Whose they are: where redirects led to, not where they began. Nobody else is asked by them.
        etag: The entity tag as sent, weak ones too: If-None-Match compares weakly (section 13.1.2).
        last_modified: The HTTP date as sent, where there is no entity tag, which would overrule it (section 13.1.3).
    """

    url: str
    etag: str | None
    last_modified: str | None

    def precondition(self) -> dict[str, str]:
        """The header of a request that is to be answered in full only if there is something new."""
        if self.etag:
            return {"If-None-Match": self.etag}
        return {"If-Modified-Since": self.last_modified} if self.last_modified else {}

    def match(self, others: "Validators | None") -> bool:
        """Whether an origin that sends the others now would call what these are of unchanged."""
        return others is not None and self._weak() == others._weak()

    def _weak(self) -> tuple[str, str | None, str | None]:
        return self.url, self.etag and self.etag.removeprefix("W/"), self.last_modified


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image as its origin sent it.

    Attributes:
        body: Possibly empty.
        content_type: The header as sent, never to be trusted; None without one.
        validators: None when the origin gave none that may be relied on.
    """

    body: bytes
    content_type: str | None
    validators: Validators | None = None


@dataclass(frozen=True, slots=True)
class FetchedStart:
    """The first bytes of an image, and how many there are in all.

    Attributes:
        body: Possibly empty.
        total_bytes: Of the whole image.
        validators: As of `Fetched`.
    """

    body: bytes
    total_bytes: int
    validators: Validators | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there are no more."""
        return len(self.body) == self.total_bytes


@dataclass(frozen=True, slots=True)
class Posted:
    """A receiver's answer to a webhook.

    Attributes:
        status_code: Any HTTP status; redirects are not followed.
        retry_after_seconds: The receiver's wish, 0 to `MAX_RETRY_AFTER_SECONDS`; None without one.
    """

    status_code: int
    retry_after_seconds: float | None


class Fetcher:
    """Gets images and posts webhooks, with its connections kept for the next one. Safe to share by threads.

    Make one per environment. It trusts the system's certificate authorities, or those in `SSL_CERT_FILE`.

    Args:
        destinations: What the operator says about whom to contact. It is the same for all of the connections
            that are kept, so that none can be used again for a host that it would not have been made for.
    """

    def __init__(self, destinations: Destinations = ANY_PUBLIC_HOST) -> None:
        self._destinations = destinations
        self._pools = _CheckedPools(destinations)
        self._rests = _Rests()
        # Below ERROR, urllib3 logs URLs with their queries, which may hold signatures and tokens.
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def get(
        self, url: str, *, max_bytes: int, timeout_seconds: float, known: Validators | None = None
    ) -> Fetched | None:
        """Download an image, over at most `MAX_REDIRECTS` redirects, each checked as the first URL is.

        Args:
            url: As the caller wrote it.
            max_bytes: Cap on the body.
            timeout_seconds: Wall clock for all of it: look-ups, redirects, headers and body.
            known: Of the image that the caller has of this URL, which then need not be sent again.

        Returns:
            The image; None when its origin says that what is known has not changed.

        Raises:
            UrlRefused: The URL, or an address behind it or behind a redirect, is not to be contacted.
            OriginRefused: The answer is final: a status such as 404, no such host, a bad certificate.
            OriginUnavailable: 408, 425, 429, 5xx, a reset, a time-out, a cut body; later may do.
            HostAtRest: That too, because of an earlier answer's Retry-After: nobody was asked.
            ImageTooLarge: The body is over `max_bytes`.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._answer(url, deadline, _GET_HEADERS, known) as answer:
            if answer.response.status == 304 and _precondition(known, answer.url):
                answer.response.read(MAX_DISCARDED_BYTES)  # which has none, and gives the connection back
                return None
            return _read_image(answer, max_bytes)

    def get_start(
        self, url: str, is_enough: Callable[[bytes], bool], *, max_bytes: int, timeout_seconds: float
    ) -> FetchedStart:
        """Download the start of an image, with no more of the rest than its origin insists on.

        `START_BYTES` are asked for as a range, so that the connection can be kept. When they are not enough, or the
        origin has no ranges, the whole image is asked for, and read until it is enough: to its end when the origin does
        not say how long it is, since its size is wanted too.

        Args:
            url: As the caller wrote it.
            is_enough: Whether these first bytes are; asked again for twice as many each time.
            max_bytes: Cap on the whole image.
            timeout_seconds: As of `get`.

        Raises:
            ImageError: What `get` raises for this image, as far as its start and its length show it.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._answer(url, deadline, _GET_HEADERS | {"Range": f"bytes=0-{START_BYTES - 1}"}) as answer:
            status = answer.response.status
            if status == 206:
                start = _read_range(answer, max_bytes)
                if start and (start.is_whole or is_enough(start.body)):
                    return start
            elif status == 200 or status in _MISSING_STATUSES or _is_transient(status):
                return _read_start(answer, is_enough, max_bytes)
        with self._answer(url, deadline, _GET_HEADERS) as answer:
            return _read_start(answer, is_enough, max_bytes)

    @contextmanager
    def _answer(
        self, url: str, deadline: float, headers: Mapping[str, str], known: Validators | None = None
    ) -> Iterator["_Answer"]:
        """The first answer that is no redirect; whose validators these are is asked by them."""
        step = url
        for _ in range(1 + MAX_REDIRECTS):
            target = check_url(step, self._destinations)
            sent = {**headers, **_precondition(known, step)}
            with self._rests.kept(target), self._exchange("GET", target, deadline, headers=sent) as response:
                if response.status not in REDIRECT_STATUSES:
                    yield _Answer(response, target, step)
                    return
                step = _redirect_url(response, step, target)
        raise OriginRefused(
            f"The URL {target.shown} was reached by {MAX_REDIRECTS} redirects and leads on to another; "
            "give the URL of the image itself."
        )

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float) -> Posted:
        """Deliver a webhook; whatever status comes back is the result, and its body is dropped.

        Args:
            url: As the caller wrote it.
            body: Sent as it is.
            headers: Sent beside this module's own.
            timeout_seconds: Wall clock for all of it.

        Raises:
            UrlRefused: The URL, or an address behind it, is not to be contacted.
            OriginRefused: No such host, a certificate that fails, or an answer that is no HTTP.
            OriginUnavailable: No connection, or no answer in time.
        """
        deadline = time.monotonic() + timeout_seconds
        target = check_url(url, self._destinations)
        sent = {**headers, **_POST_HEADERS}
        try:
            with self._exchange("POST", target, deadline, headers=sent, body=body) as response:
                posted = Posted(response.status, _retry_after_seconds(response))
                # The status is the answer; a body that breaks off or never ends takes nothing from it.
                with suppress(HTTPError, OSError, ValueError):
                    response.read(MAX_DISCARDED_BYTES)
                return posted
        finally:
            # urllib3 would keep a connection although it was sent "Connection: close" over it.
            self._pools.clear()

    @contextmanager
    def _exchange(
        self,
        method: str,
        target: Target,
        deadline: float,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Iterator[BaseHTTPResponse]:
        """One request and its answer, every failure in it as an `ImageError`."""
        try:
            with self._pools.turn(target, deadline) as pool:
                response = pool.urlopen(
                    method,
                    target.resource,
                    body=body,
                    headers=headers,
                    timeout=Timeout(total=_seconds_left(deadline)),
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
                try:
                    yield response
                finally:
                    # A body read to its end has given its connection back; otherwise this drops the connection.
                    response.close()
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise _image_error(error, target) from error


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer, and who gave it.

    Attributes:
        response: To be read.
        target: Who was asked.
        url: Where redirects led to.
    """

    response: BaseHTTPResponse
    target: Target
    url: str

    @property
    def validators(self) -> Validators | None:
        """Those that may be relied on: what is no entity tag, or a date that is not a strong validator, is not kept."""
        headers = self.response.headers
        etag, last_modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
        if _ENTITY_TAG.fullmatch(etag):
            return Validators(self.url, etag, None)
        if _HTTP_DATE.fullmatch(last_modified) and _is_strong(last_modified, headers.get("Date", "")):
            return Validators(self.url, None, last_modified)
        return None


class _Rests:
    """Hosts that asked for rest by Retry-After, and until when."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, int], float] = {}

    def now(self) -> float:
        """Seconds of the clock that rests are measured by."""
        return time.monotonic()

    @contextmanager
    def kept(self, target: Target) -> Iterator[None]:
        """Refuse to contact a host that is at rest, and note it when this request is what it wants rest from.

        Raises:
            HostAtRest: It is at rest.
            OriginUnavailable: What the request raised.
        """
        rest_seconds = self._until.get((target.host, target.port), 0.0) - self.now()
        if rest_seconds > 0:
            reason = f"The host {target.host} asked to be left alone for a while."
            raise HostAtRest(reason, rest_seconds)
        try:
            yield
        except OriginUnavailable as error:
            if error.retry_after_seconds:
                self._note(target, error.retry_after_seconds)
            raise

    def _note(self, target: Target, seconds: float) -> None:
        now = self.now()
        self._until = {host: until for host, until in self._until.items() if until > now}
        self._until[target.host, target.port] = now + min(seconds, MAX_REST_SECONDS)


class _TimedSocket(socket):
    """A socket whose time-out bounds all that follows `settimeout` together.

    The standard time-out starts anew at every read, so that a peer which sends a byte now and then is never
    late. urllib3 sets the total that is left (`Timeout(total=...)`) when it begins to send, and again when it
    begins to read.
    """

    _deadline: float | None = None

    def settimeout(self, value: float | None, /) -> None:
        self._deadline = None if value is None else time.monotonic() + value
        super().settimeout(value)

    # Sending needs no such care: one `sendall` is bounded as a whole, with TLS and without.
    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = 0, flags: int = 0) -> int:
        if self._deadline is not None:
            super().settimeout(_seconds_left(self._deadline))
        return super().recv_into(buffer, nbytes or 0, flags)


class _TimedTlsSocket(_TimedSocket, ssl.SSLSocket):
    """The same under TLS."""


class _Response(http.client.HTTPResponse):
    """Closes a hole in the standard library: it takes a chunk of size -1 to mean "all until the end"."""

    def _safe_read(self, amt: int) -> bytes:
        if amt < 0:
            raise http.client.IncompleteRead(b"")
        return cast(bytes, super()._safe_read(amt))  # type: ignore[misc]


class _CheckedConnection(HTTPConnection):
    """Dials only addresses that it has looked up and checked itself."""

    response_class = _Response

    def __init__(self, *args: Any, destinations: Destinations, private: bool, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **options)
        self._destinations = destinations
        self._private = private

    def _new_conn(self) -> socket:
        timeout_seconds = cast(float, self.timeout)
        deadline = time.monotonic() + timeout_seconds
        addresses = resolve(self.host, self._destinations, private=self._private, timeout_seconds=timeout_seconds)
        try:
            connected = _dial_first(addresses, self.port, deadline)
            connected.settimeout(_seconds_left(deadline))
        except OSError as error:
            raise NewConnectionError(self, "no address of the host took the connection") from error
        return connected


class _CheckedTlsConnection(_CheckedConnection, HTTPSConnection):
    """The same under TLS; server name and certificate are those of the host, whatever was dialled."""


class _CheckedPools(PoolManager):
    """urllib3's pools, one an origin, over checked connections."""

    def __init__(self, destinations: Destinations) -> None:
        super().__init__(KEPT_HOSTS, maxsize=REQUESTS_PER_HOST)
        self._destinations = destinations
        self._turns: WeakKeyDictionary[HTTPConnectionPool, BoundedSemaphore] = WeakKeyDictionary()

    @contextmanager
    def turn(self, target: Target, deadline: float) -> Iterator[HTTPConnectionPool]:
        """The host's connections, when it is our turn: at most `REQUESTS_PER_HOST` at a time.

        Raises:
            TimeoutError: It was not before the deadline.
        """
        pool = self.connection_from_host(target.host, target.port, target.scheme)
        if not self._turns[pool].acquire(timeout=_seconds_left(deadline)):
            raise TimeoutError("the host was busy with other requests until the deadline")
        try:
            yield pool
        finally:
            self._turns[pool].release()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Made with the first https origin, since reading the authorities takes some 30 ms.
        tls = ssl.create_default_context()
        tls.sslsocket_class = _TimedTlsSocket
        return tls

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        self._turns[pool] = BoundedSemaphore(REQUESTS_PER_HOST)
        pool.ConnectionCls = _CheckedConnection
        if scheme == "https":
            pool.ConnectionCls = _CheckedTlsConnection
            pool.conn_kw["ssl_context"] = self._tls
        pool.conn_kw["destinations"] = self._destinations
        pool.conn_kw["private"] = f"{host}:{port}" in self._destinations.private_origins
        return pool


def _dial_first(addresses: list[IPAddress], port: int, deadline: float) -> socket:
    """Connect to the first address that answers, each given an equal share of the time that is left."""
    *others, last = addresses
    for tried, address in enumerate(others):
        with suppress(OSError):
            return _dial(address, port, _seconds_left(deadline) / (len(addresses) - tried))
    return _dial(last, port, _seconds_left(deadline))


def _dial(address: IPAddress, port: int, timeout_seconds: float) -> socket:
    dialled = _TimedSocket(AF_INET if address.version == 4 else AF_INET6, SOCK_STREAM)
    try:
        for option in HTTPConnection.default_socket_options:
            dialled.setsockopt(*option)
        dialled.settimeout(timeout_seconds)
        dialled.connect((str(address), port))
        _require_peer(dialled, address)
    except BaseException:
        dialled.close()
        raise
    return dialled


def _require_peer(connected: socket, address: IPAddress) -> None:
    # The last word lies with the kernel: whatever came between the check and here, this is who answers.
    if ip_address(connected.getpeername()[0]) != address:
        raise UrlRefused("The connection led to another address than the one that was checked.")


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left


def _read_image(answer: _Answer, max_bytes: int) -> Fetched:
    _require_success(answer.response, answer.target)
    body = _read_body(answer.response, answer.target, max_bytes)
    return Fetched(body, answer.response.headers.get("Content-Type"), answer.validators)


def _precondition(known: Validators | None, url: str) -> dict[str, str]:
    return known.precondition() if known and known.url == url else {}


def _is_strong(last_modified: str, date: str) -> bool:
    """Whether the image cannot have changed twice in the second that it was sent in (RFC 9110, section 8.8.2.2)."""
    try:
        age = parsedate_to_datetime(date).replace(tzinfo=UTC) - parsedate_to_datetime(last_modified).replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return False
    return age.total_seconds() >= 1


def _require_success(response: BaseHTTPResponse, target: Target) -> None:
    status = response.status
    if _is_transient(status):
        raise OriginUnavailable(f"The origin answered {status} for {target.shown}.", _retry_after_seconds(response))
    if status != 200:
        remedy = "check that anyone may fetch it" if status in (401, 403) else "check that the image is there"
        raise OriginRefused(f"The origin answered {status} for {target.shown}; {remedy}.")
    _require_plain(response, target)


def _is_transient(status: int) -> bool:
    return status in TRANSIENT_STATUSES or status >= 500


def _require_plain(response: BaseHTTPResponse, target: Target) -> None:
    # What was asked for is identity; a coded body is a decompression bomb, or a server that does not listen.
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise OriginRefused(
            f"The origin sent {target.shown} with a Content-Encoding, although asked for the plain bytes."
        )


def _read_body(response: BaseHTTPResponse, target: Target, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    declared_bytes = response.length_remaining or 0
    while max(size_bytes, declared_bytes) <= max_bytes:
        piece = response.read(READ_BYTES)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size_bytes += len(piece)
    raise _too_large(target, max_bytes)


def _too_large(target: Target, max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"The image at {target.shown} is larger than {max_bytes:,} bytes.")


def _read_range(answer: _Answer, max_bytes: int) -> FetchedStart | None:
    """The range that was asked for; None for an answer that is not that."""
    response, target = answer.response, answer.target
    told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if not told:
        return None
    _require_plain(response, target)
    total_bytes = int(told[1])
    if total_bytes > max_bytes:
        raise _too_large(target, max_bytes)
    body = response.read(START_BYTES)
    if len(body) != min(START_BYTES, total_bytes):
        return None
    response.read(1)  # there is no more: the connection goes back
    return FetchedStart(body, total_bytes, answer.validators)


def _read_start(answer: _Answer, is_enough: Callable[[bytes], bool], max_bytes: int) -> FetchedStart:
    response, target = answer.response, answer.target
    _require_success(response, target)
    declared_bytes = response.length_remaining
    body, wanted_bytes = bytearray(), START_BYTES
    while max(len(body), declared_bytes or 0) <= max_bytes:
        piece = response.read(min(READ_BYTES, wanted_bytes - len(body)))
        body += piece
        if not piece:
            return FetchedStart(bytes(body), len(body), answer.validators)
        if len(body) == wanted_bytes:
            if is_enough(bytes(body)):
                total_bytes = declared_bytes or len(body) + _count_rest(response, max_bytes - len(body))
                if total_bytes > max_bytes:
                    break
                return FetchedStart(bytes(body), total_bytes, answer.validators)
            wanted_bytes *= 2
    raise _too_large(target, max_bytes)


def _count_rest(response: BaseHTTPResponse, most_bytes: int) -> int:
    """Bytes of the rest of a body, or some number over `most_bytes`."""
    size_bytes = 0
    while size_bytes <= most_bytes and (piece := response.read(READ_BYTES)):
        size_bytes += len(piece)
    return size_bytes


def _redirect_url(response: BaseHTTPResponse, url: str, target: Target) -> str:
    location = response.headers.get("Location")
    if not location:
        raise OriginRefused(f"The origin answered {response.status} for {target.shown}, but not where to.")
    # Header bytes arrive as Latin-1; those beyond ASCII, and blanks, go back as the bytes that they were.
    location = quote(location, safe=string.punctuation, encoding="latin-1")
    with suppress(HTTPError, OSError):
        response.read(MAX_DISCARDED_BYTES)
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise UrlRefused(f"The URL {target.shown} redirects to a URL that cannot be read.") from error


def _retry_after_seconds(response: BaseHTTPResponse) -> float | None:
    """Read Retry-After, seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    try:
        # HTTP dates are in GMT, whatever they say.
        wait = parsedate_to_datetime(value).replace(tzinfo=UTC) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait.total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _image_error(error: Exception, target: Target) -> ImageError:
    """Tell what may pass from what will not."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return OriginRefused(
            f"No trusted connection to {target.host} could be made: its TLS certificate or version fails."
        )
    if isinstance(cause, NewConnectionError):
        return OriginUnavailable(f"The host {target.host} does not take connections at the moment.")
    if isinstance(cause, ExchangeTimeoutError | TimeoutError):
        return OriginUnavailable(f"The origin did not answer for {target.shown} in time.")
    if isinstance(cause, OSError | http.client.IncompleteRead):
        return OriginUnavailable(f"The connection for {target.shown} broke off before the end.")
    return OriginRefused(f"The origin's answer for {target.shown} is not valid HTTP.")


def _cause(error: Exception) -> object:
    """Unwrap what urllib3 wrapped."""
    if isinstance(error, ProtocolError | TlsError) and error.args:
        return error.args[-1]
    return error
