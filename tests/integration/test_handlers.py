"""The whole way of one CSV through the handlers, on the events that AWS would pass between them."""

import csv
import io
import json

import pytest
import requests
from PIL import Image
from standardwebhooks import Webhook

from imagejobs.bucket import ObjectVersion
from imagejobs.queues import Message
from tests.integration.handlers import (
    Functions,
    api_event,
    body_of,
    close,
    content_of,
    deliver,
    file_event,
    keys_in,
    load_event,
    row_body,
    sqs_event,
    upload_event,
)
from tests.integration.jobs import executions, images_of, job_of, query, received, sheet
from tests.unit.fetch_helpers import Origin, http_answer, origin
from tests.unit.image_helpers import encode, noise

PICTURE = encode(noise((160, 120)), "JPEG", quality=98)


def serve(request, wire):
    """Pictures at /good…, nothing elsewhere, thanks for every webhook."""
    if request.line.startswith("POST"):
        wire.sendall(http_answer(b"thanks"))
    elif request.resource.startswith("/good"):
        wire.sendall(http_answer(PICTURE, Content_Type="image/jpeg"))
    else:
        wire.sendall(http_answer(b"no such file", status="404 Not Found"))


@pytest.fixture
def shop(functions):
    """A server of pictures and a receiver of webhooks, which the stack's operator allows."""
    with origin(serve) as server:
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


def finalize(functions, request_id):
    """What the state machine does, up to the first attempt at the webhook."""
    state = close(functions, request_id)
    answer = functions.invoke("send_webhook", state["closed"]["webhook"])
    return functions.invoke("finalize", {"step": "record_attempt", "state": {**state, "answer": answer}})


def test_an_upload_comes_back_as_compressed_images_a_finished_csv_and_a_signed_webhook(
    functions: Functions, shop: Origin, database, bucket, row_queue, webhook_secret
):
    functions.values["API_BASE_URL"] = "https://api.shop.example"
    file = sheet(f"{shop.url('/good-1')}, {shop.url('/missing?key=secret')}", shop.url("/good-2"))
    answer = functions.invoke("api", upload_event(file, {"webhook_url": shop.url("/hook")}))
    request_id = content_of(answer)["request_id"]
    (key,) = keys_in(bucket)
    version = bucket._client.head_object(Bucket=bucket.name, Key=key)["VersionId"]

    assert functions.invoke("fan_out", file_event(ObjectVersion(key, version))) == {"batchItemFailures": []}
    assert deliver(functions, "compress", row_queue) == {"batchItemFailures": []}
    assert executions() == [f"{request_id}-1"]
    assert finalize(functions, request_id)["outcome"] == "delivered"
    assert job_of(database, request_id)["settled_at"]

    status = content_of(functions.invoke("api", api_event("status", request_id)))
    assert (status["status"], status["images_completed"], status["images_failed"]) == ("COMPLETED", 2, 1)
    assert 0 < status["bytes_after"] < status["bytes_before"] == 2 * len(PICTURE)
    assert_stored(bucket, images_of(database, request_id))
    assert_result(functions, request_id)
    (hook,) = [request for request in shop.requests if request.line.startswith("POST")]
    assert Webhook(webhook_secret).verify(hook.body, hook.headers)["status"] == "COMPLETED"


def assert_stored(bucket, images):
    """Each completed image lies where its URL says, a picture of the input's size."""
    for image in (image for image in images if image["status"] == "COMPLETED"):
        stored = body_of(bucket, image["image_url"].removeprefix("https://images.example/"))
        assert len(stored) == image["bytes_after"]
        assert Image.open(io.BytesIO(stored)).size == (160, 120)


def assert_result(functions, request_id):
    link = content_of(functions.invoke("api", api_event("result", request_id)))["url"]
    _, first, second = csv.reader(io.StringIO(requests.get(link, timeout=5).text))
    assert (first[4], second[4]) == ("PARTIAL", "COMPLETED")
    assert "404" in first[5]
    assert "secret" not in first[5]


def test_the_event_of_a_dropped_file_as_it_stands(functions, database, bucket, connect, row_queue):
    key = "drop/Küche + Bäder/products 2026.csv"
    version = bucket.put(key, sheet("https://shop.example/a.jpg"), "text/csv")
    event = load_event("fan_out")
    body = json.loads(event["Records"][0]["body"])
    body["Records"][0]["s3"]["object"]["versionId"] = version
    event["Records"][0]["body"] = json.dumps(body)

    assert functions.invoke("fan_out", event) == {"batchItemFailures": []}

    ((request_id,),) = query(connect, "SELECT request_id FROM job_request")
    job = job_of(database, request_id)
    assert (job["source_key"], job["owner"], job["rows_total"]) == (key, "drop", 1)
    assert len(received(row_queue)) == 1


def test_s3s_test_event_is_acknowledged(functions, connect):
    assert functions.invoke("fan_out", load_event("fan_out-test-event")) == {"batchItemFailures": []}

    assert query(connect, "SELECT 1 FROM job_request") == []


def test_rows_that_there_are_not_are_acknowledged(functions):
    assert functions.invoke("compress", load_event("compress")) == {"batchItemFailures": []}


@pytest.mark.parametrize(
    "bad",
    [
        "not JSON",
        "null",
        "[]",
        {"row_number": 1, "generation": 1, "owner": "shop"},
        {"request_id": "no-uuid", "row_number": 1, "generation": 1, "owner": "shop"},
        {"request_id": 7, "row_number": 1, "generation": 1, "owner": "shop"},
        {"request_id": "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10", "row_number": None, "generation": 1, "owner": "shop"},
        {"request_id": "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10", "row_number": 1, "generation": None, "owner": "shop"},
        {"request_id": "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10", "row_number": 1, "owner": "shop"},
        {"request_id": "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10", "row_number": 1, "generation": 1},
    ],
    ids=str,
)
def test_a_message_that_names_no_row_fails_alone(functions, shop, database, bucket, row_queue, bad):
    """The dead-letter queue is its place; the others of its batch are worked on."""
    cells = [shop.url(f"/good-{number}") for number in (1, 2)]
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", sheet(*cells), "text/csv"))
    functions.invoke("fan_out", file_event(source))
    first, second = [message.body for message in received(row_queue)]

    answer = functions.invoke("compress", sqs_event("compress", first, bad, second))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-2"}]}
    assert [image["status"] for image in images_of(database, first["request_id"])] == ["COMPLETED", "COMPLETED"]


def test_rows_in_another_workers_hands_are_given_back(functions, database, bucket, connect, row_queue):
    source = ObjectVersion("drop/a.csv", bucket.put("drop/a.csv", sheet("https://shop.example/a.jpg"), "text/csv"))
    functions.invoke("fan_out", file_event(source))
    query(connect, "UPDATE compressed_images SET lease_token = gen_random_uuid(), leased_until = now() + '1 minute'")

    answer = deliver(functions, "compress", row_queue)

    (failure,) = answer["batchItemFailures"]
    assert failure["itemIdentifier"]
    assert received(row_queue) == []


def test_a_file_that_is_not_there_any_more_is_given_back(functions, bucket, upload_queue):
    source = ObjectVersion("drop/a.csv", "no-such-version")
    upload_queue.ring_file(source)
    (message,) = received(upload_queue)
    event = file_event(source)
    event["Records"][0].update(messageId=message.message_id, receiptHandle=message.receipt)

    assert functions.invoke("fan_out", event) == {"batchItemFailures": [{"itemIdentifier": message.message_id}]}


def test_a_message_reads_the_same_from_an_event_and_from_its_body(functions):
    body = row_body("3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10", 1)
    (built,) = sqs_event("compress", body)["Records"]

    assert Message.from_event_record(built).body == Message.from_event_record(load_event("compress")["Records"][0]).body
