"""How much a caller may have done: images a day, requests a minute; counted in Postgres, whoever answers."""

import math
from dataclasses import dataclass

from imagejobs.database import Database, Transaction
from imagejobs.errors import QuotaExceeded, RateExceeded


@dataclass(frozen=True, slots=True)
class Allowance:
    """A caller, and what it may use.

    Attributes:
        owner: The caller's name.
        daily_images: Images a day (UTC), over all of its jobs; one that is retried counts again.
        requests_per_minute: Requests to the API a minute.
    """

    owner: str
    daily_images: int
    requests_per_minute: int


def reserve_images(
    transaction: Transaction, owner: str, daily_images: int, images: int, *, dry_run: bool = False
) -> None:
    """Count images that are to be worked on, in the transaction that takes them on.

    Images of dry runs have as large a quota of their own.

    Raises:
        QuotaExceeded: The day's quota does not hold all of them; none is counted.
    """
    wanted = {"owner": owner, "daily_images": daily_images, "images": images, "dry_run": dry_run}
    if transaction.fetch_all("reserve_images", wanted):
        return
    (day,) = transaction.fetch_all("seconds_to_next_day")
    raise QuotaExceeded(
        f"These {images:,} images are more than is left of the day's {daily_images:,}. Send them after midnight (UTC), "
        "or ask the operator for more.",
        math.ceil(day["seconds"]),
    )


def count_request(database: Database, allowance: Allowance) -> None:
    """Count one request.

    Raises:
        RateExceeded: It is one too many in this minute.
    """
    (counted,) = database.fetch_all("count_request", {"owner": allowance.owner})
    if counted["requests"] > allowance.requests_per_minute:
        raise RateExceeded(
            f"More than {allowance.requests_per_minute:,} requests in a minute. Try again in a moment.",
            math.ceil(counted["seconds_left"]),
        )
