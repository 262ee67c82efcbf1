"""Callers of a campaign's own, with the limits that it needs."""

from dataclasses import replace
from http import HTTPStatus
from uuid import uuid4

import requests

from operations.target import Target
from operations.tokens import Book
from reliability.customer import CALL_SECONDS, Caller
from reliability.waiting import until
from security.bench import Bench

# Functions that are warm read the callers anew before they refuse a token that they do not know, but not at once.
LET_IN_SECONDS = 60.0
PLENTY = 1_000_000


def let_in(bench: Bench, name: str, *, daily_images: int = PLENTY, requests_per_minute: int = PLENTY) -> Caller:
    """A new caller, once the API knows it; the attempts to find that out count among its requests.

    Args:
        bench: Where.
        name: Begins the caller's name, and makes it known in findings.
        daily_images: Images a day that its jobs may have.
        requests_per_minute: Requests that it may send.

    Raises:
        TimeoutError: The API does not let it in.
    """
    target = Target.local(bench.state_dir / "stack.json")
    book = Book(target.secretsmanager(), target.names["callers_secret_arn"])
    token, _ = book.create(f"{name}-{uuid4().hex[:8]}", daily_images, requests_per_minute)
    caller = Caller(replace(bench.info, token=token))
    until(lambda: _is_known(caller), LET_IN_SECONDS, f"the caller {name} is let in")
    return caller


def authorization(caller: Caller) -> dict[str, str]:
    """The header that says who calls."""
    return {"Authorization": f"Bearer {caller.info.token}"}


def _is_known(caller: Caller) -> bool:
    url = f"{caller.info.api_url}/job/status/{uuid4()}"
    answer = requests.get(url, headers=authorization(caller), timeout=CALL_SECONDS)
    return answer.status_code != HTTPStatus.UNAUTHORIZED
