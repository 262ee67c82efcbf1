"""Callers of a campaign's own, with the limits that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What a caller may have.

    Attributes:
        daily_images: Images a day.
        requests_per_minute: Requests a minute.
    """

    daily_images: int = PLENTY
    requests_per_minute: int = PLENTY


def let_in(bench: Bench, limits: Mapping[str, Limits]) -> list[Caller]:
    """New callers, once the API knows them; the requests that find that out count among theirs.

    Args:
        bench: Where.
        limits: By the callers' names; one that is in already gets another token.

    Raises:
        TimeoutError: The API does not let one in.
    """
    target = Target.local(bench.state_dir / "stack.json")
    book = Book(target.secretsmanager(), target.names["callers_secret_arn"])
    tokens = [book.create(name, each.daily_images, each.requests_per_minute)[0] for name, each in limits.items()]
    callers = [Caller(replace(bench.info, token=token)) for token in tokens]
    until(lambda: all(map(_is_known, callers)), LET_IN_SECONDS, f"{', '.join(limits)} are let in")
    return callers


def authorization(caller: Caller) -> dict[str, str]:
    """The header that says who calls."""
    return {"Authorization": f"Bearer {caller.info.token}"}


def _is_known(caller: Caller) -> bool:
    url = f"{caller.info.api_url}/job/status/{uuid4()}"
    answer = requests.get(url, headers=authorization(caller), timeout=CALL_SECONDS)
    return answer.status_code != HTTPStatus.UNAUTHORIZED
