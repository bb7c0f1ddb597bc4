"""Brings together what a rewind's plan needs, and turns histories into what people read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from logd.model.group import (
    ByDuration,
    CommittedOffset,
    LogBounds,
    PlannedReset,
    ResetEvent,
    ResetTarget,
    ToGroup,
    TopicSelection,
    ToPlan,
    ToTime,
)
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import RewindEvent
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.reset_planner import (
    ResetPosition,
    plan_reset,
    plan_undo,
    replay_range,
    replay_records,
)
from logd_consumer_groups.log_survey import LogSurvey

GONE = "the topic is gone"


class GroupResets:
    """Plans resets and undos of one state; the caller keeps that state still meanwhile."""

    def __init__(self, survey: LogSurvey) -> None:
        self._survey = survey

    async def plan_reset(
        self,
        group: GroupState,
        target: ResetTarget,
        at_ms: int | None,
        topics: Sequence[TopicSelection],
        other: Sequence[CommittedOffset] = (),
    ) -> tuple[PlannedReset, ...]:
        """`other` is where the group of a ToGroup is. Raises UnknownTopic, UnknownPartition, and
        what the reset planner and the logs raise."""
        if isinstance(target, ToPlan):
            return await self._plan_from_plan(group, target, topics)
        positions_of_other = {o.topic_partition: o.offset for o in other if o.offset is not None}
        committed = group.offsets or (positions_of_other if isinstance(target, ToGroup) else {})
        partitions = self._survey.select(topics, committed)
        bounds = await self._bounds(partitions)
        asked: Mapping[TopicPartition, int] = {}
        match target:
            case ToGroup():
                asked = positions_of_other
            case ToTime() | ByDuration():
                assert at_ms is not None, "a time or duration names an instant"
                asked = await self._survey.offsets_at_time(
                    list(bounds), at_ms, by_record_time=target.by_record_time
                )
        positions = [self._position(group, p, bounds.get(p), asked.get(p)) for p in partitions]
        return await self._with_bytes(plan_reset(target, positions), bounds)

    async def plan_undo(self, group: GroupState) -> tuple[PlannedReset, ...]:
        reset, undone = group.latest_reset()
        partitions = [e.topic_partition for e in reset.body.entries] if reset else []
        bounds = await self._bounds(partitions)
        positions = [self._position(group, p, bounds.get(p), None) for p in partitions]
        return await self._with_bytes(plan_undo(reset, undone, positions), bounds)

    def event(self, event: RewindEvent) -> ResetEvent:
        """An event of the history, with the names that its topics have now."""
        return ResetEvent(
            rewind_epoch=event.rewind_epoch,
            at_ms=event.body.at_ms,
            kind=event.kind,
            description=event.body.description,
            actor=event.body.actor,
            partitions=tuple(
                PlannedReset(
                    topic=self._label(entry.topic_partition.topic_id),
                    topic_id=entry.topic_partition.topic_id,
                    partition=entry.topic_partition.partition,
                    from_offset=entry.from_offset,
                    to_offset=entry.to_offset,
                    replay_records=replay_records(entry.from_offset, entry.to_offset),
                    replay_bytes=entry.replay_bytes,
                    clamped=entry.clamped,
                )
                for entry in event.body.entries
            ),
        )

    async def _plan_from_plan(
        self, group: GroupState, target: ToPlan, topics: Sequence[TopicSelection]
    ) -> tuple[PlannedReset, ...]:
        """Of a plan, what lies in the selection; topics that there are not are skipped."""
        selected = set(self._survey.select(topics, group.offsets)) if topics else None
        positions: list[ResetPosition] = []
        wanted = []
        for asked in target.offsets:
            if asked.topic_id is None:
                positions.append(
                    ResetPosition(asked.topic, None, asked.partition, None, skipped=GONE)
                )
                continue
            where = TopicPartition(asked.topic_id, asked.partition)
            topic = self._survey.topic(asked.topic_id)
            if topic is not None:
                topic.partition(asked.partition)
            if selected is None or where in selected:
                wanted.append((where, asked.offset))
        bounds = await self._bounds([where for where, _ in wanted])
        positions += [self._position(group, p, bounds.get(p), offset) for p, offset in wanted]
        return await self._with_bytes(plan_reset(target, positions), bounds)

    async def _bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, LogBounds]:
        """Of those whose topic is there."""
        there = [p for p in partitions if self._survey.topic(p.topic_id) is not None]
        return await self._survey.known_bounds(there)

    def _position(
        self,
        group: GroupState,
        where: TopicPartition,
        bounds: LogBounds | None,
        asked: int | None,
    ) -> ResetPosition:
        return ResetPosition(
            topic=self._label(where.topic_id),
            topic_id=where.topic_id,
            partition=where.partition,
            committed=group.committed(where),
            bounds=bounds,
            asked=asked,
            skipped="" if bounds is not None else GONE,
        )

    async def _with_bytes(
        self, plan: Sequence[PlannedReset], bounds: Mapping[TopicPartition, LogBounds]
    ) -> tuple[PlannedReset, ...]:
        ranges: dict[TopicPartition, tuple[Offset, Offset]] = {}
        for planned in plan:
            where = _where(planned)
            if where in bounds and (again := replay_range(planned, bounds[where])) is not None:
                ranges[where] = again
        sizes = await self._survey.bytes_of(ranges)
        return tuple(replace(p, replay_bytes=sizes.get(_where(p), 0)) for p in plan)

    def _label(self, topic_id: TopicId) -> str:
        return self._survey.name(topic_id) or topic_id.hex()


def _where(planned: PlannedReset) -> TopicPartition:
    return TopicPartition(planned.topic_id or TopicId(b""), PartitionId(planned.partition))
