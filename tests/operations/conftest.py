"""What the tests of the operators' commands share: the stack that they are pointed at."""

import boto3
import pytest

from operations.target import Target
from tests.integration.conftest import functions, webhook_secret  # noqa: F401 fixtures


@pytest.fixture
def target(functions, postgres_host, database_name, bucket, upload_queue, row_queue, finalizer) -> Target:  # noqa: F811
    """A stack with empty queues, an empty bucket and an empty database."""
    client = boto3.client("sqs")
    names = {
        "bucket": bucket.name,
        "upload_queue_url": upload_queue._url,
        "upload_dead_letter_queue_url": client.create_queue(QueueName="uploads-dead")["QueueUrl"],
        "row_queue_url": row_queue._url,
        "row_dead_letter_queue_url": client.create_queue(QueueName="rows-dead")["QueueUrl"],
        "finalizer_arn": finalizer._arn,
        "callers_secret_arn": functions.values["CALLERS_SECRET_ARN"],
    }
    url = f"postgresql:///{database_name}?host={postgres_host}&user=postgres"
    return Target(url, names, boto3._get_default_session(), {})
