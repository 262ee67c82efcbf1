"""Step `finalize`: what a preflight says of an image, and of a sheet as a whole. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from imagejobs.estimate import Estimate, Seen
from imagejobs.options import CompressionOptions

SMALL_SIDE_PIXELS = 250
"""Google takes no picture of clothes that is smaller, and of other goods none under 100 (Merchant Center's image_link).
https://support.google.com/merchants/answer/6324350"""

LARGE_PIXELS = 20_000_000
"""Shopify's limit is 4472 by 4472 or 5000 by 5000 pixels, by whom one asks."""

LARGE_BYTES = 16_000_000
"""Google's limit, on the same page; Shopify's is 20 MB."""

SMALL, LARGE = "small", "large"


def warnings_of(seen: Seen) -> dict[str, str]:
    """What is odd about an image that can be compressed, a sentence for each kind of it."""
    found = {}
    if min(seen.width, seen.height) < SMALL_SIDE_PIXELS:
        found[SMALL] = f"small: a side has under {SMALL_SIDE_PIXELS} pixels"
    if seen.pixels > LARGE_PIXELS:
        found[LARGE] = f"large: over {LARGE_PIXELS // 10**6} megapixels"
    elif seen.bytes > LARGE_BYTES:
        found[LARGE] = f"large: over {LARGE_BYTES // 10**6} MB"
    return found


class Summary:
    """What a preflight found, counted image by image.

    Args:
        options: How the images would be compressed.
    """

    def __init__(self, options: CompressionOptions) -> None:
        self._images = 0
        self._repeated = 0
        self._reused = 0
        self._failures: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._images_by_format: Counter[str] = Counter()
        self._bytes_by_format: Counter[str] = Counter()
        self._estimate = Estimate(options)

    def add(self, image: Mapping[str, Any]) -> None:
        """Count an image, a row of `compressed_images` that is done."""
        is_repeated = image["same_as_row_number"] is not None
        self._images += 1
        self._repeated += is_repeated
        if image["error_code"]:
            self._failures[image["error_code"]] += 1
            return
        is_reused = image["reused"] is not None
        self._reused += is_reused
        seen = seen_of(image)
        self._images_by_format[seen.format] += 1
        self._bytes_by_format[seen.format] += seen.bytes
        self._warnings.update(warnings_of(seen).keys())
        self._estimate.add(seen, is_free=is_repeated or is_reused)

    def counted(self, images: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same images, each counted as it goes by."""
        for image in images:
            self.add(image)
            yield image

    def document(self, rows: int, concurrency: int) -> dict[str, Any]:
        """As the status and the webhook have it.

        Args:
            rows: Of the sheet.
            concurrency: Environments of `compress` that the stack may run at once.
        """
        return {
            "rows": rows,
            "images": self._images,
            "images_failed_by_code": dict(self._failures),
            "images_reused": self._reused,
            "duplicates": self._repeated,
            "warnings": {kind: self._warnings[kind] for kind in (SMALL, LARGE)},
            "bytes_before": self._bytes_by_format.total(),
            "formats": {
                name: {"images": images, "bytes": self._bytes_by_format[name]}
                for name, images in self._images_by_format.items()
            },
            "estimate": {
                "bytes_after": self._estimate.bytes_after,
                "seconds": self._estimate.seconds(rows, concurrency),
                "usd": self._estimate.usd(rows),
            },
        }


def seen_of(image: Mapping[str, Any]) -> Seen:
    """What was seen of an image that did not fail."""
    return Seen(image["format"], image["width"], image["height"], image["bytes_before"])
