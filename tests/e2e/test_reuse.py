"""A delta run over HTTP: the same sheet on two days, one picture changed in between; today with human URLs."""

import csv
import io
from uuid import uuid4

import requests

from tests.e2e.customer import HEADER
from tests.e2e.shops import SAMPLES


def test_of_yesterdays_sheet_only_what_changed_is_worked_on(client, shop):
    folder = f"/{uuid4()}"  # on a stack that is kept, those of an earlier run are known
    paths = [f"{folder}-vase.jpg", f"{folder}-lamp.jpg"]
    for path, sample in zip(paths, ("vase.jpg", "lamp.jpg"), strict=True):
        shop.put(path, (SAMPLES / sample).read_bytes() + path.encode())
    sheet = HEADER + "".join(f"{number},Product,{shop.url(path)}\n" for number, path in enumerate(paths, start=1))
    yesterday = client.upload(sheet, reuse="true")
    assert client.ended(yesterday)["images_reused"] == 0
    shop.put(paths[1], (SAMPLES / "jug.jpg").read_bytes() + folder.encode())

    today = client.upload(sheet, reuse="true", human_urls="true")
    job = client.ended(today)

    (vase_before, lamp_before), (vase, lamp) = client.images(yesterday), client.images(today)
    assert (job["status"], job["images_completed"], job["images_reused"]) == ("COMPLETED", 2, 1)
    assert (vase["reused"], lamp["reused"]) == ("not_modified", None)
    assert vase["image_url"] == vase_before["image_url"]
    assert lamp["image_url"] != lamp_before["image_url"]
    assert {requests.get(each["image_url"], timeout=30).status_code for each in (vase, lamp, lamp_before)} == {200}
    for number, image in enumerate((vase, lamp), start=1):
        assert f"/images/{today}/{number}/1." in image["human_url"]
        copy = requests.get(image["human_url"], timeout=30)
        assert copy.headers["Cache-Control"] == "public, max-age=300"
        assert copy.content == requests.get(image["image_url"], timeout=30).content
    rows = csv.DictReader(io.StringIO(client.finished_csv(today), newline=""))
    assert [(row["Images Reused"], row["Human Image Urls"]) for row in rows] == [
        ("1", vase["human_url"]),
        ("0", lamp["human_url"]),
    ]
