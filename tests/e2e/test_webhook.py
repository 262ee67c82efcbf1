"""The webhook at a job's end: what it says, that it comes once, and again when it was refused or is asked for."""

import csv
import io
import json

import pytest
from standardwebhooks.webhooks import Webhook

from tests.e2e.customer import HEADER, until
from tests.unit.fetch_helpers import http_answer, says

DELIVERIES = """
SELECT event_id, attempt, status_code, outcome FROM webhook_delivery WHERE request_id = %s ORDER BY attempt
"""


def said_by_status(job):
    """Of a job's status, what its event says, too."""
    counts = ("rows", "rows_failed", "images", "images_completed", "images_failed", "images_unchanged")
    names = ("request_id", "status", "generation", *counts, "bytes_before", "bytes_after", "result_url", "failures_url")
    return {name: job[name] for name in names}


def test_the_event_says_what_the_status_says_and_can_be_had_again(client, shop, webhook_url):
    sheet = f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n2,Lamp,{shop.url('/no-such.jpg')}\n"
    request_id = client.upload(sheet, webhook_url=webhook_url)
    job = client.ended(request_id)

    event = client.accepted_event(request_id)
    answer = client.request("POST", f"/job/{request_id}/redeliver")

    assert event.items() >= said_by_status(job).items()
    assert event["message"].startswith("CSV and image processing completed")
    assert answer.status_code == 202
    assert client.accepted_event(request_id, "1-2") == event


def test_a_job_without_one_good_image_fails_and_says_so_to_its_webhook(client, shop, webhook_url):
    sheet = f"{HEADER}1,Vase,{shop.url('/gone.jpg')}\n2,Lamp\n3,Jug,http://169.254.169.254/latest/meta-data\n"

    request_id = client.upload(sheet, webhook_url=webhook_url)

    job = client.ended(request_id)
    assert (job["status"], job["images_failed"], job["rows_failed"]) == ("FAILED", 2, 1)
    event = client.accepted_event(request_id)
    assert (event["status"], event["message"]) == ("FAILED", job["error_message"])
    statuses = [row["Status"] for row in csv.DictReader(io.StringIO(client.finished_csv(request_id)))]
    assert statuses == ["FAILED"] * 3


@pytest.mark.local
def test_it_comes_once_signed_and_recorded(client, shop, stack):
    hook = shop.url("/hooks/signed")

    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n", webhook_url=hook)

    event = client.accepted_event(request_id)
    (received,) = shop.webhooks["/hooks/signed"]
    assert Webhook(stack.webhook_secret).verify(received.body, received.headers) == event
    assert client.query(DELIVERIES, request_id) == [(received.headers["webhook-id"], 1, 204, "delivered")]


@pytest.mark.local
def test_a_refused_webhook_is_sent_again_with_the_same_id_and_a_new_signature(client, shop, stack):
    shop.answers["/hooks/flaky"] = [says(http_answer(status="500 Oops")), says(http_answer(status="200 OK"))]

    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n", webhook_url=shop.url("/hooks/flaky"))

    until(lambda: len(client.query(DELIVERIES, request_id)) == 2)
    first, second = shop.webhooks["/hooks/flaky"]
    event_id = first.headers["webhook-id"]
    assert client.query(DELIVERIES, request_id) == [(event_id, 1, 500, "retry"), (event_id, 2, 200, "delivered")]
    assert second.headers["webhook-id"] == event_id
    assert first.body == second.body
    for webhook in (first, second):
        assert Webhook(stack.webhook_secret).verify(webhook.body, webhook.headers) == json.loads(first.body)
