"""Randomness that a seed replays."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class SeededRandom:
    """Implements `logd.model.seams.Random`, with what a scenario asks besides.

    Give each user a `fork` of its own: then one that draws more leaves the others as they were.
    """

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = seed
        self._random = random.Random(seed)

    def fork(self, user: str) -> "SeededRandom":
        """Another source, from this one's seed and a name alone."""
        return SeededRandom(f"{self._seed}/{user}")

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def below(self, end: int) -> int:
        """A whole number in [0, end)."""
        return self._random.randrange(end)

    def chance(self, share: float) -> bool:
        """True in `share` (0 to 1) of all calls."""
        return self._random.random() < share

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`, which are not empty."""
        return items[self._random.randrange(len(items))]
