"""send_webhook: one signed attempt at a webhook. It has no database; another step records what came of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imagejobs.bucket import Bucket, ObjectVersion
from imagejobs.callers import Callers
from imagejobs.errors import ImageError
from imagejobs.fetch import Fetcher
from imagejobs.webhook import sign

TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Sender:
    """What sending works with.

    Attributes:
        bucket: Where the events to send lie.
        fetcher: The one way out, with the same rules as for images.
        callers: Whose secrets sign.
    """

    bucket: Bucket
    fetcher: Fetcher
    callers: Callers

    def send(self, webhook: Mapping[str, Any]) -> dict[str, Any]:
        """Send one event once, signed for this moment.

        Args:
            webhook: `event_id`, `key`, `version`: where the event lies, as `close_job` returned it.

        Returns:
            `status_code` (None without an answer), `retry_after_seconds`, `error_message` (None with one).
        """
        with self.bucket.open(ObjectVersion(webhook["key"], webhook["version"])) as stream:
            event = json.load(stream)
        body = event["body"].encode()
        secrets = self.callers.webhook_secrets(event["owner"])
        headers = sign(secrets, event["event_id"], datetime.now(UTC), body)
        try:
            posted = self.fetcher.post(event["url"], body, headers, timeout_seconds=TIMEOUT_SECONDS)
        except ImageError as error:
            return {"status_code": None, "retry_after_seconds": None, "error_message": error.message}
        return {
            "status_code": posted.status_code,
            "retry_after_seconds": posted.retry_after_seconds,
            "error_message": None,
        }
