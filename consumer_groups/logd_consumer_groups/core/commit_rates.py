"""How fast groups commit, over about the last minute."""

from typing import NamedTuple

from logd.model.ids import Offset, TopicPartition

WINDOW_MS = 60_000
SPACING_MS = 5_000
"""Samples kept of one partition are so far apart: at most 14."""
ELAPSED_MS_MIN = 1_000
"""A rate over less than this says nothing."""


class _Sample(NamedTuple):
    at_ms: int
    offset: Offset


class CommitRates:
    """In memory only. Times are on the monotonic clock."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[TopicPartition, list[_Sample]]] = {}

    def observe(
        self, group: str, topic_partition: TopicPartition, offset: Offset, now_ms: int
    ) -> None:
        """A commit. One that goes back starts the count anew."""
        samples = self._groups.setdefault(group, {}).setdefault(topic_partition, [])
        if samples and offset < samples[-1].offset:
            samples.clear()
        if len(samples) > 1 and samples[-1].at_ms - samples[-2].at_ms < SPACING_MS:
            samples.pop()
        samples.append(_Sample(now_ms, offset))
        while len(samples) > 1 and samples[1].at_ms <= now_ms - WINDOW_MS:
            del samples[0]

    def rate(self, group: str, topic_partition: TopicPartition, now_ms: int) -> float | None:
        """Records/s; None: not known."""
        samples = self._groups.get(group, {}).get(topic_partition)
        if not samples:
            return None
        if samples[-1].at_ms <= now_ms - WINDOW_MS:
            return 0.0
        elapsed_ms = now_ms - samples[0].at_ms
        if len(samples) < 2 or elapsed_ms < ELAPSED_MS_MIN:
            return None
        return (samples[-1].offset - samples[0].offset) * 1000 / elapsed_ms

    def forget(self, group: str) -> None:
        """The group was rewound or deleted."""
        self._groups.pop(group, None)
