"""report: written once a generation after the job was closed, from Postgres, the bucket and the origins."""

import io
import json
import re
from base64 import b64decode
from unittest.mock import Mock

import pytest
import requests
from botocore.exceptions import ClientError
from PIL import Image

from imagejobs.steps import report as report_step
from tests.integration.handlers import (
    api_event,
    close,
    content_of,
    deliver,
    file_event,
    finish,
    keys_in,
)
from tests.integration.jobs import job_of, query, received, sheet, upload
from tests.unit.fetch_helpers import http_answer, says, scripted_origin
from tests.unit.image_helpers import decode, encode
from tests.unit.test_image_samples import SAMPLES
from tests.unit.test_report_page import Page


def scaled(name, width, pillow_format):
    """A sample in another width, coded anew."""
    picture = decode((SAMPLES / name).read_bytes()).convert("RGB")
    size = width, picture.height * width // picture.width
    return encode(picture.resize(size, Image.Resampling.LANCZOS), pillow_format, quality=95)


VASE, LAMP = scaled("vase.jpg", 600, "JPEG"), scaled("lamp.jpg", 600, "JPEG")
GONE = says(http_answer(status="404 Not Found"))


@pytest.fixture
def shop(functions):
    """An origin of two samples, of which one is there twice: as a JPEG, and smaller as a WebP."""
    answers = {"/vase.jpg?token=secret": VASE, "/lamp.jpg": LAMP, "/vase-small.webp": scaled("vase.jpg", 400, "WEBP")}
    with scripted_origin(GONE) as server:
        server.answers |= {path: [says(http_answer(body))] for path, body in answers.items()}
        functions.values["PRIVATE_ORIGINS"] = server.origin
        yield server


@pytest.fixture
def staged(functions, database, bucket):
    """Makes a job of cells of URLs, up to the messages of its rows."""

    def stage(*cells, **columns):
        request_id, source = upload(database, bucket, sheet(*cells), **columns)
        functions.invoke("fan_out", file_event(source))
        return request_id

    return stage


def write(functions, report_queue):
    assert deliver(functions, "report", report_queue) == {"batchItemFailures": []}


def page_of(functions, request_id):
    answer = functions.invoke("api", api_event("report", request_id))
    assert answer["statusCode"] == 303, answer
    return requests.get(content_of(answer)["url"], timeout=5)


def test_a_report_shows_what_became_of_real_pictures(functions, staged, connect, row_queue, report_queue, shop):
    cells = f"{shop.url('/vase.jpg?token=secret')},{shop.url('/lamp.jpg')}", shop.url("/vase-small.webp")
    request_id = staged(*cells, shop.url("/no-such.jpg"), "")
    deliver(functions, "compress", row_queue)
    query(connect, "UPDATE compressed_images SET score = 71.25 WHERE row_number = 2")
    close(functions, request_id)

    write(functions, report_queue)

    answer = page_of(functions, request_id)
    page = Page(answer.text)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("inline; ")
    pictures = [Image.open(io.BytesIO(b64decode(img["src"].partition(",")[2]))) for img in page.all("img")]
    assert len(pictures) == 2 * 3 + 2  # each image, and that with a score again
    assert max(max(picture.size) for picture in pictures) == 480
    assert "Not shown" not in page.text
    assert "score 71.2" in page.text
    assert "refused it: 1 image" in page.text
    assert "Rows that could not be used: 1 row" in page.text
    assert re.search("Group 1: 2 pictures .*row 1 Product 1 .*vase.jpg .*row 2 Product 2 .*vase-small.webp", page.text)
    assert "3 pictures, 1 of them below 500:" in page.text
    assert "secret" not in answer.text


def test_what_cannot_be_shown_any_more_is_said_in_its_place(
    functions, staged, database, bucket, row_queue, report_queue, shop
):
    request_id = staged(shop.url("/vase.jpg?token=secret"), shop.url("/lamp.jpg"))
    deliver(functions, "compress", row_queue)
    close(functions, request_id)
    shop.answers |= {"/vase.jpg?token=secret": [GONE], "/lamp.jpg": [says(http_answer(VASE))]}
    first = next(key for key in keys_in(bucket) if key.startswith("images/"))
    bucket.delete(first)

    write(functions, report_queue)

    text = Page(page_of(functions, request_id).text).text
    assert "404" in text
    assert report_step.CHANGED_MESSAGE in text
    assert report_step.GONE_MESSAGE in text


def test_a_job_without_images_has_a_report_too(functions, database, bucket, report_queue):
    request_id, source = upload(database, bucket, b"no,such,columns\n")
    functions.invoke("fan_out", file_event(source))
    close(functions, request_id)

    write(functions, report_queue)

    text = Page(page_of(functions, request_id).text).text
    assert job_of(database, request_id)["error_message"] in text
    assert "No image was completed." in text


def test_a_dry_run_has_no_report_and_the_answer_says_where_to_look(functions, staged, database, report_queue):
    request_id = staged("https://shop.example/a.jpg", dry_run=True)
    finish(database, request_id)
    close(functions, request_id)

    answer = functions.invoke("api", api_event("report", request_id))

    assert received(report_queue) == []
    assert (answer["statusCode"], content_of(answer)["code"]) == (404, "no_report")
    assert "Retry-After" not in answer["multiValueHeaders"]


def test_until_it_is_written_the_report_is_not_found_and_the_answer_says_when_to_ask_again(
    functions, staged, database, report_queue
):
    request_id = staged("https://shop.example/a.jpg")
    waits = []
    for end in (lambda: None, lambda: finish(database, request_id) or close(functions, request_id)):
        end()
        answer = functions.invoke("api", api_event("report", request_id))
        assert (answer["statusCode"], content_of(answer)["code"]) == (404, "report_not_ready")
        assert content_of(functions.invoke("api", api_event("status", request_id)))["report_url"] is None
        waits += answer["multiValueHeaders"]["Retry-After"]

    assert waits == ["60", "5"]


def test_a_report_is_written_once_a_generation(functions, staged, database, bucket, report_queue, shop):
    request_id = staged(shop.url("/gone.jpg"))
    finish(database, request_id, failing={(1, 1)})
    state = close(functions, request_id)
    functions.invoke("finalize", {"step": "close_job", "state": state})  # as after each wait of a webhook
    (message, repeated) = received(report_queue)
    assert message.body == repeated.body == {"request_id": str(request_id), "generation": 1}
    for each in (message, repeated):
        report_queue._send([{"Id": "0", "MessageBody": json.dumps(each.body)}])

    write(functions, report_queue)
    first = job_of(database, request_id)["report_version"]
    functions.invoke("finalize", {"step": "close_job", "state": state})

    assert received(report_queue) == []
    assert job_of(database, request_id)["report_version"] == first
    assert [key for key in keys_in(bucket) if key.startswith("reports/")] == [f"reports/{request_id}-1.html"]


def test_a_retried_job_has_no_report_until_its_new_one(functions, staged, database, report_queue, shop):
    request_id = staged(shop.url("/gone.jpg"))
    finish(database, request_id, failing={(1, 1)})
    close(functions, request_id)
    write(functions, report_queue)

    assert functions.invoke("api", api_event("retry", request_id))["statusCode"] == 202

    assert content_of(functions.invoke("api", api_event("status", request_id)))["report_url"] is None
    report_queue.ring_report(request_id, 1)
    write(functions, report_queue)  # late, and for nobody
    assert job_of(database, request_id)["report_key"] is None
    finish(database, request_id)
    close(functions, request_id, generation=2)
    write(functions, report_queue)
    status = content_of(functions.invoke("api", api_event("status", request_id)))
    assert status["report_url"].endswith(f"/job/{request_id}/report.html")
    assert job_of(database, request_id)["report_key"] == f"reports/{request_id}-2.html"


def test_a_report_that_fails_comes_again_and_a_queue_that_refuses_it_holds_no_job(
    functions, staged, database, report_queue, monkeypatch
):
    request_id = staged("https://shop.example/a.jpg")
    finish(database, request_id)
    with monkeypatch.context() as patch:
        refused = ClientError({"Error": {"Code": "InternalError"}}, "SendMessageBatch")
        patch.setattr("imagejobs.queues.Queue.ring_report", Mock(side_effect=refused))
        state = close(functions, request_id)
    assert job_of(database, request_id)["status"] == "COMPLETED"
    assert received(report_queue) == []

    functions.invoke("finalize", {"step": "close_job", "state": state})
    with monkeypatch.context() as patch:
        patch.setattr("imagejobs.bucket.Bucket.put", Mock(side_effect=refused))
        failures = deliver(functions, "report", report_queue)["batchItemFailures"]

    assert len(failures) == 1
    assert job_of(database, request_id)["report_key"] is None


def test_a_job_of_many_images_is_compared_in_parts_and_the_page_says_so(
    functions, staged, database, report_queue, monkeypatch
):
    monkeypatch.setattr(report_step, "MAX_HASHES", 2)
    request_id = staged(*(f"https://shop.example/{n}.jpg" for n in range(3)))
    finish(database, request_id)
    close(functions, request_id)
    monkeypatch.setattr(report_step, "PICTURES_SECONDS", 0.0)  # no origin is asked

    write(functions, report_queue)

    text = Page(page_of(functions, request_id).text).text
    assert "2 pictures compared by what they look like" in text
    assert "there may be groups that were not found" in text
    assert report_step.NO_TIME_MESSAGE in text
