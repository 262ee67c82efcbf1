"""Groups of hashes that differ in three bits at most, found without comparing each with each."""

import random
from itertools import combinations

import pytest

from imagejobs.near_duplicates import ALIKE_BITS, find_alike

PLENTY = 10**6


def squares(*hashes: int) -> list[tuple[int, int, int]]:
    return [(number, 100, 100) for number in hashes]


def flipped(number: int, bits: int, seed: int) -> int:
    for bit in random.Random(seed).sample(range(64), bits):
        number ^= 1 << bit
    return number


@pytest.mark.parametrize("seed", range(20))
def test_three_bits_apart_is_alike_wherever_they_are_and_four_is_not(seed):
    number = random.Random(-seed).getrandbits(64)

    assert find_alike(squares(number, flipped(number, ALIKE_BITS, seed)), PLENTY).groups == [[0, 1]]
    assert find_alike(squares(number, flipped(number, ALIKE_BITS + 1, seed)), PLENTY).groups == []


def test_the_same_groups_are_found_as_by_comparing_each_with_each():
    chance = random.Random(7)
    originals = [chance.getrandbits(64) for _ in range(40)]
    hashes = [flipped(chance.choice(originals), chance.randrange(3), seed) for seed in range(150)]
    near = [(a, b) for a, b in combinations(range(150), 2) if (hashes[a] ^ hashes[b]).bit_count() <= ALIKE_BITS]

    found = find_alike(squares(*hashes), PLENTY)

    together = {place: number for number, group in enumerate(found.groups) for place in group}
    assert all(together[a] == together[b] for a, b in near)
    assert set(together) == {place for pair in near for place in pair}
    assert found.is_complete


def test_hashes_may_be_signed_as_postgres_has_them():
    assert find_alike(squares(-1, 2**64 - 1, -2), PLENTY).groups == [[0, 1, 2]]


def test_the_largest_group_comes_first_and_each_is_in_its_order():
    assert find_alike(squares(5 << 40, 9 << 20, 5 << 40, 9 << 20, 9 << 20, 2**63 - 1), PLENTY).groups == [
        [1, 3, 4],
        [0, 2],
    ]


def test_what_is_over_the_budget_is_said_to_be_missing_and_equal_hashes_need_none_of_it():
    pictures = squares(0b1, 0b11, 0b111, 2**63, 2**63)

    assert find_alike(pictures, 0).groups == [[3, 4]]
    assert not find_alike(pictures, 0).is_complete
    assert find_alike(squares(1, 1, 1), 0).is_complete


def test_a_picture_in_another_size_is_alike_and_one_of_another_shape_is_not():
    assert find_alike([(7, 1200, 1500), (7, 321, 400), (7, 400, 400), (6, 800, 1000)], PLENTY).groups == [[0, 1, 3]]
