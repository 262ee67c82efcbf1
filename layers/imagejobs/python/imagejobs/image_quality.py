"""Step `compress`: what each encoder is told, so that `quality` means the same seen quality whatever the encoder."""

from bisect import bisect_right

# Of quality 10, 20, ... 100, the number that each encoder takes for the same mean score.
_ANCHORS = {
    "jpeg": (6, 14, 22, 32, 43, 52, 63, 74, 86, 100),
    "jpegli": (10, 20, 30, 40, 50, 60, 70, 80, 90, 100),
    "webp": (10, 22, 34, 46, 58, 68, 77, 85, 93, 100),
    "avif": (10, 18, 26, 34, 42, 50, 58, 66, 80, 100),
}


def encoder_quality(encoder: str, quality: int) -> int:
    """The encoder's own number for a quality of the one scale.

    Args:
        encoder: "jpeg" (Pillow with jpegli's quantisation tables), "jpegli", "webp" or "avif".
        quality: 1 to 100.
    """
    points = [(0, 0), *zip(range(10, 101, 10), _ANCHORS[encoder], strict=True)]
    upper = min(bisect_right(points, (quality, 0)), len(points) - 1)
    (low, from_number), (high, to_number) = points[upper - 1], points[upper]
    return max(1, round(from_number + (quality - low) * (to_number - from_number) / (high - low)))
