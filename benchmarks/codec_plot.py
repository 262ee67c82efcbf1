"""The rate-distortion plot of the compression benchmark."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.codec_curves import Curve, ratios

SCORES = tuple(range(60, 91))


def draw(curves: Mapping[str, Mapping[str, Curve]], baseline: str, path: Path) -> None:
    """Write a PNG: over the score, the bytes as a share of the baseline's, on the geometric mean of the pictures."""
    mpl.use("agg")
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    for name, by_picture in curves.items():
        points = ratios(SCORES, by_picture, curves[baseline])
        axes.plot([score for score, _ in points], [100 * ratio for _, ratio in points], label=name, linewidth=2)
    _label(axes, baseline)
    figure.savefig(path, dpi=110)


def _label(axes: Axes, baseline: str) -> None:
    axes.axvline(80, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel("SSIMULACRA2 against the upload (70: good for the web, 80: hard to tell apart side by side)")
    axes.set_ylabel(f"bytes, % of {baseline} at the same score")
    axes.set_title("Bytes at equal seen quality: lower is better")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(ncols=2)
