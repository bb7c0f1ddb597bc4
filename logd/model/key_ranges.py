"""Which keys a partition takes: half-open ranges of murmur3 hashes over 0 .. 2^32.

Partition i of n starts with [floor(i * 2^32 / n), floor((i + 1) * 2^32 / n)). Partitions are added
by halving the widest range: so only the keys that the new partitions take move, and the ranges of
the rest stay.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import mmh3

from logd.model.errors import InvalidConfig

HASH_END = 1 << 32


class KeyRange(NamedTuple):
    """Hashes [hash_lo, hash_hi)."""

    hash_lo: int
    hash_hi: int


def key_hash(key: bytes) -> int:
    """MurmurHash3_x86_32 with seed 0, as unsigned 32 bits: the same in every language."""
    return mmh3.hash(key, seed=0, signed=False)


def even_ranges(count: int) -> list[KeyRange]:
    """The ranges of a new topic of `count` partitions, in the order of their numbers."""
    assert count > 0, "a topic has a partition"
    bounds = [i * HASH_END // count for i in range(count + 1)]
    return [KeyRange(low, high) for low, high in pairwise(bounds)]


@dataclass(frozen=True, slots=True)
class Split:
    """Ranges after partitions were added; `ranges[i]` and `parents[i]` are partition i's.

    `parents` is empty for a partition that was there before. `moved_share` is the share of all
    hashes (0 to 1) that go to another partition than before.
    """

    ranges: tuple[KeyRange, ...]
    parents: tuple[tuple[int, ...], ...]
    moved_share: float


def halve_widest(ranges: Sequence[KeyRange], total: int) -> Split:
    """Add partitions up to `total`: each takes the upper half of the widest range.

    Of ranges that are as wide as each other the lowest-numbered partition's is halved; an odd
    range's middle hash goes to the new partition. 6 to 8 partitions move a sixth of the keys.
    """
    assert len(ranges) <= total <= HASH_END, "partitions are only ever added"
    old_count, split = len(ranges), list(ranges)
    parents: list[tuple[int, ...]] = [()] * old_count
    by_width = [(low - high, partition) for partition, (low, high) in enumerate(split)]
    heapify(by_width)
    for new in range(old_count, total):
        _, widest = heappop(by_width)
        low, high = split[widest]
        middle = (low + high) // 2
        split[widest] = KeyRange(low, middle)
        split.append(KeyRange(middle, high))
        parents.append((widest,))
        heappush(by_width, (low - middle, widest))
        heappush(by_width, (middle - high, new))
    moved = sum(high - low for low, high in split[old_count:])
    return Split(tuple(split), tuple(parents), moved / HASH_END)


class KeyRouter:
    """Finds the partition of a key: a binary search in the ranges that take records.

    Partitions in `sealed` are passed over; the ranges of the others must cover 0 .. 2^32 without an
    overlap, else InvalidConfig.
    """

    __slots__ = ("_lows", "_partitions")

    def __init__(self, ranges: Sequence[KeyRange], sealed: Collection[int] = ()) -> None:
        taking = sorted((r, i) for i, r in enumerate(ranges) if i not in sealed)
        expected = 0
        for (low, high), partition in taking:
            if not low == expected < high:
                raise InvalidConfig(
                    f"partition {partition} takes hashes {low} to {high}, "
                    f"but one from {expected} is due: the ranges have a gap or overlap",
                    field="key_range",
                )
            expected = high
        if expected != HASH_END:
            raise InvalidConfig(f"no partition takes hashes from {expected}", field="key_range")
        self._lows = [r.hash_lo for r, _ in taking]
        self._partitions = [partition for _, partition in taking]

    def partition_of(self, key: bytes) -> int:
        """The number of the partition that takes `key`."""
        return self._partitions[bisect_right(self._lows, key_hash(key)) - 1]
