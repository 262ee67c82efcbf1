"""SQS, the bell: messages that say "look at this row" or "look at this file", and never who owns it."""

import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from imagejobs.bucket import ObjectVersion
from imagejobs.settings import required

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

BATCH_MESSAGES = 10  # SQS takes ten entries a batch
# Batches on their way at once: one takes SQS some 10 ms, and a boto3 client keeps ten connections.
SENDERS = 8
SEND_ATTEMPTS = 3
# SQS hides a message for 12 hours at most, counted from its receipt; one of them is for the work before.
MAX_VISIBILITY_SECONDS = 39_600


class MessagesNotSent(Exception):
    """SQS refused some messages of a batch, again and again; the sender must try once more later."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of one generation of a job: what a message of the row queue names.

    Attributes:
        request_id: The job.
        row_number: The row in its sheet, from 1 on.
        generation: Of the job.
        owner: The job's caller, between whom SQS shares the workers out.
    """

    request_id: UUID
    row_number: int
    generation: int
    owner: str

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Row":
        """From a mapping with these four, such as a row of the database."""
        request_id, row_number = UUID(str(record["request_id"])), int(record["row_number"])
        return cls(request_id, row_number, int(record["generation"]), str(record["owner"]))

    def as_body(self) -> dict[str, Any]:
        """The body of its message."""
        return {**asdict(self), "request_id": str(self.request_id)}


@dataclass(frozen=True, slots=True)
class Message:
    """A received SQS message.

    Attributes:
        message_id: What `batchItemFailures` names.
        receipt: The receipt handle of this delivery.
        receive_count: Deliveries so far, this one included.
        body: Parsed JSON.
    """

    message_id: str
    receipt: str
    receive_count: int
    body: Mapping[str, Any]

    @classmethod
    def from_event_record(cls, record: Mapping[str, Any]) -> "Message":
        """From one record of a Lambda event."""
        receive_count = int(record["attributes"]["ApproximateReceiveCount"])
        return cls(record["messageId"], record["receiptHandle"], receive_count, json.loads(record["body"]))

    @property
    def row(self) -> Row:
        """The row that a message of the row queue names."""
        return Row.from_record(self.body)


class Queue:
    """One SQS queue.

    Args:
        client: A boto3 SQS client.
        url: The queue's URL.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    @classmethod
    def from_environment(cls, setting: str) -> "Queue":
        """The queue whose URL the template puts into the environment variable `setting`."""
        return cls(boto3.client("sqs"), required(setting))

    def ring_rows(self, rows: Sequence[Row], delay_seconds: int = 0) -> None:
        """Send one message a row, each in the message group of its caller, several batches at a time.

        Args:
            rows: To be looked at.
            delay_seconds: Until the messages are seen, 900 at most.

        The group makes a standard queue a fair one: messages of a caller with few in work come before those of one with
        many (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html).

        Raises:
            MessagesNotSent: SQS still refuses some after three attempts; any of the others may have been sent.
        """
        batches = [rows[start : start + BATCH_MESSAGES] for start in range(0, len(rows), BATCH_MESSAGES)]
        with ThreadPoolExecutor(SENDERS) as pool:
            # Leaving it by an error cancels what is not begun.
            for _ in pool.map(partial(self._send_rows, delay_seconds), batches):
                pass

    def ring_file(self, source: ObjectVersion) -> None:
        """Send the S3 event of `source` again.

        Raises:
            MessagesNotSent: SQS still refuses it after three attempts.
        """
        self._send([{"Id": "0", "MessageBody": json.dumps(source.as_event())}])

    def ring_report(self, request_id: UUID, generation: int) -> None:
        """Send one message that a report on a generation of a job is to be written.

        Raises:
            MessagesNotSent: SQS still refuses it after three attempts.
        """
        body = {"request_id": str(request_id), "generation": generation}
        self._send([{"Id": "0", "MessageBody": json.dumps(body)}])

    def show_again(self, message: Message, seconds: float) -> None:
        """Let a message that is given back be visible `seconds` from now, not after the whole time-out."""
        self._client.change_message_visibility(
            QueueUrl=self._url,
            ReceiptHandle=message.receipt,
            # Never early: what comes too soon is hidden again, and a delivery is used up.
            VisibilityTimeout=min(math.ceil(seconds), MAX_VISIBILITY_SECONDS),
        )

    def back_off(self, message: Message) -> None:
        """Let a message whose work failed as a whole be visible again after 10, 30, 90, 270, … seconds.

        Should SQS refuse even that, the message comes back after the queue's own time-out.
        """
        with suppress(BotoCoreError, ClientError):
            self.show_again(message, 10 * 3 ** (message.receive_count - 1))

    def _send_rows(self, delay_seconds: int, batch: Sequence[Row]) -> None:
        self._send([_row_entry(index, row, delay_seconds) for index, row in enumerate(batch)])

    def _send(self, entries: "Sequence[SendMessageBatchRequestEntryTypeDef]") -> None:
        """One batch; entries that SQS lists under `Failed` are sent again."""
        unsent = entries
        for _ in range(SEND_ATTEMPTS):
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=unsent)
            failed = {entry["Id"] for entry in answer.get("Failed", [])}
            unsent = [entry for entry in unsent if entry["Id"] in failed]
            if not unsent:
                return
        raise MessagesNotSent(f"SQS refused {len(unsent)} of {len(entries)} messages {SEND_ATTEMPTS} times.")


def _row_entry(index: int, row: Row, delay_seconds: int) -> "SendMessageBatchRequestEntryTypeDef":
    body, group = json.dumps(row.as_body()), row.owner
    entry: SendMessageBatchRequestEntryTypeDef = {"Id": str(index), "MessageBody": body, "MessageGroupId": group}
    return {**entry, "DelaySeconds": delay_seconds} if delay_seconds else entry
