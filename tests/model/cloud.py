# ruff: noqa: N803 the names of boto3's arguments
"""Stand-ins for the boto3 clients of S3, SQS and Step Functions: what the steps use of them, and as little as that.

They keep what the real ones promise, and nothing more: S3 keeps every version and tells of it in a queue, SQS hands a
message out until it is deleted, and again whenever the test likes, Step Functions starts a name once.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import Any, BinaryIO

from imagejobs.bucket import ObjectVersion
from tests.model.actors import Stage
from tests.model.state_machine import Execution


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object; a deletion without a version id leaves one without a body."""

    version_id: str
    body: bytes | None
    metadata: dict[str, str]


class S3Client:
    """A versioned bucket.

    Args:
        stage: Where its calls are effects.
        notify: Called with every new version, once.
    """

    def __init__(self, stage: Stage, notify: Callable[[ObjectVersion], None]) -> None:
        self._stage = stage
        self._notify = notify
        self._versions: dict[str, list[Version]] = {}
        self._parts: dict[str, list[bytes]] = {}
        self._numbers = count(1)

    def put_object(self, *, Key: str, Body: bytes, Metadata: dict[str, str] | None = None, **_: Any) -> dict[str, Any]:
        with self._stage.effect():
            return self._add(Key, Body, Metadata or {})

    def create_multipart_upload(self, **_: Any) -> dict[str, Any]:
        with self._stage.effect():
            upload_id = str(next(self._numbers))
            self._parts[upload_id] = []
            return {"UploadId": upload_id}

    def upload_part(self, *, UploadId: str, Body: bytes, **_: Any) -> dict[str, Any]:
        with self._stage.effect():
            self._parts[UploadId].append(Body)
            return {"ETag": "etag"}

    def complete_multipart_upload(self, *, Key: str, UploadId: str, **_: Any) -> dict[str, Any]:
        with self._stage.effect():
            return self._add(Key, b"".join(self._parts.pop(UploadId)), {})

    def abort_multipart_upload(self, *, UploadId: str, **_: Any) -> None:
        with self._stage.effect():
            self._parts.pop(UploadId, None)

    def delete_object(self, *, Key: str, VersionId: str | None = None, **_: Any) -> None:
        with self._stage.effect():
            versions = self._versions.get(Key, [])
            if VersionId is None:
                versions.append(Version(str(next(self._numbers)), None, {}))
            else:
                versions[:] = [version for version in versions if version.version_id != VersionId]

    def get_object(self, *, Key: str, VersionId: str, **_: Any) -> dict[str, BinaryIO]:
        with self._stage.effect():
            return {"Body": io.BytesIO(self.read(ObjectVersion(Key, VersionId)))}

    def head_object(self, *, Key: str, VersionId: str, **_: Any) -> dict[str, Any]:
        with self._stage.effect():
            return {"Metadata": self._version(ObjectVersion(Key, VersionId)).metadata}

    def get_paginator(self, operation: str) -> "Pages":
        return Pages({"list_object_versions": self._list_versions, "list_objects_v2": self._list_objects}[operation])

    def read(self, source: ObjectVersion) -> bytes:
        """The bytes of a version, without an effect."""
        body = self._version(source).body
        assert body is not None
        return body

    def _version(self, source: ObjectVersion) -> Version:
        (found,) = [found for found in self._versions[source.key] if found.version_id == source.version]
        return found

    def _add(self, key: str, body: bytes, metadata: dict[str, str]) -> dict[str, Any]:
        version = Version(str(next(self._numbers)), body, metadata)
        self._versions.setdefault(key, []).append(version)
        self._notify(ObjectVersion(key, version.version_id))
        return {"VersionId": version.version_id}

    def _list_versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        with self._stage.effect():
            listed = [
                {"Key": key, "VersionId": version.version_id}
                for key, versions in sorted(self._versions.items())
                for version in versions
                if key.startswith(prefix) and version.body is not None
            ]
        yield {"Versions": listed} if listed else {}

    def _list_objects(self, prefix: str) -> Iterator[dict[str, Any]]:
        current = {key: versions[-1].body for key, versions in sorted(self._versions.items()) if versions}
        listed = [
            {"Key": key, "Size": len(body)}
            for key, body in current.items()
            if key.startswith(prefix) and body is not None
        ]
        yield {"Contents": listed} if listed else {}


@dataclass(frozen=True, slots=True)
class Pages:
    """A paginator."""

    pages: Callable[[str], Iterator[dict[str, Any]]]

    def paginate(self, *, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:
        return self.pages(Prefix)


@dataclass
class Letter:
    """A message in a queue.

    Attributes:
        number: Of its kind, from 1; it is the message's id and its receipt.
        body: JSON.
        visible_at: In seconds of the clock.
        receives: How often it was handed out because it was its time.
        is_deleted: It was handled.
    """

    number: int
    body: str
    visible_at: float
    receives: int = 0
    is_deleted: bool = False


class SqsClient:
    """All queues, and every message that they ever had.

    Args:
        stage: Where its calls are effects.
        seconds: Tells the time.
    """

    def __init__(self, stage: Stage, seconds: Callable[[], float]) -> None:
        self._stage = stage
        self._seconds = seconds
        self.letters: dict[str, list[Letter]] = {}

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, str]]) -> dict[str, Any]:
        with self._stage.effect():
            for entry in Entries:
                self.add(QueueUrl, entry["MessageBody"])
            return {}

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:
        with self._stage.effect():
            letter = self.letters[QueueUrl][int(ReceiptHandle) - 1]
            letter.visible_at = self._seconds() + VisibilityTimeout

    def add(self, queue: str, body: str) -> None:
        """A message from elsewhere."""
        letters = self.letters.setdefault(queue, [])
        letters.append(Letter(len(letters) + 1, body, self._seconds()))

    def of(self, queue: str) -> list[Letter]:
        """Every message that the queue ever had: those that wait, oldest first, then those that are handled."""
        return sorted(self.letters.get(queue, []), key=attrgetter("is_deleted"))

    def waiting_in(self, queue: str) -> list[Letter]:
        """Messages that are not handled, oldest first."""
        return [letter for letter in self.letters.get(queue, []) if not letter.is_deleted]


class _AlreadyThere(Exception):
    """There is an execution of that name."""


class _NotThere(Exception):
    """There is no execution of that name."""


class _Exceptions:
    ExecutionAlreadyExists = _AlreadyThere
    ExecutionDoesNotExist = _NotThere


@dataclass
class StepFunctionsClient:
    """Executions by their name, in the order of their start.

    Attributes:
        stage: Where its calls are effects.
    """

    stage: Stage
    exceptions = _Exceptions
    executions: dict[str, Execution] = field(default_factory=dict)

    def start_execution(self, *, name: str, input: str, **_: Any) -> None:  # noqa: A002 boto3's own name
        with self.stage.effect():
            if name in self.executions:
                raise _AlreadyThere
            self.executions[name] = Execution(name, json.loads(input))

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:
        with self.stage.effect():
            name = executionArn.rpartition(":")[2]
            if name not in self.executions:
                raise _NotThere
            return {"status": self.executions[name].status}
