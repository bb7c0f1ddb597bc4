"""Plans a rewind: from where to where in each partition. Pure; what it needs to know comes in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from logd.model.errors import InvalidConfig, Overloaded
from logd.model.group import (
    NEVER_REWOUND,
    ByDuration,
    LogBounds,
    PlannedReset,
    ResetTarget,
    RewindEpoch,
    ShiftBy,
    ToCurrent,
    ToEarliest,
    ToGroup,
    ToLatest,
    ToOffset,
    ToPlan,
    ToTime,
)
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import RewindBody, RewindEntry, RewindEvent

RESET_PARTITIONS_MAX = 20_000
"""A rewind is one record, which must stay far below the topic's message_bytes_max."""
ACTOR_BYTES_MAX = 256
TIME_MS_MIN, TIME_MS_MAX = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ResetPosition:
    """One partition that a rewind names.

    `bounds` None: the partition cannot be reset, for the reason `skipped`. `asked` is what the
    target says where only the outside knows: the offset at a time, another group's, a plan's.
    """

    topic: str
    topic_id: TopicId | None
    partition: PartitionId
    committed: Offset | None
    bounds: LogBounds | None = None
    asked: int | None = None
    skipped: str = ""


def instant_ms(target: ResetTarget, now_ms: int) -> int | None:
    """The instant that a target names, ms since 1970 UTC. Raises InvalidConfig."""
    match target:
        case ToTime(time_ms=time_ms):
            at_ms = time_ms
        case ByDuration(duration_ms=duration_ms):
            if duration_ms < 0:
                raise InvalidConfig("a duration cannot be negative", field="duration_ms")
            at_ms = now_ms - duration_ms
        case _:
            return None
    if not TIME_MS_MIN <= at_ms <= TIME_MS_MAX:
        raise InvalidConfig("the time lies outside the years 1 to 9999", field="time_ms")
    return at_ms


def describe_target(target: ResetTarget, at_ms: int | None) -> str:
    """For the history, as people read it."""
    at = "" if at_ms is None else _rfc3339(at_ms)
    match target:
        case ToEarliest():
            return "to earliest"
        case ToLatest():
            return "to latest"
        case ToCurrent():
            return "to current"
        case ToOffset(offset=offset):
            return f"to offset {offset}"
        case ToTime(by_record_time=by_record_time):
            return f"to {at} by {'record' if by_record_time else 'append'} time"
        case ByDuration(duration_ms=duration_ms, by_record_time=by_record_time):
            return f"by {duration_ms} ms, to {at}" + (" by record time" if by_record_time else "")
        case ShiftBy(records=records):
            return f"shift by {records:+}"
        case ToGroup(group=group):
            return f"to group {group}"
        case ToPlan(offsets=offsets):
            return f"to a plan of {len(offsets)} positions"


def plan_reset(target: ResetTarget, positions: Sequence[ResetPosition]) -> tuple[PlannedReset, ...]:
    """By topic and partition. Raises Overloaded, InvalidConfig (a partition stands twice)."""
    _check_positions(positions)
    return tuple(sorted((_plan_one(target, p) for p in positions), key=_order))


def plan_undo(
    reset: RewindEvent | None, undone: bool, positions: Sequence[ResetPosition]
) -> tuple[PlannedReset, ...]:
    """Back to before the latest reset. Where an undo took it back already, or there is none, every
    partition is skipped: asking twice changes nothing."""
    before = {e.topic_partition: e.from_offset for e in reset.body.entries} if reset else {}
    plan = []
    for position in positions:
        if undone:
            position = replace(position, bounds=None, skipped="the rewind was undone already")
        planned = _skip(position)
        if position.bounds is not None and position.topic_id is not None:
            where = TopicPartition(position.topic_id, position.partition)
            planned = _move(position, position.bounds, before[where])
        plan.append(planned)
    return tuple(sorted(plan, key=_order))


def replay_range(planned: PlannedReset, bounds: LogBounds) -> tuple[Offset, Offset] | None:
    """What will be read again and still exists; None: nothing."""
    if planned.from_offset is None or planned.to_offset is None or planned.skipped:
        return None
    start, end = bounds.clamp(planned.to_offset), bounds.clamp(planned.from_offset)
    return (start, end) if start < end else None


def rewind_body(
    plan: Sequence[PlannedReset],
    *,
    at_ms: int,
    description: str,
    actor: str,
    undoes: RewindEpoch = NEVER_REWOUND,
) -> RewindBody | None:
    """What the log keeps of a plan; None: nothing is to be reset. Raises InvalidConfig."""
    if len(actor.encode()) > ACTOR_BYTES_MAX:
        raise InvalidConfig(f"an actor has {ACTOR_BYTES_MAX} bytes at most", field="actor")
    entries = tuple(
        RewindEntry(
            TopicPartition(planned.topic_id, planned.partition),
            planned.from_offset,
            planned.to_offset,
            planned.replay_bytes,
            planned.clamped,
        )
        for planned in plan
        if not planned.skipped and planned.topic_id is not None
    )
    return RewindBody(at_ms, description, actor, entries, undoes) if entries else None


def replay_records(from_offset: Offset | None, to_offset: Offset | None) -> int:
    """Records to be read again; negative: stepped over."""
    return 0 if from_offset is None or to_offset is None else from_offset - to_offset


def _plan_one(target: ResetTarget, position: ResetPosition) -> PlannedReset:
    bounds = position.bounds
    if bounds is None:
        return _skip(position)
    here = bounds.high_watermark if position.committed is None else position.committed
    match target:
        case ToEarliest():
            wanted: int | None = bounds.log_start_offset
        case ToLatest():
            wanted = bounds.high_watermark
        case ToCurrent():
            wanted = here
        case ToOffset(offset=offset):
            wanted = offset
        case ShiftBy(records=records):
            wanted = here + records
        case ToTime() | ByDuration() | ToGroup() | ToPlan():
            wanted = position.asked
    if wanted is None:
        return _skip(replace(position, skipped="the other group has committed nothing here"))
    return _move(position, bounds, wanted)


def _move(position: ResetPosition, bounds: LogBounds, wanted: int | None) -> PlannedReset:
    to_offset = None if wanted is None else bounds.clamp(wanted)
    return PlannedReset(
        topic=position.topic,
        topic_id=position.topic_id,
        partition=position.partition,
        from_offset=position.committed,
        to_offset=to_offset,
        replay_records=replay_records(position.committed, to_offset),
        clamped=to_offset != wanted,
    )


def _skip(position: ResetPosition) -> PlannedReset:
    return PlannedReset(
        topic=position.topic,
        topic_id=position.topic_id,
        partition=position.partition,
        from_offset=position.committed,
        to_offset=position.committed,
        skipped=position.skipped,
    )


def _check_positions(positions: Sequence[ResetPosition]) -> None:
    if len(positions) > RESET_PARTITIONS_MAX:
        raise Overloaded(
            f"a rewind takes {RESET_PARTITIONS_MAX} partitions at most; name fewer topics",
            limit="RESET_PARTITIONS_MAX",
        )
    seen = set()
    for position in positions:
        where = (position.topic_id or position.topic, position.partition)
        if where in seen:
            raise InvalidConfig(
                f"the plan names {position.topic}:{position.partition} twice", field="plan"
            )
        seen.add(where)


def _order(planned: PlannedReset) -> tuple[str, int]:
    return planned.topic, planned.partition


def _rfc3339(at_ms: int) -> str:
    at = _EPOCH + timedelta(milliseconds=at_ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
