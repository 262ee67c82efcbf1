"""`make e2e` proved without an account: the same tests, told of a stack by its name alone, with AWS's environment."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.deploy import STACK_NAME

pytestmark = pytest.mark.local

ROOT = Path(__file__).parents[2]


def run_as_deployed(stack, **variables):
    """What the tests print that find the running stack through CloudFormation's outputs."""
    account = {
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_ACCESS_KEY_ID": stack.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": stack.aws_secret_access_key,
        "NO_PROXY": "*",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "tests/e2e", "-p", "no:cacheprovider"]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, **account, "E2E_STACK": STACK_NAME, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_every_test_that_is_not_local_passes_on_a_stack_that_is_known_by_name(client, shop, stack):
    told = run_as_deployed(stack, E2E_TOKEN=client.token, E2E_WEBHOOK_URL=shop.url("/hooks/deployed"))

    assert set(re.findall(r"^SKIPPED .*?: (.*)$", told, re.MULTILINE)) == {"needs what only a local stack lets it do"}
    assert int(re.search(r"(\d+) passed", told)[1]) > 20
    assert shop.webhooks["/hooks/deployed"]
    assert "Versions" not in client.aws("s3").list_object_versions(Bucket=client.bucket, Prefix="e2e/")


def test_without_a_token_it_says_how_to_get_one(stack):
    told = run_as_deployed(stack)

    assert f"E2E_TOKEN is not set: make tokens STACK={STACK_NAME} ARGS='create e2e' shows one" in told
    assert "passed" not in told
