"""The judge: a job as it should be passes, and each way of being wrong is found and counted as what it is."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from imagejobs.webhook import new_secret, sign
from reliability.customer import ReceivedWebhook, Sheet
from reliability.ledger import Sighting, judge

SHEET = Sheet("shop", (("good-1.jpg", "gone-1.jpg"), ("good-2.jpg",), ()))
ID = "6b5f07cf-d58b-475f-a08d-a0aa44cdb524"
BASE = "http://images.example"
SECRET = new_secret()


def image(row, place):
    key = f"images/{ID}/{row}-{place}-abc.jpg"
    outcome = {"status": "COMPLETED", "image_url": f"{BASE}/{key}", "error_message": None}
    return {"row_number": row, "position": place, **outcome}


def failed(row, place, message="The origin answered 404."):
    outcome = {"status": "FAILED", "image_url": None, "error_message": message}
    return {"row_number": row, "position": place, **outcome}


def webhook(event_id="evt_1", status="COMPLETED", *, rows=3, accepted=True, secret=SECRET):
    body = json.dumps({"request_id": ID, "status": status, "rows": rows}).encode()
    return ReceivedWebhook(sign([secret], event_id, datetime.now(UTC), body), body, accepted)


def row(number, urls, status):
    return {"S. No.": str(number), "Output Image Urls": ",".join(urls), "Status": status}


@pytest.fixture
def seen():
    """What a customer sees of SHEET's job when all is well."""
    first, second = image(1, 1), image(2, 1)
    return Sighting(
        request_ids=frozenset({ID}),
        status={"status": "COMPLETED"},
        images=[first, failed(1, 2), second],
        rows=[
            row(1, [first["image_url"], ""], "PARTIAL"),
            row(2, [second["image_url"]], "COMPLETED"),
            row(3, [], "FAILED"),
        ],
        object_keys=[f"images/{ID}/1-1-abc.jpg", f"images/{ID}/2-1-abc.jpg"],
        results=frozenset({"etag"}),
        webhooks=[webhook(accepted=False), webhook()],
        image_base_url=BASE,
        webhook_secret=SECRET,
    )


def test_a_job_as_it_should_be_has_no_findings(seen):
    assert judge(SHEET, seen).findings == []


def test_a_job_that_has_not_ended_is_stuck(seen):
    verdict = judge(SHEET, replace(seen, status={"status": "PROCESSING"}))

    assert (len(verdict.lost), len(verdict.doubled), len(verdict.stuck)) == (0, 0, 1)


LOST = {
    "a row is missing": lambda seen: {"rows": seen.rows[:-1]},
    "there is no finished CSV": lambda seen: {"rows": None},
    "rows are out of order": lambda seen: {"rows": [seen.rows[1], seen.rows[0], seen.rows[2]]},
    "a row tells another outcome": lambda seen: {"rows": [seen.rows[0], row(2, [""], "FAILED"), seen.rows[2]]},
    "a row names another image": lambda seen: {
        "rows": [seen.rows[0], row(2, [f"{BASE}/x.jpg"], "COMPLETED"), seen.rows[2]]
    },
    "an image is unknown": lambda seen: {"images": seen.images[1:], "object_keys": seen.object_keys[1:]},
    "a good image failed": lambda seen: {
        "images": [failed(1, 1), *seen.images[1:]],
        "object_keys": seen.object_keys[1:],
    },
    "a bad image has no reason": lambda seen: {"images": [seen.images[0], failed(1, 2, ""), seen.images[2]]},
    "an object is missing": lambda seen: {"object_keys": seen.object_keys[1:]},
    "no webhook was accepted": lambda seen: {"webhooks": seen.webhooks[:1]},
    "a signature is wrong": lambda seen: {"webhooks": [webhook(secret=new_secret())]},
    "a webhook tells another status": lambda seen: {"webhooks": [webhook(status="FAILED")]},
}


@pytest.mark.parametrize("change", LOST.values(), ids=LOST.keys())
def test_what_is_missing_is_lost(seen, change):
    verdict = judge(SHEET, replace(seen, **change(seen)))

    assert verdict.lost
    assert not verdict.doubled
    assert not verdict.stuck


DOUBLED = {
    "a row is there twice": lambda seen: {"rows": [seen.rows[0], seen.rows[0], *seen.rows[1:]]},
    "an object belongs to no image": lambda seen: {"object_keys": [*seen.object_keys, f"images/{ID}/2-1-stray.jpg"]},
    "an image is there twice": lambda seen: {"images": [seen.images[0], *seen.images]},
    "the CSV became two jobs": lambda seen: {"request_ids": frozenset({ID, "another"})},
    "there are two finished CSVs": lambda seen: {"results": frozenset({"etag", "another"})},
    "an event is told in two ways": lambda seen: {"webhooks": [webhook(rows=3), webhook(rows=4)]},
    "an event has two ids": lambda seen: {"webhooks": [webhook("evt_1"), webhook("evt_2")]},
}


@pytest.mark.parametrize("change", DOUBLED.values(), ids=DOUBLED.keys())
def test_what_is_there_more_than_once_is_doubled(seen, change):
    verdict = judge(SHEET, replace(seen, **change(seen)))

    assert verdict.doubled
    assert not verdict.lost
    assert not verdict.stuck


def test_a_retry_has_an_event_and_a_finished_csv_of_its_own(seen):
    retried = replace(SHEET, generations=2)
    twice = {"webhooks": [webhook("evt_1"), webhook("evt_2")], "results": frozenset({"etag", "another"})}

    assert judge(retried, replace(seen, **twice)).findings == []
    assert judge(retried, seen).lost
    assert judge(SHEET, replace(seen, **twice)).doubled


def test_a_poisoned_image_must_fail_with_a_reason(seen):
    poisoned = replace(SHEET, poisoned=frozenset({(2, 1)}))

    assert judge(poisoned, seen).lost
    gone = replace(
        seen,
        images=[*seen.images[:2], failed(2, 1)],
        rows=[seen.rows[0], row(2, [""], "FAILED"), seen.rows[2]],
        object_keys=seen.object_keys[:1],
    )
    assert judge(poisoned, gone).findings == []
