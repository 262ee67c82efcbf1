"""Dead letters: messages that a dead-letter queue still holds, because nobody could bury what they name."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imagejobs.bucket import ObjectVersion
from imagejobs.queues import BATCH_MESSAGES

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef, SendMessageBatchRequestEntryTypeDef

# Time for looking through the queue: a letter that shows a second time means that it was not enough.
HIDDEN_SECONDS = 300
# Without any wait SQS asks a part of its servers only, and may miss letters.
WAIT_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Letter:
    """A received dead letter.

    Attributes:
        message_id: SQS's id of it.
        receipt: The receipt handle of this delivery.
        body: What it says.
        receive_count: Deliveries so far, this one included.
        sent_at: When it was sent, before it was dead-lettered.
        group: Its message group, between which SQS shares the receivers out; None for a letter without.
    """

    message_id: str
    receipt: str
    body: str
    receive_count: int
    sent_at: datetime
    group: str | None = None

    @classmethod
    def from_message(cls, message: "MessageTypeDef") -> "Letter":
        """From one entry of ReceiveMessage's answer."""
        attributes = message["Attributes"]
        sent_at = datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC)
        receive_count = int(attributes["ApproximateReceiveCount"])
        group = attributes.get("MessageGroupId")
        return cls(message["MessageId"], message["ReceiptHandle"], message["Body"], receive_count, sent_at, group)

    def as_entry(self, index: int) -> "SendMessageBatchRequestEntryTypeDef":
        """The entry of a batch that says the same again."""
        entry: SendMessageBatchRequestEntryTypeDef = {"Id": str(index), "MessageBody": self.body}
        return {**entry, "MessageGroupId": self.group} if self.group else entry

    @property
    def subject(self) -> str:
        """What it is about, in words."""
        try:
            content = json.loads(self.body)
            if "request_id" in content:
                return f"row {content['row_number']} of job {content['request_id']}"
            files = [ObjectVersion.from_event_record(record) for record in content["Records"]]
            return ", ".join(f"version {file.version} of {file.key}" for file in files)
        except (KeyError, TypeError, ValueError):
            return f"no row or file: {self.body[:60]!r}"


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """A dead-letter queue, and the queue that its letters came from.

    Attributes:
        client: A boto3 SQS client.
        url: Of the dead-letter queue.
        source_url: Of the other.
    """

    client: "SQSClient"
    url: str
    source_url: str

    @property
    def name(self) -> str:
        """The dead-letter queue's name."""
        return self.url.rsplit("/", maxsplit=1)[-1]

    def hidden(self) -> int:
        """How many letters somebody else, most likely `bury`, has received and neither ended nor given back."""
        counted = self.client.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
        )
        return int(counted["Attributes"]["ApproximateNumberOfMessagesNotVisible"])

    def receive(self) -> Iterator[list[Letter]]:
        """Every letter that can be seen, up to ten at a time; each is hidden from now on, until it is released."""
        seen: set[str] = set()
        while letters := [letter for letter in self._receive_batch() if letter.message_id not in seen]:
            seen.update(letter.message_id for letter in letters)
            yield letters

    def send_back(self, letters: Sequence[Letter]) -> list[Letter]:
        """Send up to ten letters to their source, and delete here what SQS has taken there.

        Returns:
            Those that are there and no longer here. A letter that is in both does no harm: a message is only a bell.
        """
        answer = self.client.send_message_batch(
            QueueUrl=self.source_url,
            Entries=[letter.as_entry(index) for index, letter in enumerate(letters)],
        )
        sent = [letters[int(entry["Id"])] for entry in answer.get("Successful", [])]
        return self._delete(sent) if sent else []

    def release(self, letters: Sequence[Letter]) -> None:
        """Let letters be seen again at once."""
        for start in range(0, len(letters), BATCH_MESSAGES):
            batch = letters[start : start + BATCH_MESSAGES]
            self.client.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                    for index, letter in enumerate(batch)
                ],
            )

    def _receive_batch(self) -> list[Letter]:
        answer = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=BATCH_MESSAGES,
            VisibilityTimeout=HIDDEN_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            AttributeNames=["SentTimestamp", "ApproximateReceiveCount", "MessageGroupId"],
        )
        return [Letter.from_message(message) for message in answer.get("Messages", [])]

    def _delete(self, letters: Sequence[Letter]) -> list[Letter]:
        answer = self.client.delete_message_batch(
            QueueUrl=self.url,
            Entries=[{"Id": str(index), "ReceiptHandle": letter.receipt} for index, letter in enumerate(letters)],
        )
        return [letters[int(entry["Id"])] for entry in answer.get("Successful", [])]
