"""One segment of a partition's log: `<base offset, 20 digits>.log`, and its two indexes.

The file is stored batches one after the other, each a multiple of 8 bytes. Nothing stands between
them, but for damage. Behind the last one there may be zeros: space reserved for appends. A segment
is active (the last one: it takes appends, may shrink, its reads are copies) or sealed (its bytes
never change, so its map lends views; the map is dropped, never closed: the last view frees it).

After a crash nothing of it is trusted above the recovery point; what is there is decided by
`log_recovery`. Indexes: see `OffsetIndex`, `TimeIndex`.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset
from logd.model.record_batch import HEADER_BYTES
from logd.model.seams import Buffer
from logd.model.topic_config import TopicConfig
from logd_partitions.atomic_file import write_atomically
from logd_partitions.core.byte_ranges import ByteRanges
from logd_partitions.core.offset_index import ENTRY_BYTES as OFFSET_ENTRY_BYTES
from logd_partitions.core.offset_index import OFFSET_DELTA_MAX, OffsetIndex
from logd_partitions.core.time_index import ENTRY_BYTES as TIME_ENTRY_BYTES
from logd_partitions.core.time_index import TimeIndex
from logd_partitions.open_files import OpenFile
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.segment.index_tail import TAIL_BYTES_MIN, TAIL_ENTRIES_MIN, IndexTail
from logd_partitions.segment.read_plan import Hot
from logd_partitions.segment.segment_scan import ScannedBatch, SegmentScan
from logd_partitions.segment.segment_writer import SegmentWriter

HOT_BYTES_MAX = 64 << 20
"""How far behind its end a segment is read through its map. What lies farther may have left the
page cache, and a page fault would stop every client; it is read as cold."""
MAPPED_READ_BYTES_MAX = 8 << 20
"""Read through a map, which is then made anew: pages it touched count as the broker's memory."""
_SEGMENT_BYTES_END = 1 << 32
_WALK = struct.Struct("<I12xq32xI")  # batch_length, base_offset, last_offset_delta
assert _WALK.size <= HEADER_BYTES


class AppendedBatch(NamedTuple):
    """What the indexes note of a batch. `record_ms`: its highest record time, as readers see it."""

    base_offset: Offset
    next_offset: Offset
    append_ms: int
    record_ms: int


class LogSegment:
    """`next_offset` is None where a sealed segment's end is not known yet (`find_end`)."""

    def __init__(
        self,
        storage: PartitionStorage,
        base_offset: Offset,
        size: int,
        *,
        next_offset: Offset | None = None,
        limit: int = 0,
    ) -> None:
        """The segment with `size` bytes on disk, sealed. `open_for_append` makes it active."""
        self._storage = storage
        self.base_offset = base_offset
        self.path = storage.file_path(f"{base_offset:020d}.log")
        self.next_offset = next_offset
        self.verified = ByteRanges()
        self.damaged: list[tuple[Offset, Offset]] = []
        self.sealed = True
        self.saved = False
        self.removed = False
        self.hot_from: tuple[Offset, int] | None = None
        self._index: OffsetIndex | None = None
        self._time_index: TimeIndex | None = None
        self._written: tuple[int, int] = (0, 0)
        self._tail_start = 0
        self._indexed_bytes = -1
        self._mapped_read_bytes = 0
        self._writer = SegmentWriter(storage, self.path, size=size, allocated=size, limit=limit)

    @property
    def size(self) -> int:
        """Bytes up to the end of the last batch."""
        return self._writer.size

    def companion(self, kind: str) -> str:
        """The path of this segment's `.index`, `.timeindex` or `.manifest`."""
        return self.path.removesuffix(".log") + "." + kind

    # Appending; the log's lock is held.

    def open_for_append(
        self, index: OffsetIndex, time_index: TimeIndex, next_offset: Offset, *, on_disk: bool
    ) -> None:
        """Make it the active segment, with growing indexes; it ends at `size`.

        `on_disk`: the index files hold just these entries.
        """
        for kind in ("index", "timeindex"):  # they are rewritten in place from now on
            self._storage.open_files.drop_map(self.companion(kind))
        self._index, self._time_index = index, time_index
        self.next_offset = next_offset
        self.sealed = self.saved = False
        self.hot_from = next_offset, self.size
        self._written = (len(index), len(time_index)) if on_disk else (0, 0)
        self._tail_start = self.size if on_disk else 0
        self._indexed_bytes = self.size if on_disk else -1

    @property
    def indexes_on_disk(self) -> bool:
        """Whether the index files have all batches, with their footers."""
        return self._indexed_bytes == self.size

    def adopt_indexes(self, index: OffsetIndex, time_index: TimeIndex, next_offset: Offset) -> None:
        """Indexes that recovery made of a sealed segment; maintenance saves them."""
        self._index, self._time_index, self.next_offset = index, time_index, next_offset
        self.saved = False

    def create(self) -> None:
        """Make the file, empty, and the segment active. Raises OSError.

        A file of that name can only be left of a creation that failed: recovery knows all others.
        """
        try:
            with self._storage.open_files.open(self.path, "create"):
                pass
        except FileExistsError:
            with self._storage.open_files.open(self.path, "write") as file:
                file.truncate(0)
        index = OffsetIndex(self.base_offset)
        self.open_for_append(index, TimeIndex(), self.base_offset, on_disk=False)

    def is_full(self, length: int, now_ms: int, config: TopicConfig) -> bool:
        """Whether a batch of `length` bytes belongs into the next segment."""
        size = self._writer.size
        if size == 0:
            return False
        assert self._time_index is not None and self.next_offset is not None
        return (
            size + length > config.segment_bytes
            or now_ms - self._time_index.first_append_ms >= config.segment_ms
            or self.next_offset - self.base_offset > OFFSET_DELTA_MAX // 2
        )

    def append(self, stamped: bytes, body: Buffer, batch: AppendedBatch) -> None:
        """Write one batch at the end. Raises as `SegmentWriter.write`."""
        index, time_index, position = self._index, self._time_index, self._writer.size
        assert index is not None and time_index is not None, "only the active segment grows"
        length = len(stamped) + len(body)
        assert position + length < _SEGMENT_BYTES_END, "positions are 32 bits"
        self._writer.write(stamped, body, length)
        index.add(batch.base_offset, position)
        time_index.add(batch.append_ms, batch.record_ms, batch.base_offset, position)
        self.next_offset = batch.next_offset

    def append_stored(self, data: Buffer, batches: Sequence[tuple[int, AppendedBatch]]) -> None:
        """Write batches at the end, at once; with the length of each. Raises as `append`."""
        index, time_index, position = self._index, self._time_index, self._writer.size
        assert index is not None and time_index is not None, "only the active segment grows"
        assert position + len(data) < _SEGMENT_BYTES_END, "positions are 32 bits"
        self._writer.write(b"", data, len(data))
        for length, batch in batches:
            index.add(batch.base_offset, position)
            time_index.add(batch.append_ms, batch.record_ms, batch.base_offset, position)
            position += length
            self.next_offset = batch.next_offset

    def reserve_up_to(self, limit: int) -> None:
        """From now on space may be reserved ahead of appends up to this size."""
        self._writer.limit = limit

    def reserve(self) -> None:
        """Have space for a first small batch. Raises StorageFull or LogReadOnly."""
        self._writer.reserve()

    @property
    def should_grow(self) -> bool:
        """Whether `grow` is worth a thread."""
        return self._writer.should_grow

    def grow(self) -> None:
        """Reserve space ahead of the appends. Blocking, without the log's lock."""
        self._writer.grow()

    def seal(self) -> None:
        """No appends any more; reserved space is given back. Raises OSError."""
        self._writer.give_back()
        self.sealed = True

    def shrink(self) -> None:
        """Give reserved space back; the next append reserves anew. Raises OSError."""
        self._writer.give_back()

    def cool(self) -> None:
        """Read it as cold from now on."""
        self.hot_from = None
        self._storage.open_files.drop_map(self.path)
        self._drop_saved_indexes()

    def take_tail(self) -> IndexTail | None:
        """Index entries that should be written behind, if they are many enough."""
        if self.sealed or self._index is None or self._time_index is None:
            return None
        written, total = self._written, (len(self._index), len(self._time_index))
        few = total[0] - written[0] < TAIL_ENTRIES_MIN
        if few and self.size - self._tail_start < TAIL_BYTES_MIN:
            return None
        self._written, self._tail_start = total, self.size
        return IndexTail(
            self.companion("index"),
            self._index.entry_bytes(written[0]),
            self.companion("timeindex"),
            self._time_index.entry_bytes(written[1]),
            (total[0] * OFFSET_ENTRY_BYTES, total[1] * TIME_ENTRY_BYTES),
        )

    def forget_tail(self) -> None:
        """What `take_tail` gave was not written: the next tail has all entries."""
        self._written = (0, 0)

    # Reading.

    def map(self) -> memoryview:
        """The segment through its map. For an active one the log's lock is held while in use."""
        size = self._writer.size if self.sealed else self._writer.allocated
        return self._storage.open_files.map(self.path, size).view

    def open(self) -> OpenFile:
        return self._storage.open_files.open(self.path)

    def bytes_from(self, offset: Offset) -> int:
        """About how many bytes stand from `offset` on, without touching the disk."""
        return self.size - (self._index.floor(offset)[1] if self._index is not None else 0)

    def plan_hot(self, offset: Offset, max_bytes: int, end_offset: Offset) -> Hot | None:
        """The range to read through the map, or None if it has to be read cold.

        Whole batches from the one that holds `offset`, which is in this segment, below
        `end_offset`, at least one. The log's lock is held.
        """
        index = self._index
        if self.hot_from is None or index is None:
            return None
        expected, position = max(index.floor(offset), self.hot_from)
        if offset < expected or position < self.size - HOT_BYTES_MAX:
            return None
        view = self.map()
        while expected <= offset:
            start = position
            stepped = self.step(view, position, expected)
            if stepped is None:
                return None
            position, expected = stepped
        if expected > end_offset:
            return None
        if self.next_offset == end_offset and self.size - start <= max_bytes:
            return Hot(self, start, self.size - start, end_offset)
        jump = min(index.floor_position(start + max_bytes), index.floor(end_offset))
        expected, position = max((expected, position), jump)
        while expected < end_offset and position < self.size:
            stepped = self.step(view, position, expected)
            if stepped is None or stepped[0] > start + max_bytes or stepped[1] > end_offset:
                break
            position, expected = stepped
        return Hot(self, start, position - start, expected)

    def step(self, view: memoryview, position: int, expected: Offset) -> tuple[int, Offset] | None:
        """Where the batch behind the one at `position` stands, and its offset. `view`: the map."""
        if position + HEADER_BYTES <= self.size:
            length, base_offset, delta = _WALK.unpack_from(view, position)
            if base_offset == expected and length >= HEADER_BYTES:
                return position + length, Offset(base_offset + delta + 1)
        self.cool()  # not what was appended: the cold path checks it
        return None

    def read_hot(self, plan: Hot) -> Buffer:
        """The planned bytes: a copy if active, a view if sealed. The log's lock is held."""
        view = self.map()[plan.position : plan.position + plan.size_bytes]
        self._mapped_read_bytes += plan.size_bytes
        if self._mapped_read_bytes >= MAPPED_READ_BYTES_MAX:
            self._mapped_read_bytes = 0
            self._storage.open_files.drop_map(self.path)
        return view if self.sealed else bytes(view)

    # Indexes. These block, and may be called by any thread.

    def index(self) -> OffsetIndex:
        """The offset index, from memory, file or batches. Raises OSError."""
        if self._index is None:
            try:
                return self._sealed_index(self._map_companion("index"))
            except (FileNotFoundError, StoredDataCorrupt, ValueError):
                self.rebuild_indexes()
        assert self._index is not None
        return self._index

    def cached_index(self) -> OffsetIndex | None:
        """The offset index if that needs no disk."""
        if self._index is not None:
            return self._index
        mapped = self._storage.open_files.mapped(self.companion("index"))
        try:
            return self._sealed_index(mapped.view) if mapped is not None else None
        except StoredDataCorrupt:
            return None

    def time_index(self) -> TimeIndex:
        """The time index, from memory, file or batches. Raises OSError."""
        if self._time_index is None:
            try:
                return TimeIndex.from_sealed(self._map_companion("timeindex"), self.size)
            except (FileNotFoundError, StoredDataCorrupt, ValueError):
                self.rebuild_indexes()
        assert self._time_index is not None
        return self._time_index

    def find_end(self) -> Offset:
        """The offset behind the last batch. Raises OSError."""
        if self.next_offset is None:
            self.index()
        assert self.next_offset is not None
        return self.next_offset

    def rebuild_indexes(self) -> None:
        """Make both indexes from the batches' headers. Raises OSError.

        Damage on the way is left out, so offsets in it are found missing by who reads there.
        """
        index, time_index = OffsetIndex(self.base_offset), TimeIndex()
        next_offset, position = self.base_offset, 0
        with self.open() as file:
            while position < self.size:  # again for what was appended meanwhile
                end = self.size
                for item in SegmentScan(file, end, bodies=False).items(position, next_offset):
                    if isinstance(item, ScannedBatch):
                        next_offset = item.header.next_offset
                        index.add(item.header.base_offset, item.position)
                        time_index.add_batch(item.header, item.position)
                position = end
        self._index, self._time_index, self.saved = index, time_index, False
        if self.sealed:
            self.next_offset = next_offset

    def save_indexes(self) -> None:
        """Write both indexes with their footers, durably. Raises OSError."""
        index, time_index, next_offset = self.index(), self.time_index(), self.find_end()
        fs, size = self._storage.fs, self.size
        for kind, data in (
            ("index", index.to_bytes(size, next_offset)),
            ("timeindex", time_index.to_bytes(size)),
        ):
            path = self.companion(kind)
            self._storage.open_files.forget(path)
            write_atomically(fs, path, data)
            self._storage.open_files.forget(path)
        self._indexed_bytes = size

    def mark_saved(self) -> None:
        """Indexes and manifest stand on disk: memory may forget what can be mapped."""
        self.saved = True
        self._drop_saved_indexes()

    def remove(self) -> None:
        """Unlink the files, the log's first: what stays after a crash is swept at the next start.

        Raises OSError. Reads under way go on.
        """
        self.removed = True
        for path in (self.path, *map(self.companion, ("index", "timeindex", "manifest"))):
            if self._storage.fs.exists(path):
                self._storage.fs.unlink(path)
            self._storage.open_files.forget(path)

    def retire(self) -> None:
        """It is removed, or another takes its place: it takes no appends, reserves no space, and
        who still reads it asks anew."""
        self._writer.retire()
        self.removed = True

    def forget_files(self) -> None:
        """Close what is open of it; a later use opens it again."""
        for path in (self.path, *map(self.companion, ("index", "timeindex", "manifest"))):
            self._storage.open_files.forget(path)

    def _drop_saved_indexes(self) -> None:
        if self.sealed and self.saved and self.hot_from is None:
            self._index = self._time_index = None

    def _map_companion(self, kind: str) -> memoryview:
        path = self.companion(kind)
        mapped = self._storage.open_files.mapped(path)
        if mapped is None:
            mapped = self._storage.open_files.map(path, self._storage.fs.size(path))
        return mapped.view

    def _sealed_index(self, data: memoryview) -> OffsetIndex:
        index, next_offset = OffsetIndex.from_sealed(data, self.base_offset, self.size)
        self._indexed_bytes = self.size
        if self.next_offset is None:
            self.next_offset = next_offset
        return index
