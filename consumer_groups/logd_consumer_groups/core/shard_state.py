"""All groups of one partition of __consumer_offsets, by replay of its records."""

from dataclasses import dataclass

from logd.model.errors import StoredDataCorrupt
from logd.model.group import RewindEpoch
from logd.model.group_session import GroupEpoch, group_epoch
from logd.model.ids import LeaderEpoch, Offset
from logd_consumer_groups.core.group_state import GroupState
from logd_consumer_groups.core.offset_records import (
    CommitRecord,
    GroupTombstone,
    MemberRecord,
    OwnerRecord,
    ReplayRecord,
    RewindRecord,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    TopicSeenRecord,
    chain_crc32c,
    unpack_record,
)

NO_OFFSET = Offset(-1)
GroupRecord = (
    CommitRecord | RewindRecord | MemberRecord | OwnerRecord | TopicSeenRecord | ReplayRecord
)


@dataclass(slots=True)
class SnapshotTotals:
    """What was replayed of the snapshot that began at `begin_offset`."""

    begin_offset: Offset
    chunks: int = 0
    groups: int = 0
    chunks_crc32c: int = 0

    def end(self) -> SnapshotEnd:
        """The record that completes it."""
        return SnapshotEnd(self.begin_offset, self.chunks, self.groups, self.chunks_crc32c)


class ShardState:
    """The state of one partition of the offsets topic.

    `replay` is the only way in, live and at load, so that both give the same. Snapshots are
    upserts: a begin without its end changes nothing, and live they change nothing at all.
    """

    def __init__(self) -> None:
        self.groups: dict[str, GroupState] = {}
        self.state_bytes = 0
        self.first_offset = NO_OFFSET
        self.open_snapshot: SnapshotTotals | None = None
        self.snapshot_offset = NO_OFFSET
        """Where the latest complete snapshot begins: nothing before it is needed."""

    def replay(
        self, offset: Offset, leader_epoch: LeaderEpoch, key: bytes, value: bytes | None
    ) -> None:
        """`leader_epoch` is that of the record's batch. Raises StoredDataCorrupt,
        UnsupportedVersion; the state is of no use then."""
        record = unpack_record(key, value)
        if self.first_offset == NO_OFFSET:
            self.first_offset = offset
        if self._is_before_snapshot and not isinstance(record, SnapshotBegin):
            return
        match record:
            case GroupTombstone():
                self._forget(record.group)
            case SnapshotBegin():
                self.open_snapshot = SnapshotTotals(offset)
            case SnapshotChunk():
                self._replay_chunk(record, value or b"")
            case SnapshotEnd():
                self._replay_end(record)
            case _:
                group = self._change(record.group)
                _replay(group, record, offset, group_epoch(leader_epoch, offset))
                self.state_bytes += group.state_bytes

    def check_complete(self) -> None:
        """At the end of a load: a log that was trimmed must hold a complete snapshot.

        Raises StoredDataCorrupt.
        """
        if self.first_offset > 0 and self.snapshot_offset < self.first_offset:
            raise StoredDataCorrupt(
                f"a partition of __consumer_offsets starts at offset {self.first_offset} and holds "
                "no complete snapshot; records before it are missing, so committed offsets are not "
                "known",
                offset=self.first_offset,
            )

    @property
    def _is_before_snapshot(self) -> bool:
        """Whether a load reads what a snapshot further on makes up for: a start that has lost the
        exact place where the log was trimmed begins with its segment."""
        return self.first_offset > 0 and self.snapshot_offset < 0 and self.open_snapshot is None

    def _replay_chunk(self, record: SnapshotChunk, value: bytes) -> None:
        totals = self.open_snapshot
        if totals is not None and totals.begin_offset == record.begin_offset:
            totals.chunks += 1
            totals.groups += len(record.groups)
            totals.chunks_crc32c = chain_crc32c(value, totals.chunks_crc32c)
        for image in record.groups:
            self._forget(image.name)
            self.groups[image.name] = GroupState.of_image(image)
            self.state_bytes += self.groups[image.name].state_bytes

    def _replay_end(self, record: SnapshotEnd) -> None:
        if self.open_snapshot is not None and record == self.open_snapshot.end():
            self.snapshot_offset = record.begin_offset
        self.open_snapshot = None

    def _change(self, name: str) -> GroupState:
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = GroupState(name)
        else:
            self.state_bytes -= group.state_bytes
        return group

    def _forget(self, name: str) -> None:
        group = self.groups.pop(name, None)
        if group is not None:
            self.state_bytes -= group.state_bytes


def _replay(group: GroupState, record: GroupRecord, offset: Offset, epoch: GroupEpoch) -> None:
    """Total: whatever the group knows, any record of it says what is so from now on."""
    match record:
        case CommitRecord():
            group.replay_commit(record)
        case RewindRecord():
            group.replay_rewind(record, RewindEpoch(offset if record.version == 1 else epoch))
        case MemberRecord():
            group.table.replay_member(record.member_id, record.member, epoch)
        case OwnerRecord():
            group.table.replay_owner(record.topic_partition, record.member_id, epoch)
        case ReplayRecord():
            group.replay = record.replay
        case TopicSeenRecord():
            group.table.replay_seen(record.topic_id, record.partitions)
