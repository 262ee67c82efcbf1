"""Step `report`: which pictures look alike, by their perceptual hashes and their aspect. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

ALIKE_BITS = 3
"""Of 64, by which the hashes of pictures that look alike differ at most (docs/decisions/0020-report.md)."""

# Two hashes that differ in three bits have one of four parts in common.
_PARTS, _PART_BITS = ALIKE_BITS + 1, 64 // (ALIKE_BITS + 1)
_ALL_BITS = 2**64 - 1
_SHAPES = 20  # to a factor of e in the aspect, a twentieth each; pictures of neighbouring ones may be alike

Look = tuple[int, int]
"""A hash of 64 bits without a sign, and the number of a shape."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Pictures that look alike.

    Attributes:
        groups: Each of two or more, as places in what was compared; the largest first, else in its order.
        is_complete: Whether all were compared that had to be.
    """

    groups: list[list[int]]
    is_complete: bool


def find_alike(pictures: Sequence[tuple[int, int, int]], max_comparisons: int) -> Alike:
    """Find the groups in which each picture has a hash within `ALIKE_BITS` of another one's, and much the same aspect.

    Args:
        pictures: The hash of each, 64 bits signed or not, its width and its height.
        max_comparisons: Of two hashes that have a part in common; what would come after that is left out. Pictures with
            the same hash and shape need none.
    """
    places: defaultdict[Look, list[int]] = defaultdict(list)
    for place, picture in enumerate(pictures):
        places[_look(*picture)].append(place)
    leaders = {look: look for look in places}
    candidates = _candidates(list(places))
    for one, other in islice(candidates, max_comparisons):
        if (one[0] ^ other[0]).bit_count() <= ALIKE_BITS and abs(one[1] - other[1]) <= 1:
            leaders[_leader(leaders, one)] = _leader(leaders, other)
    groups: defaultdict[Look, list[int]] = defaultdict(list)
    for look, found in places.items():
        groups[_leader(leaders, look)] += found
    several = (sorted(group) for group in groups.values() if len(group) > 1)
    return Alike(sorted(several, key=lambda group: (-len(group), group)), next(candidates, None) is None)


def _look(perceptual_hash: int, width: int, height: int) -> Look:
    return perceptual_hash & _ALL_BITS, round(_SHAPES * math.log(width / height))


def _candidates(looks: Sequence[Look]) -> Iterator[tuple[Look, Look]]:
    """Pairs whose hashes have a part in common; those with several come several times."""
    for part in range(_PARTS):
        buckets: defaultdict[int, list[Look]] = defaultdict(list)
        for look in looks:
            buckets[look[0] >> (part * _PART_BITS) & (2**_PART_BITS - 1)].append(look)
        for bucket in buckets.values():
            yield from combinations(bucket, 2)


def _leader(leaders: dict[Look, Look], look: Look) -> Look:
    while leaders[look] != look:
        leaders[look] = leaders[leaders[look]]
        look = leaders[look]
    return look
