"""Brings together what a group's lag needs: logs, committed offsets, rates and consumers."""

from collections.abc import Mapping, Sequence

from logd.model.errors import LogdError
from logd.model.group import GroupConsumer, LogBounds, PartitionLag
from logd.model.group_replay import Replay
from logd.model.ids import Offset, PartitionId, TopicPartition
from logd.model.seams import Clock
from logd_consumer_groups.core.commit_rates import ELAPSED_MS_MIN, WINDOW_MS
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.lag_report import (
    NOBODY,
    Holder,
    ObservedPartition,
    explain_lag,
    next_unread,
)
from logd_consumer_groups.group_activity import GroupActivity
from logd_consumer_groups.log_survey import LogSurvey


class GroupLag:
    """Lag of every partition of the topics that a group has committed or is reading.

    No log is scanned: bytes and times come from the indexes, rates from counters and an index.
    """

    def __init__(self, survey: LogSurvey, activity: GroupActivity, clock: Clock) -> None:
        self._survey = survey
        self._activity = activity
        self._clock = clock

    async def describe(
        self,
        group: GroupState,
        others: Sequence[GroupConsumer],
        members: Mapping[TopicPartition, Holder],
    ) -> list[PartitionLag]:
        """By topic and partition. Partitions whose log cannot be asked now are left out. `others`
        are no members."""
        holders = {where: Holder(c.consumer_id) for c in others for where in c.partitions}
        holders.update(members)
        whole = await self._bounds({*group.offsets, *holders})
        bounds = _replayed(group.replay, whole)
        unread: dict[TopicPartition, Offset] = {}
        for where, known in bounds.items():
            offset = next_unread(group.offsets.get(where), known)
            if offset < known.high_watermark:
                unread[where] = offset
        sizes = await self._survey.bytes_of(
            {where: (offset, bounds[where].high_watermark) for where, offset in unread.items()}
        )
        times = await self._survey.append_times_ms(unread)
        now_ms = self._clock.wall_ms()
        arriving = [] if group.replay and group.replay.until_ms is not None else list(unread)
        arrival_rates = await self._arrival_rates(arriving, bounds, now_ms)
        pace = None if group.replay is None else group.replay.pace(now_ms)
        lags = []
        for where, known in bounds.items():
            observed = ObservedPartition(
                topic=self._survey.name(where.topic_id),
                partition=where.partition,
                bounds=known,
                position=group.offsets.get(where),
                lag_bytes=sizes.get(where, 0),
                next_append_ms=times.get(where),
                rate=self._activity.rate(group.name, where, known.log_start_offset),
                arrival_rate=arrival_rates.get(where),
                holder=holders.get(where, NOBODY),
                now_ms=now_ms,
                pace=pace,
                whole_end=whole[where].high_watermark,
            )
            lags.append(explain_lag(observed))
        return sorted(lags, key=lambda lag: (lag.topic, lag.partition))

    async def _arrival_rates(
        self,
        partitions: Sequence[TopicPartition],
        bounds: Mapping[TopicPartition, LogBounds],
        now_ms: int,
    ) -> dict[TopicPartition, float]:
        """Records/s appended over the last minute, or since the log's first record if that is
        younger: retention may have taken what came before it."""
        since = await self._survey.offsets_at_time(partitions, now_ms - WINDOW_MS)
        starts = {w: at for w, at in since.items() if at == bounds[w].log_start_offset}
        first_ms = await self._survey.append_times_ms(starts)
        rates = {}
        for where, offset in since.items():
            began_ms = first_ms.get(where) or now_ms - WINDOW_MS
            elapsed_ms = max(ELAPSED_MS_MIN, min(WINDOW_MS, now_ms - began_ms))
            rates[where] = (bounds[where].high_watermark - offset) * 1000 / elapsed_ms
        return rates

    async def _bounds(self, used: set[TopicPartition]) -> dict[TopicPartition, LogBounds]:
        topics = sorted({where.topic_id for where in used})
        partitions = [
            TopicPartition(topic.topic_id, number)
            for topic in map(self._survey.topic, topics)
            if topic is not None
            for number in map(PartitionId, range(len(topic.partitions)))
        ]
        found = await self._survey.bounds(partitions)
        return {p: b for p, b in found.items() if not isinstance(b, LogdError)}


def _replayed(
    replay: Replay | None, bounds: dict[TopicPartition, LogBounds]
) -> dict[TopicPartition, LogBounds]:
    """Of each log what a replay has to read of it: not what came later, and nothing of topics that
    it was not forked with."""
    if replay is None:
        return bounds
    found = {}
    for where, known in bounds.items():
        end = replay.end_of(where)
        if end is None:
            found[where] = known
        elif end > 0:
            found[where] = LogBounds(
                min(known.log_start_offset, end), min(known.high_watermark, end)
            )
    return found
