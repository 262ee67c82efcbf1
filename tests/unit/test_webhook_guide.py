"""The programs of docs/guides/webhooks.md are run, with what our own sender signs."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from imagejobs.answers import JobEnded
from imagejobs.webhook import new_secret, sign
from local.ports import LOOPBACK, claim_port
from openapi.examples import ANSWERS

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "webhooks.md"
PROGRAMS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
BODY = json.dumps(ANSWERS[JobEnded]["example"] | {"message": "Größe"}, ensure_ascii=False).encode()
EVENT_ID = "evt_3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10-1"
SECRET, NEXT_SECRET = new_secret(), new_secret()
START_SECONDS = 30


def programs(language):
    return [text for name, text in PROGRAMS if name == language]


def needed(*commands):
    missing = [command for command in commands if shutil.which(command) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


RECEIVERS = {
    "python": [sys.executable, "-c", *programs("python")],
    "js": ["node", "-e", *programs("js")],
}


def signed(*secrets, age_seconds=0, body=BODY):
    return sign(secrets or [SECRET], EVENT_ID, datetime.now(UTC) - timedelta(seconds=age_seconds), body)


# What is sent, made anew each time: headers, body, and whether a receiver may believe it.
DELIVERIES = {
    "as the API signs it": lambda: (signed(), BODY, True),
    "while the secret is replaced, by the new one first": lambda: (signed(NEXT_SECRET, SECRET), BODY, True),
    "while the secret is replaced, by the old one first": lambda: (signed(SECRET, NEXT_SECRET), BODY, True),
    "another body": lambda: (signed(), BODY.replace(b"COMPLETED", b"FAILED"), False),
    "another id": lambda: ({**signed(), "webhook-id": "evt_1"}, BODY, False),
    "another secret": lambda: (signed(NEXT_SECRET), BODY, False),
    "no signature": lambda: ({**signed(), "webhook-signature": ""}, BODY, False),
    "a signature that is none": lambda: ({**signed(), "webhook-signature": "v1 v1, v1,% v1a"}, BODY, False),
}
STALE = {
    "six minutes old": lambda: (signed(age_seconds=360), BODY, False),
    "six minutes early": lambda: (signed(age_seconds=-360), BODY, False),
    "no time": lambda: ({**signed(), "webhook-timestamp": "now"}, BODY, False),
}


@contextmanager
def running(command):
    """A receiver's URL, once it listens."""
    port = claim_port(0)
    environment = {"WEBHOOK_SECRET": SECRET, "PORT": str(port), "PATH": os.environ["PATH"]}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield f"http://{LOOPBACK}:{port}/", process
    finally:
        process.kill()
        process.communicate()


def send(url, headers, body):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return requests.post(url, data=body, headers=headers, timeout=10)
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "the receiver does not listen"
            time.sleep(0.05)


def in_shell(program, folder, **environment):
    (folder / "body.json").write_bytes(environment.pop("body"))
    environment = {"WEBHOOK_SECRET": SECRET, "PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        ["sh", "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("language", ["python", pytest.param("js", marks=needed("node"))])
def test_a_receiver_believes_what_the_api_has_signed_and_nothing_else(language):
    deliveries = DELIVERIES | STALE

    with running(RECEIVERS[language]) as (url, process):
        answered = {name: send(url, *delivery()[:2]).status_code for name, delivery in deliveries.items()}
        told = process.stdout.readline().split()

    assert answered == {name: 204 if delivery()[2] else 400 for name, delivery in deliveries.items()}
    assert told == [EVENT_ID, "COMPLETED", json.loads(BODY)["result_url"]]


@needed("openssl", "base64", "od")
@pytest.mark.parametrize("name", DELIVERIES)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_kept_delivery_is_verified_by_shell(tmp_path, name, line_end):
    headers, body, believed = DELIVERIES[name]()
    (tmp_path / "headers.txt").write_text("".join(f"{key.title()}: {text}{line_end}" for key, text in headers.items()))

    run = in_shell(programs("bash")[0], tmp_path, body=body)

    assert (run.returncode == 0) == believed, run.stderr
    assert run.stdout.startswith("signed, " if believed else ""), run.stdout


@needed("openssl", "base64", "od")
def test_a_kept_delivery_s_age_is_told(tmp_path):
    (tmp_path / "headers.txt").write_text("".join(f"{key}: {text}\n" for key, text in signed(age_seconds=3600).items()))

    run = in_shell(programs("bash")[0], tmp_path, body=BODY)

    assert 3600 <= int(re.search(r"signed, (\d+) seconds ago", run.stdout)[1]) < 3700


@needed("openssl", "base64", "od", "curl")
def test_what_the_shell_signs_a_receiver_believes(tmp_path):
    with running(RECEIVERS["python"]) as (url, _):
        send(url, *DELIVERIES["no signature"]()[:2])  # waits until it listens
        run = in_shell(programs("bash")[1], tmp_path, body=BODY, PORT=url.rsplit(":", 1)[1].strip("/"))

    assert run.stdout.split()[1] == "204", run.stderr
