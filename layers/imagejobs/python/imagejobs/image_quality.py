"""Step `compress`: what each encoder is told, so that `quality` means the same seen quality whatever the encoder.

Quality q looks, on the mean of photographs and product shots, as Pillow's default JPEG (4:2:0, libjpeg's tables) does
at 39/40 of q. The factor puts 80 at SSIMULACRA2 80, give or take 2: side by side hard to tell from the original.

The table was measured on 2026-11-22 with Pillow 13.0, pyjpegli 0.3.2 and 13 pictures of 0.4 to 2 megapixels, of which
80 makes a mean score of 81.5. `CORPUS_DIR=dir python -m benchmarks.codec_scale` prints it again, see
docs/compression.md. AVIF's numbers are of speed 8; those of speed 10 differ by 1 at most.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

_QUALITIES = (10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)

# Of each of those qualities, the number that the encoder takes for the same mean score.
_NUMBERS = {
    "jpeg": (1, 9, 17, 24, 33, 46, 59, 64, 71, 78, 85, 91, 97),
    "jpegli": (1, 11, 20, 29, 46, 57, 66, 72, 78, 83, 88, 93, 98),
    "webp": (1, 13, 31, 47, 61, 73, 79, 82, 85, 88, 92, 98, 100),
    "avif": (1, 22, 34, 41, 46, 50, 56, 60, 66, 72, 82, 94, 100),
}


_MEAN_SCORES = (6, 41, 56, 64, 69, 73, 77, 79, 81.5, 84, 87, 90, 93)
"""SSIMULACRA2 of the mean picture at each of those qualities, from the same run."""


def mean_score(quality: float) -> float:
    """What the mean picture scores at a quality of the one scale, 10 to 100."""
    return _interpolated(quality, _QUALITIES, _MEAN_SCORES)


def quality_of_mean(score: float) -> float:
    """At what quality the mean picture scores that; the ends of the scale stand for what lies beyond them."""
    return _interpolated(score, _MEAN_SCORES, _QUALITIES)


def _interpolated(value: float, from_points: Sequence[float], to_points: Sequence[float]) -> float:
    within = min(max(value, from_points[0]), from_points[-1])
    upper = max(1, bisect_left(from_points, within))
    share = (within - from_points[upper - 1]) / (from_points[upper] - from_points[upper - 1])
    return to_points[upper - 1] + share * (to_points[upper] - to_points[upper - 1])


def encoder_quality(encoder: str, quality: int) -> int:
    """The encoder's own number for a quality of the one scale.

    Args:
        encoder: "jpeg" (Pillow with jpegli's quantisation tables), "jpegli", "webp" or "avif".
        quality: 1 to 100.
    """
    points = [(0, 0), *zip(_QUALITIES, _NUMBERS[encoder], strict=True)]
    upper = min(bisect_right(points, (quality, 0)), len(points) - 1)
    (low, from_number), (high, to_number) = points[upper - 1], points[upper]
    return max(1, round(from_number + (quality - low) * (to_number - from_number) / (high - low)))
