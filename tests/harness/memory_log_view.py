"""Topics and their logs in memory: of each record only when it was appended."""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from harness.manual_clock import ManualClock
from logd.model.errors import LogdError, UnknownPartition, UnknownTopic
from logd.model.group import LogBounds
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.key_ranges import KeyRange
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig

RECORD_BYTES = 100
RECORD_TIME_BEHIND_MS = 1_000_000
"""How far every record's own timestamp lies before its append time."""


class MemoryLogView:
    """Implements `logd_consumer_groups.ports.LogView`, and the reads of Topics.

    A `gate` holds `bytes_between` back.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.topics: dict[TopicId, Topic] = {}
        self.logs: dict[TopicPartition, list[int]] = {}
        self.starts: dict[TopicPartition, int] = {}
        self.gate: asyncio.Event | None = None
        self._all: tuple[Topic, ...] = ()

    def add_topic(self, name: str, partitions: int = 1, records: int = 0) -> list[TopicPartition]:
        """A new topic with `records` appended now to each partition."""
        topic_id = TopicId((len(self.topics) + 1).to_bytes(16, "big"))
        specs = (PartitionSpec(KeyRange(0, 1 << 32)),) * partitions
        self.topics[topic_id] = Topic(topic_id, name, specs, TopicConfig())
        there = [TopicPartition(topic_id, PartitionId(number)) for number in range(partitions)]
        for where in there:
            self.starts[where] = 0
            self.logs[where] = [self._clock.wall_ms()] * records
        return there

    def drop_topic(self, where: TopicPartition) -> None:
        del self.topics[where.topic_id]

    def produce(self, where: TopicPartition, records: int = 1) -> None:
        self.logs[where] += [self._clock.wall_ms()] * records

    def by_id(self, topic_id: TopicId) -> Topic:
        if topic_id not in self.topics:
            raise UnknownTopic("no such topic", topic=topic_id.hex())
        return self.topics[topic_id]

    def by_name(self, name: str) -> Topic:
        for topic in self.topics.values():
            if topic.name == name:
                return topic
        raise UnknownTopic("no such topic", topic=name)

    def find(self, name: str) -> Topic | None:
        return next((t for t in self.topics.values() if t.name == name), None)

    def all(self) -> Sequence[Topic]:
        found = tuple(sorted(self.topics.values(), key=lambda topic: topic.name))
        if found != self._all:
            self._all = found
        return self._all

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, LogBounds | LogdError]:
        return {where: self._bounds(where) for where in partitions}

    async def offset_at_time(
        self, topic_partition: TopicPartition, time_ms: int, *, by_record_time: bool
    ) -> Offset:
        if by_record_time:
            time_ms += RECORD_TIME_BEHIND_MS
        start = self.starts[topic_partition]
        return Offset(max(start, bisect_left(self.logs[topic_partition], time_ms)))

    async def append_time_ms(self, topic_partition: TopicPartition, offset: Offset) -> int | None:
        log = self.logs[topic_partition]
        return log[offset] if offset < len(log) else None

    async def bytes_between(
        self, topic_partition: TopicPartition, start: Offset, end: Offset
    ) -> int:
        if self.gate is not None:
            await self.gate.wait()
        assert self.starts[topic_partition] <= start <= end <= len(self.logs[topic_partition])
        return RECORD_BYTES * (end - start)

    def _bounds(self, where: TopicPartition) -> LogBounds | LogdError:
        if where.topic_id not in self.topics:
            return UnknownTopic("no such topic", topic=where.topic_id.hex())
        if where not in self.logs:
            return UnknownPartition("no such partition", partition=where.partition)
        return LogBounds(Offset(self.starts[where]), Offset(len(self.logs[where])))
