"""Step `report`: which pictures look alike, by their perceptual hashes. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

ALIKE_BITS = 3
"""Of 64, by which the hashes of pictures that look alike differ at most (docs/decisions/0020-report.md)."""

# Two hashes that differ in three bits have one of four parts in common.
_PARTS, _PART_BITS = ALIKE_BITS + 1, 64 // (ALIKE_BITS + 1)
_ALL_BITS = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Alike:
    """Pictures that look alike.

    Attributes:
        groups: Each of two or more, as places in what was compared; the largest first, else in its order.
        is_complete: Whether all were compared that had to be.
    """

    groups: list[list[int]]
    is_complete: bool


def find_alike(hashes: Sequence[int], max_comparisons: int) -> Alike:
    """Find the groups in which each hash differs in `ALIKE_BITS` at most from another one of its group.

    Args:
        hashes: 64 bits each, signed or not.
        max_comparisons: Of two hashes that have a part in common; what would come after that is left out. Hashes that
            are the same need none.
    """
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(hashes):
        places[number & _ALL_BITS].append(place)
    leaders = {number: number for number in places}
    candidates = _candidates(list(places))
    for one, other in islice(candidates, max_comparisons):
        if (one ^ other).bit_count() <= ALIKE_BITS:
            leaders[_leader(leaders, one)] = _leader(leaders, other)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for number, found in places.items():
        groups[_leader(leaders, number)] += found
    several = (sorted(group) for group in groups.values() if len(group) > 1)
    return Alike(sorted(several, key=lambda group: (-len(group), group)), next(candidates, None) is None)


def _candidates(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs that have a part in common; those with several come several times."""
    for part in range(_PARTS):
        buckets: defaultdict[int, list[int]] = defaultdict(list)
        for number in numbers:
            buckets[number >> (part * _PART_BITS) & (2**_PART_BITS - 1)].append(number)
        for bucket in buckets.values():
            yield from combinations(bucket, 2)


def _leader(leaders: dict[int, int], number: int) -> int:
    while leaders[number] != number:
        leaders[number] = leaders[leaders[number]]
        number = leaders[number]
    return number
