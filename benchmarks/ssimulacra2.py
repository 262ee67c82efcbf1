"""SSIMULACRA2, how alike two pictures look: 100 is the same, 90 cannot be told apart, 70 is good for the web.

The metric of Jon Sneyers, version 2.1. The package `ssimulacra2` takes 4.3 s of CPU for two pictures of 1.7 megapixels.
This takes a tenth of that: single precision, blurs as matrix products, and what the original alone decides kept.
`tests/benchmarks/test_ssimulacra2.py` holds the one against the other, from which the weights are taken as well. They
differ at the borders: as in libjxl, what lies outside is zero here; there, some of it mirrors the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from ssimulacra2.ssimulacra2 import weights as _WEIGHTS  # noqa: N812 a constant in all but name

Plane = npt.NDArray[np.float32]

_SCALES = 6
_LEAST_SIDE = 8
_SIGMA = 1.5
_RADIUS = 5  # libjxl: the nearest whole number to 3.2795 sigma + 0.2546
_BLOCK = 32  # rows blurred by one product; of 16 to 64 the fastest
_C2 = 0.0009

# The opsin absorbance of libjxl's `opsin_params.h`.
_ABSORBANCE = np.array(
    [
        [0.30, 0.622, 0.078],
        [0.23, 0.692, 0.078],
        [0.24342268924547819, 0.20476744424496821, 0.55180986650955360],
    ],
    dtype=np.float32,
)
_BIAS = np.float32(0.0037930732552754493)


@dataclass(frozen=True, slots=True)
class _Scale:
    planes: Plane
    mean: Plane
    mean_square: Plane


class Original:
    """A picture that others are compared with."""

    def __init__(self, picture: Image.Image) -> None:
        self.size = picture.size
        self._scales = [_Scale(planes, _blur(planes), _blur(planes * planes)) for planes in _scales(picture)]

    def score(self, picture: Image.Image) -> float:
        """How much the picture looks like this one, at most 100.

        Raises:
            ValueError: It is not of the same size.
        """
        if picture.size != self.size:
            raise ValueError(f"The sizes differ: {picture.size} and {self.size}.")
        norms = [_norms(one, other) for one, other in zip(self._scales, _scales(picture), strict=True)]
        return _combined(np.array(norms))


def _scales(picture: Image.Image) -> Iterator[Plane]:
    linear = _linear(picture)
    for scale in range(_SCALES):
        if min(linear.shape[1:]) < _LEAST_SIDE:
            return
        yield _positive_xyb(linear)
        if scale < _SCALES - 1:
            linear = _halved(linear)


@cache
def _linear_of_srgb() -> Plane:
    share = np.arange(256) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _linear(picture: Image.Image) -> Plane:
    samples = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
    return np.asarray(_linear_of_srgb()[np.ascontiguousarray(samples)])


def _halved(linear: Plane) -> Plane:
    _, height, width = linear.shape
    even = np.pad(linear, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows = even[:, 0::2] + even[:, 1::2]
    return np.asarray((rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25))


def _positive_xyb(linear: Plane) -> Plane:
    channels, height, width = linear.shape
    mixed = (_ABSORBANCE @ linear.reshape(channels, -1)).reshape(channels, height, width) + _BIAS
    red, green, blue = np.cbrt(np.maximum(mixed, 0)) - np.cbrt(_BIAS)
    y = (red + green) * np.float32(0.5)
    x = (red - green) * np.float32(0.5 * 14)
    return np.stack([x + np.float32(0.42), y + np.float32(0.01), blue - y + np.float32(0.55)])


@cache
def _band() -> Plane:
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    kernel = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    band = np.zeros((_BLOCK, _BLOCK + 2 * _RADIUS), dtype=np.float32)
    for row in range(_BLOCK):
        band[row, row : row + len(kernel)] = kernel / kernel.sum()
    return band


def _blur(planes: Plane) -> Plane:
    return np.stack([_blur_columns(_blur_columns(plane).T).T for plane in planes])


def _blur_columns(plane: Plane) -> Plane:
    height, width = plane.shape
    blurred = np.empty((height, width), dtype=np.float32)
    padded = np.zeros((height + 2 * _RADIUS, width), dtype=np.float32)
    padded[_RADIUS:-_RADIUS] = plane
    for top in range(0, height, _BLOCK):
        rows = min(_BLOCK, height - top)
        blurred[top : top + rows] = _band()[:rows, : rows + 2 * _RADIUS] @ padded[top : top + rows + 2 * _RADIUS]
    return blurred


def _norms(one: _Scale, other: Plane) -> npt.NDArray[np.float64]:
    """Norms of the three error maps of a scale: by channel, by norm, by map."""
    mean = _blur(other)
    maps = [_structure(one, other, mean), *_edges(one, other, mean)]
    return np.array([[_mean(each), _fourth(each)] for each in maps]).transpose(2, 1, 0)


def _structure(one: _Scale, other: Plane, mean: Plane) -> Plane:
    covariance = _blur(one.planes * other) - one.mean * mean
    variances = (one.mean_square - one.mean**2) + (_blur(other * other) - mean**2)
    luminance = 1 - (one.mean - mean) ** 2
    return np.maximum(1 - luminance * (2 * covariance + np.float32(_C2)) / (variances + np.float32(_C2)), 0)


def _edges(one: _Scale, other: Plane, mean: Plane) -> tuple[Plane, Plane]:
    ratio = (1 + np.abs(other - mean)) / (1 + np.abs(one.planes - one.mean)) - 1
    return np.maximum(ratio, 0), np.maximum(-ratio, 0)


def _mean(error: Plane) -> npt.NDArray[np.float64]:
    return np.asarray(error.mean(axis=(1, 2), dtype=np.float64))


def _fourth(error: Plane) -> npt.NDArray[np.float64]:
    square = error * error
    return np.asarray((square * square).mean(axis=(1, 2), dtype=np.float64) ** 0.25)


def _combined(norms: npt.NDArray[Any]) -> float:
    by_channel = norms.transpose(1, 0, 2, 3)  # channel, scale, norm, map: the order of the weights
    scales = by_channel.shape[1]
    # A picture too small for all scales takes the first weights, as libjxl's loop does.
    error = float(_WEIGHTS[: 3 * scales * 6] @ by_channel.ravel()) * 0.9562382616834844
    error = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return 100.0 - 10.0 * error**0.6276336467831387 if error > 0 else 100.0
