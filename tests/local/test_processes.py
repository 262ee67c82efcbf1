"""Ending processes: in order where they listen, by force where they do not."""

import os
import subprocess
import sys

import psutil
import pytest

from local.processes import end, session_members

SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


@pytest.fixture
def spawn():
    started = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_that_ignores_the_request_is_killed(spawn):
    process = spawn(STUBBORN)
    process.stdout.readline()

    end([psutil.Process(process.pid)], grace_seconds=0.1)

    assert process.wait(timeout=5) == -9


def test_one_that_has_ended_already_is_no_error(spawn):
    process = spawn("pass")
    handle = psutil.Process(process.pid)
    process.wait()

    end([handle], grace_seconds=0.1)


def test_members_of_a_session_are_found_by_their_command_line(spawn):
    mine, other_name, other_session = spawn(SLEEP, "ministack"), spawn(SLEEP), spawn(SLEEP, "ministack")

    found = [process.pid for process in session_members(mine.pid, {"ministack"})]

    assert found == [mine.pid]
    assert os.getsid(other_session.pid) != mine.pid
    assert session_members(other_name.pid, {"ministack"}) == []
