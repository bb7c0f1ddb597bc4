"""How long to wait before the next attempt: doubling, bounded, jittered."""

from logd.model.seams import Random

JITTER = 0.2
"""A wait differs from its nominal length by at most this share, so that clients spread."""


class Backoff:
    """Waits of one series of attempts, in ms: `first_ms`, doubled up to `most_ms` if less."""

    __slots__ = ("_first_ms", "_most_ms", "_nominal_ms", "_random")

    def __init__(self, first_ms: int, most_ms: int, random: Random) -> None:
        assert first_ms > 0, "a wait has a length"
        self._first_ms = first_ms
        self._most_ms = max(first_ms, most_ms)
        self._nominal_ms = first_ms
        self._random = random

    def next_ms(self) -> int:
        """The wait before the next attempt, at least 1 ms."""
        nominal, self._nominal_ms = self._nominal_ms, min(self._nominal_ms * 2, self._most_ms)
        return max(1, round(nominal * self._random.uniform(1 - JITTER, 1 + JITTER)))

    def reset(self) -> None:
        """An attempt succeeded: the next series starts short again."""
        self._nominal_ms = self._first_ms
