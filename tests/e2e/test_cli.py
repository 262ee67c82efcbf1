"""The installed command against a stack, where no guide shows it: what is refused, cancelled, found by itself."""

import json
import subprocess

import pytest

from imagejobs_cli.client import MAX_UPLOAD_BYTES
from tests.e2e.customer import HEADER


@pytest.fixture
def imagejobs(command, user_environment, tmp_path):
    """The command with its arguments, in an empty folder."""

    def run(*arguments, **environment):
        wanted = {**user_environment, **environment}
        return subprocess.run(
            [command, *arguments],
            cwd=tmp_path,
            env={name: value for name, value in wanted.items() if value},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_a_wrong_sheet_is_refused_with_its_line(imagejobs, tmp_path):
    (tmp_path / "wrong.csv").write_text(f'{HEADER}1,"Vase\n', encoding="utf-8")

    refused = imagejobs("submit", "wrong.csv", "--wait", "--json")

    assert refused.returncode == 4, refused.stderr
    assert json.loads(refused.stderr)["code"] == "sheet_invalid"
    assert "ine 2" in json.loads(refused.stderr)["message"]


def test_an_upload_repeated_with_its_key_is_the_same_job_and_its_webhook_is_listed(
    imagejobs, shop, webhook_url, client, tmp_path
):
    (tmp_path / "products.csv").write_text(f"{HEADER}1,Vase,{shop.url('/mug.webp')}\n", encoding="utf-8")
    submit = ("submit", "products.csv", "--webhook-url", webhook_url, "--idempotency-key", f"cli-{tmp_path}", "--quiet")

    first, second = imagejobs(*submit, "--wait"), imagejobs(*submit)

    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    request_id = first.stdout.strip()
    client.accepted_event(request_id)
    deliveries = json.loads(imagejobs("deliveries", request_id, "--json").stdout)["deliveries"]
    (delivery,) = [each for each in deliveries if each["outcome"] == "delivered"]
    assert deliveries[0] == delivery
    assert imagejobs("redeliver", request_id, "--quiet").stdout.strip() == delivery["event_id"]
    assert imagejobs("cancel", request_id).returncode == 4


def test_a_sheet_too_large_for_the_api_is_sent_to_the_bucket(imagejobs, shop, tmp_path):
    columns = range(8)
    header = f"{HEADER.strip()},{','.join(f'Text {n}' for n in columns)}\n"
    rows = [f"{n},Mug,{shop.url('/mug.webp')}," + ",".join("x" * 115_000 for _ in columns) for n in range(1, 6)]
    (tmp_path / "large.csv").write_text(header + "\n".join(rows) + "\n", encoding="utf-8")
    assert (tmp_path / "large.csv").stat().st_size > MAX_UPLOAD_BYTES

    ended = imagejobs("submit", "large.csv", "--wait", "--json")

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["images_completed"] == 5


@pytest.mark.local
def test_the_local_stack_is_found_from_a_folder_below_it(imagejobs, stack, state_dir, tmp_path):
    (tmp_path / ".local").symlink_to(state_dir / "stack")

    listed = imagejobs("status", "--json", "--limit", "1", IMAGEJOBS_API_URL="", IMAGEJOBS_TOKEN="")

    assert listed.returncode == 0, listed.stderr
    assert len(json.loads(listed.stdout)["jobs"]) <= 1
