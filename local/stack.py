"""The local stack as one context manager: everything that `make run`, `make demo` and the tests start."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from local import cdn, database, ministack
from local.deploy import API_ID, CALLER, Deployment
from local.errors import LocalStackError
from local.ports import LOOPBACK, claim_port
from local.recovery import ring_again
from local.state import Credentials, owned, write_json

STAGE = "local"


@dataclass(frozen=True, slots=True)
class StackInfo:
    """What a script needs to drive the stack: the content of `stack.json`.

    Attributes:
        api_url: The API, without a slash at its end.
        token: For `Authorization: Bearer …`.
        endpoint_url: For AWS clients.
        region: For AWS clients.
        aws_access_key_id: For AWS clients; the account's root key.
        aws_secret_access_key: For AWS clients.
        bucket: The bucket's name.
        drop_prefix: A CSV put under this prefix becomes a job.
        database_url: A libpq URL (over a Unix socket).
        image_base_url: What stands before an image's key in its public URL.
        webhook_secret: The Standard Webhooks secret of the caller.
        pid: The process to send SIGTERM to.
        upload_queue_url: Queue of S3 events.
        row_queue_url: Queue of rows to compress.
        upload_dead_letter_queue_url: Where S3 events that fail again and again go.
        row_dead_letter_queue_url: Where rows that fail again and again go.
        finalizer_arn: The finalizer's state machine.
        callers_secret_arn: The secret that lists who may call.
    """

    api_url: str
    token: str
    endpoint_url: str
    region: str
    aws_access_key_id: str
    aws_secret_access_key: str
    bucket: str
    drop_prefix: str
    database_url: str
    image_base_url: str
    webhook_secret: str
    pid: int
    upload_queue_url: str
    row_queue_url: str
    upload_dead_letter_queue_url: str
    row_dead_letter_queue_url: str
    finalizer_arn: str
    callers_secret_arn: str


@dataclass(frozen=True, slots=True)
class Options:
    """How a stack is started.

    Attributes:
        port: Port of ministack, and so of the API; 0 for any.
        cdn_port: Port of the image server; 0 for any.
        private_origins: `host:port` of the only private origins that may be fetched or sent webhooks.
        webhook_time_scale: Multiplies every delay of the webhooks' retry schedule.
        default_webhook_url: Where jobs from dropped files report unless their metadata names another.
        preload: A folder whose `sitecustomize.py` every function's process runs before its own code.
        parameters: Further parameters of the template, such as time-outs.
    """

    port: int = 0
    cdn_port: int = 0
    private_origins: Sequence[str] = ()
    webhook_time_scale: float = 1.0
    default_webhook_url: str = ""
    preload: Path | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack.

    Attributes:
        info: How to reach it.
        ministack: The process whose end is the stack's end.
    """

    info: StackInfo
    ministack: "subprocess.Popen[bytes]"

    @classmethod
    @contextmanager
    def start(cls, state_dir: Path, options: Options | None = None) -> Iterator["Stack"]:
        """Run a stack until the block ends; `stack.json` is there for as long.

        Args:
            state_dir: Where it keeps its state; made if needed. Stacks on different directories do not meet.
            options: How; by default on free ports.

        Raises:
            LocalStackError: It cannot start; the message says why.
        """
        state_dir = state_dir.resolve()
        with ExitStack() as cleanup:
            stack = _start(cleanup, state_dir, options or Options())
            stack_file = state_dir / "stack.json"
            cleanup.callback(stack_file.unlink, missing_ok=True)
            write_json(stack_file, asdict(stack.info))
            yield stack

    def wait(self) -> None:
        """Wait for as long as the stack runs by itself.

        Raises:
            LocalStackError: ministack has ended.
        """
        self.ministack.wait()
        raise LocalStackError("ministack has ended by itself; ministack.log in the state directory may say why.")


def stop_leftovers(state_dir: Path) -> None:
    """End what a killed stack left behind on a state directory that the caller owns."""
    (state_dir / "stack.json").unlink(missing_ok=True)
    ministack.stop(state_dir)
    database.stop(state_dir / "postgres")


def _start(cleanup: ExitStack, state_dir: Path, options: Options) -> Stack:
    """Start the parts in order; `cleanup` stops them in the opposite one."""
    cleanup.enter_context(owned(state_dir))
    stop_leftovers(state_dir)
    port, cdn_port = claim_port(options.port), claim_port(options.cdn_port)
    server = cleanup.enter_context(database.running(state_dir / "postgres"))
    process = cleanup.enter_context(ministack.running(state_dir, port))
    credentials = Credentials.of(state_dir)
    deployment = Deployment(port, state_dir, options.preload)
    parameters = {
        **_option_parameters(options),
        **_database_parameters(deployment, database.socket_dir(server)),
        **_url_parameters(port, cdn_port),
    }
    outputs = deployment.run(parameters, credentials)
    cleanup.callback(deployment.keep_callers, outputs["CallersSecretArn"])
    cleanup.enter_context(cdn.serving(cdn_port, port, outputs["BucketName"]))
    ring_again(port, server.get_uri(), outputs)
    return Stack(_info(outputs, credentials, port, server.get_uri()), process)


def _url_parameters(port: int, cdn_port: int) -> dict[str, str]:
    return {
        "ApiBaseUrl": f"{ministack.endpoint_url(port)}/_aws/execute-api/{API_ID}/{STAGE}",
        "ImageBaseUrl": f"http://{LOOPBACK}:{cdn_port}",
    }


def _database_parameters(deployment: Deployment, host: str) -> dict[str, str]:
    return {
        "DatabaseHost": host,
        "DatabaseName": database.NAME,
        "DatabaseSecretArn": deployment.store_database_secret(database.USER),
    }


def _option_parameters(options: Options) -> dict[str, str]:
    return {
        "Stage": STAGE,
        "DropOwner": CALLER,
        "DropWriterArn": f"arn:aws:iam::{ministack.ACCOUNT_ID}:root",
        "DefaultWebhookUrl": options.default_webhook_url,
        "PrivateOrigins": ",".join(options.private_origins),
        "WebhookTimeScale": str(options.webhook_time_scale),
        # Two compress invocations at a time, or sixteen: as many as there are cores, about.
        "DatabaseConnections": "25" if (os.cpu_count() or 1) <= 4 else "50",
        **options.parameters,
    }


def _info(outputs: Mapping[str, str], credentials: Credentials, port: int, database_url: str) -> StackInfo:
    return StackInfo(
        api_url=outputs["ApiUrl"],
        token=credentials.token,
        endpoint_url=ministack.endpoint_url(port),
        region=ministack.REGION,
        aws_access_key_id=ministack.ROOT_KEY,
        aws_secret_access_key=ministack.ROOT_KEY,
        bucket=outputs["BucketName"],
        drop_prefix="drop/",
        database_url=database_url,
        image_base_url=outputs["ImageBaseUrl"],
        webhook_secret=credentials.webhook_secret,
        pid=os.getpid(),
        upload_queue_url=outputs["UploadQueueUrl"],
        row_queue_url=outputs["RowQueueUrl"],
        upload_dead_letter_queue_url=outputs["UploadDeadLetterQueueUrl"],
        row_dead_letter_queue_url=outputs["RowDeadLetterQueueUrl"],
        finalizer_arn=outputs["FinalizerArn"],
        callers_secret_arn=outputs["CallersSecretArn"],
    )
