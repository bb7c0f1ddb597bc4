"""When batches of a segment were appended: `<base offset>.timeindex`.

    entry (24 bytes), for the segment's first batch and then for about 64 KiB of batches
     0  i64  append_ms       append time of the batch at `offset`
     8  i64  max_record_ms   highest record timestamp in the segment, up to and with that batch
    16  i64  offset          base offset of that batch

    footer (40 bytes), once the segment is sealed or cleanly closed
     0  4s   magic 'LGXT'
     4  u32  entry_count
     8  u64  segment_bytes   size of the segment that this index was made for
    16  i64  last_append_ms  of the segment's last batch; -1 in an empty segment
    24  i64  max_record_ms   of the whole segment; -1 in an empty one
    32  u32  0
    36  u32  crc             CRC-32C of everything before it

Little-endian; offsets rise strictly, the times never fall. Written, trusted and made again exactly
as `OffsetIndex` is.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from typing import Literal, NamedTuple

from crc32c import crc32c

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset
from logd.model.record_batch import BatchHeader, LeaderFlag
from logd.model.seams import Buffer

TIME_INTERVAL_BYTES = 65_536
ENTRY_BYTES = 24
FOOTER_BYTES = 40
MAGIC = b"LGXT"
NO_TIME = -1

_FOOTER = struct.Struct("<4sIQqqI")
_CRC = struct.Struct("<I")
assert _FOOTER.size + _CRC.size == FOOTER_BYTES

Column = Literal[0, 1]
APPEND_TIME: Column = 0
RECORD_TIME: Column = 1


def record_time_ms(header: BatchHeader) -> int:
    """The highest timestamp of a stored batch's records, as readers see them."""
    if header.leader_flags & LeaderFlag.APPEND_TIME:
        return header.append_timestamp_ms
    return header.max_timestamp_ms


class TimeEntry(NamedTuple):
    append_ms: int
    max_record_ms: int
    offset: Offset


class TimeIndex:
    """Entries of one segment, and its last append time and highest record time."""

    __slots__ = ("_entries", "_noted_position", "last_append_ms", "max_record_ms")

    def __init__(
        self,
        entries: "array[int] | memoryview[int] | None" = None,
        last_append_ms: int = NO_TIME,
        max_record_ms: int = NO_TIME,
        noted_position: int = 0,
    ) -> None:
        self._entries = array("q") if entries is None else entries
        self._noted_position = noted_position
        self.last_append_ms = last_append_ms
        self.max_record_ms = max_record_ms

    def __len__(self) -> int:
        return len(self._entries) // 3

    def __getitem__(self, at: int) -> TimeEntry:
        append_ms, max_record_ms, offset = self._entries[3 * at : 3 * at + 3]
        return TimeEntry(append_ms, max_record_ms, Offset(offset))

    @property
    def first_append_ms(self) -> int:
        """Append time of the segment's first batch; NO_TIME in an empty segment."""
        return self._entries[0] if self._entries else NO_TIME

    def add(self, append_ms: int, record_ms: int, offset: Offset, position: int) -> None:
        """Take the next batch into account; note it if it lies an interval behind."""
        self.last_append_ms = append_ms
        if record_ms > self.max_record_ms:
            self.max_record_ms = record_ms
        if not self._entries or position - self._noted_position >= TIME_INTERVAL_BYTES:
            assert isinstance(self._entries, array), "a sealed index takes no entries"
            self._entries.extend((append_ms, self.max_record_ms, offset))
            self._noted_position = position

    def add_batch(self, header: BatchHeader, position: int) -> None:
        """As `add`, with a stored batch's header."""
        record_ms = record_time_ms(header)
        self.add(header.append_timestamp_ms, record_ms, header.base_offset, position)

    def before(self, time_ms: int, column: Column) -> Offset | None:
        """From which batch to look for the first one at or after `time_ms`.

        None: from the segment's first.
        """
        entries = self._entries
        at = bisect_left(range(len(entries) // 3), time_ms, key=lambda i: entries[3 * i + column])
        return Offset(entries[3 * at - 1]) if at else None

    def last_at(self, offset: int) -> Offset | None:
        """The offset of the last entry at or below `offset`."""
        entries = self._entries
        at = bisect_right(range(len(entries) // 3), offset, key=lambda i: entries[3 * i + 2])
        return Offset(entries[3 * at - 1]) if at else None

    def up_to(self, offset: int, position: int) -> "TimeIndex":
        """A growing copy that ends with the entry at exactly `offset`, whose batch stands there."""
        entries = self._entries
        end = 3 * bisect_right(range(len(entries) // 3), offset, key=lambda i: entries[3 * i + 2])
        kept = array("q", entries[:end])
        return TimeIndex(kept, kept[-3], kept[-2], position)

    def growing(self, position: int) -> "TimeIndex":
        """A copy that takes entries; the segment's last batch stands before `position`."""
        noted = position - TIME_INTERVAL_BYTES
        return TimeIndex(array("q", self._entries), self.last_append_ms, self.max_record_ms, noted)

    def entry_bytes(self, start: int) -> bytes:
        """Entries from number `start` on, as they stand in the file."""
        return bytes(self._entries[3 * start :])

    def to_bytes(self, segment_bytes: int) -> bytes:
        """The whole file with its footer."""
        data = self.entry_bytes(0)
        data += _FOOTER.pack(
            MAGIC, len(self), segment_bytes, self.last_append_ms, self.max_record_ms, 0
        )
        return data + _CRC.pack(crc32c(data))

    @staticmethod
    def from_sealed(data: memoryview, segment_bytes: int) -> "TimeIndex":
        """The index over the file's bytes, which are not copied.

        Raises StoredDataCorrupt if the CRC is wrong or another segment size is noted.
        """
        entries_end = len(data) - FOOTER_BYTES
        if entries_end < 0 or _CRC.unpack_from(data, len(data) - 4)[0] != crc32c(data[:-4]):
            raise StoredDataCorrupt("a time index does not match its checksum")
        magic, count, noted_bytes, last_append_ms, max_record_ms, _ = _FOOTER.unpack_from(
            data, entries_end
        )
        if magic != MAGIC or count * ENTRY_BYTES != entries_end or noted_bytes != segment_bytes:
            raise StoredDataCorrupt("a time index is not that of its segment")
        return TimeIndex(data[:entries_end].cast("q"), last_append_ms, max_record_ms)

    @staticmethod
    def from_unsealed(data: Buffer, base_offset: Offset, offset_end: Offset) -> "TimeIndex":
        """What can be used of a file without a footer: entries below `offset_end` in order."""
        entries = array("q", bytes(data[: len(data) - len(data) % ENTRY_BYTES]))
        before = TimeEntry(0, 0, Offset(base_offset - 1))
        good = 0
        for at in range(0, len(entries), 3):
            entry = TimeEntry(entries[at], entries[at + 1], Offset(entries[at + 2]))
            falls = entry.append_ms < before.append_ms or entry.max_record_ms < before.max_record_ms
            if falls or entry.offset <= before.offset or entry.offset >= offset_end:
                break
            before, good = entry, at + 3
        kept = entries[:good]
        times = (kept[-3], kept[-2]) if kept else (NO_TIME, NO_TIME)
        return TimeIndex(kept, *times)
