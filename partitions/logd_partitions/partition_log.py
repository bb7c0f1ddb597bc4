"""One partition's log: a row of segments with what belongs to them. Start reading here.

Appends and hot reads are quick and run on the broker's loop. What blocks says so. Every method may
be called from any thread: the log's lock is held, which no part of it takes itself, but never over
a cold read, nor over a sync until the log is closed. Calls of
maintenance (`apply_retention`, `advance_log_start`, `truncate_to`, `start_anew`, `close`) wait for
each other, so they belong off the loop.

Offsets: log_start_offset <= synced_end_offset <= log_end_offset, and held_end is one of the latter
two or between them. What is committed is not decided here: the high watermark stands outside
(`HighWatermark`), and with one replica follows held_end. A failed sync or write makes the log
read-only for good; a full disk does not, and appends recover by themselves.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import structlog

from logd.model.cluster import HealthProblem
from logd.model.errors import StoredDataCorrupt
from logd.model.ids import LeaderEpoch, Offset, TopicPartition
from logd.model.record_batch import BatchHeader
from logd.model.seams import Buffer, FailedSync
from logd.model.topic_config import TopicConfig
from logd_partitions.core.disk_errors import passes, write_error
from logd_partitions.core.producer_state import ProducerState
from logd_partitions.core.retention import is_expired
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.log_reader import LogReader
from logd_partitions.log_tail import Appended, LogTail
from logd_partitions.log_truncation import Change, LogTruncation, find_cut
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.recovery.log_recovery import LogRecovery, RecoveredLog
from logd_partitions.recovery.recovery_points import RecoveryPoint
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.read_plan import Cold, ReadPlan
from logd_partitions.segment.segment_list import SegmentList
from logd_partitions.segment.time_lookup import Found
from logd_partitions.segment_maintenance import SegmentMaintenance
from logd_partitions.stored_batches import Gap
from logd_partitions.sync.sync_progress import SyncProgress
from logd_partitions.sync.sync_ticket import SyncTicket

logger = structlog.get_logger()

SAVED_AT_CLOSE_BYTES_MIN = 1 << 20
"""Less is read again at the next open, which costs less than the syncs of saving it: so that a stop
with 10,000 small partitions takes seconds."""
DAMAGE_TOLD_MAX = 100
"""So many damaged ranges of a log stand in its problems; readers are told of all."""


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
        self.closed = False
        self._storage = storage
        self._lock = threading.RLock()
        self._maintenance = threading.Lock()
        self._segments = segments = SegmentList(recovered.segments)
        self._log_start = self._log_start_to_be = recovered.log_start_offset
        self._problems = recovered.problems
        self._damage_told = {str(end) for s in recovered.segments for _, end in s.damaged}
        self._idle_since = Offset(-1)
        last, end = segments.last, recovered.next_offset
        point = (last.base_offset, last.size) if last else (end, 0)
        epochs, known = recovered.leader_epochs, recovered.snapshot_offset
        self._progress = SyncProgress(storage, topic_partition, epochs, end, point, known)
        note_open = partial(storage.port.before_first_append, self)
        self._tail = LogTail(storage, config, recovered, segments, self._progress, note_open)
        self._reader = LogReader(storage.path, segments, self)
        self._upkeep = SegmentMaintenance(storage, topic_partition, segments, epochs)
        save_point = partial(storage.port.bounds_changed, self)
        self._truncation = LogTruncation(
            storage, topic_partition, segments, self._tail, self._progress, save_point
        )

    @classmethod
    def open(
        cls,
        storage: PartitionStorage,
        topic_partition: TopicPartition,
        config: TopicConfig,
        point: RecoveryPoint | None,
        *,
        replicated: bool = False,
    ) -> "PartitionLog":
        """Recover and open; `point` None: nothing is known, read all. Makes nothing on disk.

        `replicated`: other replicas have the log too, so what is held here is not yet committed,
        and a torn tail can be had from another: see `note_committed`, `LogRecovery`. Blocking.
        Raises StorageFull, LogReadOnly (the disk can't be read), UnsupportedVersion.
        """
        try:
            page_cache = config.durability == "page_cache"
            recovery = LogRecovery(
                storage, topic_partition, point, hints_count=not (replicated and page_cache)
            )
            recovered = recovery.run()
        except OSError as error:
            raise write_error(error, storage.path) from error
        log = cls(storage, topic_partition, config, recovered)
        if replicated:
            log._progress.committed_max = log.log_start_offset
        return log

    @property
    def log_start_offset(self) -> Offset:
        return self._log_start

    @property
    def log_end_offset(self) -> Offset:
        return self._tail.end

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
        return self._progress.held_end(self._tail.config.durability, self._tail.end)

    @property
    def committed_end(self) -> Offset:
        """Up to where it is known here that nothing is cut any more: with one replica all that is
        held, else what `note_committed` told of it."""
        return min(self.held_end, self._progress.committed_max)

    def note_committed(self, high_watermark: Offset) -> None:
        """The partition's high watermark, in a log that is `replicated`. Above it nothing is let
        go, no snapshot of producers is saved, and no batch says that it is synced."""
        self._progress.committed_max = max(self._progress.committed_max, high_watermark)

    @property
    def awaits_sync(self) -> bool:
        """Whether more would count as held after a sync: then somebody may wait for it."""
        tail = self._tail
        return self._progress.held_end(tail.config.durability, tail.end) < tail.end

    @property
    def producer_state(self) -> ProducerState:
        return self._tail.producers

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
        return self._tail.config

    def set_config(self, config: TopicConfig) -> None:
        """New settings of the topic. What was held before still is."""
        with self._lock:
            self._progress.floor = self.held_end
            self._tail.config = config

    def problems(self) -> list[HealthProblem]:
        """What recovery and readers found, until the next start."""
        return list(self._problems)

    # Appending

    @property
    def ready_for_append(self) -> bool:
        """Whether appends make no more files and directories, but for new segments."""
        return self._tail.is_open

    def prepare_append(self, leader_epoch: LeaderEpoch) -> None:
        """Do on the disk what the first append of a run would, so that it need not.

        Blocking (about 2 ms): off the loop, which thousands of first appends would hold up. Raises
        what `append_leader` would; a closed log is left as it is.
        """
        with self._lock:
            tail = self._usable_tail()
            if not self.closed:
                tail.active_for(0, leader_epoch, tail.last_append_ms).reserve()

    def append_leader(
        self, batch: Buffer, header: BatchHeader, leader_epoch: LeaderEpoch, now_ms: int
    ) -> Appended:
        """Append one batch that `check_produced` has accepted, or recognise it as a duplicate.

        Raises OutOfOrderSequence, UnknownProducer, ProducerFenced, FencedLeaderEpoch, StorageFull,
        LogReadOnly; then nothing was appended. SyncFailed: that is unknown.
        """
        with self._lock:
            return self._tail.append_leader(batch, header, leader_epoch, now_ms)

    def append_stored(self, batches: Buffer, gaps: Iterable[Gap] = ()) -> None:
        """Append whole batches as their leader stamped them, each where the one before it ends.

        Where nothing is in the leader's log it names a gap, which is kept: it answers here what it
        answers there. Nobody judges sequences: what the leader appended has happened. Of many
        batches a segment gets all at once; those before a failure stay, see `log_end_offset`.
        Raises CorruptBatch, FencedLeaderEpoch (nothing was appended), and as `append_leader`.
        """
        with self._lock:
            self._tail.append_stored(batches, gaps)

    def begin_epoch(self, leader_epoch: LeaderEpoch) -> None:
        """A leader epoch begins where the log ends now, also if it never has a batch. It is not
        made durable: a start begins another. Raises FencedLeaderEpoch."""
        with self._lock:
            self._tail.begin_epoch(leader_epoch)

    @property
    def growing(self) -> LogSegment | None:
        """The active segment, if space should be reserved ahead of its appends: see its `grow`."""
        active = self._tail.active
        return active if active is not None and active.should_grow else None

    def roll(self) -> None:
        """Seal the active segment, if it holds anything, and begin a new one.

        Raises StorageFull, LogReadOnly; then the old one stays active.
        """
        with self._lock:
            tail = self._usable_tail()
            if tail.active is not None and tail.active.size:
                tail.roll(tail.end)

    def _usable_tail(self) -> LogTail:
        if self._tail.failed is not None:
            raise self._tail.failed
        return self._tail

    # Syncing

    def start_sync(self) -> SyncTicket:
        """What there is to sync: run it off the loop, then hand it to `finish_sync`."""
        with self._lock:
            tail = self._tail
            last = tail.active or self._segments.last
            return self._progress.start(last, tail.end, tail.producers)

    def finish_sync(self, ticket: SyncTicket) -> None:
        """The ticket's run has succeeded: the synced end moves to where it was taken."""
        with self._lock:
            self._progress.finish(ticket, publish=True)

    def sync_failed(self, error: Exception) -> None:
        """No append is taken any more, and what is held stays as it is: the synced end, or in a
        page_cache topic the end of what was acknowledged."""
        with self._lock:
            self._tail.sync_failed(error)

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
            with self._lock:
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
            if isinstance(plan, Cold):
                return self._reader.read_cold(plan)
            with self._lock:
                return self._reader.read_hot(plan)
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
        with self._lock:
            return self._reader.hot_bytes_between(start, end)

    def _note_damage(self, error: StoredDataCorrupt) -> None:
        """What a reader was refused is told to operators too: each range, by its end, once."""
        end = error.details.get("next_offset", "")
        with self._lock:
            if end in self._damage_told or len(self._damage_told) >= DAMAGE_TOLD_MAX:
                return
            self._damage_told.add(end)
            where, now_ms = str(self.topic_partition), self._storage.clock.wall_ms()
            problem = HealthProblem("error", error.reason, where, error.message, now_ms)
            self._problems.append(problem)

    # Maintenance

    def apply_retention(self, now_ms: int | None) -> list[str]:
        """Finish sealed segments and let go what the topic no longer keeps; the files removed.

        `now_ms` None: the clock can't be trusted, so nothing goes by time. Blocking (it reads
        sealed segments): off the loop. Raises StorageFull, LogReadOnly.
        """
        with self._maintaining():
            tail = self._tail
            if tail.failed is not None or self.closed:
                return []
            self._roll_if_due(now_ms)
            with self._lock:
                segments, active = list(self._segments), tail.active
                ends = tail.end, self.committed_end
            new_start = self._upkeep.new_start(segments, active, *ends, tail.config, now_ms)
            removed: list[str] = []
            if new_start is not None:
                records = new_start - self._log_start
                removed = self._start_at(new_start)
                what = {"records": records, "log_start_offset": new_start, "files": len(removed)}
                logger.info("retention removed records", directory=self._storage.path, **what)
            for finished in self._upkeep.finish_sealed(self._progress.end):
                with self._lock:
                    finished.mark_saved()
            self._shrink_if_idle()
            if now_ms is not None:
                with self._lock:
                    tail.producers.expire(now_ms)
            return removed

    def advance_log_start(self, offset: Offset) -> Offset:
        """Drop the head: start the log at `offset`, at most what is committed; the durable new
        start.

        Segments wholly before it are removed. Blocking. Raises OffsetOutOfRange, StorageFull,
        LogReadOnly.
        """
        with self._maintaining():
            if offset > self.committed_end:
                raise self._reader.out_of_range(offset, self.committed_end)
            if offset > self._log_start:
                self._start_at(offset)
            return self._log_start

    def truncate_to(self, offset: Offset) -> Offset:
        """Drop the tail: end the log at `offset`, or where the batch that holds it begins; the
        durable new end.

        Leader epochs that began there or later are forgotten, also if that is the end already.
        Nobody appends meanwhile. Blocking. Raises OffsetOutOfRange below the log's start,
        StorageFull, LogReadOnly.
        """
        with self._maintaining():
            tail = self._usable_tail()
            if offset < self._log_start:
                raise self._reader.out_of_range(offset, tail.end)
            # So that all of what stays is synced; a newer snapshot would tell of too much. And
            # where the call before this one came as far as its last sync, that is made up for.
            self._sync(publish=False, save_producers=False)
            if offset < tail.end:
                with self._cutting():
                    self._cut(offset)
                self._sync(publish=False, save_producers=False)
            with self._lock:
                tail.epochs.truncate_to(tail.end)
            return tail.end

    def _cut(self, offset: Offset) -> None:
        segment = self._segments.holding(offset)
        kept = find_cut(segment, offset) if segment is not None else None
        if segment is not None and kept is not None and kept.offset >= self._log_start:
            self._carry_out(self._truncation.cut(segment, kept))
        else:  # not a whole batch stays
            start = self._log_start
            epochs = [e for e in self._tail.epochs.entries if e.start_offset < start]
            producers = self._truncation.producers_until(start).producers
            self._begin_at(start, epochs, producers)

    def start_anew(
        self, offset: Offset, epochs: Sequence[EpochEntry], producers: ProducerState
    ) -> None:
        """Drop all and begin at `offset`, durably, as the log of a leader does from there.

        `epochs` and `producers` are its own, as of `offset`. Nobody appends meanwhile. Blocking.
        Raises StorageFull, LogReadOnly.
        """
        with self._maintaining():
            self._usable_tail()
            with self._cutting():
                self._begin_at(offset, epochs, producers)

    def _begin_at(
        self, offset: Offset, epochs: Sequence[EpochEntry], producers: ProducerState
    ) -> None:
        start = self._log_start
        self._carry_out(self._truncation.drop_all(start))
        self._carry_out(self._truncation.begin_at(offset, epochs, producers))
        with self._progress.hints_lock, self._lock:
            self._progress.restart(offset, (offset, 0), offset)
            self._log_start_to_be = offset
        try:
            self._storage.port.bounds_changed(self)
        except BaseException:
            with self._progress.hints_lock, self._lock:
                self._progress.restart(start, (start, 0), start)
                self._log_start_to_be = start
                self._tail.epochs.truncate_to(start)
                self._tail.producers = ProducerState()
            raise
        with self._lock:
            self._log_start = self._tail.end = offset

    @contextlib.contextmanager
    def _cutting(self) -> Iterator[None]:
        """Until the log has its new end, or is left as it is then, a sync of it counts for nothing:
        it would be of the end of before."""
        try:
            yield
        finally:
            with self._progress.hints_lock, self._lock:
                self._progress.go_on()

    def _carry_out(self, changes: Iterable[Change]) -> None:
        """What blocks happens between the changes, without a lock that a reader waits for."""
        for change in changes:
            with self._progress.hints_lock, self._lock:
                change()

    @contextlib.contextmanager
    def _maintaining(self) -> Iterator[None]:
        """One call of maintenance at a time."""
        with self._maintenance:
            try:
                yield
            except OSError as error:
                if isinstance(error, FailedSync):
                    self.sync_failed(error)
                raise write_error(error, self._storage.path) from error

    def _roll_if_due(self, now_ms: int | None) -> None:
        """Seal an active segment that is old or expired, so that its records can go in time."""
        with self._lock:
            tail = self._tail
            active = tail.active
            if now_ms is None or active is None or not active.size:
                return
            old = active.is_full(0, now_ms, tail.config)
            if old or is_expired(tail.last_append_ms, tail.config, now_ms):
                tail.roll(tail.end)

    def _shrink_if_idle(self) -> None:
        """Give reserved space back where nothing was appended since the last call."""
        with self._lock:
            if self._tail.active is not None and self._idle_since == self._tail.end:
                self._tail.active.shrink()
            self._idle_since = self._tail.end

    def _start_at(self, offset: Offset) -> list[str]:
        """Make `offset` the log's start, durably; then remove the segments that end at or below."""
        first_kept = self._segments.holding(offset)
        if first_kept is not None and self._progress.saved_offset < first_kept.base_offset:
            self._save_producers_from(first_kept.base_offset)
        self._sync(publish=False)  # what carries on offsets and producers must not go with the old
        self._log_start_to_be = offset
        try:
            self._storage.port.bounds_changed(self)
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

    def _save_producers_from(self, offset: Offset) -> None:
        """The next sync saves producers as of an offset from `offset` on, which is committed."""
        progress, waiting = self._progress, self._progress.waiting_snapshot
        if waiting is not None and offset <= waiting[1] <= progress.committed_max:
            return
        with self._lock:
            if self._tail.end <= progress.committed_max:
                progress.save_producers(self._tail.producers, self._tail.end)
                return
        producers, known = self._truncation.producers_until(self.committed_end)
        with self._lock:
            progress.save_snapshot(producers.to_bytes(self.topic_partition, known), known)

    def _sync(self, *, publish: bool, save_producers: bool = True) -> None:
        """Sync here and now. Not published, the end is left to the flusher's round, which also
        makes durable what the directory noted of the first append."""
        ticket = self.start_sync()
        if not save_producers:
            ticket.snapshot = None
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
            tail = self._usable_tail()
            if self._progress.unsaved_bytes >= SAVED_AT_CLOSE_BYTES_MIN:
                self._progress.save_producers(tail.producers, tail.end)
            self._sync(publish=True)
            active = tail.active
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
