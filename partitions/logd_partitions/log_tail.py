"""Where a log grows: its end, its active segment, and what is appended there.

Two verbs: `append_leader` stamps what a producer sent, `append_stored` takes what a leader stamped.
Every method is called with the log's lock held.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from logd.model.errors import FencedLeaderEpoch, LogdError, LogReadOnly, SyncFailed
from logd.model.ids import NO_PRODUCER, LeaderEpoch, Offset
from logd.model.record_batch import HEADER_BYTES, BatchHeader, LeaderFlag, stamp
from logd.model.seams import Buffer
from logd.model.topic_config import TopicConfig
from logd_partitions.core.disk_errors import write_error
from logd_partitions.core.offset_index import OFFSET_DELTA_MAX
from logd_partitions.core.producer_state import Duplicate
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.recovery.log_recovery import RecoveredLog
from logd_partitions.segment.log_segment import AppendedBatch, LogSegment
from logd_partitions.segment.segment_list import SegmentList
from logd_partitions.stored_batches import Gap, StoredBatch, check_stored
from logd_partitions.sync.sync_progress import SyncProgress


class Appended(NamedTuple):
    """What became of a batch. `base_offset` None: a duplicate too old to be remembered."""

    base_offset: Offset | None
    next_offset: Offset
    leader_epoch: LeaderEpoch
    append_timestamp_ms: int
    duplicate: bool = False


class LogTail:
    """`end`: of the log, exclusive. `active`: the segment that takes the next batch; None: a new
    one will. `failed`: why no append is taken any more. `is_open`: the directory has noted that
    this run changes the log."""

    def __init__(
        self,
        storage: PartitionStorage,
        config: TopicConfig,
        recovered: RecoveredLog,
        segments: SegmentList,
        progress: SyncProgress,
        note_open: Callable[[], None],
    ) -> None:
        self.config = config
        self.epochs = recovered.leader_epochs
        self.producers = recovered.producer_state
        self.end = recovered.next_offset
        self.last_append_ms = recovered.last_append_ms
        self.active = segments.last if recovered.appendable else None
        if self.active is not None:  # recovery knows nothing of the topic's settings
            self.active.reserve_up_to(config.segment_bytes)
        self.failed: LogdError | None = None
        self.is_open = False
        self._storage = storage
        self._segments = segments
        self._progress = progress
        self._note_open = note_open

    def append_leader(
        self, batch: Buffer, header: BatchHeader, leader_epoch: LeaderEpoch, now_ms: int
    ) -> Appended:
        """As `PartitionLog.append_leader`."""
        if self.failed is not None:
            raise self.failed
        if header.producer_id != NO_PRODUCER:
            duplicate = self.producers.check(header, self._storage.identities)
            if duplicate is not None:
                return self._answer_again(duplicate, leader_epoch)
        append_ms = max(now_ms, self.last_append_ms)
        active = self.active_for(header.batch_length, leader_epoch, append_ms)
        base_offset, progress = self.end, self._progress
        by_append_time = self.config.timestamp_type == "append_time"
        stamped = stamp(
            batch,
            leader_epoch=leader_epoch,
            base_offset=base_offset,
            append_timestamp_ms=append_ms,
            synced_hint=min(progress.end, progress.committed_max),
            leader_flags=LeaderFlag.APPEND_TIME.value if by_append_time else 0,
        )
        next_offset = Offset(base_offset + header.last_offset_delta + 1)
        record_ms = append_ms if by_append_time else header.max_timestamp_ms
        noted = AppendedBatch(base_offset, next_offset, append_ms, record_ms)
        try:
            active.append(stamped, memoryview(batch)[HEADER_BYTES:], noted)
        except (LogReadOnly, SyncFailed) as error:
            self._write_failed(error)
            raise
        progress.appended(active, header.batch_length, self.config.durability, base_offset)
        self.end = next_offset
        self.last_append_ms = append_ms
        if header.producer_id != NO_PRODUCER:
            self.producers.record(header, base_offset, append_ms)
        return Appended(base_offset, next_offset, leader_epoch, append_ms)

    def append_stored(self, batches: Buffer, gaps: Iterable[Gap]) -> None:
        """As `PartitionLog.append_stored`."""
        if self.failed is not None:
            raise self.failed
        latest, is_empty = self.epochs.latest(), not len(self._segments)
        stored, gap = check_stored(batches, gaps, self.end, latest, is_empty=is_empty)
        if not stored and gap is None:
            return
        self.open()
        run: list[StoredBatch] = []
        for batch in stored:
            if run and not self._fits(run, batch):
                self._write(run)
                run = []
            if not run:
                self._make_room(batch)
            run.append(batch)
        if run:
            self._write(run)
        if gap is not None:
            self._skip(gap)

    def begin_epoch(self, leader_epoch: LeaderEpoch) -> None:
        """As `PartitionLog.begin_epoch`."""
        latest = self.epochs.latest()
        if leader_epoch < latest:
            raise FencedLeaderEpoch(
                f"this log has batches of leader epoch {latest}, but {leader_epoch} appends",
                current_epoch=latest,
            )
        self.epochs.assign(leader_epoch, self.end)

    def active_for(self, length: int, leader_epoch: LeaderEpoch, now_ms: int) -> LogSegment:
        """The segment that takes the next batch; once a run and segment this touches the disk."""
        if not self.is_open:
            self.open()
        if leader_epoch != self.epochs.latest():
            self.begin_epoch(leader_epoch)
        active = self.active
        if active is None or active.is_full(length, now_ms, self.config):
            active = self.roll(self.end)
        return active

    def roll(self, base_offset: Offset) -> LogSegment:
        """The new active segment. The old one's indexes and manifest are left to maintenance.

        Its file is made last: by its name alone a start takes all before it for older. Raises
        StorageFull, LogReadOnly; then the old one stays active.
        """
        fresh = LogSegment(self._storage, base_offset, 0, limit=self.config.segment_bytes)
        old = self.active
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
        self.active = fresh
        self._progress.created()
        if old is not None:
            self._progress.save_producers(self.producers, base_offset)
        return fresh

    def open(self) -> None:
        """Have the directory note that this run changes the log. Raises OSError, StorageFull."""
        if not self.is_open:
            self._note_open()
            self.is_open = True

    def _answer_again(self, duplicate: Duplicate, leader_epoch: LeaderEpoch) -> Appended:
        base_offset, record_count, append_ms = duplicate
        if base_offset is None:
            return Appended(None, Offset(0), leader_epoch, append_ms, True)
        epoch = self.epochs.epoch_at(base_offset)
        return Appended(base_offset, Offset(base_offset + record_count), epoch, append_ms, True)

    def _fits(self, run: list[StoredBatch], batch: StoredBatch) -> bool:
        """Whether the batch goes into one write with the run before it."""
        first, config = run[0].header, self.config
        length = sum(len(each.data) for each in run) + len(batch.data)
        append_ms = batch.header.append_timestamp_ms
        assert self.active is not None, "the run goes into it"
        return (
            batch.gap is None
            and length <= config.segment_bytes
            and append_ms - first.append_timestamp_ms < config.segment_ms
            and batch.header.base_offset - first.base_offset <= OFFSET_DELTA_MAX // 2
            and not self.active.is_full(length, append_ms, config)
        )

    def _make_room(self, batch: StoredBatch) -> None:
        """The active segment is the one that takes the batch."""
        if batch.gap is not None:
            self._skip(batch.gap)
        header, active = batch.header, self.active
        append_ms = header.append_timestamp_ms
        if active is None or active.is_full(header.batch_length, append_ms, self.config):
            self.roll(header.base_offset)

    def _write(self, run: list[StoredBatch]) -> None:
        """Write a run of batches at once, into the active segment."""
        active = self.active
        assert active is not None, "room was made"
        data = run[0].data if len(run) == 1 else b"".join(batch.data for batch in run)
        try:
            active.append_stored(data, [(len(batch.data), batch.noted) for batch in run])
        except (LogReadOnly, SyncFailed) as error:
            self._write_failed(error)
            raise
        self._progress.appended(active, len(data), self.config.durability, self.end)
        for batch in run:
            header = batch.header
            self.epochs.assign(header.leader_epoch, max(header.base_offset, self.end))
            self.producers.record(header, header.base_offset, header.append_timestamp_ms)
            self.end = header.next_offset
        self.last_append_ms = run[-1].header.append_timestamp_ms

    def _skip(self, gap: Gap) -> None:
        """Keep a gap: what follows stands in a segment of its own, named by its offset. Of whom it
        held batches nobody knows, so producers who are not remembered must be new."""
        before = self._segments.last
        self.roll(gap.end)
        if before is not None:
            before.damaged.append(gap)
        self.end = gap.end
        self.producers.refuse_unknown_below = self._storage.identities.first_id

    def _write_failed(self, error: LogdError) -> None:
        if isinstance(error, LogReadOnly):
            self.failed = error
        else:
            self.sync_failed(error)

    def sync_failed(self, error: Exception) -> None:
        """As `PartitionLog.sync_failed`."""
        self._progress.floor = self._progress.held_end(self.config.durability, self.end)
        self._progress.broken = True
        if self.failed is None:
            self.failed = LogReadOnly(
                f"a sync failed ({error}): {self._storage.path} takes no more appends; "
                "replace the disk, or restart the broker to scan it",
                directory=self._storage.path,
            )
