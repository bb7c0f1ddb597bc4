"""Lag that explains itself: what is left to read in a partition, how fast it shrinks, and why."""

from dataclasses import dataclass
from typing import NamedTuple

from logd.model.group import LogBounds, PartitionLag
from logd.model.group_replay import ReplayPace
from logd.model.ids import Offset, PartitionId
from logd_consumer_groups.core.group_image import Position
from logd_consumer_groups.core.split_waits import SplitWait

BLOCKED_AFTER_MS = 30_000
"""A running consumer that leaves an offset where it is for so long, with records to read behind it,
is blocked there. Several commit intervals of 5 s."""


class Holder(NamedTuple):
    """Who has a partition, as its group's members are now; all empty: nobody, and nobody will.

    `wanted` is the member that is to have it. `away_ms` 0: the session of who has it stands, else
    for so long it may still come back. `stalled_ms`: it has not come back from a record of it.
    `problem`: why it cannot read on. `waits_for`: it was split off that one, of which the group has
    to be done first, so far.
    """

    consumer_id: str = ""
    wanted: str = ""
    paused: bool = False
    stalled_ms: int = 0
    away_ms: int = 0
    waits_for: SplitWait | None = None
    problem: str = ""


NOBODY = Holder()


@dataclass(frozen=True, slots=True)
class ObservedPartition:
    """What one partition showed. `next_append_ms` None: there is nothing to read. Rates are
    records/s, None: not known. `pace`: the group replays it by this clock. Then
    `bounds` end where it ends, and `whole_end` is the log's own end."""

    topic: str
    partition: PartitionId
    bounds: LogBounds
    position: Position | None
    lag_bytes: int
    next_append_ms: int | None
    rate: float | None
    arrival_rate: float | None
    holder: Holder
    now_ms: int
    pace: ReplayPace | None = None
    whole_end: Offset | None = None

    @property
    def log_end(self) -> Offset:
        """Where the log ends, whatever a replay is to read of it."""
        return self.bounds.high_watermark if self.whole_end is None else self.whole_end


def next_unread(position: Position | None, bounds: LogBounds) -> Offset:
    """Where a consumer would go on: at what is committed, in what the log still holds. Records done
    beyond the committed offset are stepped over."""
    offset = bounds.log_start_offset if position is None else bounds.clamp(position.offset)
    for done in () if position is None else position.done_ranges:
        if done.start > offset:
            break
        offset = bounds.clamp(max(offset, done.end))
    return offset


def lag_records(position: Position | None, bounds: LogBounds) -> int:
    """Records from the committed offset (or the log start) to the high watermark, less those done
    beyond it."""
    start = bounds.log_start_offset if position is None else bounds.clamp(position.offset)
    done = (
        0
        if position is None
        else sum(
            max(0, min(r.end, bounds.high_watermark) - max(r.start, start))
            for r in position.done_ranges
        )
    )
    return bounds.high_watermark - start - done


def explain_lag(observed: ObservedPartition) -> PartitionLag:
    records = lag_records(observed.position, observed.bounds)
    age_ms = 0
    clock_ms = observed.now_ms if observed.pace is None else observed.pace.clock_ms
    if records and observed.next_append_ms is not None:
        age_ms = max(0, clock_ms - observed.next_append_ms)
    position, bounds = observed.position, observed.bounds
    return PartitionLag(
        topic=observed.topic,
        partition=observed.partition,
        committed=None if position is None else position.offset,
        high_watermark=bounds.high_watermark,
        log_start_offset=bounds.log_start_offset,
        lag_records=records,
        lag_bytes=observed.lag_bytes if records else 0,
        lag_seconds=age_ms / 1000,
        rate=observed.rate,
        catch_up_seconds=_catch_up_seconds(records, observed.rate, observed.arrival_rate),
        reason=_reason(observed, records, age_ms),
        records_lost=_gone_unread(position, bounds),
        consumer_id=observed.holder.consumer_id,
    )


def _catch_up_seconds(records: int, rate: float | None, arrival_rate: float | None) -> float | None:
    if not records:
        return 0.0
    if rate is None or rate <= (arrival_rate or 0.0):
        return None
    return records / (rate - (arrival_rate or 0.0))


def _gone_unread(position: Position | None, bounds: LogBounds) -> int:
    """Records that the log's start has passed and that the group had not read."""
    if position is None or position.offset >= bounds.log_start_offset:
        return 0
    start = bounds.log_start_offset
    done = sum(
        max(0, min(r.end, start) - max(r.start, position.offset)) for r in position.done_ranges
    )
    return start - position.offset - done


def _reason(observed: ObservedPartition, records: int, age_ms: int) -> str:
    """The first that holds; scripts rely on these words."""
    position, bounds, holder = observed.position, observed.bounds, observed.holder
    gone = _gone_unread(position, bounds)
    if gone:
        return f"below the log start: {gone} records are gone"
    if position is not None and position.offset > observed.log_end:
        return (
            f"offset out of range: {position.offset} is committed, the log ends at "
            f"{observed.log_end}"
        )
    if not records:
        return "caught up"
    return (
        _who_holds_up(holder) or _when_it_is_due(observed) or _what_stands_still(observed, age_ms)
    )


def _who_holds_up(holder: Holder) -> str:
    """Why nobody can read it now; "": somebody can."""
    who, wanted = holder.consumer_id, holder.wanted
    if holder.waits_for is not None:
        parent, at = holder.waits_for
        return f"waiting for partition {parent.partition}, which it was split from, to reach {at}"
    if not who:
        return f"rebalancing: it goes to {wanted}" if wanted else "no member"
    if wanted and who != wanted:
        return f"waiting for {who} to give it up to {wanted}"
    if holder.away_ms:
        return (
            f"waiting for {who}, whose session is broken: it has {holder.away_ms} ms to come back"
        )
    if holder.problem:
        return f"{who} cannot read on: {holder.problem}"
    return f"paused by {who}" if holder.paused else ""


def _when_it_is_due(observed: ObservedPartition) -> str:
    """Of a replay that waits for its clock."""
    pace, append_ms = observed.pace, observed.next_append_ms
    if pace is None or append_ms is None or append_ms <= pace.clock_ms:
        return ""
    wait_s = (append_ms - pace.clock_ms) / pace.speed / 1000
    return f"replayed at {pace.speed:g}x: the next record is due in {wait_s:.1f} s"


def _what_stands_still(observed: ObservedPartition, age_ms: int) -> str:
    position, holder = observed.position, observed.holder
    tried = position.attempts[0] if position is not None and position.attempts else None
    if tried is not None and position is not None and tried.offset == position.offset:
        return f"offset {tried.offset} failed {tried.times} times, {holder.consumer_id} tries again"
    still_ms = holder.stalled_ms
    if position is not None:
        real_ms = age_ms if observed.pace is None else int(age_ms / observed.pace.speed)
        still_ms = max(still_ms, min(observed.now_ms - position.since_ms, real_ms))
    if still_ms >= BLOCKED_AFTER_MS:
        offset = observed.bounds.log_start_offset if position is None else position.offset
        return f"blocked on offset {offset} for {still_ms // 1000} s by {holder.consumer_id}"
    return "reading" if position is not None else "nothing committed"
