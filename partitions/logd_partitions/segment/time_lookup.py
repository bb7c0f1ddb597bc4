"""Finds the first record at or after a moment, by append time or by the records' own time.

By append time the answer is a batch's first offset: all its records were appended at once. By
record time it is a record: the running maximum in the time index leads to a stretch of batches,
their headers to the batch, and the decoded batch to the record. Blocking.

Batches that are damaged, or that nobody can decode, are the answer if they may hold it: whoever
reads from there is told what is lost, where the next good batch would pass it over in silence. By
append time that is damage right before the first batch that qualifies, since append times never
fall.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from logd.model.batch_decoder import decode_batch
from logd.model.errors import CorruptBatch, UndecodableBatch
from logd.model.ids import Offset
from logd.model.record_batch import LeaderFlag
from logd.model.seams import File
from logd_partitions.core.time_index import APPEND_TIME, RECORD_TIME, record_time_ms
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.segment_scan import Damage, ScannedBatch, SegmentScan


class Found(NamedTuple):
    """An offset and its time in ms; None: what stands there is damaged."""

    offset: Offset
    time_ms: int | None


def find_in_segments(
    segments: Sequence[LogSegment],
    time_ms: int,
    *,
    by_record_time: bool,
    start_offset: Offset,
    end_offset: Offset,
) -> Found | None:
    """The first record in [start_offset, end_offset) with a time of at least `time_ms`.

    `segments` are those from the one that holds `start_offset` on. Raises OSError.
    """
    search = _Search(time_ms, by_record_time, start_offset, end_offset)
    if not segments or segments[0].base_offset > start_offset:
        search.met(start_offset)
    for segment, following in pairwise([*segments, None]):
        assert segment is not None
        if segment.base_offset >= end_offset:
            break
        end = end_offset if following is None else min(end_offset, following.base_offset)
        found = search.in_segment(segment, end)
        if found is not None:
            return found
    return search.damaged()


class _Search:
    """One look-up, segment by segment. `_damage`: offset of damage that may hold the answer."""

    def __init__(
        self, time_ms: int, by_record_time: bool, start_offset: Offset, end_offset: Offset
    ) -> None:
        self._time_ms = time_ms
        self._by_record_time = by_record_time
        self._start_offset = start_offset
        self._end_offset = end_offset
        self._damage: Offset | None = None

    def damaged(self) -> Found | None:
        """The damage that may hold the answer, if there was any."""
        return None if self._damage is None else Found(self._damage, None)

    def in_segment(self, segment: LogSegment, end: Offset) -> Found | None:
        """The answer, if it stands in this segment, whose offsets are those below `end`."""
        times = segment.time_index()
        last_ms = times.max_record_ms if self._by_record_time else times.last_append_ms
        if last_ms < self._time_ms:
            if times.first_append_ms >= 0:
                self._passed()
            if segment.find_end() < end:
                self.met(segment.find_end())
            return None
        column = RECORD_TIME if self._by_record_time else APPEND_TIME
        begin = times.before(self._time_ms, column) or segment.base_offset
        with segment.open() as file:
            for item in self._items(segment, file, Offset(max(begin, self._start_offset))):
                if isinstance(item, Damage):
                    if not item.zeros:
                        self.met(item.expected_offset)
                    continue
                if item.header.base_offset >= self._end_offset:
                    return self.damaged()
                found = self._in_batch(file, item)
                if found is not None:
                    return self.damaged() or found
        return None

    def _items(
        self, segment: LogSegment, file: File, begin: Offset
    ) -> Iterator[ScannedBatch | Damage]:
        for _ in range(2):
            offset, position = segment.index().floor(begin)
            items = SegmentScan(file, segment.size, bodies=False).items(position, offset)
            first = next(items, None)
            if not isinstance(first, Damage) or first.position != position:
                break
            segment.rebuild_indexes()  # they led to where no batch is
        return chain(() if first is None else (first,), items)

    def _in_batch(self, file: File, item: ScannedBatch) -> Found | None:
        header = item.header
        batch_ms = record_time_ms(header) if self._by_record_time else header.append_timestamp_ms
        if header.next_offset <= self._start_offset:
            return None
        if batch_ms < self._time_ms:
            self._passed()
            return None
        first = Offset(max(header.base_offset, self._start_offset))
        if not self._by_record_time or header.leader_flags & LeaderFlag.APPEND_TIME:
            return Found(first, header.append_timestamp_ms)
        try:
            decoded = decode_batch(file.pread(header.batch_length, item.position))
        except (CorruptBatch, UndecodableBatch):
            return Found(first, None)
        for offset, record_ms in zip(decoded.offsets, decoded.timestamps_ms, strict=True):
            if record_ms >= self._time_ms and offset >= self._start_offset:
                return Found(Offset(offset), record_ms)
        return None

    def met(self, offset: Offset) -> None:
        """Damage begins there, or files are missing."""
        if self._damage is None and offset < self._end_offset:
            self._damage = Offset(max(offset, self._start_offset))

    def _passed(self) -> None:
        """A batch is too old: what was appended before it is, too."""
        if not self._by_record_time:
            self._damage = None
