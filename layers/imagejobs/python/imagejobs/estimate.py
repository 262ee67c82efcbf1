"""Step `finalize`: what a real run would come to, by what a preflight knows of its images. Pure.

Every constant is measured, and what measures it again stands beside it. docs/performance.md says how far off they were.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, sqrt
from types import MappingProxyType

from imagejobs.options import CompressionOptions


@dataclass(frozen=True, slots=True)
class Seen:
    """What the start of an image says, and its length.

    Attributes:
        format: "jpeg", "png", "webp" or "gif".
        width: Columns as stored, in pixels.
        height: Rows as stored, in pixels.
        bytes: Of the whole file.
    """

    format: str
    width: int
    height: int
    bytes: int

    @property
    def pixels(self) -> int:
        """Of one frame."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Coding:
    """What becomes of a format.

    Attributes:
        ratio: Of the bytes after to those before where nothing is lost; else to `mean_of` the picture.
        cpu_ms: CPU milliseconds a megapixel; of a GIF, whose frames its start does not tell, a million bytes.
        is_lossy: Whether something is lost, so that quality counts.
    """

    ratio: float
    cpu_ms: float
    is_lossy: bool = True


# To RESIZING_POWER: `CORPUS=dir python -m benchmarks.estimate`; sums over the corpus, WebP's over the samples.
CODINGS: Mapping[tuple[str, str], Coding] = MappingProxyType(
    {
        ("jpeg", "keep"): Coding(0.151, 15),
        ("jpeg", "jpeg"): Coding(0.151, 15),
        ("jpeg", "webp"): Coding(0.138, 57),
        ("jpeg", "avif"): Coding(0.115, 41),
        ("jpeg", "auto"): Coding(0.115, 41),
        ("png", "keep"): Coding(0.969, 149, is_lossy=False),
        ("png", "jpeg"): Coding(0.106, 47),
        ("png", "webp"): Coding(0.107, 137),
        ("png", "avif"): Coding(0.091, 81),
        ("png", "auto"): Coding(0.088, 124),
        ("webp", "keep"): Coding(0.192, 173),
        ("webp", "jpeg"): Coding(0.213, 114),
        ("webp", "webp"): Coding(0.192, 173),
        ("webp", "avif"): Coding(0.198, 151),
        ("webp", "auto"): Coding(0.198, 159),
        ("gif", "keep"): Coding(1.0, 419, is_lossy=False),
        ("gif", "jpeg"): Coding(1.0, 422, is_lossy=False),
        ("gif", "webp"): Coding(0.260, 467, is_lossy=False),
        ("gif", "avif"): Coding(1.0, 403, is_lossy=False),
        ("gif", "auto"): Coding(0.260, 468, is_lossy=False),
    }
)
"""By what comes in and the format that is asked for."""

MAX_EFFORT_BYTES, MAX_EFFORT_CPU = 0.92, 2.6
"""Of a JPEG with `effort=max`, as multiples."""

BYTES_BY_QUALITY = (
    (1, 0.41),
    (20, 0.41),
    (40, 0.59),
    (60, 0.73),
    (70, 0.84),
    (80, 1.0),
    (90, 1.31),
    (95, 1.6),
    (100, 2.02),
)
"""Bytes of a lossy coding, those at 80 being 1; none was measured under 20."""

RESIZING_POWER = 0.83
"""Bytes of a smaller picture go with its pixels to this power."""

# docs/compression.md, "A floor of quality": without one, at 75 and at 85. Beyond that the line goes on.
BYTES_BY_FLOOR = ((75, 1.0), (85, 1.3), (100, 1.75))
CPU_BY_FLOOR = ((75, 3.5), (85, 9.7), (100, 19.0))

# docs/scaling.md, "A million images": the worker beside the codec, and the picture that this was measured with.
OUTSIDE_CODEC_MS = 6.8
WAITING_MS = 1.5
OUTSIDE_CODEC_BYTES = 472_000
# An origin of 150 ms that is asked for eight images at a time, as there: a shop's pictures lie on one host.
ORIGIN_MS = 150 / 8
# docs/scaling.md, "The model": `fan_out` and `write_result`.
ROW_MS = 0.39 + 0.14
ROWS_A_BATCH = 50
# `CORPUS=dir python -m benchmarks.preflight`: a sheet of one small image, from its upload to its end, on a warm stack.
JOB_SECONDS = 0.8

# benchmarks/prices.py, and what docs/scaling.md says there is of each: USD, list prices of us-east-1, arm64.
LAMBDA_GIGABYTES = 1769 / 1024
LAMBDA_USD_A_GIGABYTE_SECOND = 0.0000133334
NAT_USD_A_GIGABYTE = 0.045
STORAGE_USD_A_GIGABYTE = 0.023  # the compressed bytes, for a month
IMAGE_USD = 5.0e-6 + 0.7e-7  # a PUT, and its row in Postgres for a month
ROW_USD = 3 / 10 * 0.5e-6 + 0.2e-6 / ROWS_A_BATCH  # of a fair queue's batches of ten, and a part of an invocation
JOB_USD = 8 * 0.025e-3 + 5 * 5.0e-6 + 4 * 0.4e-6 + 8 * 0.2e-6  # transitions, PUTs, GETs, invocations
GIGABYTE = 2**30


class Estimate:
    """What a real run of a sheet would come to, added up image by image.

    Args:
        options: How the images would be compressed.
    """

    def __init__(self, options: CompressionOptions) -> None:
        self._options = options
        self._images = 0
        self._bytes_before = 0
        self._bytes_after = 0.0
        self._bytes_stored = 0.0
        self._work_ms = 0.0

    def add(self, seen: Seen, *, is_free: bool) -> None:
        """Count an image; one that becomes what another became has its bytes, and costs nothing."""
        after = bytes_after(seen, self._options)
        self._bytes_after += after
        if not is_free:
            self._images += 1
            self._bytes_before += seen.bytes
            self._bytes_stored += after
            self._work_ms += billed_ms(seen, self._options)

    @property
    def bytes_after(self) -> int:
        """Of all images, as the job's totals will have it: those of a repeated URL each time."""
        return round(self._bytes_after)

    def seconds(self, rows: int, concurrency: int) -> int:
        """Wall clock from the upload to the job's end, when nobody else's images are waiting.

        Args:
            rows: Of the sheet.
            concurrency: Environments of `compress` that the stack may run at once.
        """
        at_once = max(1, min(concurrency, ceil(self._images / ROWS_A_BATCH)))
        return ceil(JOB_SECONDS + (rows * ROW_MS + self._work_ms / at_once) / 1000)

    def usd(self, rows: int) -> float:
        """What AWS asks for it beyond what the stack costs anyway, by its list prices, to a ten-thousandth."""
        gigabyte_seconds = (self._work_ms * LAMBDA_GIGABYTES + rows * ROW_MS) / 1000
        lambda_usd = gigabyte_seconds * LAMBDA_USD_A_GIGABYTE_SECOND
        nat_usd = self._bytes_before / GIGABYTE * NAT_USD_A_GIGABYTE
        storage_usd = self._bytes_stored / GIGABYTE * STORAGE_USD_A_GIGABYTE
        return round(lambda_usd + nat_usd + storage_usd + self._images * IMAGE_USD + rows * ROW_USD + JOB_USD, 4)


def bytes_after(seen: Seen, options: CompressionOptions) -> float:
    """Bytes of what an image becomes; never more than it has."""
    coding = CODINGS[seen.format, options.format]
    whole = coding.ratio * (mean_of(seen) * _quality_factor(options) if coding.is_lossy else seen.bytes)
    effort = MAX_EFFORT_BYTES if _makes_jpeg(seen, options) and options.effort == "max" else 1.0
    resized: float = _shrinking(seen, options) ** RESIZING_POWER
    return min(float(seen.bytes), whole * effort * resized)


def codec_ms(seen: Seen, options: CompressionOptions) -> float:
    """CPU milliseconds of the codec."""
    coding = CODINGS[seen.format, options.format]
    size = seen.bytes if seen.format == "gif" else seen.pixels
    floor = _between(CPU_BY_FLOOR, options.min_quality) if coding.is_lossy and options.min_quality else 1.0
    effort = MAX_EFFORT_CPU if _makes_jpeg(seen, options) and options.effort == "max" else 1.0
    return coding.cpu_ms * size / 1e6 * floor * effort


def billed_ms(seen: Seen, options: CompressionOptions) -> float:
    """Milliseconds of an environment that an image takes: of its CPU, or of its requests at the origin."""
    outside_ms = OUTSIDE_CODEC_MS * max(1.0, seen.bytes / OUTSIDE_CODEC_BYTES)
    return max(codec_ms(seen, options) + outside_ms + WAITING_MS, ORIGIN_MS)


def mean_of(seen: Seen) -> float:
    """The geometric mean of bytes and pixels: what has many bytes a pixel has more to lose than what has few."""
    return sqrt(seen.bytes * seen.pixels)


def _quality_factor(options: CompressionOptions) -> float:
    by_quality = _between(BYTES_BY_QUALITY, options.quality)
    return max(by_quality, _between(BYTES_BY_FLOOR, options.min_quality)) if options.min_quality else by_quality


def _makes_jpeg(seen: Seen, options: CompressionOptions) -> bool:
    return options.format == "jpeg" or (options.format, seen.format) == ("keep", "jpeg")


def _shrinking(seen: Seen, options: CompressionOptions) -> float:
    """Pixels after a resizing, as a part of those before."""
    width, height = options.max_width or seen.width, options.max_height or seen.height
    side: float = min(1.0, width / seen.width, height / seen.height)
    return side * side


def _between(points: tuple[tuple[int, float], ...], at: int) -> float:
    """The value at a place on the line through the points; before the first it is the first's."""
    places = [place for place, _ in points]
    after = bisect_left(places, at)
    if after == 0:
        return points[0][1]
    (left, low), (right, high) = points[after - 1], points[after]
    return low + (high - low) * (at - left) / (right - left)
