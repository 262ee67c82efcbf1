"""`operations.tokens`: who may call is changed by it, and what it hands out is handed out once."""

import json
import re
from contextlib import suppress

import boto3
import pytest
from standardwebhooks.webhooks import Webhook

from operations import tokens
from operations.tokens import Book
from tests.integration.handlers import TOKEN, load_event


@pytest.fixture
def run(target, monkeypatch, capsys):
    """The command as an operator gives it: its exit code, and what it prints."""
    monkeypatch.setattr(tokens.Target, "local", lambda _file: target)

    def run(*arguments):
        code = tokens.main(arguments)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def let_in(functions, token):
    """The context of a request with this token in a fresh environment; None when it is let in nowhere."""
    event = {**load_event("authorize"), "authorizationToken": f"Bearer {token}"}
    with suppress(Exception):  # "Unauthorized", see test_authorize.py
        return functions.restarted().invoke("authorize", event)["context"]
    return None


def said(text, what):
    return re.search(rf"^{what}: +(\S+)$", text, re.MULTILINE)[1]


def secret_text(target):
    client = boto3.client("secretsmanager")
    return client.get_secret_value(SecretId=target.names["callers_secret_arn"])["SecretString"]


def id_of(run, name):
    (line,) = [line for line in run("list")[1].splitlines() if f" {name}: " in line]
    return line.split()[0]


def test_a_new_token_is_let_in_with_its_limits(run, functions):
    code, printed = run("create", "warehouse", "--daily-images", "5", "--requests-per-minute", "7")

    assert code == 0
    assert let_in(functions, said(printed, "Token")) == {
        "owner": "warehouse",
        "daily_images": 5,
        "requests_per_minute": 7,
    }
    assert let_in(functions, TOKEN)["owner"] == "shop"


def test_the_token_itself_is_kept_nowhere_and_no_secret_is_shown_again(run, target):
    _, printed = run("create", "warehouse")
    _, listed = run("list")

    assert said(printed, "Token") not in secret_text(target) + listed
    assert "whsec_" not in listed
    assert "100,000 images a day, 600 requests a minute, webhook secrets: 1" in listed


def test_scripts_get_json(run, functions):
    token = json.loads(run("--json", "create", "warehouse", "--daily-images", "5")[1])["token"]
    listed = json.loads(run("--json", "list")[1])

    assert let_in(functions, token)["daily_images"] == 5
    assert [(each["name"], each["id"]) for each in listed[1:]] == [("warehouse", id_of(run, "warehouse"))]
    assert json.loads(run("--json", "revoke", listed[1]["id"])[1]) == listed[1]
    assert json.loads(run("--json", "rotate-secret", listed[0]["id"])[1])["webhook_secret"].startswith("whsec_")


def test_a_revoked_token_is_let_in_no_more_and_others_are(run, functions):
    _, first = run("create", "warehouse")
    warehouse = id_of(run, "warehouse")
    _, second = run("create", "warehouse")

    assert run("revoke", warehouse)[0] == 0
    assert let_in(functions, said(first, "Token")) is None
    assert let_in(functions, said(second, "Token"))["owner"] == "warehouse"
    assert let_in(functions, TOKEN)["owner"] == "shop"


def test_a_rotated_secret_is_valid_beside_the_one_before_and_that_beside_none(run, target, webhook_secret):
    shop = id_of(run, "shop")
    second = said(run("rotate-secret", shop)[1], "Webhook secret")

    (entry,) = json.loads(secret_text(target))["callers"]
    assert entry["webhook_secrets"] == [second, webhook_secret]
    third = said(run("rotate-secret", shop)[1], "Webhook secret")
    (entry,) = json.loads(secret_text(target))["callers"]
    assert entry["webhook_secrets"] == [third, second]
    assert Webhook(third)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "a b"),
        ("create", "-a"),
        ("create", "x" * 65),
        ("create", "ü"),
        ("create", "shop", "--daily-images", "0"),
        ("create", "shop", "--requests-per-minute", "-1"),
        ("revoke", "0123456789ab"),
        ("rotate-secret", ""),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_says_why(run, target, arguments):
    before = secret_text(target)

    code, printed = run(*arguments) if arguments[-1] != "-a" else run("create", "--", "-a")

    assert code == 1
    assert printed.count("\n") == 1
    assert secret_text(target) == before


def test_a_stack_without_callers_says_what_to_do(run, target):
    Book(boto3.client("secretsmanager"), target.names["callers_secret_arn"])._write([])

    assert run("list") == (0, "Nobody may call yet: create a token.\n")
