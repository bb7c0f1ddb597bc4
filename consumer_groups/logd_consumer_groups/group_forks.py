"""Plans a fork: what a second group replays of the topics of a first."""

from collections.abc import Iterable
from dataclasses import replace

from logd.model.errors import InvalidConfig
from logd.model.group import NEVER_REWOUND, TopicSelection, ToTime
from logd.model.group_replay import (
    SPEED_MAX,
    SPEED_MIN,
    UNPACED,
    Fork,
    ForkedPartition,
    ForkPlan,
    Replay,
)
from logd.model.ids import Offset, TopicId, TopicPartition
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.offset_records import OffsetRecord, ReplayRecord, RewindRecord
from logd_consumer_groups.core.reset_planner import describe_target, instant_ms, rewind_body
from logd_consumer_groups.group_resets import GroupResets
from logd_consumer_groups.log_survey import LogSurvey


class GroupForks:
    """Holds no state."""

    def __init__(self, survey: LogSurvey, resets: GroupResets) -> None:
        self._survey = survey
        self._resets = resets

    async def plan(
        self, source: GroupState, fork: Fork, now_ms: int
    ) -> tuple[ForkPlan, list[OffsetRecord]]:
        """As people read it, and as the log keeps it. Raises InvalidConfig where nothing is left to
        be replayed, and what resets raise."""
        to, at_ms, until_ms = ToTime(fork.at_ms), fork.at_ms, fork.until_ms
        topics = self._topics(source)
        begins = await self._resets.plan_reset(GroupState(fork.to), to, at_ms, topics)
        starts = {
            TopicPartition(each.topic_id, each.partition): each.to_offset
            for each in begins
            if each.topic_id is not None and each.to_offset is not None
        }
        bounds = await self._survey.known_bounds(list(starts))
        stops = {where: bounds[where].high_watermark for where in starts}
        if until_ms is not None:
            stops = await self._survey.offsets_at_time(list(starts), until_ms)
        stops = {where: max(starts[where], stop) for where, stop in stops.items()}
        some = {where: start for where, start in starts.items() if start < stops[where]}
        if not some:
            raise InvalidConfig(
                f"the topics of group '{source.name}' hold no record from then on"
                + ("" if until_ms is None else ", before 'until'"),
                field="at_ms",
            )
        times = await self._survey.append_times_ms(some)
        from_ms = min((time_ms for time_ms in times.values() if time_ms is not None), default=at_ms)
        sizes = await self._survey.bytes_of({p: (start, stops[p]) for p, start in some.items()})
        forked = tuple(
            ForkedPartition(
                topic=self._survey.name(where.topic_id),
                topic_id=where.topic_id,
                partition=where.partition,
                start=start,
                end=None if until_ms is None else stops[where],
                records=stops[where] - start,
                size_bytes=sizes.get(where, 0),
            )
            for where, start in starts.items()
        )
        body = rewind_body(
            begins,
            at_ms=now_ms,
            description=f"fork of group {source.name}, {describe_target(to, at_ms)}",
            actor=fork.actor,
        )
        assert body is not None, "some partition is to be replayed"
        ends: dict[TopicPartition, Offset] = {} if until_ms is None else stops
        replay = Replay(source.name, from_ms, until_ms, fork.speed, None, ends)
        records: list[OffsetRecord] = [
            RewindRecord(fork.to, "RESET", NEVER_REWOUND, body),
            ReplayRecord(fork.to, replay),
        ]
        return ForkPlan(forked, from_ms, executed=not fork.validate_only), records

    def _topics(self, source: GroupState) -> list[TopicSelection]:
        """Those it has committed, or whose members have seen them, and that are there. Raises
        InvalidConfig where there are none: an empty list would select others."""
        ids: Iterable[TopicId] = {where.topic_id for where in source.offsets}
        known = sorted({*ids, *source.table.first_seen})
        there = [TopicSelection(each) for each in known if self._survey.topic(each) is not None]
        if not there:
            raise InvalidConfig(f"group '{source.name}' has read no topic that is there")
        return there


def check_fork(fork: Fork, now_ms: int) -> None:
    """Raises InvalidConfig."""
    at_ms, until_ms, speed = fork.at_ms, fork.until_ms, fork.speed
    instant_ms(ToTime(at_ms), now_ms)
    if at_ms > now_ms:
        raise InvalidConfig("a replay begins in the past: 'at' is yet to come", field="at_ms")
    if until_ms is not None and not at_ms < until_ms:
        raise InvalidConfig("a replay ends after it begins: 'until' <= 'at'", field="until_ms")
    if until_ms is not None and until_ms > now_ms:
        raise InvalidConfig(
            "'until' is yet to come; without it the replay goes on with what is written then",
            field="until_ms",
        )
    if speed != UNPACED and not SPEED_MIN <= speed <= SPEED_MAX:  # neither is NaN
        raise InvalidConfig(
            f"speed is 0 (as fast as it is read) or {SPEED_MIN:g} to {SPEED_MAX:,.0f} times the "
            "pace it was written at",
            field="speed",
        )


def beginning(group: GroupState, now_ms: int) -> list[OffsetRecord]:
    """What is to be kept as a member comes: the clock of a replay runs from the first one on."""
    replay = group.replay
    if replay is None or replay.began_ms is not None or replay.speed == UNPACED:
        return []
    return [ReplayRecord(group.name, replace(replay, began_ms=now_ms))]
