"""How webhooks are signed, judged and retried."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from imagejobs.webhook import RETRY_DELAYS_SECONDS, judge, new_secret, next_delay_seconds, sign

BODY = json.dumps({"status": "COMPLETED", "message": "Größe"}, ensure_ascii=False).encode()


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=9))])
def test_a_receiver_verifies_the_signature_whatever_zone_the_time_was_in(zone):
    secret = new_secret()
    headers = sign([secret], "evt_1", datetime.now(zone), BODY)
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


def test_while_a_secret_is_replaced_receivers_with_either_verify():
    old, new = new_secret(), new_secret()
    headers = sign([new, old], "evt_1", datetime.now(UTC), BODY)
    assert len(headers["webhook-signature"].split(" ")) == 2
    Webhook(old).verify(BODY, headers)
    Webhook(new).verify(BODY, headers)


def test_a_changed_body_or_another_secret_does_not_verify():
    secret = new_secret()
    headers = sign([secret], "evt_1", datetime.now(UTC), BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY.replace(b"COMPLETED", b"FAILED"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_the_headers_are_those_of_the_standard():
    # The signature is computed once by hand: HMAC-SHA256 of "evt_1.1700000000.{}" with 24 zero bytes.
    secret = "whsec_" + base64.b64encode(bytes(24)).decode()
    headers = sign([secret], "evt_1", datetime.fromtimestamp(1_700_000_000.9, UTC), b"{}")
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1,48roMzMozBa0y9GY6W+3OUs/G/ve9mXwQEyceR2g0tA=",
    }


def test_nothing_is_signed_without_a_secret():
    with pytest.raises(ValueError, match="at least one secret"):
        sign([], "evt_1", datetime.now(UTC), BODY)


@pytest.mark.parametrize(
    ("status_code", "verdict"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (300, "retry"),
        (302, "retry"),
        (400, "retry"),
        (404, "retry"),
        (410, "gone"),
        (429, "retry"),
        (500, "retry"),
        (199, "retry"),
        (None, "retry"),
    ],
)
def test_only_2xx_delivers_and_only_410_ends(status_code, verdict):
    assert judge(status_code) == verdict


def delay(attempt, *, retry_after_seconds=None, time_scale=1.0, jitter=0.5):
    return next_delay_seconds(attempt, retry_after_seconds=retry_after_seconds, time_scale=time_scale, jitter=jitter)


def test_the_schedule_is_the_standard_s_example_and_ends_after_ten_attempts():
    minutes, hours = 60, 3600
    assert [delay(attempt) for attempt in range(1, 11)] == [
        5,
        5 * minutes,
        30 * minutes,
        2 * hours,
        5 * hours,
        10 * hours,
        14 * hours,
        20 * hours,
        24 * hours,
        None,
    ]
    assert delay(11) is None


def test_jitter_spreads_by_a_tenth_to_either_side():
    assert delay(4, jitter=0.0) == 6480
    assert delay(4, jitter=0.999_999) == 7920


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 9), st.floats(0, 1, exclude_max=True), st.floats(0.0001, 2))
def test_every_delay_is_whole_positive_and_within_its_spread(attempt, jitter, time_scale):
    seconds = delay(attempt, jitter=jitter, time_scale=time_scale)
    planned = RETRY_DELAYS_SECONDS[attempt - 1] * time_scale
    assert isinstance(seconds, int)
    assert max(1, planned * 0.9 - 1) <= seconds <= planned * 1.1 + 1


def test_retry_after_is_a_minimum_of_at_most_a_day():
    assert delay(1, retry_after_seconds=120.0) == 120
    assert delay(4, retry_after_seconds=120.0) == 7200
    assert delay(1, retry_after_seconds=10_000_000.0) == 86_400


def test_the_time_scale_shrinks_the_schedule_down_to_a_second_and_not_the_receivers_wish():
    assert delay(2, time_scale=0.01) == 3
    assert delay(1, time_scale=0.01) == 1
    assert delay(1, retry_after_seconds=1000, time_scale=0.01) == 1000
    assert delay(10, time_scale=0.01) is None


def test_new_secrets_have_the_standard_s_form_and_never_repeat():
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        prefix, encoded = secret[:6], secret[6:]
        assert prefix == "whsec_"
        assert 24 <= len(base64.b64decode(encoded, validate=True)) <= 64
