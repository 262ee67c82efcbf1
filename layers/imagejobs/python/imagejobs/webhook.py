"""Step `send_webhook`: how a webhook is signed, what an answer to it means, and when it is tried again.

All of it follows Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks).
"""

import base64
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_bytes
from typing import Literal

from standardwebhooks import Webhook

# Before attempts 2 to 10: the standard's example schedule, about 75 hours in sum.
RETRY_DELAYS_SECONDS: tuple[int, ...] = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
# Receivers that failed together must not be called again together: up to a tenth earlier or later.
JITTER_SHARE = 0.1
# A receiver may ask for patience, but not put a job's last attempt off for weeks.
MAX_RETRY_AFTER_SECONDS = 86_400

# The standard asks for 24 to 64 bytes; 32 are what HMAC-SHA256 can use in full.
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix that marks secrets, not one of them


def sign(secrets: Sequence[str], event_id: str, timestamp: datetime, body: bytes) -> dict[str, str]:
    """Make the headers that let a receiver trust a webhook.

    Args:
        secrets: "whsec_…", at least one; while a secret is being replaced, the new and the old one.
        event_id: The same for every attempt, so that a receiver can drop what it has seen.
        timestamp: Of this attempt, with a time zone; receivers refuse what is over five minutes off.
        body: The JSON, UTF-8, exactly as it will be sent.

    Returns:
        `webhook-id`, `webhook-timestamp` (Unix seconds), `webhook-signature` (one a secret, in order, with
        spaces between them) and `content-type`.

    Raises:
        ValueError: No secret, or one that is not base64.
    """
    if not secrets:
        raise ValueError("A webhook needs at least one secret to be signed with.")
    # The package takes any datetime for UTC, whatever zone it names.
    moment = timestamp.astimezone(UTC)
    signatures = [Webhook(secret).sign(event_id, moment, body.decode()) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(math.floor(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def request_id_of(event_id: str) -> str:
    """The job that an event's id names (`imagejobs.jobs.event_id`)."""
    return event_id.removeprefix("evt_").rpartition("-")[0]


def judge(status_code: int | None) -> Literal["delivered", "retry", "gone"]:
    """Say what an answer means.

    Args:
        status_code: The receiver's HTTP status; None when there was no answer.

    Returns:
        "delivered" for 2xx; "gone" for 410, by which a receiver ends all attempts; "retry" for the rest,
        redirects included, since a receiver that has moved must be registered anew.
    """
    if status_code is not None and 200 <= status_code < 300:
        return "delivered"
    return "gone" if status_code == 410 else "retry"


def next_delay_seconds(
    attempt: int, *, retry_after_seconds: float | None, time_scale: float, jitter: float
) -> int | None:
    """Say how long to wait after an attempt that was not accepted.

    Args:
        attempt: The one just made, from 1.
        retry_after_seconds: The receiver's wish, honoured as a minimum up to a day; None without one.
        time_scale: Multiplies the schedule's delay, not the receiver's wish; 1 in production, less in tests.
        jitter: Random, in [0, 1): the lower half comes earlier, the upper half later.

    Returns:
        Whole seconds, at least 1, as a Step Functions Wait takes them; None after the last attempt.
    """
    if attempt > len(RETRY_DELAYS_SECONDS):
        return None
    planned = RETRY_DELAYS_SECONDS[attempt - 1] * (1 + JITTER_SHARE * (2 * jitter - 1)) * time_scale
    wished = min(retry_after_seconds or 0, MAX_RETRY_AFTER_SECONDS)
    return max(1, math.ceil(max(planned, wished)))


def new_secret() -> str:
    """Make a signing secret: "whsec_" and the base64 of `SECRET_BYTES` random bytes."""
    return SECRET_PREFIX + base64.b64encode(token_bytes(SECRET_BYTES)).decode()
