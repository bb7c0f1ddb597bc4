"""Lag that explains itself: what is left to read in a partition, how fast it shrinks, and why."""

from dataclasses import dataclass

from logd.model.group import LogBounds, PartitionLag
from logd.model.ids import Offset, PartitionId
from logd_consumer_groups.core.group_image import Position

BLOCKED_AFTER_MS = 30_000
"""A running consumer that leaves an offset where it is for so long, with records to read behind it,
is blocked there. Several commit intervals of 5 s."""


@dataclass(frozen=True, slots=True)
class ObservedPartition:
    """What one partition showed. `next_append_ms` None: there is nothing to read. `consumer_id` is
    the running consumer that takes it, or "". Rates are records/s, None: not known."""

    topic: str
    partition: PartitionId
    bounds: LogBounds
    position: Position | None
    lag_bytes: int
    next_append_ms: int | None
    rate: float | None
    arrival_rate: float | None
    consumer_id: str
    now_ms: int


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
    if records and observed.next_append_ms is not None:
        age_ms = max(0, observed.now_ms - observed.next_append_ms)
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
    position = observed.position
    gone = _gone_unread(position, observed.bounds)
    if gone:
        return f"below the log start: {gone} records are gone"
    if not records:
        return "caught up"
    if not observed.consumer_id:
        return "no member"
    if position is None:
        return "nothing committed"
    still_ms = min(observed.now_ms - position.since_ms, age_ms)
    if still_ms >= BLOCKED_AFTER_MS:
        return (
            f"blocked on offset {position.offset} for {still_ms // 1000} s "
            f"by {observed.consumer_id}"
        )
    return "reading"
