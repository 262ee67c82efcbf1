"""Which API a command talks to, and what of its settings is refused or warned about."""

import json

import pytest

from imagejobs_cli import settings
from imagejobs_cli.errors import Unusable
from imagejobs_cli.settings import Connection, find_connection

CONFIG = """
[profiles.live]
api_url = "https://live.example/live"
token = "live-token"

[profiles.half]
api_url = "https://half.example"
"""


@pytest.fixture(autouse=True)
def config(monkeypatch, tmp_path):
    """A configuration file that others may not read, nothing in the environment, and no stack above the folder."""
    for name in (settings.URL_VARIABLE, settings.TOKEN_VARIABLE, settings.PROFILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "config.toml"
    file.write_text(CONFIG, encoding="utf-8")
    file.chmod(0o600)
    monkeypatch.setattr(settings, "CONFIG_FILE", file)
    monkeypatch.chdir(tmp_path)
    return file


@pytest.fixture
def warnings():
    return []


def test_the_nearest_wish_wins(monkeypatch, tmp_path, warnings):
    stack_file = tmp_path / ".local" / "stack.json"
    stack_file.parent.mkdir()
    stack_file.write_text(json.dumps({"api_url": "http://127.0.0.1:4566/local", "token": "local-token"}))
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert find_connection(None, warnings.append).token == "local-token"
    monkeypatch.setenv("IMAGEJOBS_PROFILE", "live")
    assert find_connection(None, warnings.append).token == "live-token"
    monkeypatch.setenv("IMAGEJOBS_API_URL", "https://env.example")
    monkeypatch.setenv("IMAGEJOBS_TOKEN", "env-token")
    assert find_connection(None, warnings.append).token == "env-token"
    assert find_connection("live", warnings.append).api_url == "https://live.example/live"
    assert warnings == []


@pytest.mark.parametrize(
    ("profile", "environment", "said"),
    [
        (None, {}, "`imagejobs local up`"),
        (None, {"IMAGEJOBS_API_URL": "https://env.example"}, "IMAGEJOBS_TOKEN is not set"),
        (None, {"IMAGEJOBS_TOKEN": "t"}, "IMAGEJOBS_API_URL is not set"),
        (None, {"IMAGEJOBS_API_URL": "http://shop.example", "IMAGEJOBS_TOKEN": "t"}, "unencrypted to shop.example"),
        (None, {"IMAGEJOBS_API_URL": "shop.example", "IMAGEJOBS_TOKEN": "t"}, "is no http"),
        (None, {"IMAGEJOBS_API_URL": "https://shop.example", "IMAGEJOBS_TOKEN": "s3cret\n"}, "that no token has"),
        ("test", {}, "no profile test .* it has: half, live"),
        ("half", {}, "profile half .* lacks token"),
    ],
)
def test_settings_that_lead_nowhere_say_what_to_do_and_never_the_token(
    monkeypatch, warnings, profile, environment, said
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Unusable, match=said) as caught:
        find_connection(profile, warnings.append)

    assert caught.value.exit_code == 2
    assert "s3cret" not in caught.value.message


def test_a_configuration_that_others_may_read_is_warned_about(config, warnings):
    config.chmod(0o640)

    assert find_connection("live", warnings.append).token == "live-token"
    (warning,) = warnings
    assert "mode 0640" in warning
    assert f"chmod 600 {config}" in warning


def test_a_configuration_that_is_no_toml_or_is_not_there_is_said_to_be_so(config, warnings):
    config.write_text("[profiles", encoding="utf-8")
    with pytest.raises(Unusable, match="is no TOML"):
        find_connection("live", warnings.append)

    config.unlink()
    with pytest.raises(Unusable, match="There is no "):
        find_connection("live", warnings.append)


def test_a_connection_does_not_show_its_token():
    assert "s3cret" not in repr(Connection("https://shop.example", "s3cret", "the test"))
