"""Takes batches off the end of a log that is in use: `truncate_to`, `start_anew`.

What a power failure leaves is always the log as it was, cut somewhere at or behind the end that is
wanted, with no batch missing in between. Therefore, each durable before the next:

1. the recovery point falls to the new end: nothing above it counts as synced any more
2. the producer snapshot is made anew if it tells of more
3. of the segment that is cut, indexes and manifest go: they would speak for bytes that follow
4. later segments go, the last one first
5. the segment is cut: in place if it is active; a sealed one, of which views may be lent, by a new
   file that takes its place; the log's next sync covers it

Under the log's maintenance lock. What blocks is done here, while other threads read and sync; what
changes where the log ends, and what readers and appends find there, is yielded, for the log to call
under its locks. Everything may raise OSError; what is done by then stands, and the same call goes
on from there.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from logd.model.ids import Offset, TopicPartition
from logd_partitions.atomic_file import TEMPORARY_SUFFIX, write_atomically
from logd_partitions.core.producer_state import SNAPSHOT_FILE, ProducerState
from logd_partitions.core.time_index import NO_TIME
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.log_tail import LogTail
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.recovery.producer_history import Snapshot, producers_until, saved_snapshot
from logd_partitions.recovery.tail_cut import COMPANIONS, copy_bytes
from logd_partitions.segment.growing_indexes import GrowingIndexes
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.segment_list import SegmentList
from logd_partitions.segment.segment_scan import ScannedBatch, SegmentScan
from logd_partitions.sync.sync_progress import SyncProgress

Change = Callable[[], None]
"""Of the log's state, all at once."""


class LogTruncation:
    """Of one log. `save_point` makes its recovery point durable."""

    def __init__(
        self,
        storage: PartitionStorage,
        topic_partition: TopicPartition,
        segments: SegmentList,
        tail: LogTail,
        progress: SyncProgress,
        save_point: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._topic_partition = topic_partition
        self._segments = segments
        self._tail = tail
        self._progress = progress
        self._save_point = save_point

    def cut(self, segment: LogSegment, kept: GrowingIndexes) -> Iterator[Change]:
        """End the log where `kept` ends, in `segment`. All of it is synced."""
        end = kept.offset
        yield from self._fall_back(end, (segment.base_offset, kept.position))
        producers = self._producers_until(end)
        gone = [path for path in map(segment.companion, COMPANIONS) if self._unlink(path)]
        if gone:
            self._sync_directory()
        segment.saved = False
        yield from self._drop_behind(segment)
        yield from self._shorten(segment, kept, producers)

    def drop_all(self, start: Offset) -> Iterator[Change]:
        """Leave an empty log, which starts and ends at `start`."""
        yield from self._fall_back(start, (start, 0))
        yield from self._drop_behind(None)
        yield partial(self._end_at, start, [])

    def begin_at(
        self, offset: Offset, epochs: Sequence[EpochEntry], producers: ProducerState
    ) -> Iterator[Change]:
        """Save what an empty log that begins at `offset` is told of the log it continues."""
        tail = self._tail
        with self._progress.hints_lock:
            tail.epochs.begin_with(epochs)
            self._save_producers(Snapshot(producers, offset))

        def change() -> None:
            tail.producers, tail.last_append_ms = producers, NO_TIME

        yield change

    def producers_until(self, end: Offset) -> Snapshot:
        """Producers as of the batches below `end`."""
        waiting = self._progress.waiting_snapshot
        owner = self._topic_partition
        held = None if waiting is None else Snapshot(*ProducerState.from_bytes(waiting[0], owner))
        saved = saved_snapshot(self._storage, owner)
        return producers_until(self._storage, list(self._segments), end, [held, saved])

    def _fall_back(self, end: Offset, point: tuple[Offset, int]) -> Iterator[Change]:
        def change() -> None:
            self._tail.open()
            committed_max = min(end, self._progress.committed_max)
            self._progress.restart(end, point, committed_max)

        yield change
        self._save_point()

    def _producers_until(self, end: Offset) -> ProducerState:
        found = self.producers_until(end)
        path = self._storage.file_path(SNAPSHOT_FILE)
        if self._storage.fs.exists(path):
            saved = saved_snapshot(self._storage, self._topic_partition)
            if saved is None or saved.offset > end:
                with self._progress.hints_lock:
                    self._save_producers(found)
        return found.producers

    def _save_producers(self, snapshot: Snapshot) -> None:
        """A start scans from where it ends, so the epochs before it must be on disk when it is."""
        self._tail.epochs.flush()
        data = snapshot.producers.to_bytes(self._topic_partition, snapshot.offset)
        path = self._storage.file_path(SNAPSHOT_FILE)
        self._storage.open_files.give_way(partial(write_atomically, self._storage.fs, path, data))
        self._progress.snapshot_saved(snapshot.offset)

    def _drop_behind(self, kept: LogSegment | None) -> Iterator[Change]:
        """Remove the segments behind `kept`, the last one first."""
        for segment in reversed(list(self._segments)):
            if segment is kept:
                return
            segment.retire()
            segment.remove()
            self._sync_directory()
            yield partial(self._end_at, segment.base_offset, [segment])

    def _end_at(self, end: Offset, gone: Sequence[LogSegment]) -> None:
        if gone:
            self._segments.replace(gone, [])
        self._tail.active, self._tail.end = None, end

    def _shorten(
        self, segment: LogSegment, kept: GrowingIndexes, producers: ProducerState
    ) -> Iterator[Change]:
        storage, tail = self._storage, self._tail
        limit = tail.config.segment_bytes
        fresh = LogSegment(storage, segment.base_offset, kept.position, limit=limit)
        fresh.damaged = segment.damaged
        copy = None if segment is tail.active else self._copy(segment, kept.position)
        appended_ms = self._last_append_ms(segment, kept)

        def change() -> None:
            segment.retire()
            if copy is not None:
                storage.fs.rename(copy, segment.path)
                storage.open_files.forget(segment.path)
            else:
                storage.open_files.close_map(segment.path)
                with storage.open_files.open(segment.path, "write") as file:
                    file.truncate(kept.position)
            fresh.open_for_append(kept.index, kept.time_index, kept.offset, on_disk=False)
            self._segments.replace([segment], [fresh])
            self._progress.replaced(fresh)
            tail.active, tail.end, tail.producers = fresh, kept.offset, producers
            tail.last_append_ms = appended_ms
            for each in self._segments:
                each.damaged = [(a, min(b, tail.end)) for a, b in each.damaged if a < tail.end]

        yield change

    def _last_append_ms(self, segment: LogSegment, kept: GrowingIndexes) -> int:
        """As of the end that `kept` is cut to."""
        if kept.time_index.last_append_ms != NO_TIME:
            return kept.time_index.last_append_ms
        earlier = [each for each in self._segments if each.base_offset < segment.base_offset]
        times = (each.time_index().last_append_ms for each in reversed(earlier))
        return next((ms for ms in times if ms != NO_TIME), NO_TIME)

    def _copy(self, segment: LogSegment, size: int) -> str:
        path = segment.path + TEMPORARY_SUFFIX
        self._unlink(path)
        copy = self._storage.fs.open(path, "create")
        try:
            with segment.open() as file:
                copy_bytes(file, 0, size, copy)
            copy.datasync()
        finally:
            copy.close()
        return path

    def _unlink(self, path: str) -> bool:
        """Whether there was such a file."""
        there = self._storage.fs.exists(path)
        if there:
            self._storage.fs.unlink(path)
        self._storage.open_files.forget(path)
        return there

    def _sync_directory(self) -> None:
        fs, path = self._storage.fs, self._storage.path
        self._storage.open_files.give_way(partial(fs.sync_directory, path))


def find_cut(segment: LogSegment, offset: Offset) -> GrowingIndexes:
    """The end of the last batch in `segment` that lies wholly below `offset`, and the indexes up to
    there. Blocking. Raises OSError."""
    index, time_index = segment.index(), segment.time_index()
    known = Offset(offset - 1)
    with segment.open() as file:
        while True:
            kept = GrowingIndexes.resumed(file, index, time_index, known)
            scan = SegmentScan(file, segment.size, bodies=False)
            for item in scan.items(kept.position, kept.offset):
                if isinstance(item, ScannedBatch):
                    if item.header.next_offset > offset:
                        break
                    kept.add(item)
            if kept.offset > kept.timed:
                return kept
            known = Offset(kept.timed - 1)  # that batch does not stay
