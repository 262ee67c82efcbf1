"""What the tests of the functions share: all of them, started against the test's own database and AWS account."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest

from imagejobs.codec import Codec
from imagejobs.webhook import new_secret
from tests.conftest import METRICS_NAMESPACE
from tests.integration.faults import Wire
from tests.integration.handlers import TOKEN, Functions


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    """A codec with one process, which is kept for the module."""
    with closing(Codec()) as codec:
        yield codec


@pytest.fixture
def webhook_secret() -> str:
    """What signs the events of the caller "shop"."""
    return new_secret()


@pytest.fixture
def functions(
    postgres_host, database_name, bucket, row_queue, upload_queue, report_queue, finalizer, webhook_secret
) -> Functions:
    """The functions of a stack whose parameters have their defaults; the caller "shop" has the token `TOKEN`."""
    shop = {
        "name": "shop",
        "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "webhook_secrets": [webhook_secret],
        "daily_images": 1_000_000,
        "requests_per_minute": 600,
    }
    return Functions(
        {
            "DATABASE_DSN": f"host={postgres_host} port=5432 dbname={database_name} sslmode=verify-full",
            "DATABASE_SECRET_ARN": _secret("database", {"username": "postgres", "password": "unused"}),
            "CALLERS_SECRET_ARN": _secret("callers", {"callers": [shop]}),
            "BUCKET_NAME": bucket.name,
            "ROW_QUEUE_URL": row_queue._url,
            "UPLOAD_QUEUE_URL": upload_queue._url,
            "REPORT_QUEUE_URL": report_queue._url,
            "COMPRESS_CONCURRENCY": "2",
            "FINALIZER_ARN": finalizer._arn,
            "API_BASE_URL": "",
            "IMAGE_BASE_URL": "https://images.example",
            "DROP_OWNER": "drop",
            "DROP_DAILY_IMAGES": "1000000",
            "DEFAULT_WEBHOOK_URL": "",
            "PRIVATE_ORIGINS": "",
            "ALLOWED_HOSTS": "",
            "DENIED_HOSTS": "",
            "WEBHOOK_TIME_SCALE": "1",
            "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
        }
    )


@pytest.fixture
def wire(aws) -> Wire:
    """What lies between the SDK and the test's AWS; a test may have it fail."""
    return Wire()


def _secret(name: str, content: object) -> str:
    return boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(content))["ARN"]
