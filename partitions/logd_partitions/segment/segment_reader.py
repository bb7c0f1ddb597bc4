"""Cold reads: batches from disk, checked before they are served. Blocking but for `read_cached`.

A batch that fails its checks is never served and never silently skipped: the reader gets
StoredDataCorrupt with the `next_offset` at which the log goes on. Ranges that passed are remembered
and not checked again.
"""

from collections.abc import Callable
from typing import NamedTuple

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset
from logd.model.record_batch import HEADER_BYTES, body_crc, stored_header
from logd.model.seams import Buffer
from logd_partitions.core.disk_errors import overloaded, passes
from logd_partitions.core.offset_index import INDEX_INTERVAL_BYTES
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.segment_scan import Damage, SegmentScan

READ_BYTES_MIN = 64 << 10


class ColdRead(NamedTuple):
    """Whole batches, and the offset behind the last one."""

    batches: Buffer
    next_offset: Offset


class _Wanted(NamedTuple):
    offset: Offset
    max_bytes: int
    end_offset: Offset


class SegmentReader:
    """Reads one segment. `following`: the offset at which the log goes on behind it."""

    def __init__(self, segment: LogSegment, following: Callable[[], Offset]) -> None:
        self._segment = segment
        self._following = following

    def read(self, offset: Offset, max_bytes: int, end_offset: Offset) -> ColdRead:
        """Batches from the one that holds `offset` on, below `end_offset`, at least one.

        Raises StoredDataCorrupt; FileNotFoundError where the segment was removed meanwhile;
        Overloaded where the system lacks something now, which is no damage.
        """
        wanted = _Wanted(offset, max_bytes, end_offset)
        try:
            found = self._read(wanted)
            if found is None:  # a wrong index or damage on the way: find out which
                self._segment.rebuild_indexes()
                found = self._read(wanted) or self._read_beyond_damage(wanted)
        except FileNotFoundError:
            raise
        except OSError as error:
            if passes(error):
                raise overloaded(error, self._segment.path) from error
            raise self._unreadable(offset, error) from error
        return found

    def read_cached(self, offset: Offset, max_bytes: int, end_offset: Offset) -> ColdRead | None:
        """As `read`, if all it needs is in the page cache; None sends the caller to `read`."""
        index = self._segment.cached_index()
        if index is None:
            return None
        expected, position = index.floor(offset)
        size = self._read_size(max_bytes, position)
        try:
            with self._segment.open() as file:
                data = file.pread_cached(size, position)
        except OSError:
            return None
        if data is None:
            return None
        wanted = _Wanted(offset, max_bytes, end_offset)
        found = self._walk(data, position, expected, wanted)
        return found if isinstance(found, ColdRead) else None

    def _read(self, wanted: _Wanted) -> ColdRead | None:
        expected, position = self._segment.index().floor(wanted.offset)
        return self._read_from(position, expected, wanted)

    def _read_from(self, position: int, expected: Offset, wanted: _Wanted) -> ColdRead | None:
        size, bytes_left = (
            self._read_size(wanted.max_bytes, position),
            self._segment.size - position,
        )
        while True:
            with self._segment.open() as file:
                data = file.pread(size, position)
            found = self._walk(data, position, expected, wanted)
            if not isinstance(found, int):
                return found
            if size == bytes_left or len(data) < size:
                return None
            size = min(found, bytes_left)

    def _read_size(self, max_bytes: int, position: int) -> int:
        wished = max(max_bytes + INDEX_INTERVAL_BYTES, READ_BYTES_MIN)
        return min(wished, self._segment.size - position)

    def _walk(
        self, data: bytes, position: int, expected: Offset, wanted: _Wanted
    ) -> ColdRead | int | None:
        """Step over batches below the wanted offset, then take those that fit and are good.

        An int: that many bytes from `position` on are needed. None: something is wrong.
        """
        view, verified_until = memoryview(data), self._segment.verified.end_at
        at, start, next_offset, good = 0, -1, expected, True
        while at + HEADER_BYTES <= len(data):
            header = stored_header(data, at)
            good = header is not None and header.base_offset == next_offset
            if header is None or not good or header.next_offset > wanted.end_offset:
                break
            end = at + header.batch_length
            if header.next_offset > wanted.offset:
                if end > len(data) and start < 0:
                    return end
                if end > len(data) or (start >= 0 and end - start > wanted.max_bytes):
                    break
                verified = verified_until(position + at) - position
                good = end <= verified or body_crc(view[at:end]) == header.body_crc
                if not good:
                    break
                if start < 0:
                    start = at
                    jump = self._jump(data, position, min(start + wanted.max_bytes, verified))
                    if jump is not None and end < jump[0] and jump[1] <= wanted.end_offset:
                        at, next_offset = jump
                        continue
            at, next_offset = end, header.next_offset
        else:
            if start < 0:
                return at + READ_BYTES_MIN
        if start >= 0:
            self._segment.verified.add(position + start, position + at)
            return ColdRead(view[start:at], next_offset)
        return ColdRead(b"", wanted.offset) if good else None

    def _jump(self, data: bytes, position: int, limit: int) -> tuple[int, Offset] | None:
        """A batch that the index notes before `limit`, in `data`, which stands at `position`."""
        index = self._segment.cached_index()
        if index is None:
            return None
        offset, at = index.floor_position(position + limit)
        header = stored_header(data, at - position) if at >= position else None
        return (at - position, offset) if header and header.base_offset == offset else None

    def _read_beyond_damage(self, wanted: _Wanted) -> ColdRead:
        """Scan for the batch that holds the offset; raises if damage does."""
        segment, damage = self._segment, None
        with segment.open() as file:
            for item in SegmentScan(file, segment.size, bodies=True).items(0, segment.base_offset):
                if isinstance(item, Damage):
                    if item.expected_offset > wanted.offset:
                        break
                    damage = item
                    continue
                if item.header.base_offset > wanted.offset:
                    raise self._corrupt(wanted.offset, damage, item.header.base_offset)
                if item.header.next_offset > wanted.offset:
                    found = self._read_from(item.position, item.header.base_offset, wanted)
                    assert found is not None, "a batch that the scan found good"
                    return found
        raise self._corrupt(wanted.offset, damage, self._following())

    def _corrupt(
        self, offset: Offset, damage: Damage | None, next_offset: Offset
    ) -> StoredDataCorrupt:
        start = damage.expected_offset if damage is not None else offset
        position = damage.position if damage is not None else self._segment.size
        self._segment.damaged.append((start, next_offset))
        return stored_data_corrupt(self._segment.path, start, next_offset, position)

    def _unreadable(self, offset: Offset, error: OSError) -> StoredDataCorrupt:
        """The disk does not give the bytes: step to the next noted batch at the earliest."""
        try:
            above = self._segment.index().above(offset)
        except OSError:
            above = None
        next_offset = above[0] if above is not None else self._following()
        return StoredDataCorrupt(
            f"{self._segment.path} can't be read at offset {offset} ({error}); "
            f"the log goes on at {next_offset}",
            offset=offset,
            next_offset=next_offset,
            segment=self._segment.path,
        )


def stored_data_corrupt(
    path: str, start: Offset, next_offset: Offset, position: int | None = None
) -> StoredDataCorrupt:
    """What a reader of [start, next_offset) is told."""
    where = f" at byte {position}" if position is not None else ""
    return StoredDataCorrupt(
        f"offsets {start} to {next_offset - 1} are damaged in {path}{where} and are not served; "
        f"the log goes on at {next_offset}: restore them from a replica or a backup, or step over "
        "with next_offset",
        offset=start,
        next_offset=next_offset,
        segment=path,
        position=position,
    )
