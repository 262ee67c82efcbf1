"""What a caller may use: images a day, requests a minute."""

from functools import partial
from threading import Thread

import pytest

from imagejobs.bucket import ObjectVersion
from imagejobs.database import Database
from imagejobs.errors import QuotaExceeded, RateExceeded
from imagejobs.usage import Allowance, count_request, reserve_images
from tests.integration.handlers import (
    api_event,
    close,
    content_of,
    file_event,
    load_event,
    upload_event,
)
from tests.integration.jobs import images_of, job_of, query, sheet, upload

A = "https://shop.example/a.jpg"


def reserve(database, images, *, owner="shop", daily_images=10):
    database.transact(lambda transaction: reserve_images(transaction, owner, daily_images, images))


def used(connect, owner="shop"):
    return [row[0] for row in query(connect, "SELECT images FROM caller_usage WHERE owner = %s", owner)]


def count_requests(database, allowance, requests):
    for _ in range(requests):
        count_request(database, allowance)


def send(functions, body, *, daily_images=10, requests_per_minute=60, **headers):
    event = upload_event(body)
    event["headers"].update(headers)
    limits = {"daily_images": str(daily_images), "requests_per_minute": str(requests_per_minute)}
    event["requestContext"]["authorizer"].update(limits)
    return functions.invoke("api", event)


def test_a_day_holds_its_quota_to_the_last_image(database, connect):
    reserve(database, 4)
    reserve(database, 6)

    with pytest.raises(QuotaExceeded):
        reserve(database, 1)
    assert used(connect) == [10]


def test_a_first_sheet_over_the_quota_is_refused_as_a_whole(database, connect):
    with pytest.raises(QuotaExceeded, match="These 11 images are more than is left of the day's 10"):
        reserve(database, 11)
    assert used(connect) == []


def test_callers_and_days_do_not_share_their_quotas(database, connect):
    reserve(database, 10)
    reserve(database, 10, owner="warehouse")
    query(connect, "UPDATE caller_usage SET day = day - 1")

    reserve(database, 10)

    assert used(connect) == [10, 10]


def test_the_next_day_is_less_than_a_day_away(database):
    with pytest.raises(QuotaExceeded) as refusal:
        reserve(database, 11)
    assert 0 < refusal.value.retry_after_seconds <= 24 * 3600


def test_of_racing_sheets_only_what_the_quota_holds_is_let_in(connect):
    outcomes = []

    def try_to_reserve(own):
        try:
            reserve(own, 6)
            outcomes.append("in")
        except QuotaExceeded:
            outcomes.append("out")
        own.close()

    threads = [Thread(target=partial(try_to_reserve, Database(connect))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes) == ["in", "out", "out", "out"]
    assert used(connect) == [6]


def test_an_upload_over_the_quota_leaves_nothing_and_says_when_to_try_again(functions, connect):
    answer = send(functions, sheet(f"{A},{A}", A), daily_images=2)

    assert answer["statusCode"] == 429
    assert content_of(answer)["code"] == "quota_exceeded"
    (seconds,) = answer["multiValueHeaders"]["Retry-After"]
    assert int(seconds) > 0
    assert query(connect, "SELECT 1 FROM job_request") == []
    assert used(connect) == []


def test_an_upload_is_counted_once_however_often_it_is_sent_with_its_key(functions, connect):
    for _ in range(3):
        assert send(functions, sheet(f"{A},{A}", A), **{"Idempotency-Key": "monday"})["statusCode"] == 202

    assert used(connect) == [3]


def test_a_refused_sheet_counts_for_nothing(functions, connect):
    assert send(functions, b"not,a,sheet\n")["statusCode"] == 400
    assert used(connect) == []


def test_a_dropped_file_over_the_quota_ends_its_job_with_the_reason(functions, bucket, connect):
    functions.values["DROP_DAILY_IMAGES"] = "2"

    for key, body in (("drop/small.csv", sheet(A)), ("drop/large.csv", sheet(A, A))):
        event = file_event(ObjectVersion(key, bucket.put(key, body, "text/csv")))
        functions.invoke("fan_out", event)
        functions.invoke("fan_out", event)

    rows = query(connect, "SELECT source_key, images_total, error_message FROM job_request")
    jobs = {key: outcome for key, *outcome in rows}
    assert jobs["drop/small.csv"] == [1, None]
    assert jobs["drop/large.csv"][0] == 0
    assert jobs["drop/large.csv"][1].startswith("These 2 images are more than is left of the day's 2.")
    assert used(connect, "drop") == [1]


def test_a_retry_takes_its_failed_images_from_the_day(functions, database, bucket, connect):
    request_id, source = upload(database, bucket, sheet(A, A))
    functions.invoke("fan_out", file_event(source))
    failure = {"error_code": "image_abandoned", "error_message": "Given up."}
    database.execute("fail_images", {"request_id": request_id, "row_number": None, **failure})
    close(functions, request_id)
    event = api_event("retry", request_id)

    event["requestContext"]["authorizer"]["daily_images"] = "1"
    refused = functions.invoke("api", event)
    assert (refused["statusCode"], content_of(refused)["code"]) == (429, "quota_exceeded")
    assert (job_of(database, request_id)["generation"], images_of(database, request_id)[0]["status"]) == (1, "FAILED")

    event["requestContext"]["authorizer"]["daily_images"] = "2"
    assert functions.invoke("api", event)["statusCode"] == 202
    assert used(connect) == [2]


def test_requests_are_counted_a_minute(database, connect):
    shop = Allowance("shop", daily_images=1, requests_per_minute=2)
    count_request(database, shop)

    with pytest.raises(RateExceeded, match="More than 2 requests in a minute") as refusal:
        count_requests(database, shop, 5)  # a minute may begin between two of them
    assert 0 < refusal.value.retry_after_seconds <= 60

    count_request(database, Allowance("warehouse", daily_images=1, requests_per_minute=2))
    query(connect, "UPDATE caller_rate SET minute = minute - interval '1 minute'")
    count_request(database, shop)


@pytest.mark.parametrize("name", ["status", "images", "result", "retry", "cancel", "redeliver"])
def test_every_route_with_a_token_is_counted(functions, name):
    event = api_event(name, "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10")
    event["requestContext"]["authorizer"]["requests_per_minute"] = "1"

    answers = [functions.invoke("api", event) for _ in range(4)]  # a minute may begin between two of them

    refusal = next(answer for answer in answers if answer["statusCode"] == 429)
    assert content_of(refusal)["code"] == "throttled"
    assert "Retry-After" in refusal["multiValueHeaders"]


def test_health_and_the_description_need_no_token_and_no_database(functions):
    functions.values["DATABASE_DSN"] += " port=1"

    health = functions.invoke("api", load_event("api-health"))
    description = functions.invoke("api", load_event("api-description"))
    page = functions.invoke("api", load_event("api-docs"))

    assert (health["statusCode"], content_of(health)) == (200, {"status": "ok"})
    assert description["statusCode"] == 200
    assert content_of(description)["openapi"] == "3.1.0"
    assert page["statusCode"] == 200
