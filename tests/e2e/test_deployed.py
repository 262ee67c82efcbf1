"""`make e2e` and `make tokens` proved without an account: told of a stack by its name alone, with AWS's environment."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.deploy import STACK_NAME

pytestmark = pytest.mark.local

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(stack):
    """Runs a Python module as in a shell of whoever has an account; what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    account = {
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_ACCESS_KEY_ID": stack.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": stack.aws_secret_access_key,
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT / "layers/imagejobs/python"),
    }

    def run(*arguments, **variables):
        command = [sys.executable, "-m", *arguments]
        environment = {**kept, **account, **variables}
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize(
    ("tests", "at_least"),
    [("tests/e2e/test_webhook.py", 2), pytest.param("tests/e2e", 21, marks=pytest.mark.long)],
    ids=["few", "all"],
)
def test_what_is_not_local_passes_on_a_stack_that_is_known_by_name(run, client, shop, tests, at_least):
    printed = run("operations.tokens", "--stack-name", STACK_NAME, "create", f"e2e-{at_least}")
    token = re.search(r"^Token: +(\S+)$", printed, re.MULTILINE)[1]
    hook = f"/hooks/deployed-{at_least}"

    told = run(
        *("pytest", tests, "-p", "no:cacheprovider", "-m", "not long"),
        E2E_STACK=STACK_NAME,
        E2E_TOKEN=token,
        E2E_WEBHOOK_URL=shop.url(hook),
    )

    assert set(re.findall(r"^SKIPPED .*?: (.*)$", told, re.MULTILINE)) == {"needs what only a local stack lets it do"}
    assert int(re.search(r"(\d+) passed", told)[1]) >= at_least
    assert shop.webhooks[hook]
    assert "Versions" not in client.aws("s3").list_object_versions(Bucket=client.bucket, Prefix="e2e/")


def test_without_a_token_it_skips_and_says_how_to_get_one(run):
    told = run("pytest", "tests/e2e/test_upload.py", "-p", "no:cacheprovider", E2E_STACK=STACK_NAME)

    assert f"E2E_TOKEN is not set: make tokens STACK={STACK_NAME} ARGS='create e2e' shows one" in told
    assert re.search(r"\d+ skipped", told)
    assert "passed" not in told
