"""One partition's log: a row of segments with what belongs to them. Start reading here.

Appends and hot reads are quick and run on the broker's loop. What blocks says so. Every method may
be called from any thread: a lock is held, but never over a sync, a cold read or a hash. Only two
calls of the maintenance kind (`apply_retention`, `truncate_before`, `close`) wait for each other.

Offsets: log_start_offset <= synced_end_offset <= log_end_offset. A failed sync or write makes the
log read-only for good; a full disk does not, and appends recover by themselves.
"""

import threading
from bisect import bisect_right
from functools import partial
from typing import NamedTuple

from logd.model.errors import (
    FencedLeaderEpoch,
    LogdError,
    LogReadOnly,
    OffsetOutOfRange,
    StoredDataCorrupt,
)
from logd.model.ids import NO_PRODUCER, LeaderEpoch, Offset, TopicPartition
from logd.model.record_batch import HEADER_BYTES, BatchHeader, LeaderFlag, stamp
from logd.model.seams import Buffer
from logd.model.topic_config import TopicConfig
from logd_partitions.atomic_file import write_atomically
from logd_partitions.disk_errors import write_error
from logd_partitions.log_recovery import SNAPSHOT_FILE, LogRecovery, RecoveredLog
from logd_partitions.log_segment import AppendedBatch, LogSegment
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.producer_state import Duplicate
from logd_partitions.read_plan import Cold, Hot, ReadPlan
from logd_partitions.recovery_points import RecoveryPoint
from logd_partitions.retention import NEVER_EXPIRES, SealedSegment, expired_count, is_expired
from logd_partitions.segment_manifest import make_manifest
from logd_partitions.segment_reader import ColdRead, SegmentReader, stored_data_corrupt
from logd_partitions.storage_problem import StorageProblem
from logd_partitions.sync_ticket import SyncTicket
from logd_partitions.time_index import NO_TIME
from logd_partitions.time_lookup import Found, find_in_segments

SNAPSHOT_INTERVAL_BYTES = 16 << 20
"""Producers are also saved after so many appended bytes: what a recovery has to read again."""
SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER = 16 << 10
"""With many producers less often, as a snapshot is made on the loop (5 us a producer)."""
SAVED_AT_CLOSE_BYTES_MIN = 1 << 20
"""Less is read again at the next open, which costs less than the syncs of saving it: so that a stop
with 10,000 small partitions takes seconds."""


class Appended(NamedTuple):
    """What became of a batch. `base_offset` None: a duplicate too old to be remembered."""

    base_offset: Offset | None
    next_offset: Offset
    leader_epoch: LeaderEpoch
    append_timestamp_ms: int
    duplicate: bool = False


class PartitionLog:
    """See the module. Made by `open`."""

    def __init__(
        self,
        storage: PartitionStorage,
        topic_partition: TopicPartition,
        config: TopicConfig,
        recovered: RecoveredLog,
    ) -> None:
        self.topic_partition = topic_partition
        self.leader_epochs = recovered.leader_epochs
        self.producer_state = recovered.producer_state
        self.closed = False
        self._storage = storage
        self._config = config
        self._lock = threading.RLock()
        self._maintenance = threading.Lock()
        self._segments = recovered.segments
        self._bases = [segment.base_offset for segment in self._segments]
        self._active = self._segments[-1] if recovered.appendable else None
        self._next_offset = recovered.next_offset
        self._log_start = self._log_start_to_be = recovered.log_start_offset
        self._last_append_ms = recovered.last_append_ms
        self._problems = recovered.problems
        self._failed: LogdError | None = None
        self._sync_failed = False
        self._before_first_append = True
        self._findable = False
        self._synced_end = self._watermark_floor = recovered.next_offset
        last = self._segments[-1] if self._segments else None
        self._point = last.base_offset if last else recovered.next_offset, last.size if last else 0
        self._unsynced: dict[LogSegment, None] = {}
        self._appended_bytes = self._synced_bytes = self._snapshot_bytes = 0
        self._created = self._created_synced = 0
        self._snapshot: bytes | None = None
        self._snapshot_offset = recovered.snapshot_offset
        self._saved_offset = recovered.snapshot_offset
        self._hints_lock = threading.Lock()
        self._idle_since = Offset(-1)

    @classmethod
    def open(
        cls,
        storage: PartitionStorage,
        topic_partition: TopicPartition,
        config: TopicConfig,
        point: RecoveryPoint | None,
    ) -> "PartitionLog":
        """Recover and open; `point` None: nothing is known, read all. Makes nothing on disk.

        Blocking. Raises StorageFull, LogReadOnly (the disk can't be read), UnsupportedVersion.
        """
        try:
            recovered = LogRecovery(storage, topic_partition, point).run()
        except OSError as error:
            raise write_error(error, storage.path) from error
        return cls(storage, topic_partition, config, recovered)

    @property
    def log_start_offset(self) -> Offset:
        return self._log_start

    @property
    def log_end_offset(self) -> Offset:
        return self._next_offset

    @property
    def synced_end_offset(self) -> Offset:
        return self._synced_end

    @property
    def high_watermark(self) -> Offset:
        """With one replica: the end of what the topic's durability counts as safely held.

        A page_cache log counts what is synced too until a start could find what was appended: until
        the round that notes it as open.
        """
        if self._config.durability == "fsync" or self._sync_failed or not self._findable:
            return max(self._synced_end, self._watermark_floor)
        return self._next_offset

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    @property
    def segment_count(self) -> int:
        return len(self._segments)

    @property
    def unsynced_bytes(self) -> int:
        """Appended, and not yet covered by a sync that has finished."""
        return self._appended_bytes - self._synced_bytes

    @property
    def config(self) -> TopicConfig:
        return self._config

    def set_config(self, config: TopicConfig) -> None:
        """New settings of the topic. The high watermark stays where readers have seen it."""
        with self._lock:
            self._watermark_floor = self.high_watermark
            self._config = config

    def problems(self) -> list[StorageProblem]:
        """What recovery found, until the next start."""
        return list(self._problems)

    # Appending

    def append(
        self, batch: Buffer, header: BatchHeader, leader_epoch: LeaderEpoch, now_ms: int
    ) -> Appended:
        """Append one batch that `check_produced` has accepted, or recognise it as a duplicate.

        Raises OutOfOrderSequence, UnknownProducer, ProducerFenced, FencedLeaderEpoch, StorageFull,
        LogReadOnly; then nothing was appended.
        """
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if header.producer_id != NO_PRODUCER:
                duplicate = self.producer_state.check(header)
                if duplicate is not None:
                    return self._answer_again(duplicate, leader_epoch)
            append_ms = max(now_ms, self._last_append_ms)
            active = self._active_for(header.batch_length, leader_epoch, append_ms)
            base_offset = self._next_offset
            by_append_time = self._config.timestamp_type == "append_time"
            stamped = stamp(
                batch,
                leader_epoch=leader_epoch,
                base_offset=base_offset,
                append_timestamp_ms=append_ms,
                synced_hint=self._synced_end,
                leader_flags=LeaderFlag.APPEND_TIME.value if by_append_time else 0,
            )
            next_offset = Offset(base_offset + header.last_offset_delta + 1)
            record_ms = append_ms if by_append_time else header.max_timestamp_ms
            noted = AppendedBatch(base_offset, next_offset, append_ms, record_ms)
            try:
                active.append(stamped, memoryview(batch)[HEADER_BYTES:], noted)
            except LogReadOnly as error:
                self._failed = error
                raise
            self._next_offset = next_offset
            self._last_append_ms = append_ms
            self._appended_bytes += header.batch_length
            if header.producer_id != NO_PRODUCER:
                self.producer_state.record(header, base_offset, append_ms)
            return Appended(base_offset, next_offset, leader_epoch, append_ms)

    def _answer_again(self, duplicate: Duplicate, leader_epoch: LeaderEpoch) -> Appended:
        base_offset, record_count, append_ms = duplicate
        if base_offset is None:
            return Appended(None, self._log_start, leader_epoch, append_ms, True)
        epoch = self.leader_epochs.epoch_at(base_offset)
        return Appended(base_offset, Offset(base_offset + record_count), epoch, append_ms, True)

    def _active_for(self, length: int, leader_epoch: LeaderEpoch, now_ms: int) -> LogSegment:
        """The segment that takes the next batch; once a run and segment this touches the disk."""
        if self._before_first_append:
            self._storage.port.before_first_append(self)
            self._before_first_append = False
        if leader_epoch != self.leader_epochs.latest():
            self._assign_epoch(leader_epoch)
        active = self._active
        if active is None or active.is_full(length, now_ms, self._config):
            active = self._roll()
        self._unsynced[active] = None
        return active

    def _assign_epoch(self, leader_epoch: LeaderEpoch) -> None:
        latest = self.leader_epochs.latest()
        if leader_epoch < latest:
            raise FencedLeaderEpoch(
                f"this log has batches of leader epoch {latest}, but {leader_epoch} appends",
                current_epoch=latest,
            )
        self.leader_epochs.assign(leader_epoch, self._next_offset)

    def roll(self) -> None:
        """Seal the active segment, if it holds anything, and begin a new one.

        Raises StorageFull, LogReadOnly; then the old one stays active.
        """
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if self._active is not None and self._active.size:
                self._roll()

    def _roll(self) -> LogSegment:
        """The new active segment. The old one's indexes and manifest are left to maintenance."""
        fresh = LogSegment(self._storage, self._next_offset, 0, limit=self._config.segment_bytes)
        old = self._active
        try:
            fresh.create()
            if old is not None:
                old.seal()
        except OSError as error:
            raise write_error(error, fresh.path) from error
        for segment in self._segments:
            if segment is not old and segment.hot_from is not None:
                segment.cool()
        self._segments = [*self._segments, fresh]
        self._bases = [*self._bases, fresh.base_offset]
        self._active = fresh
        self._created += 1
        if old is not None:
            self._note_producers()
        return fresh

    def _note_producers(self) -> None:
        self._snapshot = self.producer_state.to_bytes(self._next_offset)
        self._snapshot_offset = self._next_offset
        self._snapshot_bytes = self._appended_bytes

    # Syncing

    def start_sync(self) -> SyncTicket:
        """What there is to sync: run it off the loop, then hand it to `finish_sync`."""
        with self._lock:
            interval_bytes = SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER * len(self.producer_state)
            unsaved_bytes = self._appended_bytes - self._snapshot_bytes
            if unsaved_bytes >= max(SNAPSHOT_INTERVAL_BYTES, interval_bytes):
                self._note_producers()
            active = self._active
            return SyncTicket(
                self._storage,
                [(segment, segment.size) for segment in self._unsynced],
                active,
                active.size if active is not None else 0,
                self._next_offset,
                self._created,
                self._appended_bytes,
                self._created == self._created_synced,
                self.leader_epochs,
                self._hints_lock,
                self._snapshot,
                active.take_tail() if active is not None else None,
            )

    def finish_sync(self, ticket: SyncTicket) -> None:
        """The ticket's run has succeeded: the synced end moves to where it was taken.

        Tickets may overlap: each covers all that none before it has finished.
        """
        with self._lock:
            for segment, size in ticket.segments:
                if segment.size == size:
                    self._unsynced.pop(segment, None)
            self._created_synced = max(self._created_synced, ticket.created)
            self._synced_bytes = max(self._synced_bytes, ticket.appended_bytes)
            if ticket.snapshot_saved and self._snapshot is ticket.snapshot:
                self._snapshot, self._saved_offset = None, self._snapshot_offset
            if not self._sync_failed and ticket.end_offset > self._synced_end:
                assert ticket.active is not None, "what was appended stands in a segment"
                self._synced_end = ticket.end_offset
                self._findable = True
                self._point = ticket.active.base_offset, ticket.position

    def sync_failed(self, error: Exception) -> None:
        """No append is taken any more, and readers stay at the synced end."""
        with self._lock:
            self._sync_failed = True
            if self._failed is None:
                self._failed = LogReadOnly(
                    f"a sync failed ({error}): {self._storage.path} takes no more appends; "
                    "replace the disk, or restart the broker to scan it",
                    directory=self._storage.path,
                )

    def recovery_point(self, *, open: bool) -> RecoveryPoint:
        """From where a start has to read this log: all before it is synced."""
        with self._lock:
            return RecoveryPoint(
                *self.topic_partition, *self._point, self._synced_end, self._log_start_to_be, open
            )

    # Reading

    def plan_read(self, offset: Offset, max_bytes: int, end_offset: Offset) -> ReadPlan | None:
        """How to read whole batches from the one that holds `offset` on, below `end_offset`.

        About `max_bytes`, at least one batch; None: nothing is there (yet). Never blocks. Raises
        OffsetOutOfRange, StoredDataCorrupt (details: next_offset).
        """
        with self._lock:
            if not self._log_start <= offset <= self._next_offset:
                raise self._out_of_range(offset)
            if offset >= end_offset or offset == self._next_offset:
                return None
            number = bisect_right(self._bases, offset) - 1
            if number < 0:
                lost_end = self._bases[0] if self._bases else self._next_offset
                raise stored_data_corrupt(self._storage.path, offset, lost_end)
            segment = self._segments[number]
            for start, next_offset in segment.damaged:
                if start <= offset < next_offset:
                    raise stored_data_corrupt(segment.path, start, next_offset)
            end = min(end_offset, self._next_offset)
            try:
                hot = segment.plan_hot(offset, max_bytes, end)
            except OSError:
                hot = None
            return hot or Cold(segment, offset, max_bytes, end)

    def read(self, plan: ReadPlan) -> Buffer:
        """Carry a plan out. Hot: at once, valid until the next call. Cold: blocking, checked.

        Sets a cold plan's `next_offset` and `size_bytes`. Raises StoredDataCorrupt,
        OffsetOutOfRange (retention was faster).
        """
        if isinstance(plan, Hot):
            with self._lock:
                if not plan.segment.removed:
                    return plan.segment.read_hot(plan)
            raise self._out_of_range(plan.segment.base_offset)
        try:
            found = self._reader(plan.segment).read(plan.offset, plan.max_bytes, plan.end_offset)
        except FileNotFoundError:
            raise self._gone(plan) from None
        return self._carried_out(plan, found)

    def try_read_cached(self, plan: Cold) -> Buffer | None:
        """Carry a cold plan out from the page cache, without blocking; None if that can't be."""
        found = self._reader(plan.segment).read_cached(plan.offset, plan.max_bytes, plan.end_offset)
        return None if found is None else self._carried_out(plan, found)

    def _carried_out(self, plan: Cold, found: ColdRead) -> Buffer:
        plan.next_offset, plan.size_bytes = found.next_offset, len(found.batches)
        return found.batches

    def _reader(self, segment: LogSegment) -> SegmentReader:
        return SegmentReader(segment, partial(self._following, segment))

    def _following(self, segment: LogSegment) -> Offset:
        """Where the log goes on behind a segment."""
        with self._lock:
            at = bisect_right(self._bases, segment.base_offset)
            return self._bases[at] if at < len(self._bases) else self._next_offset

    def _gone(self, plan: Cold) -> LogdError:
        if plan.segment.removed:
            return self._out_of_range(plan.offset)
        path, following = plan.segment.path, self._following(plan.segment)
        return stored_data_corrupt(path, plan.offset, following)

    def _out_of_range(self, offset: Offset) -> OffsetOutOfRange:
        start, end = self._log_start, self.high_watermark
        return OffsetOutOfRange(
            f"offset {offset} is not in the log, which holds {start} to {end} (exclusive)",
            log_start_offset=start,
            high_watermark=end,
        )

    def find_offset_by_time(
        self, time_ms: int, by_record_time: bool, end_offset: Offset
    ) -> Found | None:
        """The first record at or after `time_ms` below `end_offset`, and its time. Blocking.

        Raises StoredDataCorrupt, UndecodableBatch.
        """
        start = self._log_start
        segments = self._segments_from(start)
        try:
            return find_in_segments(
                segments,
                time_ms,
                by_record_time=by_record_time,
                start_offset=start,
                end_offset=end_offset,
            )
        except OSError as error:
            raise StoredDataCorrupt(
                f"{self._storage.path} can't be searched by time ({error})", offset=start
            ) from error

    def bytes_between(self, start: Offset, end: Offset) -> int:
        """About how many stored bytes [start, end) has, by the indexes. Blocking."""
        total = 0
        for segment in self._segments_from(max(start, self._log_start)):
            if segment.base_offset >= end:
                break
            following = self._following(segment)
            first = segment.index().floor(start)[1] if start > segment.base_offset else 0
            last = segment.index().floor(end)[1] if end < following else segment.size
            total += max(0, last - first)
        return total

    def _segments_from(self, offset: Offset) -> list[LogSegment]:
        with self._lock:
            return self._segments[max(0, bisect_right(self._bases, offset) - 1) :]

    # Maintenance

    def apply_retention(self, now_ms: int | None) -> list[str]:
        """Finish sealed segments and let go what the topic no longer keeps; the files removed.

        `now_ms` None: the clock can't be trusted, so nothing goes by time. Blocking (it hashes
        sealed segments): off the loop. Raises StorageFull, LogReadOnly.
        """
        with self._maintenance:
            if self._failed is not None or self.closed:
                return []
            try:
                self._roll_if_due(now_ms)
                count = self._expired_count(now_ms)
                if count:
                    return self._start_at(self._bases[count])
                self._finish_sealed()
                self._shrink_if_idle()
            except OSError as error:
                raise write_error(error, self._storage.path) from error
            if now_ms is not None:
                with self._lock:
                    self.producer_state.expire(now_ms)
            return []

    def truncate_before(self, offset: Offset) -> Offset:
        """Start the log at `offset`, at most the high watermark; the durable new start. Blocking.

        Segments wholly before it are removed. Raises OffsetOutOfRange, StorageFull, LogReadOnly.
        """
        with self._maintenance:
            if offset > self.high_watermark:
                raise self._out_of_range(offset)
            if offset > self._log_start:
                try:
                    self._start_at(offset)
                except OSError as error:
                    raise write_error(error, self._storage.path) from error
            return self._log_start

    def _roll_if_due(self, now_ms: int | None) -> None:
        """Seal an active segment that is old or expired, so that its records can go in time."""
        with self._lock:
            active = self._active
            if now_ms is None or active is None or not active.size:
                return
            old = active.is_full(0, now_ms, self._config)
            if old or is_expired(self._last_append_ms, self._config, now_ms):
                self._roll()

    def _expired_count(self, now_ms: int | None) -> int:
        with self._lock:
            sealed = self._segments[:-1] if self._active is not None else self._segments
            next_bases = [*self._bases[1:], self._next_offset]
        return expired_count(
            map(_retained, sealed, next_bases),
            self.size_bytes,
            self.high_watermark,
            self._config,
            now_ms,
        )

    def _finish_sealed(self) -> None:
        """Save indexes and manifests of segments that were sealed, and synced, since."""
        with self._lock:
            ends = zip(self._segments, self._bases[1:], strict=False)
            finished = [s for s, end in ends if not s.saved and end <= self._synced_end]
        for segment in finished:
            segment.save_indexes()
            manifest = make_manifest(segment, self.topic_partition, self.leader_epochs.entries)
            write_atomically(self._storage.fs, segment.companion("manifest"), manifest.to_bytes())
            with self._lock:
                segment.mark_saved()

    def _shrink_if_idle(self) -> None:
        """Give reserved space back where nothing was appended since the last call."""
        with self._lock:
            if self._active is not None and self._idle_since == self._next_offset:
                self._active.shrink()
            self._idle_since = self._next_offset

    def _start_at(self, offset: Offset) -> list[str]:
        """Make `offset` the log's start, durably; then remove the segments that end at or below."""
        with self._lock:
            first_kept = self._bases[max(0, bisect_right(self._bases, offset) - 1)]
            if self._saved_offset < first_kept:
                self._note_producers()
        self._sync_here()  # what carries on the offsets and producers must not go with the old
        self._log_start_to_be = offset
        try:
            self._storage.port.log_start_changed(self)
        except BaseException:
            self._log_start_to_be = self._log_start
            raise
        with self._lock:
            self._log_start = offset
            count = max(0, bisect_right(self._bases, offset) - 1)
            gone, self._segments = self._segments[:count], self._segments[count:]
            self._bases = self._bases[count:]
            self.leader_epochs.truncate_before(offset)
        for segment in gone:
            segment.remove()
        return [segment.path for segment in gone]

    def _sync_here(self) -> None:
        ticket = self.start_sync()
        try:
            ticket.run()
        except OSError as error:
            self.sync_failed(error)
            raise
        self.finish_sync(ticket)

    def close(self) -> None:
        """A clean stop: sync, and save what the next open would else read. Blocking; once.

        Raises OSError, LogReadOnly: then the log counts as open, and the next start scans it.
        """
        with self._maintenance, self._lock:
            if self.closed:
                return
            self.closed = True
            if self._failed is not None:
                raise self._failed
            self._sync_here()
            if self._appended_bytes - self._snapshot_bytes >= SAVED_AT_CLOSE_BYTES_MIN:
                self.leader_epochs.flush()
                path = self._storage.file_path(SNAPSHOT_FILE)
                state = self.producer_state.to_bytes(self._next_offset)
                write_atomically(self._storage.fs, path, state)
            if self._active is not None:
                self._active.shrink()
                large = self._active.size >= SAVED_AT_CLOSE_BYTES_MIN
                if large and not self._active.indexes_on_disk:
                    self._active.save_indexes()
                self._point = self._active.base_offset, self._active.size
            self.discard()

    def discard(self) -> None:
        """Let go of all files without saving anything: they are about to be removed."""
        with self._lock:
            self.closed = True
            for segment in self._segments:
                segment.forget_files()


def _retained(segment: LogSegment, next_base_offset: Offset) -> SealedSegment:
    """A segment whose batches can't be read is kept: people should see it first."""
    last_append_ms = segment.time_index().last_append_ms
    if last_append_ms == NO_TIME and segment.size:
        last_append_ms = NEVER_EXPIRES
    return SealedSegment(segment.size, next_base_offset, last_append_ms)
