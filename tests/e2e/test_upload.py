"""The main path over HTTP: a CSV in; compressed images, the finished CSV and a signed webhook out, all agreeing."""

import csv
import io
import json

import pytest
import requests
from PIL import Image, ImageOps
from standardwebhooks.webhooks import Webhook

from tests.e2e.customer import HEADER, SAMPLES, until
from tests.unit.fetch_helpers import http_answer, says

PICTURES = sorted(path.name for path in SAMPLES.iterdir() if path.suffix in {".jpg", ".png", ".webp", ".gif"})


@pytest.fixture(scope="module")
def finished(shop, client):
    """One job over every sample picture and one that is missing, followed to its webhook."""
    rows = [f'{n},"Vase, ""{name}""",{shop.url("/" + name)}\n' for n, name in enumerate(PICTURES, start=1)]
    rows.append(f'{len(rows) + 1},=1+1,"{shop.url("/vase.jpg")}, {shop.url("/no-such.jpg")}"\n')
    request_id = client.upload(HEADER + "".join(rows), webhook_url=shop.url("/hooks/finished"))
    seen = []

    def ended():
        seen.append(client.status(request_id))
        return seen[-1]["status"] in {"COMPLETED", "FAILED"}

    until(ended)
    (webhook,) = until(lambda: shop.webhooks["/hooks/finished"])
    return {
        "client": client,
        "request_id": request_id,
        "seen": seen,
        "job": seen[-1],
        "images": client.images(request_id),
        "rows": list(csv.DictReader(io.StringIO(client.finished_csv(request_id), newline=""))),
        "webhook": webhook,
    }


def test_the_job_completes_and_its_percentage_never_goes_back(finished):
    percentages = [job["completion_percentage"] for job in finished["seen"]]

    assert finished["job"]["status"] == "COMPLETED"
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100
    assert all(
        percentage < 100
        for percentage, job in zip(percentages, finished["seen"], strict=True)
        if job["status"] in {"PENDING", "PROCESSING"}
    )


def test_every_output_decodes_upright_in_its_inputs_size_and_is_not_larger(finished):
    completed = [image for image in finished["images"] if image["status"] == "COMPLETED"]
    assert len(completed) == len(PICTURES) + 1
    for image in completed:
        source = (SAMPLES / image["source_url"].rsplit("/", 1)[1]).read_bytes()
        answer = requests.get(image["image_url"], timeout=30)
        original, output = Image.open(io.BytesIO(source)), Image.open(io.BytesIO(answer.content))
        output.load()
        assert output.size == ImageOps.exif_transpose(original).size == (image["width"], image["height"])
        assert getattr(output, "n_frames", 1) == getattr(original, "n_frames", 1)
        assert len(answer.content) == image["bytes_after"] <= image["bytes_before"] == len(source)
        assert answer.headers["Content-Type"] == Image.MIME[original.format]
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_csv_database_s3_and_webhook_agree(finished):
    client, request_id, images, job = (finished[name] for name in ("client", "request_id", "images", "job"))
    by_row = {
        number: [i for i in images if i["row_number"] == number] for number in range(1, len(finished["rows"]) + 1)
    }
    for number, row in enumerate(finished["rows"], start=1):
        urls = [image["image_url"] or "" for image in by_row[number]]
        assert row["Output Image Urls"] == ",".join(urls)
        assert int(row["Bytes After"]) == sum(i["bytes_after"] or 0 for i in by_row[number])
    stored = client.aws("s3").list_objects_v2(Bucket=client.info.bucket, Prefix=f"images/{request_id}/")
    in_database = client.query(
        "SELECT DISTINCT object_key, bytes_after FROM compressed_images WHERE request_id = %s AND status = 'COMPLETED'",
        request_id,
    )
    assert sorted((o["Key"], o["Size"]) for o in stored["Contents"]) == sorted(in_database)
    event = json.loads(finished["webhook"].body)
    for name in (
        "images",
        "images_completed",
        "images_failed",
        "images_unchanged",
        "rows",
        "bytes_before",
        "bytes_after",
        "result_url",
    ):
        assert event[name] == job[name]
    assert (job["images_completed"], job["images_failed"]) == (len(PICTURES) + 1, 1)
    assert job["images_unchanged"] == [image["outcome"] for image in images].count("unchanged")
    assert job["bytes_after"] == sum(i["bytes_after"] or 0 for i in images) < job["bytes_before"]


def test_the_finished_csv_keeps_the_users_cells_and_says_what_failed(finished):
    first, last = finished["rows"][0], finished["rows"][-1]

    assert first["Product Name"] == f'Vase, "{PICTURES[0]}"'
    assert (first["Status"], first["Error"]) == ("COMPLETED", "")
    assert last["Product Name"] == "'=1+1"
    assert last["Status"] == "PARTIAL"
    assert last["Error"].startswith("image 2: ")
    assert last["Output Image Urls"].endswith(",")


def test_the_webhook_is_signed_and_recorded(finished):
    webhook, client = finished["webhook"], finished["client"]

    event = Webhook(client.info.webhook_secret).verify(webhook.body, webhook.headers)

    assert (event["request_id"], event["status"]) == (finished["request_id"], "COMPLETED")
    assert event["message"].startswith("CSV and image processing completed")
    delivery = "SELECT event_id, attempt, status_code, outcome FROM webhook_delivery WHERE request_id = %s"
    until(lambda: client.query(delivery, finished["request_id"]))
    assert client.query(delivery, finished["request_id"]) == [(webhook.headers["webhook-id"], 1, 204, "delivered")]


def test_a_transient_answer_delays_a_job_and_does_not_fail_it(client, shop):
    busy = says(http_answer(status="503 Service Unavailable"))
    shop.answers["/busy.jpg"] = [busy, busy, busy, busy, says(http_answer((SAMPLES / "vase.jpg").read_bytes()))]

    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/busy.jpg')}\n")

    assert client.ended(request_id, 60)["status"] == "COMPLETED"


def test_a_job_without_one_good_image_fails_and_says_so_to_its_webhook(client, shop):
    sheet = f"{HEADER}1,Vase,{shop.url('/gone.jpg')}\n2,Lamp\n3,Jug,http://169.254.169.254/latest/meta-data\n"

    request_id = client.upload(sheet, webhook_url=shop.url("/hooks/failed"))

    job = client.ended(request_id)
    assert (job["status"], job["images_failed"], job["rows_failed"]) == ("FAILED", 2, 1)
    (webhook,) = until(lambda: shop.webhooks["/hooks/failed"])
    event = Webhook(client.info.webhook_secret).verify(webhook.body, webhook.headers)
    assert (event["status"], event["message"]) == ("FAILED", job["error_message"])
    statuses = [row["Status"] for row in csv.DictReader(io.StringIO(client.finished_csv(request_id)))]
    assert statuses == ["FAILED"] * 3


def test_a_refused_webhook_is_sent_again_with_the_same_id_and_a_new_signature(client, shop):
    shop.answers["/hooks/flaky"] = [says(http_answer(status="500 Oops")), says(http_answer(status="200 OK"))]

    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n", webhook_url=shop.url("/hooks/flaky"))

    attempts = "SELECT attempt, status_code, outcome FROM webhook_delivery WHERE request_id = %s ORDER BY attempt"
    until(lambda: len(client.query(attempts, request_id)) == 2)
    assert client.query(attempts, request_id) == [(1, 500, "retry"), (2, 200, "delivered")]
    first, second = shop.webhooks["/hooks/flaky"]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    for webhook in (first, second):
        Webhook(client.info.webhook_secret).verify(webhook.body, webhook.headers)


def test_a_wrong_sheet_is_refused_at_once_and_leaves_no_job(client):
    before = client.query("SELECT count(*) FROM job_request")

    answer = client.request("POST", "/upload", files={"file": ("products.csv", HEADER + '1,"Vase\n')})

    assert answer.status_code == 400
    assert answer.json()["code"] == "sheet_invalid"
    assert "ine 2" in answer.json()["message"]
    assert client.query("SELECT count(*) FROM job_request") == before
