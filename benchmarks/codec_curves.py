"""Rate and distortion: what a coding costs in bytes for what score, over a few qualities of one picture."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.codec_pictures import Upload
from benchmarks.codec_scores import Scores

QUALITIES = (10, 30, 50, 60, 70, 76, 82, 88, 93, 97)
"""On the one scale; a picture that needs much more than the mean, or much less, reaches every score of interest."""


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """One coding of one picture.

    Attributes:
        score: SSIMULACRA2 against the upload.
        size_bytes: Of the file.
    """

    score: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Curve:
    """The codings of one picture by one encoder, by their scores."""

    points: tuple[Point, ...]

    def bytes_at(self, score: float) -> float | None:
        """Bytes at a score, the logarithm interpolated between two codings; None outside of what was measured."""
        for low, high in zip(self.points, self.points[1:], strict=False):
            if low.score <= score <= high.score:
                share = (score - low.score) / ((high.score - low.score) or 1)
                return float(low.size_bytes ** (1 - share) * high.size_bytes**share)
        return None


def curve(upload: Upload, codings: Iterable[bytes], scores: Scores) -> Curve:
    """Score the codings of a picture."""
    return Curve(tuple(sorted(Point(scores.of(upload, coded), len(coded)) for coded in codings)))


def ratio_at(score: float, curves: Mapping[str, Curve], baseline: Mapping[str, Curve]) -> tuple[float, int]:
    """Bytes at a score against a baseline's: the geometric mean over the pictures, and how many they were.

    A picture counts when both encoders reach the score on it.
    """
    logs = []
    for name, one in curves.items():
        size, base = one.bytes_at(score), baseline[name].bytes_at(score)
        if size is not None and base is not None:
            logs.append(math.log(size / base))
    return (math.exp(sum(logs) / len(logs)) if logs else math.nan), len(logs)


def ratios(
    scores: Sequence[float], curves: Mapping[str, Curve], baseline: Mapping[str, Curve]
) -> list[tuple[float, float]]:
    """Pairs of a score and the ratio at it, for the plot: where all of the pictures have both."""
    measured = [(score, *ratio_at(score, curves, baseline)) for score in scores]
    most = max(count for *_, count in measured)
    return [(score, ratio) for score, ratio, count in measured if count == most]
