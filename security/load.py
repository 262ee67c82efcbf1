"""More than the service takes at once: it refuses what it must, keeps what it has taken, and serves the others.

What stands in front of the functions on AWS is ministack here, with limits of its own: it has no limit to a body's size
(API Gateway: 10 MB, Lambda: 6 MB) and none to requests a second, so that all of it comes through to the handlers.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import Barrier, BrokenBarrierError, Semaphore
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg2
import requests

from imagejobs.limits import MAX_UPLOAD_BYTES
from reliability.customer import CALL_SECONDS, GOOD, Caller, Sheet
from reliability.ledger import ENDED
from reliability.waiting import until
from security.bench import Bench
from security.callers import Limits, authorization, let_in
from security.slow_clients import slow_clients
from security.tally import Tally

END_SECONDS = 180.0
# ministack starts a process for each request that comes while all are busy, two with the authorizer's, and gives each
# ten seconds to begin: 200 at once are too much for two cores. So all connections are open at once, all of each body
# but its last byte is sent, and so many of them end at a time.
AT_ONCE = 8
REQUESTS_PER_MINUTE = 10
REFUSED_UPLOADS = 5
# API Gateway's own limit, and one that is over it.
FAR_OVER_BYTES = 12 * 1024 * 1024
# Within the longest cell that is read.
PADDING = b" " * 99_999 + b"\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the API, or none.

    Attributes:
        to: What was asked for, for findings.
        status: The HTTP status; 0 without an answer.
        code: The error's code; empty without one.
        request_id: The job that was taken on; empty without one.
        retry_after: The header; empty without one.
    """

    to: str
    status: int
    code: str = ""
    request_id: str = ""
    retry_after: str = ""


def run_load(bench: Bench, *, connections: int = 200, slow_connections: int = 60) -> Tally:
    """Upload over many connections at once, beside slow clients and callers over their limits.

    Args:
        bench: Where.
        connections: Uploads at once.
        slow_connections: Clients that send nothing whole meanwhile.

    Returns:
        `cases` are requests and slow connections; `wrong` are answers and jobs that are not as promised.
    """
    run = uuid4().hex[:8]
    limits = {
        f"slow-{run}": Limits(),
        f"busy-{run}": Limits(),
        f"bystander-{run}": Limits(),
        f"poor-{run}": Limits(daily_images=1),
        f"hasty-{run}": Limits(requests_per_minute=REQUESTS_PER_MINUTE),
    }
    slow, busy, bystander, poor, hasty = let_in(bench, limits)
    parts = (
        partial(_burst, bench, busy, connections),
        partial(_burst, bench, bystander, 1),
        partial(_sizes, bench, busy),
        partial(_over_quota, bench, poor),
        partial(_over_rate, hasty),
    )
    with slow_clients(slow, slow_connections), ThreadPoolExecutor(len(parts)) as pool:
        tally = sum(pool.map(lambda part: part(), parts), Tally(cases=slow_connections))
    return tally + _jobs_are(bench, f"slow-{run}", 0) + _jobs_are(bench, f"poor-{run}", 1)


def _burst(bench: Bench, caller: Caller, connections: int) -> Tally:
    """Uploads at once, each over a connection of its own."""
    all_open, turn = Barrier(connections), Semaphore(AT_ONCE)
    with ThreadPoolExecutor(connections) as pool:
        uploads = [pool.submit(_upload_in_turn, caller, _sheet(bench, 1), all_open, turn) for _ in range(connections)]
        answers = [upload.result() for upload in uploads]
    return expect(answers, HTTPStatus.ACCEPTED) + _follow(caller, answers)


def _upload_in_turn(caller: Caller, sheet: bytes, all_open: Barrier, turn: Semaphore) -> Answer:
    """Send all but the last byte, and that when every connection is as far."""
    upload = requests.Request("POST", f"{caller.info.api_url}/upload", files=_form(sheet)).prepare()
    body = upload.body
    assert isinstance(body, bytes)
    address = urlsplit(caller.info.api_url)
    with closing(HTTPConnection(address.netloc, timeout=CALL_SECONDS)) as connection:
        connection.putrequest("POST", upload.path_url)
        for name, value in {**upload.headers, **authorization(caller)}.items():
            connection.putheader(name, value)
        try:
            connection.endheaders(body[:-1])
            all_open.wait(CALL_SECONDS)
            with turn:
                connection.send(body[-1:])
                response = connection.getresponse()
                return _answer("POST /upload", response.status, response.getheader("Retry-After"), response.read())
        except (OSError, HTTPException, BrokenBarrierError) as error:
            return Answer("POST /upload", 0, type(error).__name__)


def _sizes(bench: Bench, caller: Caller) -> Tally:
    """As large as a file may be, a byte larger, and far larger."""
    sheet = _sheet(bench, 1)
    largest = [_upload(caller, _padded(sheet, MAX_UPLOAD_BYTES))]
    too_large = [_upload(caller, _padded(sheet, size)) for size in (MAX_UPLOAD_BYTES + 1, FAR_OVER_BYTES)]
    taken = expect(largest, HTTPStatus.ACCEPTED) + _follow(caller, largest)
    return taken + expect(too_large, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "sheet_too_large")


def _over_quota(bench: Bench, caller: Caller) -> Tally:
    """One image that the caller may have, and sheets of two that it may not."""
    allowed = [_upload(caller, _sheet(bench, 1))]
    refused = [_upload(caller, _sheet(bench, 2)) for _ in range(REFUSED_UPLOADS)]
    taken = expect(allowed, HTTPStatus.ACCEPTED) + _follow(caller, allowed)
    return taken + expect(refused, HTTPStatus.TOO_MANY_REQUESTS, "quota_exceeded")


def _over_rate(caller: Caller) -> Tally:
    """Three times the requests of a minute; they may fall into two."""
    answers = [_ask(caller, "GET", f"/job/status/{uuid4()}") for _ in range(3 * REQUESTS_PER_MINUTE)]
    served = [answer for answer in answers if answer.status == HTTPStatus.NOT_FOUND]
    refused = [answer for answer in answers if answer not in served]
    tally = Tally(cases=len(served)) + expect(refused, HTTPStatus.TOO_MANY_REQUESTS, "throttled")
    return tally if len(served) <= 2 * REQUESTS_PER_MINUTE else tally + _wrong(f"{len(served)} requests got through.")


def expect(answers: Iterable[Answer], status: HTTPStatus, code: str = "") -> Tally:
    """Count answers; those that are others are findings, and so are refusals for a while that do not say how long."""
    tally = Tally()
    for answer in answers:
        waits = answer.retry_after.isdecimal() or status != HTTPStatus.TOO_MANY_REQUESTS
        finding = f"{answer.to} was answered with {answer}, not with {status.value} {code}."
        failed = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        right = (answer.status, answer.code) == (status, code) and waits
        tally += Tally(cases=1, server_errors=int(failed))
        tally += Tally() if right else _wrong(finding)
    return tally


def _follow(caller: Caller, answers: Iterable[Answer]) -> Tally:
    """Whether every job that was taken on ends with its image."""
    return sum((_end_of(caller, answer.request_id) for answer in answers if answer.request_id), Tally())


def _end_of(caller: Caller, request_id: str) -> Tally:
    try:
        until(lambda: caller.status(request_id)["status"] in ENDED, END_SECONDS, f"the job {request_id} ends")
        job = caller.status(request_id)
    except (TimeoutError, AssertionError) as error:
        return _wrong(str(error))
    whole = (job["status"], job["images_completed"]) == ("COMPLETED", 1)
    return Tally() if whole else _wrong(f"The job {request_id} ended as {job}.")


def _jobs_are(bench: Bench, owner: str, jobs: int) -> Tally:
    """Whether a caller has so many jobs: nothing was begun for what was refused or never whole."""
    with closing(psycopg2.connect(bench.info.database_url)) as database, database.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM job_request WHERE owner = %s", (owner,))
        ((found,),) = cursor.fetchall()
    return Tally() if found == jobs else _wrong(f"{owner} has {found} jobs, and should have {jobs}.")


def _wrong(finding: str) -> Tally:
    return Tally(wrong=1, findings=(finding,))


def _sheet(bench: Bench, images: int) -> bytes:
    """A sheet of one row."""
    names = tuple(f"{GOOD}-{number}.jpg" for number in range(images))
    return Sheet("load", (names,)).text(bench.shop.origin).encode()


def _padded(sheet: bytes, size_bytes: int) -> bytes:
    """A sheet with blank lines up to that size."""
    padding = PADDING * (size_bytes // len(PADDING))
    return sheet + padding[: size_bytes - len(sheet)]


def _form(sheet: bytes) -> dict[str, tuple[str, bytes]]:
    return {"file": ("products.csv", sheet)}


def _upload(caller: Caller, sheet: bytes) -> Answer:
    return _ask(caller, "POST", "/upload", files=_form(sheet))


def _ask(caller: Caller, method: str, path: str, **arguments: Any) -> Answer:  # noqa: ANN401 as requests takes them
    url, headers = f"{caller.info.api_url}{path}", authorization(caller)
    try:
        answer = requests.request(method, url, headers=headers, timeout=CALL_SECONDS, **arguments)
    except requests.RequestException as error:
        return Answer(f"{method} {path}", 0, type(error).__name__)
    return _answer(f"{method} {path}", answer.status_code, answer.headers.get("Retry-After"), answer.content)


def _answer(to: str, status: int, retry_after: str | None, body: bytes) -> Answer:
    content = json.loads(body)
    return Answer(to, status, content.get("code", ""), content.get("request_id", ""), retry_after or "")
