"""Asks the logs for many partitions at once, a bounded number of them at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from logd.model.errors import LogdError, Overloaded, UnknownTopic
from logd.model.group import LogBounds, TopicSelection
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.topic import Topic
from logd_consumer_groups.ports import LogView

T = TypeVar("T")
R = TypeVar("R")

LOOKUPS_AT_ONCE_MAX = 64
SELECTED_MAX = 100_000
"""Topics and partitions that one request names: some 100 ms on the loop."""


class LogSurvey:
    """What rewinds and lag need to know of topics and their logs. Holds no state."""

    def __init__(self, view: LogView) -> None:
        self._view = view

    def topic(self, topic_id: TopicId) -> Topic | None:
        """None: it is gone."""
        try:
            return self._view.by_id(topic_id)
        except UnknownTopic:
            return None

    def name(self, topic_id: TopicId) -> str:
        """ "" where it is gone."""
        topic = self.topic(topic_id)
        return "" if topic is None else topic.name

    def select(
        self, topics: Sequence[TopicSelection], committed: Collection[TopicPartition]
    ) -> list[TopicPartition]:
        """Partitions of a selection, sorted; of a topic that is gone, those in `committed`. No
        topics: all in `committed`. Raises UnknownTopic, UnknownPartition, Overloaded."""
        if not topics:
            return sorted(committed)
        if sum(1 + len(asked.partitions) for asked in topics) > SELECTED_MAX:
            raise Overloaded(
                f"a request names {SELECTED_MAX} topics and partitions at most; send several",
                limit="selected_max",
            )
        kept: dict[TopicId, list[PartitionId]] = {}
        for where in committed:
            kept.setdefault(where.topic_id, []).append(where.partition)
        selected: set[TopicPartition] = set()
        whole: set[TopicId] = set()
        for asked in topics:
            if asked.topic_id in whole:
                continue
            if not asked.partitions:
                whole.add(asked.topic_id)
            partitions: Iterable[PartitionId] = asked.partitions
            if self.topic(asked.topic_id) is None and asked.topic_id in kept:
                wanted = set(asked.partitions)
                partitions = [p for p in kept[asked.topic_id] if not wanted or p in wanted]
            else:
                topic = self._view.by_id(asked.topic_id)
                for number in asked.partitions:
                    topic.partition(number)
                partitions = partitions or map(PartitionId, range(len(topic.partitions)))
            selected.update(TopicPartition(asked.topic_id, number) for number in partitions)
        return sorted(selected)

    def refusals(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogdError]:
        """Why there are some of these not: UnknownTopic, UnknownPartition."""
        refused: dict[TopicPartition, LogdError] = {}
        for where in partitions:
            try:
                self._view.by_id(where.topic_id).partition(where.partition)
            except LogdError as error:
                refused[where] = error
        return refused

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, LogBounds | LogdError]:
        return await self._view.bounds(partitions)

    async def known_bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, LogBounds]:
        """Bounds of every partition, or the error of the first that has none."""
        known = {}
        for where, bounds in (await self._view.bounds(partitions)).items():
            if isinstance(bounds, LogdError):
                raise bounds
            known[where] = bounds
        return known

    async def offsets_at_time(
        self, partitions: Sequence[TopicPartition], time_ms: int, *, by_record_time: bool = False
    ) -> dict[TopicPartition, Offset]:
        async def look_up(where: TopicPartition) -> Offset:
            return await self._view.offset_at_time(where, time_ms, by_record_time=by_record_time)

        return await _for_each(partitions, look_up)

    async def append_times_ms(
        self, offsets: Mapping[TopicPartition, Offset]
    ) -> dict[TopicPartition, int | None]:
        async def look_up(where: TopicPartition) -> int | None:
            return await self._view.append_time_ms(where, offsets[where])

        return await _for_each(list(offsets), look_up)

    async def bytes_of(
        self, ranges: Mapping[TopicPartition, tuple[Offset, Offset]]
    ) -> dict[TopicPartition, int]:
        async def look_up(where: TopicPartition) -> int:
            return await self._view.bytes_between(where, *ranges[where])

        return await _for_each(list(ranges), look_up)


async def _for_each(keys: Sequence[T], look_up: Callable[[T], Awaitable[R]]) -> dict[T, R]:
    found: dict[T, R] = {}
    for start in range(0, len(keys), LOOKUPS_AT_ONCE_MAX):
        some = keys[start : start + LOOKUPS_AT_ONCE_MAX]
        found.update(zip(some, await asyncio.gather(*map(look_up, some)), strict=True))
    return found
