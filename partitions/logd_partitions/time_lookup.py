"""Finds the first record at or after a moment, by append time or by the records' own time.

By append time the answer is a batch's first offset: all its records were appended at once. By
record time it is a record: the running maximum in the time index leads to a stretch of batches,
their headers to the batch, and the decoded batch to the record. Blocking.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from logd.model.batch_decoder import decode_batch
from logd.model.ids import Offset
from logd.model.record_batch import LeaderFlag
from logd.model.seams import File
from logd_partitions.log_segment import LogSegment
from logd_partitions.segment_scan import Damage, ScannedBatch, SegmentScan
from logd_partitions.time_index import APPEND_TIME, RECORD_TIME, record_time_ms

Found = tuple[Offset, int]
"""An offset and its time in ms."""


def find_in_segments(
    segments: Sequence[LogSegment],
    time_ms: int,
    *,
    by_record_time: bool,
    start_offset: Offset,
    end_offset: Offset,
) -> Found | None:
    """The first record in [start_offset, end_offset) with a time of at least `time_ms`.

    `segments` are those from the one that holds `start_offset` on. Raises StoredDataCorrupt where
    the batch that would answer is damaged, OSError.
    """
    wanted = _Wanted(time_ms, by_record_time, start_offset, end_offset)
    for segment in segments:
        if segment.base_offset >= end_offset:
            break
        times = segment.time_index()
        last_ms = times.max_record_ms if by_record_time else times.last_append_ms
        if last_ms < time_ms:
            continue
        found = _find_in_segment(segment, wanted)
        if found is not None:
            return found
    return None


class _Wanted(NamedTuple):
    time_ms: int
    by_record_time: bool
    start_offset: Offset
    end_offset: Offset


def _find_in_segment(segment: LogSegment, wanted: _Wanted) -> Found | None:
    column = RECORD_TIME if wanted.by_record_time else APPEND_TIME
    begin = segment.time_index().before(wanted.time_ms, column) or segment.base_offset
    offset, position = segment.index().floor(Offset(max(begin, wanted.start_offset)))
    with segment.open() as file:
        items = SegmentScan(file, segment.size, bodies=False).items(position, offset)
        first = next(items, None)
        if isinstance(first, Damage) and first.position == position:
            segment.rebuild_indexes()  # they led to where no batch is
            offset, position = segment.index().floor(Offset(max(begin, wanted.start_offset)))
            items = SegmentScan(file, segment.size, bodies=False).items(position, offset)
            first = next(items, None)
        for item in chain(() if first is None else (first,), items):
            if isinstance(item, Damage):
                continue
            if item.header.base_offset >= wanted.end_offset:
                return None
            found = _find_in_batch(file, item, wanted)
            if found is not None:
                return found
    return None


def _find_in_batch(file: File, item: ScannedBatch, wanted: _Wanted) -> Found | None:
    """Raises CorruptBatch, UndecodableBatch."""
    header, by_record_time = item.header, wanted.by_record_time
    batch_ms = record_time_ms(header) if by_record_time else header.append_timestamp_ms
    if header.next_offset <= wanted.start_offset or batch_ms < wanted.time_ms:
        return None
    if not by_record_time or header.leader_flags & LeaderFlag.APPEND_TIME:
        first = Offset(max(header.base_offset, wanted.start_offset))
        return first, header.append_timestamp_ms
    decoded = decode_batch(file.pread(header.batch_length, item.position))
    for offset, record_ms in zip(decoded.offsets, decoded.timestamps_ms, strict=True):
        if record_ms >= wanted.time_ms and offset >= wanted.start_offset:
            return Offset(offset), record_ms
    return None
