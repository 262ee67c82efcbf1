"""Step `report`: the page itself, HTML without scripts in one file that fetches nothing. Pure.

What is told comes from strangers' sheets: every text goes through `_text`, every URL is shown without its query.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from itertools import groupby
from typing import Any

from imagejobs.addresses import shown_url
from imagejobs.report_style import STYLE

SMALL_SIDE = 800
"""Pixels of the shorter side below which Shopify's themes do not let a picture be enlarged; it recommends 2,048:
https://help.shopify.com/en/manual/products/product-media/product-media-types."""

REFUSED_SIDE = 500
"""Pixels of the shorter side that Google Merchant Center asks of every product from 31 January 2027 on; it was 250 for
clothes and 100 for all else: https://support.google.com/merchants/answer/6324350."""

MAX_NAME_CHARACTERS = 120

# Why images failed, for who has never read the API's description.
REASONS = {
    "url_refused": "The URL is not one that can be contacted",
    "origin_refused": "The shop's server answered that there is no such image, or refused it",
    "origin_unavailable": "The shop's server did not answer, or only with errors",
    "image_too_large": "Too many bytes, pixels or frames",
    "image_unreadable": "Empty, cut off or damaged",
    "format_unsupported": "Not a JPEG, PNG, WebP or GIF",
    "codec_failed": "Could not be decoded in the time and memory there is for one image",
    "image_abandoned": "Given up after several attempts",
    "cancelled": "The job was cancelled before it was their turn",
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A small picture that the page carries.

    Attributes:
        content_type: Such as "image/jpeg"; one of ours, never a stranger's.
        body: The file.
    """

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Compared:
    """An image before and after.

    Attributes:
        image: Its row.
        before: The original, or why it cannot be shown.
        after: What it became, or why that cannot be shown.
    """

    image: Row
    before: Embedded | str
    after: Embedded | str


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Images that look alike.

    Attributes:
        groups: The first images of the first groups.
        sizes: Of all groups.
        compared: Images that were.
        is_complete: Whether all were that could be.
    """

    groups: Sequence[Sequence[Row]]
    sizes: Sequence[int]
    compared: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What the page tells.

    Attributes:
        job: Its row.
        written_at: Now.
        formats: What came out: a row a format.
        most_saved: The best images.
        least_saved: The worst ones.
        lowest_scores: Those that look least like their originals, where that was measured.
        failures: The first images of each reason, together, the most frequent one first.
        row_errors: The first rows that could not be used, with the number of all such.
        near_duplicates: Images that look alike.
        low_resolution: The smallest images, with the number of all such.
        largest: The heaviest files.
    """

    job: Row
    written_at: datetime
    formats: Sequence[Row]
    most_saved: Sequence[Compared]
    least_saved: Sequence[Compared]
    lowest_scores: Sequence[Compared]
    failures: Sequence[Row]
    row_errors: Sequence[Row]
    near_duplicates: NearDuplicates
    low_resolution: Sequence[Row]
    largest: Sequence[Row]


def write_page(report: Report) -> str:
    """The page, as HTML that stands alone."""
    return "\n".join(_page(report)) + "\n"


def _page(report: Report) -> Iterable[str]:
    title = f"Image report {_text(report.job['request_id'])}"
    yield "<!doctype html>"
    yield '<html lang="en">'
    yield '<head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield """<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">"""
    yield '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
    yield f"<title>{title}</title>"
    yield f"<style>{STYLE}</style></head>"
    yield "<body><main>"
    yield from _head(report)
    yield from _formats(report)
    yield from _pictures(
        "Most bytes saved", "The pictures that gained most.", report.most_saved, "No picture became smaller."
    )
    yield from _pictures(
        "Least saved",
        "The pictures that kept the largest share of their bytes, the heaviest first: compressed well before, or of a "
        "kind that only another format makes smaller.",
        report.least_saved,
        "No further pictures.",
    )
    if report.lowest_scores:
        scale = "100 is the same picture, 80 hard to tell apart side by side, 70 good for the web (SSIMULACRA2)."
        yield from _pictures("Lowest quality", scale, report.lowest_scores, "")
    yield from _failures(report)
    yield from _near_duplicates(report.near_duplicates)
    yield from _low_resolution(report.low_resolution)
    yield from _largest(report.largest)
    yield f"</main><footer><p>Written {_moment(report.written_at)}. Pictures are shown small; URLs without their query."
    yield "</p></footer></body></html>"


def _head(report: Report) -> Iterable[str]:
    job = report.job
    yield "<header><h1>Image report</h1>"
    yield f'<p class="quiet">Job <code>{_text(job["request_id"])}</code>, begun {_moment(job["created_at"])}</p>'
    state = "Completed" if job["status"] == "COMPLETED" else "Failed"
    if job["error_message"]:
        yield f'<p class="notice"><strong>{state}.</strong> {_text(job["error_message"])}</p>'
    tiles = {
        "bytes saved": _share(job["bytes_before"], job["bytes_after"]) if job["images_completed"] else "&ndash;",
        "before": _bytes(job["bytes_before"]),
        "after": _bytes(job["bytes_after"]),
        "images done": f"{_number(job['images_completed'])} of {_number(job['images_total'])}",
        "images failed": _number(job["images_failed"]),
        "kept as is": _number(job["images_unchanged"]),
        "rows": _number(job["rows_total"]),
        "rows that could not be used": _number(job["rows_failed"]),
    }
    yield '<dl class="tiles">'
    yield from (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles.items())
    yield "</dl></header>"


def _formats(report: Report) -> Iterable[str]:
    rows = [
        (
            _text(row["format"].upper()),
            _number(row["images"]),
            _number(row["images_unchanged"]),
            _bytes(row["bytes_before"]),
            _bytes(row["bytes_after"]),
            _share(row["bytes_before"], row["bytes_after"]),
        )
        for row in report.formats
    ]
    yield from _section("What came out", "", bool(rows), "No image was completed.")
    columns = ("Format", "#Images", "#Kept as is", "#Bytes before", "#Bytes after", "#Saved")
    yield from _table("Images by the format that they have now", columns, rows)
    yield "</section>"


def _pictures(heading: str, lead: str, compared: Sequence[Compared], without: str) -> Iterable[str]:
    yield from _section(heading, lead, bool(compared), without)
    yield '<div class="pairs">'
    yield from (line for each in compared for line in _pair(each))
    yield "</div></section>"


def _pair(compared: Compared) -> Iterable[str]:
    image = compared.image
    name = _name(image)
    score = f", score {image['score']:.1f}" if image["score"] is not None else ""
    saved = _share(image["bytes_before"], image["bytes_after"])
    after = f"{_text(image['format'].upper())}, {_pixels(image)}"
    yield '<figure class="pair">'
    yield f"<figcaption><strong>{name}</strong> <span>{_where(image)}: {saved} saved{score}</span></figcaption>"
    yield '<div class="sides">'
    yield from _side(f"Before: {name}", compared.before, f"Before, {_bytes(image['bytes_before'])}")
    yield from _side(f"After: {name}", compared.after, f"After, {_bytes(image['bytes_after'])} ({after})")
    yield f'</div><p class="url">{_text(shown_url(image["source_url"]))}</p></figure>'


def _side(alt: str, picture: Embedded | str, caption: str) -> Iterable[str]:
    if isinstance(picture, Embedded):
        data = base64.b64encode(picture.body).decode()
        shown = f'<img alt="{alt}" src="data:{picture.content_type};base64,{data}">'
    else:
        shown = f'<p class="missing">Not shown: {_text(picture)}</p>'
    yield f'<div class="side">{shown}<p class="caption">{caption}</p></div>'


def _failures(report: Report) -> Iterable[str]:
    yield from _section("Failures", "", bool(report.failures or report.row_errors), "No image failed.")
    for code, group in groupby(report.failures, key=lambda image: image["error_code"]):
        first = list(group)
        reason, total = REASONS.get(code, "Failed"), first[0]["images"]
        yield f"<h3>{_text(reason)}: {_count(total, 'image')}</h3>"
        rows = [(_where(i), _name(i), _text(shown_url(i["source_url"])), _text(i["error_message"])) for i in first]
        shown = f"The first {len(first)} of {_number(total)}" if total > len(first) else "All of them"
        yield from _table(f"{shown}, code <code>{_text(code)}</code>", ("Row", "Product", "URL", "Why"), rows)
    yield from _row_errors(report.row_errors)
    yield "</section>"


def _row_errors(errors: Sequence[Row]) -> Iterable[str]:
    if not errors:
        return
    total = errors[0]["rows"]
    yield f"<h3>Rows that could not be used: {_count(total, 'row')}</h3>"
    shown = f"The first {len(errors)} of {_number(total)}" if total > len(errors) else "All of them"
    rows = [(f"row {_number(each['row_number'])}", _text(each["error_message"])) for each in errors]
    yield from _table(shown, ("Row", "Why"), rows)


def _near_duplicates(found: NearDuplicates) -> Iterable[str]:
    lead = f"{_count(found.compared, 'picture')} compared by what they look like, whatever their size and format" + (
        "." if found.is_complete else "; the job has more, and there may be groups that were not found."
    )
    yield from _section("Nearly the same pictures", lead, bool(found.groups), "No two look alike.")
    if len(found.sizes) > len(found.groups):
        yield f"<p>The first {len(found.groups)} of {_number(len(found.sizes))} groups:</p>"
    for number, (group, size) in enumerate(zip(found.groups, found.sizes, strict=False), start=1):
        shown = f", the first {len(group)}" if size > len(group) else ""
        rows = [(_where(i), _name(i), _link(i), _pixels(i), _bytes(i["bytes_after"])) for i in group]
        columns = ("Row", "Product", "Image", "#Pixels", "#Bytes")
        yield from _table(f"Group {number}: {_number(size)} pictures{shown}", columns, rows)
    yield "</section>"


def _low_resolution(images: Sequence[Row]) -> Iterable[str]:
    lead = (
        f"Below {SMALL_SIDE} by {SMALL_SIDE} pixels, Shopify's themes do not zoom; below {REFUSED_SIDE} by "
        f"{REFUSED_SIDE}, Google Merchant Center refuses pictures from 31 January 2027 on. What your own "
        "<code>max_width</code> or <code>max_height</code> made small is not listed."
    )
    yield from _section("Low resolution", lead, bool(images), "No picture is that small.")
    if images:
        total, refused = images[0]["images"], images[0]["images_refused"]
        yield f"<p>{_count(total, 'picture')}, {_number(refused)} of them below {REFUSED_SIDE}:</p>"
    rows = [(_where(i), _name(i), _link(i), _pixels(i)) for i in images]
    yield from _table("The smallest pictures", ("Row", "Product", "Image", "#Pixels"), rows)
    yield "</section>"


def _largest(images: Sequence[Row]) -> Iterable[str]:
    yield from _section("Largest files", "What a visitor of the shop waits for longest.", bool(images), "No images.")
    rows = [
        (
            _where(i),
            _name(i),
            _link(i),
            _pixels(i),
            _bytes(i["bytes_after"]),
            _share(i["bytes_before"], i["bytes_after"]),
        )
        for i in images
    ]
    columns = ("Row", "Product", "Image", "#Pixels", "#Bytes", "#Saved")
    yield from _table("The largest files that came out", columns, rows)
    yield "</section>"


def _section(heading: str, lead: str, has_content: bool, without: str) -> Iterable[str]:  # noqa: FBT001 read as a sentence
    yield f"<section><h2>{heading}</h2>"
    if has_content and lead:
        yield f'<p class="quiet">{lead}</p>'
    if not has_content:
        yield f"<p>{without}</p>"


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Cells are HTML already; columns that begin with # hold numbers."""
    if not rows:
        return
    kinds = [' class="number"' if column.startswith("#") else "" for column in columns]
    heads = [f'<th scope="col"{kind}>{c.removeprefix("#")}</th>' for c, kind in zip(columns, kinds, strict=True)]
    yield f'<div class="table"><table><caption>{caption}</caption><thead><tr>{"".join(heads)}</tr></thead><tbody>'
    for row in rows:
        yield f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>"
    yield "</tbody></table></div>"


def _text(value: object) -> str:
    """Any text as HTML; without what turns the direction of the text that follows, or cannot be seen."""
    return escape("".join(c for c in str(value) if c.isprintable() or c == " "))


def _name(image: Row) -> str:
    name = image["product_name"]
    if not name.strip():
        return "(without a name)"
    return _text(name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 1] + "…")


def _where(image: Row) -> str:
    place = f"row {_number(image['row_number'])}"
    return place if image["position"] == 1 else f"{place}, image {image['position']}"


def _pixels(image: Row) -> str:
    return f"{image['width']} &times; {image['height']}"


def _link(image: Row) -> str:
    return f'<a href="{_text(image["image_url"])}" rel="noreferrer">{_text(shown_url(image["source_url"]))}</a>'


def _moment(moment: datetime) -> str:
    return f'<time datetime="{moment.isoformat(timespec="seconds")}">{moment:%Y-%m-%d %H:%M} UTC</time>'


def _count(number: int, noun: str) -> str:
    return f"{_number(number)} {noun}" + ("" if number == 1 else "s")


def _number(number: int | None) -> str:
    return "&ndash;" if number is None else f"{number:,}"


def _bytes(count: int) -> str:
    """To three digits or so, in powers of a thousand."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size * 0.9995:
            amount = count / size
            return f"{amount:.{0 if amount >= 99.95 else 1}f} {unit}"
    return f"{count} bytes"


def _share(before: int, after: int) -> str:
    """What was saved; never rounded to a whole that it is not."""
    saved = 100 * (before - after) / before if before else 0.0
    return f"{saved:.0f} %" if saved in (0, 100) or 0.5 <= saved <= 99.5 else f"{saved:.2f} %"
