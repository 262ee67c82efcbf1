"""The AWS of the local stack: ministack as a child process, with IAM enforced and S3 kept on disk."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.errors import LocalStackError
from local.ports import LOOPBACK
from local.processes import end, session_members

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
ROOT_KEY = "test"
READY_SECONDS = 30.0
STOP_SECONDS = 6.0


@contextmanager
def running(state_dir: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run ministack on a loopback port until the block ends; its functions' processes end with it.

    Raises:
        LocalStackError: It does not answer in time.
    """
    (state_dir / "tmp").mkdir(exist_ok=True)
    with (state_dir / "ministack.log").open("wb") as log:
        # A session of its own: a Ctrl-C at the terminal must not reach it before the stack stops in order.
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=_environment(state_dir, port),
            cwd=state_dir,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _session_file(state_dir).write_text(str(process.pid), encoding="utf-8")
        _wait_until_ready(process, port, state_dir)
        yield process
    finally:
        stop(state_dir, process.pid)
        process.wait()


def endpoint_url(port: int) -> str:
    """Where every AWS client of the local stack goes."""
    return f"http://{LOOPBACK}:{port}"


@cache
def session() -> boto3.Session:
    """The session with the account's root key, which IAM allows everything; one, for its parsed API models."""
    return boto3.Session(aws_access_key_id=ROOT_KEY, aws_secret_access_key=ROOT_KEY, region_name=REGION)


def client_options(port: int) -> dict[str, Any]:
    """What `session().client(…)` needs to reach ministack, and to reach it without a proxy."""
    return {"endpoint_url": endpoint_url(port), "config": Config(proxies={}, max_pool_connections=32)}


def settings(port: int, state_dir: Path) -> dict[str, str]:
    """Ministack's own settings; its functions would inherit them, so their bootstrap drops them."""
    return {
        "AUTH": "true",
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_HOST": LOOPBACK,
        "MINISTACK_REGION": REGION,
        "S3_DATA_DIR": str(state_dir / "s3"),
        "S3_PERSIST": "1",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(state_dir / "tmp"),
    }


def stop(state_dir: Path, session_id: int | None = None) -> None:
    """End the ministack of `state_dir` and every process that it started, and remove their temporary files.

    Args:
        state_dir: The state directory.
        session_id: Its session; by default the one that a killed stack has noted.
    """
    session_file = _session_file(state_dir)
    if session_id is None and session_file.exists():
        session_id = int(session_file.read_text(encoding="utf-8") or 0)
    if session_id:
        end(session_members(session_id, {"ministack", "awslambdaric"}), STOP_SECONDS)
    session_file.unlink(missing_ok=True)
    shutil.rmtree(state_dir / "tmp", ignore_errors=True)


def _session_file(state_dir: Path) -> Path:
    return state_dir / "ministack.session"


def _environment(state_dir: Path, port: int) -> dict[str, str]:
    """Nothing of the user's own environment but the path: no proxies, no AWS profile, no PYTHONPATH."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(state_dir / "tmp"),
        "TMPDIR": str(state_dir / "tmp"),
        "TZ": "UTC",
        "AWS_ENDPOINT_URL": endpoint_url(port),
        **settings(port, state_dir),
    }


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, state_dir: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LocalStackError(f"ministack did not start; its log is {state_dir / 'ministack.log'}.")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    connection = HTTPConnection(LOOPBACK, port, timeout=1)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
