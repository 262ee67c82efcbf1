"""The test bench: one local stack with short time-outs, the fault layer in its functions, and a customer beside it."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import psutil

from local.ministack import client_options, session
from local.processes import session_members
from local.stack import Options, Stack, StackInfo
from operations.target import Target
from operations.verify import verify
from reliability import customer
from reliability.customer import Caller, Sheet, Shop
from reliability.faults.control import FAILED, KILL, REACHED, Arrival, Control
from reliability.faults.preload import write_preload
from reliability.ledger import Sighting, Verdict, judge
from reliability.query import query
from reliability.waiting import until

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_stepfunctions.client import SFNClient

# Seconds instead of minutes: a killed worker's lease runs out while a test waits.
SHORT_TIMES = {
    "CompressTimeoutSeconds": "18",
    "RowVisibilitySeconds": "20",
    "FanOutTimeoutSeconds": "18",
    "UploadVisibilitySeconds": "20",
    "DeadLetterVisibilitySeconds": "5",
}
# The whole schedule of ten attempts in half a minute.
WEBHOOK_TIME_SCALE = 0.0001
DROP_SECONDS = 60.0
# Jobs that are looked at at once: every call of the API waits a while in the local stack.
JUDGES = 4
_DROPPED_JOB = "SELECT request_id FROM job_request WHERE source_key = %(key)s AND source_version = %(version)s"

_MessageCount = Literal["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


@dataclass
class Bench:
    """A running stack under test.

    Attributes:
        info: How to reach it.
        state_dir: Where it keeps its state.
        control: What goes wrong in its functions.
        shop: The customer's server.
        session_id: The session of the functions' processes.
        kills: Processes that were killed so far.
        faults: Faults that were injected so far, those of the customer's server not among them.
        points: How often every point was reached so far.
    """

    info: StackInfo
    state_dir: Path
    control: Control
    shop: Shop
    session_id: int
    kills: int = 0
    faults: int = 0
    points: Counter[str] = field(default_factory=Counter)
    _invocations: dict[int, str] = field(default_factory=dict)
    _started: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def caller(self) -> Caller:
        """The customer's calls."""
        return Caller(self.info)

    @cached_property
    def sqs(self) -> "SQSClient":
        """For copies of messages."""
        return session().client("sqs", **self._options)

    @cached_property
    def s3(self) -> "S3Client":
        """For what lies in the bucket."""
        return session().client("s3", **self._options)

    @cached_property
    def stepfunctions(self) -> "SFNClient":
        """For running executions."""
        return session().client("stepfunctions", **self._options)

    @cached_property
    def functions(self) -> "LambdaClient":
        """For sweeps."""
        return session().client("lambda", **self._options)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on the stack's database; its rows, none for an UPDATE."""
        return query(self.info.database_url, sql, parameters)

    def look(self) -> None:
        """Read what the functions' processes have logged since."""
        with self._lock:
            self._count(self.control.arrivals())

    def _count(self, arrivals: Iterable[Arrival]) -> None:
        for arrival in arrivals:
            self.points[arrival.point] += 1
            self.kills += arrival.action == KILL
            self.faults += arrival.action not in {REACHED, KILL, FAILED}
            if arrival.point.endswith(":before:invocation"):
                self._started.add(arrival.pid)
                self._invocations[arrival.pid] = arrival.point.split(":", 1)[0]
            elif arrival.point.endswith(":after:invocation"):
                self._invocations.pop(arrival.pid, None)

    @property
    def strikes(self) -> int:
        """Kills and faults so far."""
        self.look()
        return self.kills + self.faults

    def at_work(self) -> dict[int, str]:
        """The processes that are within an invocation, with its function."""
        self.look()
        with self._lock:
            self._invocations = {pid: name for pid, name in self._invocations.items() if psutil.pid_exists(pid)}
            return dict(self._invocations)

    def is_busy(self) -> bool:
        """Whether any function works or starts, or any message waits to be taken."""
        return bool(self.at_work() or self._starting() or self._messages("ApproximateNumberOfMessages"))

    def see(self, sheet: Sheet, request_id: str) -> Sighting:
        """What is there of a job."""
        self.look()
        prefix = f"images/{request_id}/"
        objects = self.s3.list_objects_v2(Bucket=self.info.bucket, Prefix=prefix).get("Contents", [])
        results = self.s3.list_object_versions(Bucket=self.info.bucket, Prefix=f"results/{request_id}")
        return Sighting(
            request_ids=frozenset({request_id}) | self._request_ids(sheet),
            status=self.caller.status(request_id),
            images=self.caller.images(request_id),
            rows=self.caller.finished_csv(request_id),
            object_keys=[found["Key"] for found in objects],
            results=frozenset(
                version["Key"] + version["ETag"]
                for version in results.get("Versions", [])
                if not version["Key"].endswith(".failures.csv")
            ),
            webhooks=list(self.shop.webhooks[sheet.tag]),
            image_base_url=self.info.image_base_url,
            webhook_secret=self.info.webhook_secret,
        )

    def judge(self, jobs: Mapping[str, Sheet]) -> Verdict:
        """Judge jobs, by request_id, that should have ended."""
        with ThreadPoolExecutor(JUDGES) as pool:
            seen = pool.map(self.see, jobs.values(), jobs.keys())
        return sum(map(judge, jobs.values(), seen), Verdict())

    def violations(self) -> list[str]:
        """What `make verify` finds on this stack."""
        findings = verify(Target.local(self.state_dir / "stack.json"))
        return [str(finding) for finding in findings if finding.violations]

    def _request_ids(self, sheet: Sheet) -> frozenset[str]:
        found = self.query(
            "SELECT DISTINCT request_id::text FROM compressed_images WHERE source_url LIKE %(urls)s",
            {"urls": f"http://{self.shop.origin}/{sheet.tag}/%"},
        )
        return frozenset(row[0] for row in found)

    def _starting(self) -> bool:
        """Whether there is a process that has not come as far as its first invocation."""
        members = session_members(self.session_id, {"awslambdaric"})
        return any(process.pid not in self._started for process in members)

    def hidden_messages(self) -> int:
        """Messages that were received and not deleted: their receivers work, or they will be shown again."""
        return self._messages("ApproximateNumberOfMessagesNotVisible")

    def drop(self, key: str, sheet: Sheet) -> str:
        """Put a sheet into the bucket; the request_id of the job that it becomes.

        Raises:
            TimeoutError: It does not become one.
        """
        metadata = {"webhook-url": self.shop.hook(sheet), "reuse": "false"}
        body = sheet.text(self.shop.origin).encode()
        put = self.s3.put_object(Bucket=self.info.bucket, Key=key, Body=body, Metadata=metadata)
        source = {"key": key, "version": put["VersionId"]}
        job = until(lambda: self.query(_DROPPED_JOB, source), DROP_SECONDS, f"{key} becomes a job")
        return str(job[0][0])

    def _messages(self, count: _MessageCount) -> int:
        queues = (
            self.info.upload_queue_url,
            self.info.row_queue_url,
            self.info.upload_dead_letter_queue_url,
            self.info.row_dead_letter_queue_url,
        )
        answers = [self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[count]) for url in queues]
        return sum(int(answer["Attributes"][count]) for answer in answers)

    @property
    def _options(self) -> dict[str, Any]:
        return client_options(urlsplit(self.info.endpoint_url).port or 0)


@contextmanager
def running(state_dir: Path, times: Mapping[str, str] = SHORT_TIMES) -> Iterator[Bench]:
    """Run a bench until the block ends.

    Args:
        state_dir: Where its stack keeps its state; made if needed.
        times: The template's parameters for time-outs and visibility.
    """
    control = Control(state_dir / "control")
    write_preload(state_dir / "preload", "reliability.faults.layer", state_dir / "control")
    with customer.serving() as shop:
        options = Options(
            private_origins=[shop.origin],
            webhook_time_scale=WEBHOOK_TIME_SCALE,
            preload=state_dir / "preload",
            parameters=times,
        )
        with Stack.start(state_dir / "stack", options) as stack:
            yield Bench(stack.info, state_dir / "stack", control, shop, stack.ministack.pid)
