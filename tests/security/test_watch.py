"""The watch sees what it must: private connections, and processes that end by themselves."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.artifacts import bootstrap
from reliability.faults.preload import write_preload
from reliability.waiting import until
from security.watch import Watch

SECONDS = 10.0
CONNECT = "import socket, sys; socket.create_connection(('{host}', {port}), 2)"
CONNECT_TO_FILE = "import socket; socket.socket(socket.AF_UNIX).connect('{path}')"
WAIT = "import time; print('up', flush=True); time.sleep(60)"


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    write_preload(tmp_path / "preload", "security.layer", tmp_path / "watch.jsonl")
    return Watch(tmp_path / "watch.jsonl", tmp_path / "ministack.log", set(), tmp_path / "postgres")


@contextmanager
def function(tmp_path: Path, code: str, **environment: str) -> Iterator[subprocess.Popen]:
    """A process that starts as a function's does."""
    export = next(line for line in bootstrap([], tmp_path / "preload").splitlines() if line.startswith("export "))
    process = subprocess.Popen(
        ["sh", "-c", f"{export}\nexec '{sys.executable}' -c \"$CODE\""],
        env={**os.environ, "POWERTOOLS_SERVICE_NAME": "compress", "CODE": code, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        yield process
        process.kill()


def ended(tmp_path: Path, code: str, **environment: str) -> None:
    """Let a function's process come to its end."""
    with function(tmp_path, code, **environment) as process:
        process.wait(SECONDS)


def waiting_process(tmp_path: Path, strike: Callable[[subprocess.Popen], None]) -> None:
    """Let a function's process wait for its next event until it is struck."""
    with function(tmp_path, WAIT) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        strike(process)
        process.wait(SECONDS)


@contextmanager
def canary(host: str = "127.0.0.1") -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_connection_to_loopback_is_counted_and_named(watch, tmp_path, host):
    with canary("127.0.0.1" if host == "localhost" else host) as port:
        ended(tmp_path, CONNECT.format(host=host, port=port))

        tally = watch.look()

    assert tally.private_connections >= 1
    assert tally.findings[0].startswith("compress (process ")
    assert str(port) in tally.findings[0]


def test_a_connection_that_is_refused_counts_as_well(watch, tmp_path):
    with canary() as port:
        pass
    ended(tmp_path, CONNECT.format(host="127.0.0.1", port=port))

    assert watch.look().private_connections == 1


def test_a_file_s_socket_that_is_not_the_database_s_is_counted(watch, tmp_path):
    ended(tmp_path, CONNECT_TO_FILE.format(path=tmp_path / "other" / ".s.PGSQL.5432"))
    ended(tmp_path, CONNECT_TO_FILE.format(path=tmp_path / "postgres" / ".s.PGSQL.5432"))

    assert watch.look().private_connections == 1


def test_a_name_counts_for_nobody_has_seen_what_it_stands_for(watch, tmp_path):
    with canary() as port:
        ended(tmp_path, f"import socket; socket.socket().connect(('localhost', {port}))")

    assert watch.look().private_connections == 1


def test_the_stack_s_own_and_the_allowed_origins_are_not_counted(watch, tmp_path):
    with canary() as allowed, canary() as runtime_api:
        watch.origins = {f"127.0.0.1:{allowed}"}
        ended(tmp_path, CONNECT.format(host="127.0.0.1", port=allowed))
        ended(
            tmp_path,
            CONNECT.format(host="127.0.0.1", port=runtime_api),
            AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{runtime_api}",
        )

    assert watch.look().private_connections == 0


def test_public_addresses_are_not_counted(watch, tmp_path):
    ended(tmp_path, "import sys; sys.audit('socket.connect', None, ('192.0.43.8', 80))")  # as Python tells it

    assert watch.look().private_connections == 0


@pytest.mark.parametrize("strike", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_process_that_dies_is_counted(watch, tmp_path, strike):
    waiting_process(tmp_path, lambda process: process.send_signal(strike))

    assert watch.look().worker_deaths == 1
    assert watch.look().worker_deaths == 0


def test_a_process_that_ends_by_itself_is_counted(watch, tmp_path):
    ended(tmp_path, "pass")

    tally = watch.look()

    assert tally.worker_deaths == 1
    assert tally.findings[0].endswith("ended by itself")


def test_an_environment_that_the_engine_recycles_is_not_counted(watch, tmp_path):
    waiting_process(tmp_path, lambda process: process.terminate())

    assert watch.look().worker_deaths == 0


def test_a_process_that_runs_is_not_counted(watch, tmp_path):
    with function(tmp_path, WAIT) as process:
        until(watch.log.exists, SECONDS, "the process is there")
        assert process.stdout
        process.stdout.readline()

        assert watch.look().worker_deaths == 0


def test_an_invocation_that_takes_too_long_is_counted(watch):
    watch.engine_log.write_text("WARNING Lambda compress: Task timed out after 18.00 seconds\nINFO else\n")

    assert watch.look().worker_deaths == 1
    assert watch.look().worker_deaths == 0


def test_what_a_function_starts_without_its_settings_is_not_watched(watch, tmp_path):
    with canary() as port:
        ended(tmp_path, CONNECT.format(host="127.0.0.1", port=port), POWERTOOLS_SERVICE_NAME="")

    assert watch.look().is_clean
