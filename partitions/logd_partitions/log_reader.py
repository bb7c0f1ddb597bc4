"""The reading side of a PartitionLog: plans, reads, look-ups."""

from functools import partial
from typing import Protocol

from logd.model.errors import (
    LeaderNotAvailable,
    LogdError,
    OffsetOutOfRange,
    StoredDataCorrupt,
)
from logd.model.ids import Offset
from logd.model.seams import Buffer
from logd_partitions.core.disk_errors import overloaded, passes
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.read_plan import Cold, Hot, ReadPlan
from logd_partitions.segment.segment_list import SegmentList
from logd_partitions.segment.segment_reader import ColdRead, SegmentReader, stored_data_corrupt
from logd_partitions.segment.stored_bytes import bytes_between, hot_bytes_between
from logd_partitions.segment.time_lookup import Found, find_in_segments


class LogEnds(Protocol):
    """The ends of a log."""

    @property
    def log_start_offset(self) -> Offset: ...

    @property
    def log_end_offset(self) -> Offset: ...


class LogReader:
    """The log's lock is held while a map is in use, never over a read from the disk: each method
    says which it needs."""

    def __init__(self, path: str, segments: SegmentList, bounds: LogEnds) -> None:
        self._path = path
        self._segments = segments
        self._bounds = bounds

    def plan(self, offset: Offset, max_bytes: int, end_offset: Offset) -> ReadPlan | None:
        """As `PartitionLog.plan_read`; the log's lock is held."""
        log_end = self._bounds.log_end_offset
        if not self._bounds.log_start_offset <= offset <= log_end:
            raise self.out_of_range(offset, end_offset)
        if offset >= end_offset or offset == log_end:
            return None
        segment = self._segments.holding(offset)
        if segment is None:
            raise stored_data_corrupt(self._path, offset, self._following(offset))
        for start, next_offset in segment.damaged:
            if start <= offset < next_offset:
                raise stored_data_corrupt(segment.path, start, next_offset)
        end = min(end_offset, log_end)
        try:
            hot = segment.plan_hot(offset, max_bytes, end)
        except OSError:
            hot = None  # no map to be had
        return hot or Cold(segment, offset, max_bytes, end)

    def read_hot(self, plan: Hot) -> Buffer:
        """As `PartitionLog.read`; the log's lock is held."""
        if plan.segment.removed:
            raise self._gone(plan.segment.base_offset)
        try:
            return plan.segment.read_hot(plan)
        except OSError as error:  # no map to be had any more
            raise overloaded(error, self._path) from error

    def read_cold(self, plan: Cold) -> Buffer:
        """As `PartitionLog.read`; without the log's lock."""
        try:
            found = self._reader(plan.segment).read(plan.offset, plan.max_bytes, plan.end_offset)
        except (FileNotFoundError, StoredDataCorrupt) as error:
            if plan.segment.removed:
                raise self._gone(plan.offset) from None
            if isinstance(error, StoredDataCorrupt):
                raise
            following = self._following(plan.segment.base_offset)
            raise stored_data_corrupt(plan.segment.path, plan.offset, following) from None
        return _carried_out(plan, found)

    def try_read_cached(self, plan: Cold) -> Buffer | None:
        """As `PartitionLog.try_read_cached`."""
        reader = self._reader(plan.segment)
        found = reader.read_cached(plan.offset, plan.max_bytes, plan.end_offset)
        return None if found is None else _carried_out(plan, found)

    def find_offset_by_time(
        self, time_ms: int, by_record_time: bool, end_offset: Offset
    ) -> Found | None:
        """As `PartitionLog.find_offset_by_time`."""
        start = self._bounds.log_start_offset
        try:
            return find_in_segments(
                self._segments.from_offset(start),
                time_ms,
                by_record_time=by_record_time,
                start_offset=start,
                end_offset=end_offset,
            )
        except OSError as error:
            raise self._unreadable(error, "searched by time") from error

    def bytes_between(self, start: Offset, end: Offset) -> int:
        """As `PartitionLog.bytes_between`."""
        start = max(start, self._bounds.log_start_offset)
        segments = self._segments.from_offset(start)
        try:
            return bytes_between(segments, start, end, self._bounds.log_end_offset)
        except OSError as error:
            raise self._unreadable(error, "measured") from error

    def hot_bytes_between(self, start: Offset, end: Offset) -> int:
        """As `PartitionLog.hot_bytes_between`; the log's lock is held."""
        return hot_bytes_between(self._segments.from_offset(start), start, end)

    def out_of_range(self, offset: Offset, end: Offset) -> OffsetOutOfRange:
        """`end`: up to where who asks may read."""
        start = self._bounds.log_start_offset
        return OffsetOutOfRange(
            f"offset {offset} is not in the log, which holds {start} to {end} (exclusive)",
            log_start_offset=start,
            high_watermark=end,
        )

    def _unreadable(self, error: OSError, what: str) -> LogdError:
        if passes(error):
            return overloaded(error, self._path)
        start = self._bounds.log_start_offset
        return StoredDataCorrupt(f"{self._path} can't be {what} ({error})", offset=start)

    def _reader(self, segment: LogSegment) -> SegmentReader:
        return SegmentReader(segment, partial(self._following, segment.base_offset))

    def _following(self, offset: Offset) -> Offset:
        """Where the log goes on behind the segment that begins at `offset`."""
        following = self._segments.following(offset)
        return self._bounds.log_end_offset if following is None else following

    def _gone(self, offset: Offset) -> LogdError:
        """Why a segment can't be read any more that was removed after it had been planned."""
        if offset < self._bounds.log_start_offset:
            return self.out_of_range(offset, self._bounds.log_end_offset)
        return LeaderNotAvailable(f"{self._path} was cut while it was read: a follower's log")


def _carried_out(plan: Cold, found: ColdRead) -> Buffer:
    plan.next_offset, plan.size_bytes = found.next_offset, len(found.batches)
    return found.batches
