"""send_webhook: one signed attempt, over a real connection; whatever comes of it is an answer."""

import hashlib
import json
from datetime import UTC, datetime

import boto3
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from imagejobs.destination_settings import SettingInvalid
from imagejobs.steps import send_webhook as send_webhook_step
from imagejobs.webhook import new_secret
from tests.integration.handlers import functions_of_template, load_event, template
from tests.unit.fetch_helpers import http_answer, origin, patch_resolver, says, trickles

EVENT = {
    "url": "https://shop.example/hooks/images?key=secret",
    "owner": "shop",
    "event_id": "evt_3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10-1",
    "body": json.dumps({"status": "COMPLETED", "bytes_before": 1843200}),
}


def send(functions, receiver=None, **changed):
    event = {**EVENT, **changed}
    if receiver is not None:
        functions.values["PRIVATE_ORIGINS"] = receiver.origin
        event["url"] = receiver.url("/hooks/images?key=secret")
    stored = load_event("send_webhook")
    target = {"Bucket": functions.values["BUCKET_NAME"], "Key": stored["key"]}
    put = boto3.client("s3").put_object(**target, Body=json.dumps(event).encode())
    return functions.invoke("send_webhook", {**stored, "version": put["VersionId"]})


def answered(status, **headers):
    """A receiver that answers so."""
    return origin(says(http_answer(b"thanks", status=status, **headers)))


def set_secrets(functions, *webhook_secrets):
    shop = {"name": "shop", "token_sha256": hashlib.sha256(b"x").hexdigest(), "webhook_secrets": webhook_secrets}
    shop |= {"daily_images": 1, "requests_per_minute": 1}
    boto3.client("secretsmanager").put_secret_value(
        SecretId=functions.values["CALLERS_SECRET_ARN"], SecretString=json.dumps({"callers": [shop]})
    )


def test_the_receiver_verifies_the_event_as_it_was_written(functions, webhook_secret):
    with answered("200 OK") as receiver:
        answer = send(functions, receiver)

    assert answer == {"status_code": 200, "retry_after_seconds": None, "error_message": None}
    (request,) = receiver.requests
    assert request.line == "POST /hooks/images?key=secret HTTP/1.1"
    assert request.body.decode() == EVENT["body"]
    assert Webhook(webhook_secret).verify(request.body, request.headers) == json.loads(EVENT["body"])
    assert request.headers["webhook-id"] == EVENT["event_id"]
    assert request.headers["content-type"] == "application/json"


def test_a_receiver_with_another_secret_does_not(functions):
    with answered("200 OK") as receiver:
        send(functions, receiver)

    (request,) = receiver.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(request.body, request.headers)


def test_letters_beyond_ascii_are_signed_as_they_are_sent(functions, webhook_secret):
    body = json.dumps({"message": "Größe 日本"}, ensure_ascii=False)
    with answered("200 OK") as receiver:
        send(functions, receiver, body=body)

    (request,) = receiver.requests
    assert request.body == body.encode()
    assert Webhook(webhook_secret).verify(request.body, request.headers) == json.loads(body)


def test_while_a_secret_is_replaced_the_old_and_the_new_verify(functions):
    old, new = new_secret(), new_secret()
    set_secrets(functions, new, old)
    with answered("200 OK") as receiver:
        send(functions, receiver)

    (request,) = receiver.requests
    for secret in (old, new):
        Webhook(secret).verify(request.body, request.headers)


def test_every_attempt_is_the_same_event_signed_for_its_own_moment(functions, webhook_secret, monkeypatch):
    moments = [datetime(2026, 11, 22, 14, 0, tzinfo=UTC), datetime(2026, 11, 22, 16, 0, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return moments.pop(0)

    monkeypatch.setattr(send_webhook_step, "datetime", Clock)
    with answered("500 Oops") as receiver:
        send(functions, receiver)
        send(functions, receiver)

    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 7200
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_any_answer_is_an_answer_and_no_redirect_is_followed(functions):
    for status in ("204 No Content", "301 Moved", "404 Not Found", "410 Gone", "500 Oops"):
        with answered(status, Location="/elsewhere") as receiver:
            answer = send(functions.restarted(), receiver)

        assert answer == {"status_code": int(status[:3]), "retry_after_seconds": None, "error_message": None}
        assert len(receiver.requests) == 1


def test_a_receivers_wish_for_patience_is_handed_on(functions):
    with answered("429 Slow down", Retry_After="120") as receiver:
        assert send(functions, receiver) == {
            "status_code": 429,
            "retry_after_seconds": 120.0,
            "error_message": None,
        }


def test_an_address_that_is_not_public_is_refused_in_words(functions, monkeypatch):
    patch_resolver(monkeypatch, ["10.0.0.1"])
    for url, reason in {
        "http://127.0.0.1/hook?key=secret": "loopback",
        "http://169.254.169.254/latest/meta-data?key=secret": "link-local",
        "https://shop.example:8443/hook?key=secret": "port",
        "http://inside.example/hook?key=secret": "private network",
    }.items():
        answer = send(functions, url=url)

        assert (answer["status_code"], answer["retry_after_seconds"]) == (None, None)
        assert reason in answer["error_message"]
        assert "secret" not in answer["error_message"]


def test_only_the_origins_that_the_operator_names_may_be_private(functions):
    with answered("200 OK") as receiver:
        functions.values["PRIVATE_ORIGINS"] = "127.0.0.1:1"
        answer = send(functions, url=receiver.url())

    assert answer["status_code"] is None
    assert receiver.connections == 0


@pytest.mark.parametrize(("variable", "hosts"), [("DENIED_HOSTS", "127.0.0.0/8"), ("ALLOWED_HOSTS", "shop.example")])
def test_the_operators_lists_hold_for_private_origins_too(functions, variable, hosts):
    functions.values[variable] = hosts
    with answered("200 OK") as receiver:
        answer = send(functions, receiver)

    assert answer["status_code"] is None
    assert "the operator of this service" in answer["error_message"]
    assert receiver.connections == 0


def test_a_list_that_cannot_be_used_stops_all_sending(functions):
    functions.values["DENIED_HOSTS"] = "10.0.0.1/8"
    with answered("200 OK") as receiver, pytest.raises(SettingInvalid, match=r'DENIED_HOSTS .*"10\.0\.0\.1/8"'):
        send(functions, receiver)

    assert receiver.connections == 0


def test_a_receiver_that_is_gone_is_no_answer(functions):
    with answered("200 OK") as receiver:
        pass

    answer = send(functions, receiver)

    assert answer["status_code"] is None
    assert "does not take connections" in answer["error_message"]


def test_a_receiver_that_never_ends_its_answer_is_left_at_the_deadline(functions, monkeypatch):
    monkeypatch.setattr(send_webhook_step, "TIMEOUT_SECONDS", 0.3)
    with origin(trickles(b"HTTP/1.1 200 OK\r\nX: ", b"x")) as receiver:
        answer = send(functions, receiver)

    assert answer["status_code"] is None
    assert "in time" in answer["error_message"]
    assert "secret" not in answer["error_message"]


def test_what_is_not_http_is_no_answer(functions):
    with origin(says(b"\x00\x01\x02\r\n\r\n", then_close=True)) as receiver:
        answer = send(functions, receiver)

    assert answer["status_code"] is None
    assert answer["error_message"]


def test_an_owner_that_is_no_caller_any_more_cannot_be_signed_for(functions):
    with answered("200 OK") as receiver, pytest.raises(LookupError, match="'former'"):
        send(functions, receiver, owner="former")

    assert receiver.connections == 0


def test_an_owner_without_a_secret_cannot_be_signed_for(functions):
    set_secrets(functions)
    with answered("200 OK") as receiver, pytest.raises(ValueError, match="at least one secret"):
        send(functions, receiver)

    assert receiver.connections == 0


def test_the_function_fits_its_own_time_out():
    """Lambda must not end the attempt before the attempt ends itself."""
    seconds = functions_of_template()["send_webhook"].get("Timeout", template()["Globals"]["Function"]["Timeout"])
    assert seconds >= send_webhook_step.TIMEOUT_SECONDS + 5


def test_neither_the_body_nor_the_signature_nor_the_query_is_logged(functions, webhook_secret, caplog):
    with answered("200 OK") as receiver:
        send(functions, receiver)

    logged = str([vars(record) for record in caplog.records])
    assert "webhook_attempted" in logged
    for secret in (webhook_secret, receiver.requests[0].headers["webhook-signature"], "key=secret", "bytes_before"):
        assert secret not in logged
