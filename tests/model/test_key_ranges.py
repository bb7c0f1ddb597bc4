"""Key hashes against a second murmur3, and the geometry of ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import InvalidConfig
from logd.model.key_ranges import (
    HASH_END,
    KeyRange,
    KeyRouter,
    even_ranges,
    halve_widest,
    key_hash,
)

MASK = 0xFFFFFFFF


def murmur3_x86_32(data: bytes, seed: int) -> int:
    """The published algorithm, written down once more: no code in common with mmh3."""

    def rotate(x: int, r: int) -> int:
        return ((x << r) | (x >> (32 - r))) & MASK

    def scramble(k: int) -> int:
        return rotate(k * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK

    h = seed
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        h ^= scramble(int.from_bytes(data[at : at + 4], "little"))
        h = (rotate(h, 13) * 5 + 0xE6546B64) & MASK
    if data[whole:]:
        h ^= scramble(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


# (data, seed, hash): the vectors that circulate with the algorithm; seed 0 is ours.
PUBLISHED = [
    (b"", 0, 0),
    (b"", 1, 0x514E28B7),
    (b"", 0xFFFFFFFF, 0x81F16F39),
    (b"\xff\xff\xff\xff", 0, 0x76293B50),
    (b"\x21\x43\x65\x87", 0, 0xF55B516B),
    (b"\x21\x43\x65\x87", 0x5082EDEE, 0x2362F9DE),
    (b"\x21\x43\x65", 0, 0x7E4A8634),
    (b"\x21\x43", 0, 0xA0F7B07A),
    (b"\x21", 0, 0x72661CF4),
    (b"\0\0\0\0", 0, 0x2362F9DE),
    (b"\0\0\0", 0, 0x85F0B427),
    (b"\0\0", 0, 0x30F4C306),
    (b"\0", 0, 0x514E28B7),
]


@pytest.mark.parametrize(("data", "seed", "expected"), PUBLISHED)
def test_second_implementation_gives_the_published_vectors(
    data: bytes, seed: int, expected: int
) -> None:
    assert murmur3_x86_32(data, seed) == expected
    if seed == 0:
        assert key_hash(data) == expected


@given(st.binary(max_size=64))
def test_key_hash_is_murmur3_with_seed_0(key: bytes) -> None:
    assert key_hash(key) == murmur3_x86_32(key, 0)


def assert_cover(ranges: list[KeyRange] | tuple[KeyRange, ...]) -> None:
    at = 0
    for low, high in sorted(ranges):
        assert low == at < high
        at = high
    assert at == HASH_END


@given(st.integers(1, 2000))
def test_even_ranges_cover_all_hashes_and_differ_by_one(count: int) -> None:
    ranges = even_ranges(count)
    assert len(ranges) == count
    assert_cover(ranges)
    widths = {high - low for low, high in ranges}
    assert max(widths) - min(widths) <= 1


def test_even_ranges_of_three() -> None:
    assert even_ranges(3) == [(0, 1431655765), (1431655765, 2863311530), (2863311530, HASH_END)]


@given(st.integers(1, 50), st.integers(0, 80))
def test_halving_covers_and_moves_only_to_new_partitions(count: int, more: int) -> None:
    before = even_ranges(count)
    split = halve_widest(before, count + more)
    assert_cover(split.ranges)
    assert split.parents[:count] == ((),) * count
    for partition, (low, high) in enumerate(before):
        kept = split.ranges[partition]
        assert kept.hash_lo == low and kept.hash_hi <= high
    for new in range(count, count + more):
        (parent,) = split.parents[new]
        assert parent < new
    widths = [high - low for low, high in split.ranges]
    assert max(widths) <= 2 * min(widths) + 2


def test_six_to_eight_moves_a_sixth() -> None:
    split = halve_widest(even_ranges(6), 8)
    assert split.moved_share == pytest.approx(1 / 6, abs=1e-9)
    before, after = KeyRouter(even_ranges(6)), KeyRouter(split.ranges)
    keys = [b"key-%d" % i for i in range(3000)]
    moved = [k for k in keys if before.partition_of(k) != after.partition_of(k)]
    assert 0.14 < len(moved) / len(keys) < 0.19
    assert {after.partition_of(k) for k in moved} == {6, 7}


def test_adding_nothing_moves_nothing() -> None:
    split = halve_widest(even_ranges(5), 5)
    assert split.ranges == tuple(even_ranges(5)) and split.moved_share == 0


@given(st.integers(1, 40), st.integers(0, 20), st.binary(max_size=20))
def test_router_finds_the_range_of_the_hash(count: int, more: int, key: bytes) -> None:
    ranges = halve_widest(even_ranges(count), count + more).ranges
    low, high = ranges[KeyRouter(ranges).partition_of(key)]
    assert low <= key_hash(key) < high


def test_router_passes_sealed_partitions_over() -> None:
    ranges = [KeyRange(0, HASH_END), *even_ranges(2)]
    router = KeyRouter(ranges, sealed=(0,))
    assert {router.partition_of(b"%d" % i) for i in range(50)} == {1, 2}


@pytest.mark.parametrize(
    "ranges",
    [
        [],
        [KeyRange(0, 10)],
        [KeyRange(1, HASH_END)],
        [KeyRange(0, 10), KeyRange(11, HASH_END)],
        [KeyRange(0, 10), KeyRange(9, HASH_END)],
        [KeyRange(0, 0), KeyRange(0, HASH_END)],
    ],
)
def test_router_refuses_gaps_and_overlaps(ranges: list[KeyRange]) -> None:
    with pytest.raises(InvalidConfig):
        KeyRouter(ranges)
