"""The state directory: one owner, credentials that stay, files that are whole."""

import json
import stat

import pytest
from standardwebhooks.webhooks import Webhook

from local.errors import LocalStackError
from local.state import Credentials, owned, write_json


def test_a_second_owner_is_refused_and_told_where_to_look(tmp_path):
    with (
        owned(tmp_path),
        pytest.raises(LocalStackError, match=r"already runs.*stack\.json"),
        owned(tmp_path),
    ):
        pytest.fail("two owners")


def test_the_state_directory_is_free_again_when_its_owner_is_gone(tmp_path):
    with owned(tmp_path):
        pass
    with owned(tmp_path):
        pass


def test_a_path_with_a_space_is_refused(tmp_path):
    with pytest.raises(LocalStackError, match="space"), owned(tmp_path / "my state"):
        pytest.fail("Postgres would not start there")


def test_credentials_are_made_once_and_kept_for_their_owner_only(tmp_path):
    credentials = Credentials.of(tmp_path)

    assert Credentials.of(tmp_path) == credentials
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert len(credentials.token) >= 40


def test_the_webhook_secret_is_one_of_standard_webhooks(tmp_path):
    secret = Credentials.of(tmp_path).webhook_secret

    assert secret.startswith("whsec_")
    assert Webhook(secret)


def test_json_replaces_the_old_file_and_leaves_no_other(tmp_path):
    write_json(tmp_path / "stack.json", {"port": 1})
    write_json(tmp_path / "stack.json", {"port": 2})

    assert json.loads((tmp_path / "stack.json").read_text(encoding="utf-8")) == {"port": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]
