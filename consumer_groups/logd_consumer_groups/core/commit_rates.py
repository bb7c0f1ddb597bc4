"""How fast groups commit, over about the last minute."""

from typing import NamedTuple

from logd.model.ids import Offset, TopicPartition

WINDOW_MS = 60_000
SPACING_MS = 5_000
"""Samples kept of one partition are so far apart: at most 14."""
ELAPSED_MS_MIN = 1_000
"""A rate over less than this says nothing."""
SAMPLES_MAX = 300_000
"""In all groups, some 150 bytes each: 45 MB. Beyond it the partition is forgotten that was
committed longest ago: its rate is not known until it is committed twice more."""


class _Sample(NamedTuple):
    at_ms: int
    offset: Offset


_Where = tuple[str, TopicPartition]
"""Group and partition."""


class CommitRates:
    """In memory only. Times are on the monotonic clock."""

    def __init__(self) -> None:
        self._samples: dict[_Where, list[_Sample]] = {}  # in the order of their latest commits
        self._groups: dict[str, set[TopicPartition]] = {}
        self._count = 0

    def observe(
        self, group: str, topic_partition: TopicPartition, offset: Offset, now_ms: int
    ) -> None:
        """A commit. One that goes back starts the count anew."""
        where = (group, topic_partition)
        samples = self._forget(where)
        if samples and offset < samples[-1].offset:
            samples.clear()
        if len(samples) > 1 and samples[-1].at_ms - samples[-2].at_ms < SPACING_MS:
            samples.pop()
        samples.append(_Sample(now_ms, offset))
        while len(samples) > 1 and samples[1].at_ms <= now_ms - WINDOW_MS:
            del samples[0]
        self._samples[where] = samples
        self._groups.setdefault(group, set()).add(topic_partition)
        self._count += len(samples)
        while self._count > SAMPLES_MAX:
            self._forget(next(iter(self._samples)))

    def rate(
        self,
        group: str,
        topic_partition: TopicPartition,
        now_ms: int,
        *,
        log_start_offset: Offset,
    ) -> float | None:
        """Records/s; None: not known. Commits that the log's start has passed count for nothing:
        what retention took was not read."""
        known = self._samples.get((group, topic_partition), [])
        samples = [sample for sample in known if sample.offset >= log_start_offset]
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
        for topic_partition in list(self._groups.get(group, ())):
            self._forget((group, topic_partition))

    def _forget(self, where: _Where) -> list[_Sample]:
        """What was known, which is as good as new."""
        samples = self._samples.pop(where, [])
        if samples:
            group, topic_partition = where
            self._count -= len(samples)
            self._groups[group].discard(topic_partition)
            if not self._groups[group]:
                del self._groups[group]
        return samples
