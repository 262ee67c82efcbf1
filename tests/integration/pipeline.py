"""The whole pipeline in this process: the functions, and what passes between them, delivered as AWS would.

Events and messages are those that the functions send; time passes by moving every timestamp in Postgres back.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from threading import Lock
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import boto3
import botocore.endpoint
import pytest
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeDeleteMarker

from imagejobs import database as database_module
from imagejobs.bucket import IMAGE_PREFIX, Bucket, ObjectVersion
from imagejobs.queues import Message, Queue
from imagejobs.steps import compress as compress_step
from tests.conftest import REGION
from tests.integration.handlers import Functions, content_of, load_event, s3_event, sqs_event, template, upload_event
from tests.integration.jobs import query
from tests.integration.state_machine import Execution
from tests.unit.fetch_helpers import Origin, Request, http_answer, origin
from tests.unit.image_helpers import encode, noise

PICTURE = encode(noise((48, 36)), "JPEG", quality=97)
EVENTS = {"fan_out": "fan_out", "compress": "compress", "bury": "bury-row"}
QUEUES = {"fan_out": "UploadQueue", "compress": "RowQueue"}
BATCH_MESSAGES = {"fan_out": 1, "compress": 10, "bury": 10}
MAX_ACTIONS = 3000
# Each pause is twice as long as the one before, a minute at first: the last ends after a day.
MAX_PAUSES = 12


@dataclass(frozen=True, slots=True)
class Bell:
    """A message on its way to a function."""

    function: str
    message: Message


@dataclass
class Pipeline:
    """Jobs on their way, and everything that the functions have sent and nobody has taken yet.

    Attributes:
        functions: The functions, started against the test's own AWS account and database.
        connect: Opens a connection to that database.
        bucket: The stack's bucket.
        upload_queue: Files to fan out.
        row_queue: Rows to compress.
        shop: The world outside.
        around: What surrounds an invocation, by its step: where a test lets things fail.
        route: Where a message really goes.
    """

    functions: Functions
    connect: Callable[[], Any]
    bucket: Bucket
    upload_queue: Queue
    row_queue: Queue
    shop: Origin
    around: Callable[[str], Any] = nullcontext
    route: Callable[[Bell], Bell] = lambda bell: bell
    bells: list[Bell] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    resting: list[Bell | Execution] = field(default_factory=list)
    _seen: set[Any] = field(default_factory=set)

    def invoke(self, function: str, event: Any) -> Any:
        """One invocation; a step of finalize is called by its own name."""
        with self.around(event["step"] if function == "finalize" else function):
            return self.functions.invoke(function, event)

    def upload(self, file: bytes, fields: Mapping[str, str] | None = None) -> UUID:
        """A job as a client makes it, who tries again while the API fails; unless it says so, apart from all others."""
        fields = {"reuse": "false", **(fields or {})}
        for _ in range(3):
            answer = self.invoke("api", upload_event(file, fields))
            if answer["statusCode"] == 202:
                return UUID(content_of(answer)["request_id"])
            assert answer["statusCode"] == 500, answer
        raise AssertionError("The API failed three times in a row.")

    def drop(self, key: str, file: bytes, **metadata: str) -> str:
        """A CSV dropped into the bucket, likewise; its version."""
        metadata = {"reuse": "false"} | {name.replace("_", "-"): value for name, value in metadata.items()}
        answer = boto3.client("s3").put_object(Bucket=self.bucket.name, Key=key, Body=file, Metadata=metadata)
        return str(answer["VersionId"])

    def run(self) -> None:
        """Until every job is settled and nothing is left to deliver."""
        pauses = 0
        for _ in range(MAX_ACTIONS):
            self.take_in()
            if self.bells or self.executions:
                self.act()
            elif not self.resting and not self.unsettled():
                return
            else:
                assert pauses < MAX_PAUSES, f"Stuck: {self.unsettled()}, {self.resting}"
                self.pause(60 * 2**pauses)
                pauses += 1
        raise AssertionError(f"No end: {self.unsettled()}, {self.bells}, {self.executions}")

    def act(self) -> None:
        """Deliver what waits longest."""
        if not self.bells:
            self.step(self.executions[0])
            return
        function = self.bells[0].function
        self.deliver([bell for bell in self.bells if bell.function == function][: BATCH_MESSAGES[function]])

    def lose(self, *request_ids: UUID) -> None:
        """Drop all messages that are about these jobs."""
        names = [str(request_id) for request_id in request_ids]
        self.bells = [bell for bell in self.bells if not any(name in str(bell.message.body) for name in names)]

    def take_in(self) -> None:
        """What S3, the queues and Step Functions have got since."""
        for source in self._new({source: source for source in stored_sheets(self.bucket)}):
            send(self.upload_queue, s3_event(source))
        for function, queue in (("fan_out", self.upload_queue), ("compress", self.row_queue)):
            fresh = self._new({message.message_id: message for message in received(queue)})
            self.bells += [self.route(Bell(function, message)) for message in fresh]
        running = {execution.name: execution for execution in executions() if execution.status == "RUNNING"}
        self.executions += [Execution(one.name, json.loads(one.execution_input), one) for one in self._new(running)]

    def deliver(self, bells: Sequence[Bell]) -> None:
        """One invocation with messages of one queue; what it does not acknowledge rests until time passes."""
        function = bells[0].function
        for bell in bells:
            self.bells.remove(bell)
        event = sqs_event(EVENTS[function], *[bell.message.body for bell in bells])
        for record, bell in zip(event["Records"], bells, strict=True):
            record.update(messageId=bell.message.message_id, receiptHandle=bell.message.receipt)
            record["attributes"]["ApproximateReceiveCount"] = str(bell.message.receive_count)
        try:
            answer = self.invoke(function, event)
        except Exception:  # noqa: BLE001 - to its queue, an invocation that raises acknowledges nothing
            answer = {"batchItemFailures": [{"itemIdentifier": bell.message.message_id} for bell in bells]}
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        self.resting += [_once_more(bell) for bell in bells if bell.message.message_id in failed]

    def step(self, execution: Execution) -> None:
        """One state of an execution."""
        self.executions.remove(execution)
        waits = execution.step(self.invoke)
        if execution.state is None:
            execution.record.status = "SUCCEEDED"
        else:
            (self.resting if waits else self.executions).append(execution)

    def pause(self, seconds: float) -> None:
        """Let time pass: what rests is there again, and the schedule sweeps."""
        pass_time(self.connect, seconds)
        for rested in self.resting:
            (self.executions if isinstance(rested, Execution) else self.bells).append(rested)
        self.resting = []
        self.invoke("sweep", load_event("sweep"))

    def unsettled(self) -> list[tuple[Any, ...]]:
        """Jobs that have not come to their end."""
        return query(self.connect, "SELECT request_id, status FROM job_request WHERE settled_at IS NULL")

    def _new(self, found: Mapping[Any, Any]) -> list[Any]:
        fresh = [value for key, value in found.items() if key not in self._seen]
        self._seen.update(found)
        return fresh


# ── moto's own books: its HTTP answers cost most of a test's time ───────────────────────────────────────────────────


def stored_sheets(bucket: Bucket) -> list[ObjectVersion]:
    """What S3 has an event for."""
    objects = moto_backend("s3", "aws").buckets[bucket.name].keys
    sheets = [key for key in objects if key.startswith(("uploads/", "drop/"))]
    return [ObjectVersion(key, version.version_id) for key in sheets for version in objects.getlist(key)]


def received(queue: Queue) -> list[Message]:
    """All messages that are visible in the queue now, taken out of it: moto looks through all that lie there."""
    backend, name = moto_backend("sqs"), queue._url.rsplit("/", 1)[1]
    found = backend.receive_message(name, 1000, 0, 3600)
    for message in found:
        backend.delete_message(name, message.receipt_handle)
    return [Message(m.id, m.receipt_handle, 1, json.loads(m.body)) for m in found]


def executions() -> list[Any]:
    """moto's record of every execution."""
    (machine,) = moto_backend("stepfunctions").state_machines
    found: list[Any] = machine.executions
    return found


def execution_of(request_id: UUID) -> Any:
    """The only execution of a job."""
    (found,) = [execution for execution in executions() if execution.name.startswith(str(request_id))]
    return found


def stop_execution(request_id: UUID) -> None:
    """End the only execution of a job, which moto never does by itself."""
    execution_of(request_id).status = "ABORTED"


def forget_execution(request_id: UUID) -> None:
    """As if the job's execution had never been started."""
    executions().remove(execution_of(request_id))


def moto_backend(service: str, region: str = REGION) -> Any:
    """One service of the test's account."""
    return get_backend(service)[DEFAULT_ACCOUNT_ID][region]


def send(queue: Queue, body: Any) -> None:
    """A message of somebody else's than the functions."""
    queue._client.send_message(QueueUrl=queue._url, MessageBody=json.dumps(body))


def pass_time(connect: Callable[[], Any], seconds: float) -> None:
    """Move every timestamp of the database back, whatever triggers a test has set."""
    columns = query(
        connect,
        "SELECT table_name, string_agg(format('%%1$I = %%1$I - make_interval(secs => %s)', column_name), ', ') "
        "FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' AND table_type = 'BASE TABLE' "
        "GROUP BY table_name",
        seconds,
    )
    updates = [f"UPDATE {table} SET {moved}" for table, moved in columns]
    query(connect, "; ".join(["SET session_replication_role = replica", *updates]))


def _once_more(bell: Bell) -> Bell:
    """The next delivery, to the dead-letter consumer when the queue has had enough of it."""
    message = replace(bell.message, receive_count=bell.message.receive_count + 1)
    if bell.function in QUEUES:
        policy = template()["Resources"][QUEUES[bell.function]]["Properties"]["RedrivePolicy"]
        if bell.message.receive_count >= policy["maxReceiveCount"]:
            return Bell("bury", message)
    return replace(bell, message=message)


# ── The world outside ───────────────────────────────────────────────────────────────────────────────────────────────


class Shop:
    """Pictures, and a receiver of webhooks.

    `/busy…` is unavailable three times before it has its picture, `/missing…` is not there, `/down` never answers well;
    every job's webhook at `/hook` is refused once.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.hooks: list[Request] = []
        self._lock = Lock()

    def __call__(self, request: Request, wire: Any) -> None:
        with self._lock:
            name = self._hook(request) if request.line.startswith("POST") else request.resource
            self.asked[name] += 1
            answer = self._answer(name)
        wire.sendall(answer)

    def hooks_of(self, request_id: UUID) -> list[Request]:
        """The webhooks of one job."""
        return [hook for hook in self.hooks if str(request_id) == json.loads(hook.body)["request_id"]]

    def _hook(self, request: Request) -> str:
        self.hooks.append(request)
        return f"/hook {json.loads(request.body)['request_id']}"

    def _answer(self, name: str) -> bytes:
        if name.startswith("/hook"):
            # The sender asks for it: a connection that it took for open would break off under its next request.
            return http_answer(status="500 Oops" if self.asked[name] == 1 else "200 OK", Connection="close")
        if name.startswith("/down") or (name.startswith("/busy") and self.asked[name] <= 3):
            return http_answer(status="503 Service Unavailable")
        if name.startswith("/missing"):
            return http_answer(b"no such file", status="404 Not Found")
        return http_answer(PICTURE, Content_Type="image/jpeg")


@contextmanager
def shop(functions: Functions) -> Iterator[Origin]:
    """A shop on loopback that the stack's operator allows; its `answer` is the `Shop`."""
    functions.values.update(API_BASE_URL="https://api.shop.example", DROP_OWNER="shop")
    with origin(Shop()) as server:
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


def skip_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again at once is tried without waiting."""
    monkeypatch.setattr(database_module, "FIRST_DELAY_SECONDS", 0)
    monkeypatch.setattr(compress_step, "RETRY_DELAYS_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda seconds: None))


# ── What came of it ─────────────────────────────────────────────────────────────────────────────────────────────────

COUNTERS = ["rows_total", "rows_failed", "images_total", "images_completed", "images_failed"]
BYTES = ["bytes_before", "bytes_after"]
JOB = ["status", "completion_percentage", "error_message", "generation", *COUNTERS, *BYTES]
IMAGE = ["row_number", "position", "status", "error_code", "error_message", "object_key", *BYTES]
DELIVERY = ["event_id", "attempt", "status_code", "outcome"]


def outcome(pipeline: Pipeline, request_id: UUID) -> dict[str, Any]:
    """All that a job has led to, told without its id, so that two jobs can be compared.

    What lies in S3 is told as the set of contents that its versions have ever had.
    """
    (job,) = rows_of(pipeline, "job_request", request_id, JOB)
    images = rows_of(pipeline, "compressed_images", request_id, IMAGE)
    (key, version) = rows_of(pipeline, "job_request", request_id, ["result_key", "result_version"])[0].values()
    found = {
        "job": job,
        "images": images,
        "objects": contents(pipeline.bucket, f"{IMAGE_PREFIX}{request_id}/"),
        "result": result(pipeline.bucket, request_id, key, version),
        "executions": sorted(one.name for one in executions() if one.name.startswith(str(request_id))),
        "deliveries": rows_of(pipeline, "webhook_delivery", request_id, DELIVERY),
        "hooks": sorted({hook.headers["webhook-id"] for hook in pipeline.shop.answer.hooks_of(request_id)}),
    }
    told: dict[str, Any] = json.loads(json.dumps(found).replace(str(request_id), "<id>"))
    return told


def rows_of(pipeline: Pipeline, table: str, request_id: UUID, columns: Sequence[str]) -> list[dict[str, Any]]:
    """These columns of a job's rows in a table, in their order."""
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE request_id = %s ORDER BY 1, 2"
    return [dict(zip(columns, row, strict=True)) for row in query(pipeline.connect, sql, request_id)]


def assert_sound(found: Mapping[str, Any]) -> None:
    """One outcome a row, one object an image, one finished CSV, one event: what holds whatever has happened."""
    job, images, deliveries = found["job"], found["images"], found["deliveries"]
    by_status = Counter(image["status"] for image in images)
    assert set(by_status) <= {"COMPLETED", "FAILED"}
    assert (job["completion_percentage"], job["status"] in ("COMPLETED", "FAILED")) == (100, True)
    assert (job["images_completed"], job["images_failed"]) == (by_status["COMPLETED"], by_status["FAILED"])
    assert job["images_total"] == len(images) == len({(image["row_number"], image["position"]) for image in images})
    for name in BYTES:
        assert job[name] == sum(image[name] or 0 for image in images)
    completed = {image["object_key"]: [image["bytes_after"]] for image in images if image["status"] == "COMPLETED"}
    assert {key: [size for size, _ in versions] for key, versions in found["objects"].items()} == completed
    assert [delivery["attempt"] for delivery in deliveries] == list(range(1, len(deliveries) + 1))
    assert sorted({delivery["event_id"] for delivery in deliveries}) == found["hooks"]
    assert len(found["hooks"]) <= 1
    assert_result(found)


def assert_result(found: Mapping[str, Any]) -> None:
    """The finished CSV has every row once, and in each the URLs of its images."""
    rows = list(csv.DictReader(io.StringIO(found["result"] or "")))
    assert len(rows) == found["job"]["rows_total"]
    for number, row in enumerate(rows, start=1):
        keys = [image["object_key"] or "" for image in found["images"] if image["row_number"] == number]
        urls = row["Output Image Urls"].split(",")
        assert [url.removeprefix("https://images.example/") for url in urls] == (keys or [""])


def contents(bucket: Bucket, prefix: str) -> dict[str, list[tuple[int, str]]]:
    """Size and hash of all that the objects which are there hold in any of their versions, by their key."""
    objects = moto_backend("s3", "aws").buckets[bucket.name].keys
    return {
        key: sorted({(v.size, v.etag) for v in objects.getlist(key) if not isinstance(v, FakeDeleteMarker)})
        for key in objects
        if key.startswith(prefix) and not isinstance(objects[key], FakeDeleteMarker)
    }


def result(bucket: Bucket, request_id: UUID, key: str | None, version: str | None) -> str | None:
    """The text of the finished CSV; every version that was written for this job says the same."""
    if key is None:
        return None
    versions = moto_backend("s3", "aws").buckets[bucket.name].keys.getlist(key)
    texts = {v.version_id: v.value.decode() for v in versions if not isinstance(v, FakeDeleteMarker)}
    assert {text for text in texts.values() if str(request_id) in text} <= {texts[version]}
    return texts[str(version)]
