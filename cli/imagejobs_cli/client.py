"""A typed client of the HTTP API: asks again where that may help, and shows the token to the API alone."""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from imagejobs_cli.documents import Deliveries, Image, Job
from imagejobs_cli.errors import CommandError, Refused, Unreachable, Unusable
from imagejobs_cli.form import FormBody
from imagejobs_cli.settings import Connection

T = TypeVar("T")

# What a sheet may have over the API; the limit is the service's own, `MAX_UPLOAD_BYTES`.
MAX_UPLOAD_BYTES = 4_400_000
MAX_PAGE_IMAGES = 500
MAX_PAGE_JOBS = 100

# To connect, and between two packets; API Gateway answers within 29 s.
TIMEOUTS_SECONDS = (10.0, 60.0)
# Before each further attempt, the API's own Retry-After in its place, as long as that is no longer than a minute: the
# requests of a minute are given back by then, those of a day are not.
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
MAX_RETRY_AFTER_SECONDS = 60.0
_CHUNK_BYTES = 1 << 16


class ComeAgain(Exception):
    """An attempt that failed and may succeed later.

    Args:
        error: What to say when it never does.
        after_seconds: The server's own wish; None without one.
    """

    def __init__(self, error: CommandError, after_seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after_seconds = after_seconds


class Credentials(AuthBase):
    """The token on each request of a session, in place of what a .netrc would add; none without a token."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the token on a request."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Api:
    """The routes of one API for one caller. Each call may be repeated without harm, and is when there is no answer.

    Args:
        connection: Which API.
        notice: Told why there is a pause.

    Every method raises:
        Refused: The API said no.
        Unreachable: There was no answer after several attempts, or only a server's fault.
    """

    def __init__(self, connection: Connection, notice: Callable[[str], None]) -> None:
        self._url = connection.api_url.rstrip("/")
        self._source = connection.source
        self._notice = notice
        self._caller = _session(connection, connection.token)
        self._anyone = _session(connection, None)

    def submit(self, sheet: Path, fields: Mapping[str, str], idempotency_key: str) -> str:
        """Make a job of a sheet; its request_id.

        Args:
            sheet: The CSV; one that is too large for the API goes to S3 by a presigned form.
            fields: Fields of the form beside the file.
            idempotency_key: Sent again with the same sheet and fields, it is the same job.
        """
        key = {"Idempotency-Key": idempotency_key}
        if sheet.stat().st_size <= MAX_UPLOAD_BYTES:
            return str(self._document("POST", "/upload", form=FormBody(fields, sheet), headers=key)["request_id"])
        place = self._document("POST", "/uploads", json=dict(fields), headers=key)
        self._patiently(lambda: _ask(self._anyone, "POST", place["url"], form=FormBody(place["fields"], sheet)))
        return str(place["request_id"])

    def job(self, request_id: str) -> Job:
        """How far a job is."""
        return cast("Job", self._document("GET", f"/job/status/{request_id}"))

    def jobs(self, limit: int, status: str | None = None) -> Iterator[Job]:
        """The caller's newest jobs.

        Args:
            limit: How many at most.
            status: Only those that have it.
        """
        query = {"limit": min(limit, MAX_PAGE_JOBS), "status": status}
        yield from islice(self._pages("/jobs", "jobs", query), limit)

    def images(self, request_id: str, status: str | None = None) -> Iterator[Image]:
        """A job's images in the sheet's order.

        Args:
            request_id: The job.
            status: Only those that have it.
        """
        yield from self._pages(f"/job/{request_id}/images", "images", {"limit": MAX_PAGE_IMAGES, "status": status})

    def deliveries(self, request_id: str) -> Deliveries:
        """The attempts to deliver a job's webhook, the newest first."""
        return cast("Deliveries", self._document("GET", f"/job/{request_id}/deliveries"))

    def retry(self, request_id: str, corrected: Path | None = None) -> int:
        """Do the failed images of an ended job again; the generation that does them.

        Args:
            request_id: The job.
            corrected: Its failures.csv with better cells.
        """
        form = FormBody({}, corrected) if corrected else None
        return int(self._document("POST", f"/job/{request_id}/retry", form=form)["generation"])

    def cancel(self, request_id: str) -> dict[str, Any]:
        """Begin no more images of a job; the API's answer."""
        return self._document("POST", f"/job/{request_id}/cancel")

    def redeliver(self, request_id: str) -> dict[str, Any]:
        """Send the webhook of an ended job again; the API's answer, with its `event_id`."""
        return self._document("POST", f"/job/{request_id}/redeliver")

    def link(self, request_id: str, document: str) -> str:
        """Where a document of a job is downloaded, for an hour and by whoever has the link.

        Args:
            request_id: The job.
            document: The last part of the route: `result`, `failures.csv` or `report.html`.
        """
        return str(self._document("GET", f"/job/{request_id}/{document}")["url"])

    def download(self, url: str, file: Path) -> int:
        """Store what a URL serves to anybody; its bytes. The file is there whole, or as it was before."""
        return self._patiently(lambda: self._store(url, file))

    def _store(self, url: str, file: Path) -> int:
        unfinished = file.with_name(f".{file.name}.part")
        try:
            with _ask(self._anyone, "GET", url, stream=True) as answer, unfinished.open("wb") as target:
                for chunk in _chunks(answer):
                    target.write(chunk)
            size_bytes = unfinished.stat().st_size
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
        return size_bytes

    def _pages(self, path: str, name: str, query: Mapping[str, Any]) -> Iterator[Any]:
        after = None
        while True:
            page = self._document("GET", path, params={**query, "after": after})
            yield from page[name]
            after = page["next"]
            if after is None:
                return

    def _document(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 as requests
        answer = self._patiently(lambda: _ask(self._caller, method, f"{self._url}{path}", **arguments))
        if answer.is_redirect:
            host = urlsplit(answer.headers["Location"]).hostname
            raise Unusable(f"The API's URL of {self._source} leads elsewhere, to {host}: is it the right one?")
        try:
            return dict(answer.json())
        except ValueError:
            raise Unusable(f"What answers at the URL of {self._source} is not this API: is it the right one?") from None

    def _patiently(self, attempt: Callable[[], T]) -> T:
        for pause_seconds in PAUSES_SECONDS:
            try:
                return attempt()
            except ComeAgain as again:
                wait_seconds = again.after_seconds
                if wait_seconds is None:
                    wait_seconds = pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 so that callers do not meet
                self._notice(f"{again} Trying again in {wait_seconds:.2g} s …")
                time.sleep(wait_seconds)
        try:
            return attempt()
        except ComeAgain as again:
            raise again.error from None


def _session(connection: Connection, token: str | None) -> requests.Session:
    session = requests.Session()
    session.auth = Credentials(token)
    session.trust_env = not connection.is_loopback  # a proxy does not lead to this machine
    session.headers.update({"User-Agent": "imagejobs-cli", "Accept": "application/json"})
    return session


def _ask(
    session: requests.Session,
    method: str,
    url: str,
    *,
    form: FormBody | None = None,
    headers: Mapping[str, str] | None = None,
    **arguments: Any,  # noqa: ANN401 as requests
) -> requests.Response:
    """One attempt; redirects are not followed, which would take the token along.

    Raises:
        ComeAgain: No answer, or one that may be another later.
        Refused: The answer is final.
    """
    if form is not None:
        headers = {**(headers or {}), "Content-Type": form.content_type}
    try:
        answer = session.request(
            method, url, data=form, headers=headers, timeout=TIMEOUTS_SECONDS, allow_redirects=False, **arguments
        )
    except requests.RequestException as error:
        raise _no_answer(url, error) from None
    if answer.status_code >= requests.codes.bad_request:
        _refuse(url, answer)
    return answer


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(_CHUNK_BYTES)
    except requests.RequestException as error:
        raise _no_answer(answer.url, error) from None


def _no_answer(url: str, error: requests.RequestException) -> ComeAgain:
    """Said without the exception's own text, which has the URL and its signature in it."""
    reasons = [
        (requests.exceptions.SSLError, "its certificate is not trusted"),
        (requests.exceptions.ProxyError, "the proxy does not lead there"),
        (requests.Timeout, "it takes too long"),
        (requests.ConnectionError, "no connection"),
        (requests.exceptions.ChunkedEncodingError, "the answer breaks off"),
    ]
    reason = next((reason for kind, reason in reasons if isinstance(error, kind)), "the request cannot be made")
    return ComeAgain(Unreachable(f"{urlsplit(url).netloc} does not answer: {reason}."))


def _refuse(url: str, answer: requests.Response) -> None:
    """Raise what an answer of 4xx or 5xx means."""
    code, message = _explained(url, answer)
    after_seconds = _retry_after_seconds(answer)
    is_soon = after_seconds is not None and after_seconds <= MAX_RETRY_AFTER_SECONDS
    if answer.status_code >= requests.codes.server_error:
        raise ComeAgain(Unreachable(message, code), after_seconds if is_soon else None)
    if is_soon:
        raise ComeAgain(Refused(message, code), after_seconds)
    raise Refused(message, code)


def _explained(url: str, answer: requests.Response) -> tuple[str | None, str]:
    """The API's code and message, or what can be said of an answer that is not the API's."""
    with suppress(ValueError, KeyError, TypeError):
        document = answer.json()
        return str(document["code"]), str(document["message"])
    return None, f"{urlsplit(url).netloc} answered with {answer.status_code} and no explanation."


def _retry_after_seconds(answer: requests.Response) -> float | None:
    with suppress(KeyError, InvalidHeader):
        return Retry().parse_retry_after(answer.headers["Retry-After"])
    return None
