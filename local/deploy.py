"""Deploying the project's template on ministack, as `sam deploy` does on AWS."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local import gaps
from local.artifacts import PROJECT, pack
from local.errors import LocalStackError
from local.ministack import client_options, session, settings
from local.state import Credentials, write_json
from local.template import Location, Template, for_local_stack, load_template

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef, StackTypeDef
    from mypy_boto3_s3 import S3Client

STACK_NAME = "imagejobs"
# ministack gives the API this id when the stack has the tag, so that its URL is known before it is deployed.
API_ID = "imagejobs"
API_ID_TAG = "ms-custom-id"
ARTIFACTS_BUCKET = "imagejobs-artifacts"
DATABASE_SECRET_NAME = "imagejobs-database"  # noqa: S105 a name
CALLER = "local"
DEPLOY_SECONDS = 60.0

_KEPT_BUCKET = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """Deploys the template to one ministack.

    Attributes:
        port: The port that ministack listens on.
        state_dir: The state directory of the stack.
        preload: A folder whose `sitecustomize.py` every function's process runs before its own code.
    """

    port: int
    state_dir: Path
    preload: Path | None = None

    def run(self, parameters: Mapping[str, str], credentials: Credentials) -> dict[str, str]:
        """Deploy the template and let one caller in.

        Args:
            parameters: Values for the template's parameters.
            credentials: The caller's token and webhook secret.

        Returns:
            The template's outputs.

        Raises:
            LocalStackError: CloudFormation failed, or the migration that it runs; the message says why.
        """
        template = load_template(PROJECT / "template.yaml")
        self._deploy(self._package(template), parameters)
        gaps.apply_gateway_responses(self.port, template, API_ID, parameters["Stage"])
        gaps.allow_batches(self.port)
        outputs = self._outputs()
        self._admit_callers(outputs["CallersSecretArn"], credentials)
        return outputs

    def store_database_secret(self, username: str) -> str:
        """Keep the database's credentials where the functions look for them; the secret's ARN."""
        client = session().client("secretsmanager", **client_options(self.port))
        value = json.dumps({"username": username, "password": "trusted"})  # the socket asks for none
        return client.create_secret(Name=DATABASE_SECRET_NAME, SecretString=value)["ARN"]

    def _package(self, template: Template) -> Template:
        s3 = session().client("s3", **client_options(self.port))
        if ARTIFACTS_BUCKET not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=ARTIFACTS_BUCKET)
        hidden_variables = settings(self.port, self.state_dir)

        def upload(logical_id: str, resource_type: str, path: str) -> Location:
            artifact = pack(resource_type, PROJECT / path, hidden_variables, self.preload)
            s3.put_object(Bucket=ARTIFACTS_BUCKET, Key=logical_id, Body=artifact)
            if resource_type == "AWS::CloudFormation::Stack":
                return _artifact_url(s3, logical_id)
            return {"Bucket": ARTIFACTS_BUCKET, "Key": logical_id}

        return for_local_stack(template, upload)

    def _deploy(self, template: Template, parameters: Mapping[str, str]) -> None:
        client = session().client("cloudformation", **client_options(self.port))
        buckets_file = self.state_dir / "buckets.json"
        buckets = json.loads(buckets_file.read_text(encoding="utf-8")) if buckets_file.exists() else {}
        if buckets:
            self._import_buckets(client, buckets)
        deploy: Any = client.update_stack if buckets else client.create_stack
        try:
            deploy(
                StackName=STACK_NAME,
                TemplateURL=self._upload_template(template),
                Parameters=_parameter_list(parameters),
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
                Tags=[{"Key": API_ID_TAG, "Value": API_ID}],
            )
        except ClientError as error:
            # Such as a parameter that its AllowedPattern refuses; the message names it.
            raise LocalStackError(f"The template cannot be deployed. {error.response['Error']['Message']}") from error
        _wait_for_stack(client)
        write_json(buckets_file, dict(_deployed_buckets(client)))

    def _upload_template(self, template: Template) -> str:
        """To S3, as `sam deploy` does: in the request itself a template may have 51,200 bytes only."""
        s3 = session().client("s3", **client_options(self.port))
        body = json.dumps(template, default=str).encode("utf-8")  # YAML reads 2012-10-17 as a date
        s3.put_object(Bucket=ARTIFACTS_BUCKET, Key="template.json", Body=body)
        return _artifact_url(s3, "template.json")

    def _import_buckets(self, client: "CloudFormationClient", buckets: Mapping[str, str]) -> None:
        """Begin the stack with the buckets that are on disk; CloudFormation refuses to create them again."""
        self._restore_empty_buckets(buckets.values())
        name = "kept-buckets"
        client.create_change_set(
            StackName=STACK_NAME,
            ChangeSetName=name,
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps({"Resources": dict.fromkeys(buckets, _KEPT_BUCKET)}),
            ResourcesToImport=[
                {
                    "ResourceType": _KEPT_BUCKET["Type"],
                    "LogicalResourceId": logical_id,
                    "ResourceIdentifier": {"BucketName": bucket},
                }
                for logical_id, bucket in buckets.items()
            ],
        )
        waiter = client.get_waiter("change_set_create_complete")
        waiter.wait(StackName=STACK_NAME, ChangeSetName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 1000})
        client.execute_change_set(StackName=STACK_NAME, ChangeSetName=name)
        _wait_for_stack(client)

    def _restore_empty_buckets(self, buckets: Iterable[str]) -> None:
        """Make the buckets that were empty: ministack keeps objects on disk, and a bucket only with them."""
        s3 = session().client("s3", **client_options(self.port))
        for name in set(buckets) - {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=name)

    def _outputs(self) -> dict[str, str]:
        stack = _stack(session().client("cloudformation", **client_options(self.port)))
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def keep_callers(self, secret_arn: str) -> None:
        """Put who may call down beside the state that survives: Secrets Manager does not."""
        client = session().client("secretsmanager", **client_options(self.port))
        write_json(self._callers_file, json.loads(client.get_secret_value(SecretId=secret_arn)["SecretString"]))

    @property
    def _callers_file(self) -> Path:
        return self.state_dir / "callers.json"

    def _admit_callers(self, secret_arn: str, credentials: Credentials) -> None:
        """Those of the last time; the first time one, who may do what a machine can."""
        caller = {
            "name": CALLER,
            "token_sha256": hashlib.sha256(credentials.token.encode("utf-8")).hexdigest(),
            "webhook_secrets": [credentials.webhook_secret],
            "daily_images": 10_000_000,
            "requests_per_minute": 60_000,
        }
        kept = self._callers_file.read_text(encoding="utf-8") if self._callers_file.exists() else None
        client = session().client("secretsmanager", **client_options(self.port))
        client.put_secret_value(SecretId=secret_arn, SecretString=kept or json.dumps({"callers": [caller]}))


def _artifact_url(s3: "S3Client", key: str) -> str:
    return f"{s3.meta.endpoint_url}/{ARTIFACTS_BUCKET}/{key}"


def _parameter_list(parameters: Mapping[str, str]) -> "list[ParameterTypeDef]":
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]


def _deployed_buckets(client: "CloudFormationClient") -> Iterator[tuple[str, str]]:
    for resource in client.describe_stack_resources(StackName=STACK_NAME)["StackResources"]:
        if resource["ResourceType"] == _KEPT_BUCKET["Type"]:
            yield resource["LogicalResourceId"], resource["PhysicalResourceId"]


def _stack(client: "CloudFormationClient") -> "StackTypeDef":
    return client.describe_stacks(StackName=STACK_NAME)["Stacks"][0]


def _wait_for_stack(client: "CloudFormationClient") -> None:
    deadline = time.monotonic() + DEPLOY_SECONDS
    while (status := _stack(client)["StackStatus"]).endswith("_IN_PROGRESS"):
        if time.monotonic() > deadline:
            raise LocalStackError(f"The template did not deploy within {DEPLOY_SECONDS:.0f} s: {status}.")
        time.sleep(0.05)
    if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
        raise LocalStackError(f"The template did not deploy ({status}):\n" + "\n".join(_reasons(client)))


def _reasons(client: "CloudFormationClient") -> Iterator[str]:
    for event in client.describe_stack_events(StackName=STACK_NAME)["StackEvents"]:
        if event["ResourceStatus"].endswith("_FAILED"):
            yield f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
