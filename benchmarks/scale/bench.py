"""The test bench: the local stack with no function behind its queues, and what a benchmark does in their place."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.deployed import variables
from benchmarks.function import Answer, Function
from local.ministack import client_options, session
from local.stack import Options, Stack, StackInfo
from reliability.query import query

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient

HEADER = "S. No.,Product Name,Input Image Urls\n"
DROP_DAILY_IMAGES = 100_000_000
EVENT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Event:
    """One delivery of a message of the upload queue, as its event source mapping would hand it on."""

    content: dict[str, Any]
    receipt: str


@dataclass(frozen=True)
class Bench:
    """A stack whose queues nobody empties.

    Attributes:
        info: How to reach it.
        state_dir: Where it keeps its state.
    """

    info: StackInfo
    state_dir: Path

    @classmethod
    @contextmanager
    def start(cls) -> Iterator["Bench"]:
        """Run one until the block ends."""
        parameters = {"DropDailyImages": str(DROP_DAILY_IMAGES)}
        with (
            TemporaryDirectory(prefix="imagejobs-scale-") as state_dir,
            Stack.start(Path(state_dir), Options(parameters=parameters)) as stack,
        ):
            bench = cls(stack.info, Path(state_dir))
            bench.switch_event_sources_off()
            yield bench

    @cached_property
    def sqs(self) -> "SQSClient":
        """For messages."""
        return session().client("sqs", **self._options)

    @cached_property
    def s3(self) -> "S3Client":
        """For sheets and results."""
        return session().client("s3", **self._options)

    @cached_property
    def functions(self) -> "LambdaClient":
        """For the functions' settings."""
        return session().client("lambda", **self._options)

    def switch_event_sources_off(self) -> None:
        """From here on no queue invokes anything."""
        for mapping in self.functions.list_event_source_mappings()["EventSourceMappings"]:
            self.functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)

    @contextmanager
    def function(self, name: str, max_images_out: int | None = None, sqs_url: str | None = None) -> Iterator[Function]:
        """A process of the function whose code lies in functions/<name>.

        Args:
            name: The function's step.
            max_images_out: How far its fan-out may send ahead, in hundreds; by default as deployed.
            sqs_url: Where it finds SQS; by default where all of AWS is.
        """
        environment = variables(self.info, name)
        if sqs_url:
            environment["AWS_ENDPOINT_URL_SQS"] = sqs_url
        if max_images_out:
            environment["COMPRESS_CONCURRENCY"] = str(max_images_out // 100)
        with Function.start(f"functions/{name}", environment, self.state_dir / f"{name}.log") as function:
            yield function

    def drop(self, rows: int, name: str) -> str:
        """Drop a sheet of so many rows with an image each; its key, which its job has too."""
        path, key = self.state_dir / "sheet.csv", f"{self.info.drop_prefix}{name}.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write(HEADER)
            for n in range(1, rows + 1):
                file.write(f'{n},"Product {n}, blue",https://cdn.shop.example/pictures/{n}.jpg\n')
        with path.open("rb") as body:
            self.s3.put_object(Bucket=self.info.bucket, Key=key, Body=body)
        return key

    def next_event(self) -> Event:
        """Receive what the upload queue rings for next.

        Raises:
            TimeoutError: Nothing comes.
        """
        deadline = time.monotonic() + EVENT_SECONDS
        while time.monotonic() < deadline:
            answer = self.sqs.receive_message(
                QueueUrl=self.info.upload_queue_url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=1,
                AttributeNames=["ApproximateReceiveCount"],
            )
            for message in answer.get("Messages", []):
                record = {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "attributes": message["Attributes"],
                    "body": message["Body"],
                }
                return Event({"Records": [record]}, message["ReceiptHandle"])
        raise TimeoutError("Nothing came into the upload queue.")

    def acknowledge(self, event: Event, answer: Answer) -> None:
        """Delete the message of an event that was worked on.

        Raises:
            RuntimeError: It was not.
        """
        if answer.content["batchItemFailures"]:
            raise RuntimeError(f"The fan-out failed; its log is {self.state_dir / 'fan_out.log'}.")
        self.sqs.delete_message(QueueUrl=self.info.upload_queue_url, ReceiptHandle=event.receipt)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on the stack's database; its rows, none for an UPDATE."""
        return query(self.info.database_url, sql, parameters)

    @property
    def _options(self) -> dict[str, Any]:
        return client_options(urlsplit(self.info.endpoint_url).port or 0)
