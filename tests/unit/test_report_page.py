"""The report's page: complete, well-formed, without scripts, and harmless whatever a sheet says."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from imagejobs.errors import ImageError
from imagejobs.report_page import REASONS, Compared, Embedded, NearDuplicates, Report, write_page

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>' & \u202eevil\x00"
VOID = {"meta", "img"}
JOB: dict[str, Any] = {
    "request_id": "3f0c9e5e-6f0a-4d7e-9d57-4b1e8c2a9d10",
    "status": "COMPLETED",
    "error_message": None,
    "created_at": datetime(2026, 11, 23, 6, 13, tzinfo=UTC),
    "rows_total": 2,
    "rows_failed": 1,
    "images_total": 1_234,
    "images_completed": 1_200,
    "images_failed": 34,
    "images_unchanged": 5,
    "bytes_before": 2_000_000_000,
    "bytes_after": 500_000_000,
}
IMAGE: dict[str, Any] = {
    "row_number": 7,
    "position": 2,
    "product_name": "Vase",
    "source_url": "https://shop.example/vase.jpg?token=secret",
    "image_url": "https://images.example/images/a/7-2-0123456789abcdef.jpg",
    "format": "jpeg",
    "outcome": "smaller",
    "width": 1200,
    "height": 1500,
    "bytes_before": 200_000,
    "bytes_after": 50_000,
    "score": None,
}
FAILED = {**IMAGE, "error_code": "origin_refused", "error_message": "The origin answered 404.", "images": 34}
PICTURE = Embedded("image/jpeg", b"\xff\xd8\xff")
NONE_ALIKE = NearDuplicates([], [], 0, is_complete=True)
EMPTY = Report(JOB, datetime(2026, 11, 23, 7, tzinfo=UTC), [], [], [], [], [], [], NONE_ALIKE, [], [])
FULL = replace(
    EMPTY,
    formats=[{"format": "jpeg", "images": 1_200, "images_unchanged": 5, "bytes_before": 2e9, "bytes_after": 5e8}],
    most_saved=[Compared(IMAGE, PICTURE, PICTURE)],
    least_saved=[Compared({**IMAGE, "product_name": "Mug"}, "The origin answered 404.", PICTURE)],
    lowest_scores=[Compared({**IMAGE, "score": 75.25}, PICTURE, PICTURE)],
    failures=[FAILED],
    row_errors=[{"row_number": 7, "error_message": "Row 7 (line 9) names no image.", "rows": 12}],
    near_duplicates=NearDuplicates([[IMAGE, IMAGE]], [9], 1_200, is_complete=False),
    low_resolution=[{**IMAGE, "width": 300, "images": 12, "images_refused": 3}],
    largest=[IMAGE],
)


class Page(HTMLParser):
    """What a browser makes of a page: its elements, its text, and whether each is closed where it must be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def hostile(value: Any) -> Any:
    """Every text in its place one that tries to get out of it."""
    if isinstance(value, dict):
        urls = {"source_url": f"https://shop.example/{HOSTILE}?token=secret", "image_url": f"https://x/{HOSTILE}"}
        return {k: urls.get(k, HOSTILE if isinstance(v, str) else v) for k, v in value.items()}
    return value


def test_the_page_tells_totals_failures_and_warnings():
    text = Page(write_page(FULL)).text

    for told in (
        "bytes saved 75 %",
        "before 2.0 GB",
        "after 500 MB",
        "images done 1,200 of 1,234",
        "images failed 34",
        "rows that could not be used 1",
        "Rows that could not be used: 12 rows",
        "row 7 Row 7 (line 9) names no image.",
        "The shop's server answered that there is no such image, or refused it: 34 images",
        "The first 1 of 34, code origin_refused",
        "row 7, image 2",
        "https://shop.example/vase.jpg",
        "Not shown: The origin answered 404.",
        "score 75.2",
        "Group 1: 9 pictures, the first 2",
        "there may be groups that were not found",
        "12 pictures, 3 of them below 500:",
        "300 × 1500",  # noqa: RUF001
    ):
        assert told in text, told


def test_a_job_with_nothing_to_tell_says_so():
    refused = {**JOB, "status": "FAILED", "error_message": "Line 2 has no end.", "rows_total": None}
    nothing = dict.fromkeys(("images_total", "rows_total"))
    zeros = dict.fromkeys(("images_completed", "images_failed", "images_unchanged", "bytes_before", "bytes_after"), 0)

    text = Page(write_page(replace(EMPTY, job={**refused, **nothing, **zeros}))).text

    assert "Failed. Line 2 has no end." in text
    assert "No image was completed." in text
    assert "No image failed." in text


@pytest.mark.parametrize("report", [EMPTY, FULL], ids=["empty", "full"])
def test_the_page_stands_alone_and_runs_nothing(report):
    page = Page(write_page(report))
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")

    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert {"script", "link", "iframe", "form", "object", "embed"} & {tag for tag, _ in page.elements} == set()
    assert all((img["src"] or "").startswith("data:image/") for img in page.all("img"))
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "url(" not in write_page(report)


def test_what_a_sheet_says_stays_text():
    made = replace(
        FULL,
        job={**JOB, "error_message": HOSTILE},
        most_saved=[Compared(hostile(IMAGE), HOSTILE, PICTURE)],
        failures=[hostile(FAILED)],
        row_errors=[{"row_number": 7, "error_message": HOSTILE, "rows": 1}],
        near_duplicates=NearDuplicates([[hostile(IMAGE)] * 2], [2], 2, is_complete=True),
        low_resolution=[hostile(FULL.low_resolution[0])],
        largest=[hostile(IMAGE)],
    )

    page = Page(write_page(made))

    assert page.all("script") == []
    assert {tuple(img) for img in page.all("img")} == {("alt", "src")}
    assert {a["rel"] for a in page.all("a")} == {"noreferrer"}
    assert all((a["href"] or "").startswith("https://") for a in page.all("a"))
    assert not re.search("[\u202e\x00]", write_page(made))
    assert "secret" not in write_page(made)


def test_pictures_tables_and_headings_can_be_heard():
    page = Page(write_page(FULL))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]

    assert page.all("html") == [{"lang": "en"}]
    assert all(re.match("(Before|After): .", img["alt"] or "") for img in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) > 4
    assert all(th["scope"] == "col" for th in page.all("th"))
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_code_of_an_image_has_a_sentence():
    def below(error: type) -> set[type]:
        return {error}.union(*(below(kind) for kind in error.__subclasses__()))

    codes = {error.code for error in below(ImageError) if error.__module__ == "imagejobs.errors"}

    assert set(REASONS) == codes - {ImageError.code}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (100, 100, "0 %"),
        (1_000_000, 999_999, "0.00 %"),
        (1_000, 996, "0.40 %"),
        (200, 50, "75 %"),
        (1_000, 3, "99.70 %"),
    ],
)
def test_a_share_is_never_rounded_to_a_whole_that_it_is_not(before, after, said):
    image = {**IMAGE, "bytes_before": before, "bytes_after": after}

    assert f"{said} saved" in write_page(replace(EMPTY, most_saved=[Compared(image, PICTURE, PICTURE)]))


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (999_999, "1.0 MB"),
        (25 * 10**9, "25.0 GB"),
    ],
)
def test_bytes_are_told_to_three_digits_or_so(count, said):
    image = {**IMAGE, "bytes_after": count, "bytes_before": count or 1}

    assert f"After, {said}" in write_page(replace(EMPTY, most_saved=[Compared(image, PICTURE, PICTURE)]))
