"""A preflight over HTTP finds what the real run then finds, and leaves nothing behind but what it found."""

import csv
import io

from tests.e2e.customer import HEADER
from tests.e2e.shops import sample_of

PATHS = ("/vase.jpg", "/bottle.png", "/badge.webp", "/turntable.gif", "/teapot.jpg", "/products.csv", "/vase.jpg")


def test_a_preflight_finds_what_the_real_run_finds(client, shop):
    sheet = HEADER + "".join(f"{number},Product,{shop.url(path)}\n" for number, path in enumerate(PATHS, start=1))
    form = {"files": {"file": ("products.csv", sheet)}, "data": {"reuse": "false"}}
    answer = client.request("POST", "/preflight", **form)
    assert answer.status_code == 202, answer.text
    looked, done = answer.json()["request_id"], client.upload(sheet)

    job, found, came_to = client.ended(looked), client.images(looked), client.images(done) if client.ended(done) else []

    told = ("error_code", "error_message", "width", "height", "bytes_before")
    assert [[image[name] for name in told] for image in found] == [[image[name] for name in told] for image in came_to]
    assert {image["outcome"] for image in found if not image["error_code"]} == {"checked"}
    assert {image["image_url"] for image in found} == {None}
    listed = client.aws("s3").list_objects_v2(Bucket=client.bucket, Prefix=f"images/{looked}/")
    assert listed["KeyCount"] == 0
    summary = job["preflight"]
    assert (job["status"], job["images_completed"], job["bytes_after"]) == ("COMPLETED", 5, 0)
    assert (summary["duplicates"], sum(summary["images_failed_by_code"].values())) == (1, 2)
    sizes = {path: len(sample_of(path)) for path in PATHS[:4]}
    assert summary["formats"]["jpeg"] == {"images": 2, "bytes": 2 * sizes["/vase.jpg"]}
    assert job["bytes_before"] == summary["bytes_before"] == sum(sizes.values()) + sizes["/vase.jpg"]
    assert 0 < summary["estimate"]["bytes_after"] < summary["bytes_before"]
    rows = list(csv.DictReader(io.StringIO(client.finished_csv(looked), newline="")))
    assert [row["Format"] for row in rows] == ["jpeg", "png", "webp", "gif", "", "", "jpeg"]
    assert [row["Duplicate of Row"] for row in rows] == ["", "", "", "", "", "", "1"]
