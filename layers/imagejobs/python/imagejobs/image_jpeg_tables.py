"""Step `compress`: the quantisation tables of JPEG that jpegli chooses, by formula, for other encoders to use.

jpegli (https://github.com/google/jpegli, lib/jpegli/quant.cc) makes its tables from a distance in just noticeable
differences: a matrix times the distance, which counts less beyond 1.5 for the low frequencies. The two matrices here
are no copies: each number is the shortest that gives every value of the tables that pyjpegli 0.3.2 writes at all
qualities from 1 to 100, jpegli's factors for 4:2:0 among it.
"""

import math

# fmt: off
_LUMA = (
    2.63, 3.65, 6.2, 5.97, 7.09, 7.352, 8.152, 8.214,
    3.65, 4.443, 6.04, 5.74, 7.302, 6.72, 8.543, 8.565,
    6.2, 6.04, 6.28, 7.19, 7.68, 8.288, 7.977, 8.996,
    5.97, 5.74, 7.19, 7.174, 8.847, 10.199, 10.152, 9.7754,
    7.09, 7.302, 7.68, 8.847, 9.72, 10.45, 11.83, 11.642,
    7.352, 6.72, 8.288, 10.199, 10.45, 11.54, 10.81, 12.919,
    8.152, 8.543, 7.977, 10.152, 11.83, 10.81, 11.54, 11.469,
    8.214, 8.565, 8.996, 9.7754, 11.642, 12.919, 11.469, 9.29,
)
_CHROMA = (
    2.538, 3.07, 5.427, 4.657, 5.696, 5.271, 6.266, 6.75,
    3.07, 4.164, 5.2, 4.255, 5.226, 4.644, 5.89, 6.127,
    5.427, 5.2, 5.245, 4.759, 5.09, 5.48, 5.6387, 6.417,
    4.657, 4.255, 4.759, 4.489, 5.762, 5.757, 6.2985, 6.816,
    5.696, 5.226, 5.09, 5.762, 4.4666, 6.84, 5.213, 6.555,
    5.271, 4.644, 5.48, 5.757, 6.84, 5.867, 6.746, 9.9,
    6.266, 5.89, 5.6387, 6.2985, 5.213, 6.746, 10.7014, 9.783,
    6.75, 6.127, 6.417, 6.816, 6.555, 9.9, 9.783, 82.13,
)
_EXPONENTS = (
    1.0, 0.51, 0.67, 0.74, 1.0, 1.0, 1.0, 1.0,
    0.51, 0.66, 0.69, 0.87, 1.0, 1.0, 1.0, 1.0,
    0.67, 0.69, 0.84, 0.83, 0.96, 1.0, 1.0, 1.0,
    0.74, 0.87, 0.83, 1.0, 1.0, 0.91, 0.91, 1.0,
    1.0, 1.0, 0.96, 1.0, 1.0, 1.0, 1.0, 1.0,
    1.0, 1.0, 1.0, 0.91, 1.0, 1.0, 1.0, 1.0,
    1.0, 1.0, 1.0, 0.91, 1.0, 1.0, 1.0, 1.0,
    1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0,
)
# fmt: on
_KNEE = 1.5  # the distance from which the exponents count

# With 4:4:4 there are four times the chroma coefficients, each of a quarter of the area. Twice the step makes the score
# that the same quality has with 4:2:0 (within 1 of SSIMULACRA2, on five photographs and two screenshots at 76), and
# takes 10 % fewer bytes of coloured text than the same step, at equal score.
_CHROMA_444 = 2.0


def quantisation_tables(quality: int, subsampling: int) -> list[list[int]]:
    """Return the table of luma and that of chroma, 64 values each, by rows, as Pillow's `qtables` takes them.

    Args:
        quality: jpegli's own, 1 to 100.
        subsampling: Pillow's number: 0 is 4:4:4, 2 is 4:2:0.
    """
    distance = _distance(quality)
    chroma = _CHROMA_444 if subsampling == 0 else 1.0
    return [_table(_LUMA, distance, 1.0), _table(_CHROMA, distance, chroma)]


def _distance(quality: int) -> float:
    """`jpegli_quality_to_distance` of lib/jpegli/encode.cc."""
    if quality >= 100:
        return 0.01
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


def _table(matrix: tuple[float, ...], distance: float, factor: float) -> list[int]:
    steps = (base * _scale(distance, exponent) * factor for base, exponent in zip(matrix, _EXPONENTS, strict=True))
    return [min(255, max(1, int(step + 0.5))) for step in steps]


def _scale(distance: float, exponent: float) -> float:
    if distance < _KNEE:
        return distance
    return max(distance / 2, math.pow(_KNEE, 1 - exponent) * math.pow(distance, exponent))
