"""How far a log is synced, and what its next sync has to cover."""

import threading

from logd.model.ids import Offset, TopicPartition
from logd.model.topic_config import Durability
from logd_partitions.core.producer_state import ProducerState
from logd_partitions.leader_epochs import LeaderEpochs
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.sync.sync_ticket import Era, SyncTicket

UNSYNCED_BYTES_MAX = 256 << 20
"""What a partition of a page_cache topic may have acknowledged and not synced: more waits for the
disk, so that a power failure costs a bounded amount."""
SNAPSHOT_INTERVAL_BYTES = 16 << 20
"""Producers are saved at each roll and after so many bytes: what a recovery reads again."""
SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER = 16 << 10
"""With many producers less often, as a snapshot is made on the loop (5 us a producer)."""
ONLY_REPLICA = Offset((1 << 63) - 1)
"""As `committed_max`: nothing but what this replica holds bounds what is committed."""


class SyncProgress:
    """Kept under the log's lock. Tickets may overlap: each covers all that none before it has
    finished.

    `end`: the log is synced up to this offset (exclusive), which stands at `point`, a segment's
    base offset and a position in it. `saved_offset`: the snapshot on disk tells of the producers of
    all batches below it. `broken`: a sync failed, so that `end` stays for good. `floor`: up to
    there was held before, and others have been told, so what is held does not fall below it.
    `committed_max`: no more than that is committed, or all that is held is. A snapshot above it
    waits in memory, so that the one on disk never tells of batches that may be cut yet.
    """

    def __init__(
        self,
        storage: PartitionStorage,
        topic_partition: TopicPartition,
        epochs: LeaderEpochs,
        end: Offset,
        point: tuple[Offset, int],
        saved_offset: Offset,
    ) -> None:
        self.end = self.floor = end
        self.point = point
        self.saved_offset = saved_offset
        self.broken = False
        self.findable = False
        """Whether a start would find what this run has appended: once a sync has moved the end."""
        self._storage = storage
        self._topic_partition = topic_partition
        self._epochs = epochs
        self.committed_max = ONLY_REPLICA
        self.hints_lock = threading.Lock()
        """Held while small files are written. Taken before the log's lock."""
        self._era = Era()
        self._unsynced: dict[LogSegment, None] = {}
        self._appended_bytes = self._synced_bytes = self._snapshot_bytes = 0
        self._created = self._created_synced = 0
        self._snapshot: bytes | None = None
        self._snapshot_offset = saved_offset

    @property
    def unsynced_bytes(self) -> int:
        """Appended, and not yet covered by a sync that has finished."""
        return self._appended_bytes - self._synced_bytes

    @property
    def unsaved_bytes(self) -> int:
        """Appended since a snapshot was made."""
        return self._appended_bytes - self._snapshot_bytes

    def held_end(self, durability: Durability, next_offset: Offset) -> Offset:
        """As `PartitionLog.held_end`; the log ends at `next_offset`."""
        if (
            durability == "fsync"
            or self.broken
            or not self.findable
            or self.unsynced_bytes > UNSYNCED_BYTES_MAX
        ):
            return max(self.end, self.floor)
        return next_offset

    def created(self) -> None:
        """A segment's file was made."""
        self._created += 1

    def appended(
        self, segment: LogSegment, length: int, durability: Durability, end_before: Offset
    ) -> None:
        """`end_before`: where the log ended before."""
        if self.unsynced_bytes + length > UNSYNCED_BYTES_MAX:
            self.floor = self.held_end(durability, end_before)
        self._unsynced[segment] = None
        self._appended_bytes += length

    def save_producers(self, producers: ProducerState, next_offset: Offset) -> None:
        """A ticket saves them, as they are at `next_offset`, once that is committed. Until then an
        older snapshot that waits is kept: it is the first that can be saved."""
        if self._snapshot is None or next_offset <= self.committed_max:
            self.save_snapshot(producers.to_bytes(self._topic_partition, next_offset), next_offset)

    def save_snapshot(self, snapshot: bytes, offset: Offset) -> None:
        """The next ticket saves this one, of producers as they were at `offset`."""
        self._snapshot, self._snapshot_offset = snapshot, offset
        self._snapshot_bytes = self._appended_bytes

    def snapshot_saved(self, offset: Offset) -> None:
        """The one on disk is of `offset` now, and none waits."""
        self._snapshot, self._snapshot_offset = None, offset
        self.saved_offset = offset

    @property
    def waiting_snapshot(self) -> tuple[bytes, Offset] | None:
        """The one that is to be saved, and the offset at which it was made."""
        snapshot = self._snapshot
        return None if snapshot is None else (snapshot, self._snapshot_offset)

    def restart(self, end: Offset, point: tuple[Offset, int], committed_max: Offset) -> None:
        """The log is about to end at `end`, which stands at `point`; all below it is synced, and no
        more than `committed_max` committed.

        Tickets that are under way, and those that are taken until `go_on`, count for nothing: the
        log does not end there yet. `hints_lock` is held, too.
        """
        if self.committed_max != ONLY_REPLICA:
            self.committed_max = committed_max
        self._era.over = True
        self.end = self.floor = end
        self.point = point
        self._unsynced.clear()
        self._synced_bytes = self._appended_bytes
        if self._snapshot_offset > end:
            self._snapshot, self._snapshot_offset = None, min(self.saved_offset, end)

    def go_on(self) -> None:
        """The log ends where `restart` said, or where its truncation has come to: tickets count."""
        if self._era.over:
            self._era = Era()

    def replaced(self, segment: LogSegment) -> None:
        """Its file was cut, or is another than before: the next sync covers that."""
        self._unsynced[segment] = None
        self._created += 1

    def start(
        self, active: LogSegment | None, next_offset: Offset, producers: ProducerState
    ) -> SyncTicket:
        """A ticket up to `next_offset`, where `active` (or the last segment) ends."""
        interval_bytes = SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER * len(producers)
        is_due = self.unsaved_bytes >= max(SNAPSHOT_INTERVAL_BYTES, interval_bytes)
        if is_due and not self._era.over:
            self.save_producers(producers, next_offset)
        return SyncTicket(
            self._storage,
            [(segment, segment.size) for segment in self._unsynced],
            active,
            active.size if active is not None else 0,
            next_offset,
            self._created,
            self._appended_bytes,
            self._created == self._created_synced,
            self._epochs,
            self.hints_lock,
            self._era,
            self._snapshot if self._snapshot_offset <= self.committed_max else None,
            active.take_tail() if active is not None else None,
        )

    def finish(self, ticket: SyncTicket, *, publish: bool) -> None:
        """The ticket's run has succeeded. `publish`: and so the synced end moves."""
        if ticket.era.over:
            return
        for segment, size in ticket.segments:
            if segment.size == size:
                self._unsynced.pop(segment, None)
        self._created_synced = max(self._created_synced, ticket.created)
        if ticket.snapshot_saved and self._snapshot is ticket.snapshot:
            self._snapshot, self.saved_offset = None, self._snapshot_offset
        if not publish:
            return
        self._synced_bytes = max(self._synced_bytes, ticket.appended_bytes)
        if not self.broken and ticket.end_offset > self.end:
            assert ticket.active is not None, "what was appended stands in a segment"
            self.end = ticket.end_offset
            self.point = ticket.active.base_offset, ticket.position
            self.findable = True
