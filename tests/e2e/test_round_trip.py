"""Shops' own exports, handed back for an import that changes nothing but the pictures; and what failed, corrected."""

import csv
import io
import re
from pathlib import Path

import pytest
import requests

from tests.e2e.customer import HEADER, until

SHEETS = Path(__file__).parents[1] / "sheets"


@pytest.mark.parametrize("preset", ["shopify", "woocommerce"])
def test_an_export_comes_back_with_pictures_of_this_service(client, shop, preset):
    text = (SHEETS / f"{preset}.csv").read_text(encoding="utf-8")
    # Without the export's own queries: a deployed stack's shop signs its links by theirs.
    text = re.sub(r"\{shop\}(/[a-z-]+\.[a-z]+)(\?v=\d+)?", lambda found: shop.url(found[1]), text)
    request_id = client.upload(text, preset=preset)
    job = client.ended(request_id)

    finished = client.finished_csv(request_id)

    new_urls = {image["source_url"]: image["image_url"] for image in client.images(request_id)}
    assert (job["status"], job["images_failed"], job["rows_failed"]) == ("COMPLETED", 0, 0)
    assert job["sheet"]["url_separators"] == ([","] if preset == "woocommerce" else [])
    expected = text
    for url in sorted(new_urls, key=len, reverse=True):
        expected = expected.replace(url, new_urls[url])
    assert _table(finished) == _table(expected)
    assert len(new_urls) == len({requests.get(url, timeout=30).content for url in new_urls.values()})


def _table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_what_failed_is_corrected_and_merged_into_the_same_job(client, shop):
    gone, good = shop.url("/lmap.jpg"), shop.url("/lamp.jpg")
    request_id = client.upload(f"{HEADER}1,Vase,{shop.url('/vase.jpg')}\n2,Lamp,{gone}\n3,Jug,\n")
    before = client.ended(request_id)
    link = client.request("GET", f"/job/{request_id}/failures.csv").headers["Location"]
    failures = requests.get(link, timeout=30).content.decode()

    corrected = failures.replace(gone, good).replace("Jug,", f"Jug,{shop.url('/jug.jpg')}")
    for _ in range(2):
        answer = client.request("POST", f"/job/{request_id}/retry", files={"file": ("failures.csv", corrected)})
        assert (answer.status_code, answer.json()["generation"]) == (202, 2), answer.text
    job = until(lambda: (found := client.ended(request_id))["generation"] == 2 and found)

    assert (before["images"], before["images_failed"], before["rows_failed"]) == (2, 1, 1)
    assert before["failures_url"] == f"{client.api_url}/job/{request_id}/failures.csv"
    assert (job["images"], job["images_completed"], job["rows_failed"], job["failures_url"]) == (3, 3, 0, None)
    rows = _table(client.finished_csv(request_id))
    assert [row[2] for row in rows[1:]] == [shop.url("/vase.jpg"), good, shop.url("/jug.jpg")]
    assert {row[4] for row in rows[1:]} == {"COMPLETED"}
    assert all(requests.get(row[3], timeout=30).status_code == 200 for row in rows[1:])
    assert client.request("GET", f"/job/{request_id}/failures.csv").status_code == 404
