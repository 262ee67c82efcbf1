"""authorize: whose token lets through what."""

import hashlib
import json
from copy import deepcopy
from types import SimpleNamespace

import boto3
import pytest

from imagejobs import callers
from imagejobs.callers import CACHE_SECONDS
from tests.integration.handlers import TOKEN, load_event

STAGE_ARN = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/dev"


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves; only the callers' cache looks at it."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(callers, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def event_of(authorization):
    return {**load_event("authorize"), "authorizationToken": authorization}


def rotate(functions, *named_tokens):
    """The operator writes another secret."""
    described = [
        {"name": name, "token_sha256": hashlib.sha256(token.encode()).hexdigest(), "webhook_secrets": []}
        | {"daily_images": 100, "requests_per_minute": 60}
        for name, token in named_tokens
    ]
    secret = json.dumps({"callers": described})
    boto3.client("secretsmanager").put_secret_value(
        SecretId=functions.values["CALLERS_SECRET_ARN"], SecretString=secret
    )


def assert_unauthorized(functions, authorization):
    with pytest.raises(Exception, match="Unauthorized") as refusal:
        functions.invoke("authorize", event_of(authorization))
    assert str(refusal.value) == "Unauthorized"


def owner_by(functions, token):
    return functions.invoke("authorize", event_of(f"Bearer {token}"))["context"]["owner"]


def test_a_valid_token_opens_the_whole_stage_for_its_owner(functions):
    answer = functions.invoke("authorize", load_event("authorize"))

    assert answer["principalId"] == "shop"
    assert answer["context"] == {"owner": "shop", "daily_images": 1_000_000, "requests_per_minute": 600}
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Action"] == "execute-api:Invoke"
    assert statement["Resource"] == [f"{STAGE_ARN}/*/*"]


def test_the_policy_does_not_depend_on_the_route_that_was_asked_for(functions):
    first = functions.invoke("authorize", load_event("authorize"))
    other = {**load_event("authorize"), "methodArn": f"{STAGE_ARN}/POST/upload"}

    assert functions.invoke("authorize", other) == first


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_may_be_spelled_otherwise(functions, scheme):
    answer = functions.invoke("authorize", event_of(f"{scheme}{TOKEN}"))

    assert answer["context"] == {"owner": "shop", "daily_images": 1_000_000, "requests_per_minute": 600}


def test_anything_but_a_callers_token_is_unauthorized(functions):
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    for authorization in (
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {digest}",
        f"Basic {TOKEN}",
        f"Bearer{TOKEN}",
        "Bearer ünïcode",
        f"Bearer {'x' * 8000}",
    ):
        assert_unauthorized(functions, authorization)


def test_nobody_may_call_a_stack_without_callers(functions):
    rotate(functions)

    assert_unauthorized(functions, f"Bearer {TOKEN}")
    assert_unauthorized(functions, "Bearer ")


def test_each_caller_gets_its_own_name(functions):
    rotate(functions, ("shop", TOKEN), ("warehouse", "another-token"))

    assert owner_by(functions, TOKEN) == "shop"
    assert owner_by(functions, "another-token") == "warehouse"


def test_a_rotated_secret_is_seen_after_the_cache_time(functions, clock):
    assert owner_by(functions, TOKEN) == "shop"
    rotate(functions, ("shop", "new-token"))

    clock.now += CACHE_SECONDS - 1
    assert owner_by(functions, TOKEN) == "shop"

    clock.now += 2
    assert_unauthorized(functions, f"Bearer {TOKEN}")
    assert owner_by(functions, "new-token") == "shop"


def test_tokens_and_their_hashes_are_not_logged(functions, caplog):
    event = deepcopy(load_event("authorize"))
    functions.invoke("authorize", event)
    assert_unauthorized(functions, "Bearer wrong-token")

    logged = str([vars(record) for record in caplog.records])
    assert "token_refused" in logged
    assert TOKEN not in logged
    assert "wrong-token" not in logged
