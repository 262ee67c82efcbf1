"""Of a running stack, what a benchmark needs to play Lambda's part: functions' environments, and the rows' messages."""

from typing import TYPE_CHECKING, Any

import boto3

from local.stack import StackInfo

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

RECEIVED_AT_ONCE = 10


def session_of(info: StackInfo) -> boto3.Session:
    """A session with the stack's keys."""
    return boto3.Session(info.aws_access_key_id, info.aws_secret_access_key, region_name=info.region)


def variables(info: StackInfo, step: str) -> dict[str, str]:
    """The environment variables of a step's function as the stack would run it.

    Raises:
        LookupError: The stack has no such function.
    """
    aws = {
        "AWS_ENDPOINT_URL": info.endpoint_url,
        "AWS_DEFAULT_REGION": info.region,
        "AWS_ACCESS_KEY_ID": info.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": info.aws_secret_access_key,
        "NO_PROXY": "*",
    }
    pages = session_of(info).client("lambda", endpoint_url=info.endpoint_url).get_paginator("list_functions").paginate()
    for function in (function for page in pages for function in page["Functions"]):
        found = dict(function.get("Environment", {}).get("Variables", {}))
        if found.get("POWERTOOLS_SERVICE_NAME") == step:
            return {**aws, **found, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["MemorySize"])}
    raise LookupError(f"The stack has no function {step}.")


def take_over_rows(info: StackInfo) -> int:
    """Let the stack invoke nothing for rows any more; the most rows that it would invoke the function with."""
    client = session_of(info).client("lambda", endpoint_url=info.endpoint_url)
    queue = info.row_queue_url.rsplit("/", 1)[-1]
    (mapping,) = (
        found
        for found in client.list_event_source_mappings()["EventSourceMappings"]
        if found["EventSourceArn"].endswith(f":{queue}")
    )
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    return int(mapping["BatchSize"])


def receive(queue: "SQSClient", url: str, messages: int) -> list[dict[str, Any]]:
    """As many messages, as the records of a Lambda event."""
    records: list[dict[str, Any]] = []
    while len(records) < messages:
        most = min(RECEIVED_AT_ONCE, messages - len(records))
        answer = queue.receive_message(
            QueueUrl=url, MaxNumberOfMessages=most, WaitTimeSeconds=1, MessageSystemAttributeNames=["All"]
        )
        records += [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in answer.get("Messages", [])
        ]
    return records
