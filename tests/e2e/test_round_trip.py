"""Shops' own exports: uploaded as they are, and handed back for an import that changes nothing but the pictures."""

import csv
import io
import re
from pathlib import Path

import pytest
import requests

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
