"""The stack that a command works on: the local one by its `stack.json`, a deployed one by what its operator names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg2
from botocore.config import Config
from psycopg2.extensions import connection

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_secretsmanager.client import SecretsManagerClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_stepfunctions.client import SFNClient

STACK_FILE = Path(".local/stack.json")

# Outputs of template.yaml, by the names that stack.json has for them.
OUTPUTS = {
    "api_url": "ApiUrl",
    "bucket": "BucketName",
    "upload_queue_url": "UploadQueueUrl",
    "upload_dead_letter_queue_url": "UploadDeadLetterQueueUrl",
    "row_queue_url": "RowQueueUrl",
    "row_dead_letter_queue_url": "RowDeadLetterQueueUrl",
    "finalizer_arn": "FinalizerArn",
    "callers_secret_arn": "CallersSecretArn",
}


class TargetUnknown(Exception):
    """The command line does not lead to a stack; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """A stack, and how to reach it.

    Attributes:
        database_url: A libpq URL; what it leaves out comes from libpq's own environment (`PGPASSWORD`, …).
        names: The stack's resources, by the keys of `OUTPUTS`; those that the command needs.
        session: Credentials and region of AWS clients.
        client_options: What the session's `client` is called with.
    """

    database_url: str
    names: Mapping[str, str]
    session: boto3.Session
    client_options: Mapping[str, Any]

    @classmethod
    def local(cls, stack_file: Path) -> "Target":
        """The running stack that a `stack.json` describes.

        Raises:
            TargetUnknown: There is no such file.
        """
        try:
            info = json.loads(stack_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TargetUnknown(
                f"There is no {stack_file}, so no local stack runs. Start one with `make run`, name another's file "
                "with --stack, or a deployed stack (see --help)."
            ) from None
        session = boto3.Session(info["aws_access_key_id"], info["aws_secret_access_key"], region_name=info["region"])
        options = {"endpoint_url": info["endpoint_url"], "config": Config(proxies={})}
        return cls(info["database_url"], {name: info[name] for name in OUTPUTS}, session, options)

    @classmethod
    def deployed(cls, stack_name: str, database_url: str = "") -> "Target":
        """The CloudFormation stack of that name, with the environment's AWS credentials.

        Args:
            stack_name: As in CloudFormation.
            database_url: For commands that ask the database.

        Raises:
            TargetUnknown: The stack is not one of this template.
        """
        session = boto3.Session()
        (stack,) = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if missing := sorted(set(OUTPUTS.values()) - outputs.keys()):
            raise TargetUnknown(
                f"The stack {stack_name} has no output {', '.join(missing)}: it is of another template."
            )
        return cls(database_url, {name: outputs[output] for name, output in OUTPUTS.items()}, session, {})

    def connect(self) -> connection:
        """A new connection to the database."""
        return psycopg2.connect(self.database_url)

    def s3(self) -> "S3Client":
        """A client of S3."""
        return self.session.client("s3", **self.client_options)

    def sqs(self) -> "SQSClient":
        """A client of SQS."""
        return self.session.client("sqs", **self.client_options)

    def secretsmanager(self) -> "SecretsManagerClient":
        """A client of Secrets Manager."""
        return self.session.client("secretsmanager", **self.client_options)

    def stepfunctions(self) -> "SFNClient":
        """A client of Step Functions."""
        return self.session.client("stepfunctions", **self.client_options)
