"""Step `compress`: SSIMULACRA2, how alike two pictures look: 100 is the same, 90 cannot be told apart, 70 is good.

The metric of Jon Sneyers, version 2.1 (https://github.com/cloudinary/ssimulacra2). Both pictures go through in strips
of rows, each scale hands its rows on at half the size, and only sums are kept: a few MB whatever the size.

    64 rows of both ─► 1:1 ─► 32 rows ─► 1:2 ─► … ─► 1:32      at each: blurs, error maps, their sums

Single precision, blurs as matrix products, and maps left out that weigh next to nothing: a twentieth of the CPU of the
package `ssimulacra2`, which `tests/benchmarks/test_image_score.py` holds against this. They differ at the borders: as
in libjxl, what lies outside is zero here; there, some of it mirrors the picture.

Only the codec's process imports this, and only for pictures with a `min_quality`: it is what takes numpy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]

_SCALES = 6
_LEAST_SIDE = 8
_SIGMA = 1.5
_RADIUS = 5  # libjxl: the nearest whole number to 3.2795 sigma + 0.2546
_BLOCK = 32  # rows or columns blurred by one product; of 16 to 64 the fastest
_STRIP_ROWS = 64  # even at every scale but for the last strip, which alone may have a row without a second
_C2 = np.float32(0.0009)
_BACKGROUNDS = (26, 230)  # what the reference's tool lays behind transparent pixels: 0.1 and 0.9 of white

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

_X, _Y, _B = range(3)
_STRUCTURE, _ARTEFACTS, _LOST_DETAIL = range(3)

# fmt: off
# Of `ssimulacra2.cc`: by channel (X, Y, B), by scale, of the mean and of the fourth norm of each of the three maps.
_WEIGHTS = np.array(
    [
        (
            ((0.0, 0.0007376606707406586, 0.0), (0.0, 0.0007793481682867309, 0.0)),
            ((0.0, 0.0004371155730107379, 0.0), (1.1041726426657346, 0.00066284834129271, 0.00015231632783718752)),
            ((0.0, 0.0016406437456599754, 0.0), (1.8422455520539298, 11.441172603757666, 0.0)),
            ((0.0007989109436015163, 0.000176816438078653, 0.0), (1.8787594979546387, 10.94906990605142, 0.0)),
            (
                (0.0007289346991508072, 0.9677937080626833, 0.0),
                (0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053),
            ),
            ((0.0004550992113792063, 0.0, 0.0), (0.0013648766163243398, 0.0, 0.0)),
        ),
        (
            ((0.0, 0.0, 0.0), (7.466890328078848, 0.0, 17.445833984131262)),
            ((0.0006235601634041466, 0.0, 0.0), (6.683678146179332, 0.00037724407979611296, 1.027889937768264)),
            ((225.20515300849274, 0.0, 0.0), (19.213238186143016, 0.0011401524586618361, 0.001237755635509985)),
            ((176.39317598450694, 0.0, 0.0), (24.43300999870476, 0.28520802612117757, 0.0004485436923833408)),
            ((0.0, 0.0, 0.0), (34.77906344483772, 44.835625328877896, 0.0)),
            ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ),
        (
            ((0.0, 0.0008680556573291698, 0.0), (0.0, 0.0, 0.0)),
            ((0.0, 0.0005313191874358747, 0.0), (0.00016533814161379112, 0.0, 0.0)),
            ((0.0, 0.0, 0.0), (0.0004179171803251336, 0.0017290828234722833, 0.0)),
            ((0.0020827005846636437, 0.0, 0.0), (8.826982764996862, 23.19243343998926, 0.0)),
            (
                (95.1080498811086, 0.9863978034400682, 0.9834382792465353),
                (0.0012286405048278493, 171.2667255897307, 0.9807858872435379),
            ),
            ((0.0, 0.0, 0.0), (0.0005130064588990679, 0.0, 0.00010854057858411537)),
        ),
    ]
)

# fmt: on

_LEAST_WEIGHT = 0.0025
"""Maps that weigh less are left out: of a score they make 0.01 at most, and two thirds of the work."""


def score(original: Image.Image, coded: Image.Image) -> float:
    """How much a picture looks like its original: at most 100, and below 0 for what has little to do with it.

    Transparent pictures are compared on a dark and on a light background, and the lesser score counts. Samples are
    taken for sRGB. Of sides under 64 pixels, three scales or less are left, and the score means little.

    Raises:
        ValueError: The sizes differ, or a side has less than 8 pixels.
    """
    if original.size != coded.size:
        raise ValueError(f"The sizes differ: {original.size} and {coded.size}.")
    if min(original.size) < _LEAST_SIDE:
        raise ValueError(f"A picture of {original.size} has no scale to be compared at.")
    pictures = (original, coded)
    backgrounds = _BACKGROUNDS if any(picture.has_transparency_data for picture in pictures) else _BACKGROUNDS[:1]
    return min(_score(pictures, background) for background in backgrounds)


def _score(pictures: tuple[Image.Image, Image.Image], background: int) -> float:
    scales = _scales(*pictures[0].size)
    for strip in _strips(pictures, background):
        rows = strip
        for scale in scales:
            scale.add(rows)
            rows = _halved(rows)
    return _combined(np.array([scale.norms() for scale in scales]).transpose(1, 0, 2, 3))


def _strips(pictures: tuple[Image.Image, Image.Image], background: int) -> Iterator[Plane]:
    """Linear RGB of both pictures, 64 rows at a time: by picture, channel, row, column."""
    width, height = pictures[0].size
    for top in range(0, height, _STRIP_ROWS):
        box = (0, top, width, min(top + _STRIP_ROWS, height))
        yield np.stack([_linear(picture.crop(box), background) for picture in pictures])


def _linear(rows: Image.Image, background: int) -> Plane:
    if rows.has_transparency_data:
        behind = Image.new("RGBA", rows.size, (background, background, background, 255))
        rows = Image.alpha_composite(behind, rows.convert("RGBA"))
    samples = np.asarray(rows.convert("RGB")).transpose(2, 0, 1)
    return _linear_of_srgb().take(np.ascontiguousarray(samples))


@cache
def _linear_of_srgb() -> Plane:
    share = np.arange(256) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _halved(linear: Plane) -> Plane:
    height, width = linear.shape[-2:]
    even = np.pad(linear, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows = even[..., 0::2, :] + even[..., 1::2, :]
    return np.asarray((rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25))


@dataclass(frozen=True, slots=True)
class _Channel:
    """A channel at a scale: what is looked at there.

    Attributes:
        index: X, Y or B.
        structure: Whether the map of lost structure counts.
        edges: Whether one of the maps of artefacts and lost detail does.
    """

    index: int
    structure: bool
    edges: bool


@dataclass
class _Scale:
    """The sums of a scale's error maps, over the rows that came so far.

    Attributes:
        width: Columns of this scale.
        height: Rows of it that there will be.
        channels: Those that count here.
    """

    width: int
    height: int
    channels: tuple[_Channel, ...]
    _waiting: Plane = field(init=False)
    _rows: int = 0
    _sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 2, 3)))

    def __post_init__(self) -> None:
        self._waiting = self._outside()

    def _outside(self) -> Plane:
        return np.zeros((2, len(self.channels), _RADIUS, self.width), dtype=np.float32)

    def add(self, linear: Plane) -> None:
        """Take the next rows of both pictures; a row counts once those below it have come."""
        if not self.channels:
            return
        self._rows += linear.shape[2]
        wanted = [channel.index for channel in self.channels]
        parts = [self._waiting, np.stack([_positive_xyb(each)[wanted] for each in linear])]
        rows = np.concatenate([*parts, self._outside()] if self._rows == self.height else parts, axis=2)
        if rows.shape[2] > 2 * _RADIUS:
            for channel, (one, other) in zip(self.channels, rows.swapaxes(0, 1), strict=True):
                self._look_at(channel, one, other)
        self._waiting = rows[:, :, -2 * _RADIUS :]

    def _look_at(self, channel: _Channel, one: Plane, other: Plane) -> None:
        means = _blur(one), _blur(other)
        inner = slice(_RADIUS, -_RADIUS)
        if channel.structure:
            self._sum(channel, _STRUCTURE, _structure(one, other, *means))
        if channel.edges:
            artefacts, lost = _edges(one[inner], other[inner], *means)
            self._sum(channel, _ARTEFACTS, artefacts)
            self._sum(channel, _LOST_DETAIL, lost)

    def _sum(self, channel: _Channel, which: int, error: Plane) -> None:
        square = error * error
        self._sums[channel.index, 0, which] += error.sum(dtype=np.float64)
        self._sums[channel.index, 1, which] += np.vdot(square, square)

    def norms(self) -> npt.NDArray[np.float64]:
        """Mean and fourth norm of the three error maps: by channel, by norm, by map."""
        means = self._sums / (self.width * self.height)
        means[:, 1] **= 0.25
        return means


def _scales(width: int, height: int) -> list[_Scale]:
    sizes: list[tuple[int, int]] = []
    while len(sizes) < _SCALES and min(width, height) >= _LEAST_SIDE:
        sizes.append((width, height))
        width, height = (width + 1) // 2, (height + 1) // 2
    weights = _weights(len(sizes))
    return [_Scale(*size, _channels(weights[:, scale])) for scale, size in enumerate(sizes)]


def _weights(scales: int) -> npt.NDArray[np.float64]:
    """By channel, scale, norm and map; of a picture too small for all scales the first, as libjxl's loop takes them."""
    return np.asarray(_WEIGHTS.ravel()[: 3 * scales * 6].reshape(3, scales, 2, 3))


def _channels(weights: npt.NDArray[np.float64]) -> tuple[_Channel, ...]:
    counts = weights.max(axis=1) >= _LEAST_WEIGHT
    channels = [_Channel(index, bool(maps[_STRUCTURE]), bool(maps[1:].any())) for index, maps in enumerate(counts)]
    return tuple(channel for channel in channels if channel.structure or channel.edges)


def _positive_xyb(linear: Plane) -> Plane:
    channels, height, width = linear.shape
    mixed = (_ABSORBANCE @ linear.reshape(channels, -1)).reshape(channels, height, width) + _BIAS
    red, green, blue = np.cbrt(mixed) - np.cbrt(_BIAS)
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


def _blur(plane: Plane) -> Plane:
    """Blur all rows but the first and last five, which only count for the others; outside of the columns is zero."""
    height, width = plane.shape[0] - 2 * _RADIUS, plane.shape[1]
    down = np.zeros((height, width + 2 * _RADIUS), dtype=np.float32)
    for top in range(0, height, _BLOCK):
        rows = min(_BLOCK, height - top)
        inside = down[top : top + rows, _RADIUS:-_RADIUS]
        inside[:] = _band()[:rows, : rows + 2 * _RADIUS] @ plane[top : top + rows + 2 * _RADIUS]
    blurred = np.empty((height, width), dtype=np.float32)
    for left in range(0, width, _BLOCK):
        columns = min(_BLOCK, width - left)
        band = _band()[:columns, : columns + 2 * _RADIUS].T
        blurred[:, left : left + columns] = down[:, left : left + columns + 2 * _RADIUS] @ band
    return blurred


def _structure(one: Plane, other: Plane, one_mean: Plane, other_mean: Plane) -> Plane:
    """1 - luminance * (2 covariance + C2) / (variances + C2), by what differs, for rounding would cost 0.1 of 95."""
    difference, darker = one - other, (one_mean - other_mean) ** 2
    lost = _blur(difference * difference) - darker
    variances = _blur(one * one + other * other) - one_mean * one_mean - other_mean * other_mean
    return np.asarray(np.maximum(darker + (1 - darker) * lost / (variances + _C2), 0))


def _edges(one: Plane, other: Plane, one_mean: Plane, other_mean: Plane) -> tuple[Plane, Plane]:
    ratio = (1 + np.abs(other - other_mean)) / (1 + np.abs(one - one_mean)) - 1
    return np.maximum(ratio, 0), np.maximum(-ratio, 0)


def _combined(norms: npt.NDArray[np.float64]) -> float:
    """The score, from the norms by channel, scale, norm and map."""
    error = float((_weights(norms.shape[1]) * norms).sum()) * 0.9562382616834844
    error = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return 100.0 - 10.0 * error**0.6276336467831387 if error > 0 else 100.0
