"""The main path over HTTP: a CSV in; compressed images and the finished CSV out, all agreeing."""

import csv
import io

import pytest
import requests
from PIL import Image, ImageOps

from tests.e2e.customer import HEADER, until
from tests.e2e.shops import SAMPLES, sample_of
from tests.unit.fetch_helpers import http_answer, says

PICTURES = sorted(path.name for path in SAMPLES.iterdir() if path.suffix in {".jpg", ".png", ".webp", ".gif"})


@pytest.fixture(scope="module")
def finished(shop, client):
    """One job over every sample picture and one that is missing, followed to its end."""
    rows = [f'{n},"Vase, ""{name}""",{shop.url("/" + name)}\n' for n, name in enumerate(PICTURES, start=1)]
    rows.append(f'{len(rows) + 1},=1+1,"{shop.url("/vase.jpg")}, {shop.url("/no-such.jpg")}"\n')
    request_id = client.upload(HEADER + "".join(rows))
    seen = []

    def ended():
        seen.append(client.status(request_id))
        return seen[-1]["status"] in {"COMPLETED", "FAILED"}

    until(ended)
    return {
        "client": client,
        "request_id": request_id,
        "seen": seen,
        "job": seen[-1],
        "images": client.images(request_id),
        "rows": list(csv.DictReader(io.StringIO(client.finished_csv(request_id), newline=""))),
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
        source = sample_of(image["source_url"])
        answer = requests.get(image["image_url"], timeout=30)
        original, output = Image.open(io.BytesIO(source)), Image.open(io.BytesIO(answer.content))
        output.load()
        assert output.size == ImageOps.exif_transpose(original).size == (image["width"], image["height"])
        assert getattr(output, "n_frames", 1) == getattr(original, "n_frames", 1)
        assert len(answer.content) == image["bytes_after"] <= image["bytes_before"] == len(source)
        assert answer.headers["Content-Type"] == Image.MIME[original.format]
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_status_images_csv_and_s3_agree(finished):
    client, request_id, images, job = (finished[name] for name in ("client", "request_id", "images", "job"))
    by_row = {
        number: [i for i in images if i["row_number"] == number] for number in range(1, len(finished["rows"]) + 1)
    }
    for number, row in enumerate(finished["rows"], start=1):
        urls = [image["image_url"] or "" for image in by_row[number]]
        assert row["Output Image Urls"] == ",".join(urls)
        assert int(row["Bytes After"]) == sum(i["bytes_after"] or 0 for i in by_row[number])
    listed = client.aws("s3").list_objects_v2(Bucket=client.bucket, Prefix=f"images/{request_id}/")["Contents"]
    stored = {f"/{described['Key']}": described["Size"] for described in listed}
    completed = [image for image in images if image["status"] == "COMPLETED"]
    assert stored == {i["image_url"][i["image_url"].index("/images/") :]: i["bytes_after"] for i in completed}
    assert (job["images_completed"], job["images_failed"]) == (len(completed), 1)
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


def test_soon_after_there_is_a_report_that_stands_alone(finished):
    client, request_id = finished["client"], finished["request_id"]
    until(lambda: client.status(request_id)["report_url"])

    redirect = client.request("GET", f"/job/{request_id}/report.html")
    answer = requests.get(redirect.headers["Location"], timeout=30)  # without the token

    assert redirect.status_code == 303
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.text.count('src="data:image/') == answer.text.count("<img ") >= 2 * len(PICTURES) - 2
    assert "refused it: 1 image" in answer.text
    assert "no-such.jpg" in answer.text


@pytest.mark.local
def test_a_transient_answer_delays_a_job_and_does_not_fail_it(client, shop):
    busy = says(http_answer(status="503 Service Unavailable"))
    shop.answers["/busy.jpg"] = [busy, busy, busy, busy, says(http_answer((SAMPLES / "vase.jpg").read_bytes()))]

    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/busy.jpg')}\n")

    assert client.ended(request_id)["status"] == "COMPLETED"


def test_a_large_sheet_goes_to_s3_by_a_form_that_takes_that_one_file(client, shop):
    """As a page does it: the form's fields, then the file."""
    opened = client.request("POST", "/uploads", json={"format": "webp"}).json()
    sheet = f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n"

    def send(body, **changed):
        return requests.post(opened["url"], data={**opened["fields"], **changed}, files={"file": body}, timeout=30)

    assert send(sheet, key="uploads/another.csv").status_code == 403
    assert send("").status_code == 400
    assert send(sheet).status_code == 204
    assert send(HEADER).status_code == 204  # a second version, which changes nothing

    job = client.ended(opened["request_id"])
    assert (job["status"], job["rows"], job["images_completed"]) == ("COMPLETED", 1, 1)
    assert [image["format"] for image in client.images(opened["request_id"])] == ["webp"]


def test_a_wrong_sheet_is_refused_at_once(client):
    answer = client.request("POST", "/upload", files={"file": ("products.csv", HEADER + '1,"Vase\n')})

    assert answer.status_code == 400
    assert answer.json()["code"] == "sheet_invalid"
    assert "ine 2" in answer.json()["message"]
