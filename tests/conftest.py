"""What tests of state share: an embedded Postgres with one cloned database a test, and AWS in process by moto."""

import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import boto3
import botocore.loaders
import botocore.session
import psycopg2
import pytest
from moto import mock_aws

from imagejobs.bucket import Bucket
from imagejobs.database import Database
from imagejobs.executions import Finalizer
from imagejobs.migrations import migrate
from imagejobs.queues import Queue
from local import database as embedded

REGION = "us-east-1"
TEMPLATE_DATABASE = "migrated"
SHARED_MEMORY = Path("/dev/shm")
# Enough for the servers of all parallel processes.
SERVERS_BYTES = 4 << 30
METRICS_NAMESPACE = "ImageJobs/imagejobs-test"

# Parsing botocore's service models takes most of a test's time; they are the same for all.
_SERVICE_MODELS = botocore.loaders.create_loader()


@pytest.fixture(scope="session", autouse=True)
def _metrics_namespace() -> Iterator[None]:
    """What the template gives every function, for steps that are called without one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POWERTOOLS_METRICS_NAMESPACE", METRICS_NAMESPACE)
        yield


@pytest.fixture(scope="session")
def state_dir() -> Iterator[Path]:
    """A directory for servers. Not under pytest's own, which it closes to other users: as root, Postgres is one.

    In memory where there is enough of it: a database a test is more than many a disk can take.
    """
    has_room = SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free >= SERVERS_BYTES
    with TemporaryDirectory(prefix="imagejobs-tests-", dir=SHARED_MEMORY if has_room else None) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def postgres_host(state_dir: Path) -> Iterator[str]:
    """The socket directory of a Postgres server that holds one migrated template database."""
    (state_dir / "tests").mkdir()
    with embedded.running(state_dir / "tests") as server:
        host = embedded.socket_dir(server)
        _administrate(host, "ALTER SYSTEM SET fsync = off")  # nothing here outlives the server
        _administrate(host, "SELECT pg_reload_conf()")
        _administrate(host, f"CREATE DATABASE {TEMPLATE_DATABASE}")
        database = Database(lambda: _connect(host, TEMPLATE_DATABASE))
        migrate(database)
        database.close()
        yield host


@pytest.fixture
def database_name(postgres_host: str) -> Iterator[str]:
    """A fresh database with the newest schema."""
    name = f"test_{uuid4().hex}"
    _administrate(postgres_host, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE_DATABASE} STRATEGY FILE_COPY")
    yield name
    # DROP DATABASE ends connections, too, but looks only every 100 ms whether they are gone.
    _administrate(postgres_host, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    _administrate(postgres_host, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def connect(postgres_host: str, database_name: str):
    """Opens a connection to the test's database; for tests that need several."""
    return lambda: _connect(postgres_host, database_name)


@pytest.fixture
def database(connect) -> Iterator[Database]:
    """The test's database as the steps use it."""
    database = Database(connect)
    yield database
    database.close()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty AWS account in this process."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        session = botocore.session.get_session()
        session.register_component("data_loader", _SERVICE_MODELS)
        boto3.setup_default_session(botocore_session=session)
        # As in an environment of Lambda, which makes each client once: it takes longer than most calls.
        monkeypatch.setattr(boto3, "client", cache(boto3.client))
        yield


@pytest.fixture
def bucket(aws: None) -> Bucket:
    """The stack's bucket, versioned."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="imagejobs")
    client.put_bucket_versioning(Bucket="imagejobs", VersioningConfiguration={"Status": "Enabled"})
    return Bucket(client, "imagejobs")


@pytest.fixture
def row_queue(aws: None) -> Queue:
    """The row queue."""
    return _queue("rows")


@pytest.fixture
def upload_queue(aws: None) -> Queue:
    """The upload queue."""
    return _queue("uploads")


@pytest.fixture
def report_queue(aws: None) -> Queue:
    """The queue of jobs to report on."""
    return _queue("reports")


@pytest.fixture
def finalizer(aws: None) -> Finalizer:
    """The finalizer's state machine; moto leaves its executions running."""
    client = boto3.client("stepfunctions")
    machine = client.create_state_machine(
        name="finalizer",
        definition='{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}',
        roleArn="arn:aws:iam::123456789012:role/finalizer",
    )
    return Finalizer(client, machine["stateMachineArn"])


@pytest.fixture(scope="session")
def corpus_dir() -> Path:
    """Third-party pictures to measure with; a test that needs them is skipped without."""
    return _folder("CORPUS_DIR")


@pytest.fixture(scope="session")
def malformed_dir() -> Path:
    """Third-party broken files; a test that needs them is skipped without."""
    return _folder("MALFORMED_DIR")


def _folder(variable: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set")
    return Path(os.environ[variable])


def _queue(name: str) -> Queue:
    client = boto3.client("sqs")
    return Queue(client, client.create_queue(QueueName=name)["QueueUrl"])


def _connect(host: str, name: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(host=host, user="postgres", dbname=name)


def _administrate(host: str, statement: str) -> None:
    connection = _connect(host, "postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
