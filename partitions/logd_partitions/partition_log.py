"""One partition's log: a row of segments with what belongs to them. Start reading here.

Appends and hot reads are quick and run on the broker's loop. What blocks says so. Every method may
be called from any thread: a lock is held, but never over a sync or a cold read. Calls of
maintenance (`apply_retention`, `advance_log_start`, `close`) wait for each other, so they belong
off the loop.

Offsets: log_start_offset <= synced_end_offset <= log_end_offset, and held_end is one of the latter
two or between them. What is committed is not decided here: the high watermark stands outside
(`HighWatermark`), and with one replica follows held_end. A failed sync or write makes the log
read-only for good; a full disk does not, and appends recover by themselves.
"""

import threading
from typing import NamedTuple

from logd.model.errors import (
    FencedLeaderEpoch,
    LogdError,
    LogReadOnly,
    StoredDataCorrupt,
    SyncFailed,
)
from logd.model.ids import NO_PRODUCER, LeaderEpoch, Offset, TopicPartition
from logd.model.record_batch import HEADER_BYTES, BatchHeader, LeaderFlag, stamp
from logd.model.seams import Buffer
from logd.model.topic_config import TopicConfig
from logd_partitions.disk_errors import passes, write_error
from logd_partitions.log_reader import LogReader
from logd_partitions.log_recovery import LogRecovery, RecoveredLog
from logd_partitions.log_segment import AppendedBatch, LogSegment
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.producer_state import Duplicate
from logd_partitions.read_plan import Cold, ReadPlan
from logd_partitions.recovery_points import RecoveryPoint
from logd_partitions.retention import is_expired
from logd_partitions.segment_list import SegmentList
from logd_partitions.segment_maintenance import SegmentMaintenance
from logd_partitions.storage_problem import StorageProblem
from logd_partitions.sync_progress import SyncProgress
from logd_partitions.sync_ticket import SyncTicket
from logd_partitions.time_lookup import Found

SAVED_AT_CLOSE_BYTES_MIN = 1 << 20
"""Less is read again at the next open, which costs less than the syncs of saving it: so that a stop
with 10,000 small partitions takes seconds."""
DAMAGE_TOLD_MAX = 100
"""So many damaged ranges of a log stand in its problems; readers are told of all."""


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
        self._segments = SegmentList(recovered.segments)
        last = self._segments.last
        self._active = last if recovered.appendable else None
        self._next_offset = recovered.next_offset
        self._log_start = self._log_start_to_be = recovered.log_start_offset
        self._last_append_ms = recovered.last_append_ms
        self._problems = recovered.problems
        self._damage_told = {str(end) for s in recovered.segments for _, end in s.damaged}
        self._failed: LogdError | None = None
        self._before_first_append = True
        self._idle_since = Offset(-1)
        point = (last.base_offset, last.size) if last else (recovered.next_offset, 0)
        self._progress = SyncProgress(
            storage,
            topic_partition,
            self.leader_epochs,
            recovered.next_offset,
            point,
            recovered.snapshot_offset,
        )
        self._reader = LogReader(storage.path, self._segments, self._lock, self)
        self._upkeep = SegmentMaintenance(
            storage, topic_partition, self._segments, self.leader_epochs, self._lock
        )

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
        return self._progress.end

    @property
    def held_end(self) -> Offset:
        """The end of what this replica safely holds, as the topic's durability counts it.

        A page_cache log counts what is synced too until a start could find what was appended (until
        the round that notes it as open), and while too much of it is unsynced: then the disk is
        slower than its producers, who must wait for it.
        """
        return self._progress.held_end(self._config.durability, self._next_offset)

    @property
    def awaits_sync(self) -> bool:
        """Whether more would count as held after a sync: then somebody may wait for it."""
        held_end = self._progress.held_end(self._config.durability, self._next_offset)
        return held_end < self._next_offset

    @property
    def size_bytes(self) -> int:
        return self._segments.size_bytes

    @property
    def segment_count(self) -> int:
        return len(self._segments)

    @property
    def unsynced_bytes(self) -> int:
        return self._progress.unsynced_bytes

    @property
    def config(self) -> TopicConfig:
        return self._config

    def set_config(self, config: TopicConfig) -> None:
        """New settings of the topic. What was held before still is."""
        with self._lock:
            self._progress.floor = self.held_end
            self._config = config

    def problems(self) -> list[StorageProblem]:
        """What recovery and readers found, until the next start."""
        return list(self._problems)

    # Appending

    @property
    def ready_for_append(self) -> bool:
        """Whether appends make no more files and directories, but for new segments."""
        return not self._before_first_append

    def prepare_append(self, leader_epoch: LeaderEpoch) -> None:
        """Do on the disk what the first append of a run would, so that it need not.

        Blocking (about 2 ms): off the loop, which thousands of first appends would hold up. Raises
        what `append_leader` would; a closed log is left as it is.
        """
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if not self.closed:
                self._active_for(0, leader_epoch, self._last_append_ms).reserve()

    def append_leader(
        self, batch: Buffer, header: BatchHeader, leader_epoch: LeaderEpoch, now_ms: int
    ) -> Appended:
        """Append one batch that `check_produced` has accepted, or recognise it as a duplicate.

        Raises OutOfOrderSequence, UnknownProducer, ProducerFenced, FencedLeaderEpoch, StorageFull,
        LogReadOnly; then nothing was appended. SyncFailed: that is unknown.
        """
        with self._lock:
            if self._failed is not None:
                raise self._failed
            if header.producer_id != NO_PRODUCER:
                duplicate = self.producer_state.check(header, self._storage.identities)
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
                synced_hint=self._progress.end,
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
            except SyncFailed as error:
                self.sync_failed(error)
                raise
            self._progress.appended(
                active, header.batch_length, self._config.durability, base_offset
            )
            self._next_offset = next_offset
            self._last_append_ms = append_ms
            if header.producer_id != NO_PRODUCER:
                self.producer_state.record(header, base_offset, append_ms)
            return Appended(base_offset, next_offset, leader_epoch, append_ms)

    @property
    def growing(self) -> LogSegment | None:
        """The active segment, if space should be reserved ahead of its appends: see its `grow`."""
        active = self._active
        return active if active is not None and active.should_grow else None

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
        """The new active segment. The old one's indexes and manifest are left to maintenance.

        Its file is made last: by its name alone a start takes all before it for older.
        """
        fresh = LogSegment(self._storage, self._next_offset, 0, limit=self._config.segment_bytes)
        old = self._active
        try:
            if old is not None:
                old.seal()
            fresh.create()
        except OSError as error:
            if old is not None:
                old.sealed = False
            raise write_error(error, fresh.path) from error
        for segment in self._segments:
            if segment is not old and segment.hot_from is not None:
                segment.cool()
        self._segments.add(fresh)
        self._active = fresh
        self._progress.created()
        if old is not None:
            self._progress.save_producers(self.producer_state, self._next_offset)
        return fresh

    # Syncing

    def start_sync(self) -> SyncTicket:
        """What there is to sync: run it off the loop, then hand it to `finish_sync`."""
        with self._lock:
            return self._progress.start(self._active, self._next_offset, self.producer_state)

    def finish_sync(self, ticket: SyncTicket) -> None:
        """The ticket's run has succeeded: the synced end moves to where it was taken."""
        with self._lock:
            self._progress.finish(ticket, publish=True)

    def sync_failed(self, error: Exception) -> None:
        """No append is taken any more, and what is held stays as it is: the synced end, or in a
        page_cache topic the end of what was acknowledged."""
        with self._lock:
            self._progress.floor = self.held_end
            self._progress.broken = True
            if self._failed is None:
                self._failed = LogReadOnly(
                    f"a sync failed ({error}): {self._storage.path} takes no more appends; "
                    "replace the disk, or restart the broker to scan it",
                    directory=self._storage.path,
                )

    def recovery_point(self, *, open: bool) -> RecoveryPoint:
        """From where a start has to read this log: all before it is synced."""
        with self._lock:
            base_offset, position = self._progress.point
            return RecoveryPoint(
                *self.topic_partition,
                base_offset,
                position,
                self._progress.end,
                self._log_start_to_be,
                open,
            )

    # Reading

    def plan_read(self, offset: Offset, max_bytes: int, end_offset: Offset) -> ReadPlan | None:
        """How to read whole batches from the one that holds `offset` on, below `end_offset`.

        About `max_bytes`, at least one batch; None: nothing is there (yet). Never blocks. Raises
        OffsetOutOfRange, StoredDataCorrupt (details: next_offset).
        """
        try:
            return self._reader.plan(offset, max_bytes, end_offset)
        except StoredDataCorrupt as error:
            self._note_damage(error)
            raise

    def read(self, plan: ReadPlan) -> Buffer:
        """Carry a plan out. Hot: at once, valid until the next call. Cold: blocking, checked.

        Sets a cold plan's `next_offset` and `size_bytes`. Raises StoredDataCorrupt,
        OffsetOutOfRange (retention was faster), Overloaded.
        """
        try:
            return self._reader.read(plan)
        except StoredDataCorrupt as error:
            self._note_damage(error)
            raise

    def try_read_cached(self, plan: Cold) -> Buffer | None:
        """Carry a cold plan out from the page cache, without blocking; None if that can't be."""
        return self._reader.try_read_cached(plan)

    def find_offset_by_time(
        self, time_ms: int, by_record_time: bool, end_offset: Offset
    ) -> Found | None:
        """The first record at or after `time_ms` below `end_offset`, and its time. Blocking.

        Damage before it that may be it is the answer, without a time. Raises StoredDataCorrupt,
        Overloaded.
        """
        try:
            return self._reader.find_offset_by_time(time_ms, by_record_time, end_offset)
        except StoredDataCorrupt as error:
            self._note_damage(error)
            raise

    def bytes_between(self, start: Offset, end: Offset) -> int:
        """About how many stored bytes [start, end) has, by the indexes. Blocking. Raises
        StoredDataCorrupt, Overloaded."""
        return self._reader.bytes_between(start, end)

    def hot_bytes_between(self, start: Offset, end: Offset) -> int:
        """How many stored bytes [start, end) has, two batches' beginnings: exactly so where this
        process has appended them lately, else too many rather than too few. Never blocks."""
        return self._reader.hot_bytes_between(start, end)

    def _note_damage(self, error: StoredDataCorrupt) -> None:
        """What a reader was refused is told to operators too: each range, by its end, once."""
        end = error.details.get("next_offset", "")
        with self._lock:
            if end in self._damage_told or len(self._damage_told) >= DAMAGE_TOLD_MAX:
                return
            self._damage_told.add(end)
            where, now_ms = str(self.topic_partition), self._storage.clock.wall_ms()
            problem = StorageProblem("error", error.reason, where, error.message, now_ms)
            self._problems.append(problem)

    # Maintenance

    def apply_retention(self, now_ms: int | None) -> list[str]:
        """Finish sealed segments and let go what the topic no longer keeps; the files removed.

        `now_ms` None: the clock can't be trusted, so nothing goes by time. Blocking (it reads
        sealed segments): off the loop. Raises StorageFull, LogReadOnly.
        """
        with self._maintenance:
            if self._failed is not None or self.closed:
                return []
            try:
                self._roll_if_due(now_ms)
                new_start = self._upkeep.new_start(
                    self._active, self._next_offset, self.held_end, self._config, now_ms
                )
                removed = self._start_at(new_start) if new_start is not None else []
                self._upkeep.finish_sealed(self._progress.end)
                self._shrink_if_idle()
            except OSError as error:
                raise write_error(error, self._storage.path) from error
            if now_ms is not None:
                with self._lock:
                    self.producer_state.expire(now_ms)
            return removed

    def advance_log_start(self, offset: Offset) -> Offset:
        """Drop the head: start the log at `offset`, at most what is held; the durable new start.

        Segments wholly before it are removed. Blocking. Raises OffsetOutOfRange, StorageFull,
        LogReadOnly.
        """
        with self._maintenance:
            if offset > self.held_end:
                raise self._reader.out_of_range(offset, self.held_end)
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

    def _shrink_if_idle(self) -> None:
        """Give reserved space back where nothing was appended since the last call."""
        with self._lock:
            if self._active is not None and self._idle_since == self._next_offset:
                self._active.shrink()
            self._idle_since = self._next_offset

    def _start_at(self, offset: Offset) -> list[str]:
        """Make `offset` the log's start, durably; then remove the segments that end at or below."""
        with self._lock:
            first_kept = self._segments.holding(offset)
            if first_kept is not None and self._progress.saved_offset < first_kept.base_offset:
                self._progress.save_producers(self.producer_state, self._next_offset)
        self._sync(publish=False)  # what carries on offsets and producers must not go with the old
        self._log_start_to_be = offset
        try:
            self._storage.port.log_start_changed(self)
        except BaseException:
            self._log_start_to_be = self._log_start
            raise
        with self._lock:
            self._log_start = offset
            gone = self._segments.remove_before(offset)
            self.leader_epochs.advance_log_start(offset)
        for segment in gone:
            segment.remove()
        return [segment.path for segment in gone]

    def _sync(self, *, publish: bool) -> None:
        """Sync here and now. Not published, the end is left to the flusher's round, which also
        makes durable what the directory noted of the first append."""
        ticket = self.start_sync()
        try:
            ticket.run()
        except OSError as error:
            if not passes(error):
                self.sync_failed(error)
            raise
        with self._lock:
            self._progress.finish(ticket, publish=publish)

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
            if self._progress.unsaved_bytes >= SAVED_AT_CLOSE_BYTES_MIN:
                self._progress.save_producers(self.producer_state, self._next_offset)
            self._sync(publish=True)
            active = self._active
            if active is not None:
                active.shrink()
                if active.size >= SAVED_AT_CLOSE_BYTES_MIN and not active.indexes_on_disk:
                    active.save_indexes()
                self._progress.point = active.base_offset, active.size
            self.discard()

    def discard(self) -> None:
        """Let go of all files without saving anything: they are about to be removed."""
        with self._lock:
            self.closed = True
            for segment in self._segments:
                segment.forget_files()
