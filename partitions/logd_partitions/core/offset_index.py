"""Where in a segment a batch stands: `<base offset>.index`, one entry for about 4 KiB of batches.

    entry (8 bytes)
     0  u32  offset_delta   base_offset of a batch, minus the segment's base offset
     4  u32  position       of that batch in the segment

    footer (32 bytes), once the segment is sealed or cleanly closed
     0  4s   magic 'LGXO'
     4  u32  entry_count
     8  u64  segment_bytes  size of the segment that this index was made for
    16  i64  next_offset    of the segment's last batch
    24  u32  0
    28  u32  crc            CRC-32C of everything before it

Little-endian; both columns rise strictly. While a segment is appended to, the index lives in memory
and its new entries are written behind, unsynced and without a footer. After a crash what is there
is read up to the first entry that cannot be, or lies beyond the recovery point; the rest is made
again by the recovery scan. With a footer the file is written whole (temporary file, sync, rename,
sync of the directory) and is trusted as far as CRC and segment size agree; otherwise it is made
again from the segment's headers. Even so an entry is a hint: who follows one checks that the header
it points to has its offset, and makes the index again if not.
"""

import struct
import sys
from array import array
from bisect import bisect_right

from crc32c import crc32c

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset
from logd.model.seams import Buffer

INDEX_INTERVAL_BYTES = 4096
ENTRY_BYTES = 8
FOOTER_BYTES = 32
MAGIC = b"LGXO"
OFFSET_DELTA_MAX = (1 << 32) - 1
"""A segment must end before an offset delta would not fit."""

_FOOTER = struct.Struct("<4sIQqI")
_CRC = struct.Struct("<I")
assert _FOOTER.size + _CRC.size == FOOTER_BYTES
assert sys.byteorder == "little", "indexes are read as arrays of the machine's integers"


class OffsetIndex:
    """Entries of one segment: growing in memory, or a view of a sealed file.

    One writer; readers in any thread see whole entries, since one is added in one step.
    """

    __slots__ = ("_entries", "base_offset")

    def __init__(
        self, base_offset: Offset, entries: "array[int] | memoryview[int] | None" = None
    ) -> None:
        self.base_offset = base_offset
        self._entries = array("I") if entries is None else entries

    def __len__(self) -> int:
        return len(self._entries) // 2

    def __getitem__(self, at: int) -> tuple[Offset, int]:
        """Entry `at` as (base offset of a batch, its position)."""
        entries = self._entries
        return Offset(self.base_offset + entries[2 * at]), entries[2 * at + 1]

    def add(self, offset: Offset, position: int) -> None:
        """Note the batch at `position` if it lies an interval behind the last noted one."""
        entries = self._entries
        last = entries[-1] if entries else 0
        if position - last >= INDEX_INTERVAL_BYTES:
            assert isinstance(entries, array), "a sealed index takes no entries"
            entries.extend((offset - self.base_offset, position))

    def floor(self, offset: Offset) -> tuple[Offset, int]:
        """The last entry at or below `offset`; the segment's beginning if there is none."""
        entries, delta = self._entries, offset - self.base_offset
        at = bisect_right(range(len(entries) // 2), delta, key=lambda i: entries[2 * i])
        return self[at - 1] if at else (self.base_offset, 0)

    def floor_position(self, position: int) -> tuple[Offset, int]:
        """The last entry at or below a position; the segment's beginning if there is none."""
        entries = self._entries
        at = bisect_right(range(len(entries) // 2), position, key=lambda i: entries[2 * i + 1])
        return self[at - 1] if at else (self.base_offset, 0)

    def above(self, offset: Offset) -> tuple[Offset, int] | None:
        """The first entry above `offset`."""
        entries, delta = self._entries, offset - self.base_offset
        at = bisect_right(range(len(entries) // 2), delta, key=lambda i: entries[2 * i])
        return self[at] if at < len(self) else None

    def up_to(self, offset: Offset) -> "OffsetIndex":
        """A growing copy of the entries at or below `offset`."""
        entries, delta = self._entries, offset - self.base_offset
        end = bisect_right(range(len(entries) // 2), delta, key=lambda i: entries[2 * i])
        return OffsetIndex(self.base_offset, array("I", entries[: 2 * end]))

    def entry_bytes(self, start: int) -> bytes:
        """Entries from number `start` on, as they stand in the file."""
        return bytes(self._entries[2 * start :])

    def to_bytes(self, segment_bytes: int, next_offset: Offset) -> bytes:
        """The whole file with its footer."""
        data = self.entry_bytes(0)
        data += _FOOTER.pack(MAGIC, len(self), segment_bytes, next_offset, 0)
        return data + _CRC.pack(crc32c(data))

    @staticmethod
    def from_sealed(
        data: memoryview, base_offset: Offset, segment_bytes: int
    ) -> "tuple[OffsetIndex, Offset]":
        """The index over the file's bytes, which are not copied, and the segment's next_offset.

        Raises StoredDataCorrupt if the CRC is wrong or another segment size is noted.
        """
        entries_end = len(data) - FOOTER_BYTES
        if entries_end < 0 or _CRC.unpack_from(data, len(data) - 4)[0] != crc32c(data[:-4]):
            raise StoredDataCorrupt("an offset index does not match its checksum")
        magic, count, noted_bytes, next_offset, _ = _FOOTER.unpack_from(data, entries_end)
        if magic != MAGIC or count * ENTRY_BYTES != entries_end or noted_bytes != segment_bytes:
            raise StoredDataCorrupt("an offset index is not that of its segment")
        return OffsetIndex(base_offset, data[:entries_end].cast("I")), Offset(next_offset)

    @staticmethod
    def from_unsealed(data: Buffer, base_offset: Offset, offset_end: Offset) -> "OffsetIndex":
        """What can be used of a file without a footer: entries below `offset_end` that rise."""
        entries = array("I", bytes(data[: len(data) - len(data) % ENTRY_BYTES]))
        delta, position, good = 0, 0, 0
        for at in range(0, len(entries), 2):
            if entries[at] <= delta or entries[at + 1] <= position:
                break
            delta, position = entries[at], entries[at + 1]
            if base_offset + delta >= offset_end:
                break
            good = at + 2
        return OffsetIndex(base_offset, entries[:good])
