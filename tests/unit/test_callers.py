"""Who calls, by the hash of a token; and whose secrets sign."""

import hashlib
import json
from types import SimpleNamespace

import pytest

from imagejobs import callers
from imagejobs.callers import CACHE_SECONDS, DOUBT_SECONDS, Callers


class Secret:
    """A Secrets Manager that holds one secret and counts how often it is read."""

    def __init__(self, *described) -> None:
        self.text = json.dumps({"callers": described})
        self.reads = 0

    def get_secret_value(self, *, SecretId):  # noqa: N803 - boto3's name
        assert SecretId == "arn:secret"
        self.reads += 1
        return {"SecretString": self.text}


def described(name, token, *webhook_secrets):
    digest = hashlib.sha256(token.encode()).hexdigest()
    limits = {"daily_images": 1000, "requests_per_minute": 60}
    return {"name": name, "token_sha256": digest, "webhook_secrets": list(webhook_secrets), **limits}


@pytest.fixture
def secret():
    return Secret(
        described("shop", "one", "whsec_new", "whsec_old"), described("warehouse", "two"), described("drop", "three")
    )


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(callers, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.mark.parametrize(
    ("token", "name"), [("one", "shop"), ("two", "warehouse"), ("three", "drop"), ("", None), ("One", None)]
)
def test_a_token_belongs_to_the_caller_with_its_hash(secret, token, name):
    caller = Callers(secret, "arn:secret").by_token(token)

    assert (caller.name if caller else None) == name


@pytest.mark.parametrize("token", ["one", "three", "nobody's"])
def test_every_hash_is_compared_in_constant_time_whoever_calls(secret, monkeypatch, token):
    compared = []

    def compare_digest(a, b):
        compared.append(a)
        return a == b

    monkeypatch.setattr(callers, "hmac", SimpleNamespace(compare_digest=compare_digest))

    Callers(secret, "arn:secret").by_token(token)

    hashes = [caller["token_sha256"] for caller in json.loads(secret.text)["callers"]]
    assert compared in (hashes, hashes + hashes)  # an unknown one is looked for twice: it may be new


def test_an_owners_secrets_come_newest_first(secret):
    assert list(Callers(secret, "arn:secret").webhook_secrets("shop")) == ["whsec_new", "whsec_old"]


def test_an_owner_that_is_no_caller_any_more_has_no_secrets(secret):
    with pytest.raises(LookupError, match="'former'"):
        Callers(secret, "arn:secret").webhook_secrets("former")


def test_the_secret_is_read_once_within_the_cache_time(secret, clock):
    known = Callers(secret, "arn:secret")
    known.by_token("one")
    clock.now += CACHE_SECONDS
    known.webhook_secrets("shop")
    assert secret.reads == 1

    clock.now += 0.1
    known.by_token("one")
    assert secret.reads == 2


def test_a_new_token_is_known_soon_and_a_wrong_one_asks_seldom(secret, clock):
    known = Callers(secret, "arn:secret")
    assert known.by_token("new") is None
    secret.text = json.dumps({"callers": [described("new", "new")]})
    assert known.by_token("new") is None

    clock.now += DOUBT_SECONDS + 0.1
    assert known.by_token("new").name == "new"
    for _ in range(10):
        assert known.by_token("wrong") is None
    assert secret.reads == 2


def test_a_stack_without_callers_is_asked_in_vain_and_not_for_every_call(clock):
    secret = Secret()
    known = Callers(secret, "arn:secret")

    assert known.by_token("one") is None
    assert known.by_token("two") is None
    assert secret.reads == 1


def test_a_secret_that_cannot_be_read_keeps_nobody_in(secret, clock):
    known = Callers(secret, "arn:secret")
    assert known.by_token("one")
    clock.now += CACHE_SECONDS + 1
    secret.text = "not JSON"

    with pytest.raises(json.JSONDecodeError):
        known.by_token("one")
