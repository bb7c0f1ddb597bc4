"""Every record of __consumer_offsets: its key, its value, and their versions.

Key and value each open with a version byte (1 now); the key's second byte is the type. A version or
type that this program does not know raises UnsupportedVersion and keeps the partition from loading:
passing it over would lose state at the next snapshot. All integers are little-endian; `position`,
`event` and `image` are laid out in `group_image`.

    type               key after version and type            value after version
    1 commit           group text, topic_id 16, partition    position, flags u8 (1: went back),
                       u32                                   actor text
    2 group            group text                            null: the group is forgotten
    3 reset            group text, previous rewind epoch     event
                       i64
    4 undo             as reset                              event
    5 snapshot begin                                         at_ms i64
    6 snapshot chunk   offset of the begin i64, index u32    group count u32, images
    7 snapshot end     offset of the begin i64               chunks u32, groups u32, CRC-32C u32 of
                                                             the chunks' values in order
    16 to 18           reserved for share groups: ranges acquired, acknowledged, delivery counts

A reset is one record, so that no crash can tear it apart. Its key names the epoch before it, which
no other reset of the group has: no compaction by key may take one away.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import crc32c

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.group import RewindEpoch
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import GroupImage, Position, RewindBody
from logd_consumer_groups.core.struct_reader import StructReader, packed_text

VERSION = 1


class RecordType(IntEnum):
    COMMIT = 1
    GROUP = 2
    RESET = 3
    UNDO = 4
    SNAPSHOT_BEGIN = 5
    SNAPSHOT_CHUNK = 6
    SNAPSHOT_END = 7
    SHARE_ACQUIRED = 16
    SHARE_ACKNOWLEDGED = 17
    SHARE_DELIVERY_COUNT = 18


_VERSION = struct.Struct("<B")
_HEAD = struct.Struct("<BB")
_WHERE = struct.Struct("<16sI")
_OFFSET = struct.Struct("<q")
_CHUNK_KEY = struct.Struct("<qI")
_COUNT = struct.Struct("<I")
_TOTALS = struct.Struct("<III")
_FLAGS = struct.Struct("<B")


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A committed offset. `went_back` marks one that the history keeps, with its `actor`."""

    group: str
    topic_partition: TopicPartition
    position: Position
    went_back: bool = False
    actor: str = ""

    def pack(self) -> tuple[bytes, bytes]:
        key = _key(RecordType.COMMIT, packed_text(self.group), _WHERE.pack(*self.topic_partition))
        flags = _FLAGS.pack(self.went_back)
        return key, _value(self.position.pack(), flags, packed_text(self.actor))


@dataclass(frozen=True, slots=True)
class GroupTombstone:
    """The group is forgotten: offsets, epoch and history."""

    group: str

    def pack(self) -> tuple[bytes, None]:
        return _key(RecordType.GROUP, packed_text(self.group)), None


@dataclass(frozen=True, slots=True)
class RewindRecord:
    """A reset or undo of all its partitions at once. Its offset becomes the rewind epoch."""

    group: str
    kind: Literal["RESET", "UNDO"]
    previous_epoch: RewindEpoch
    body: RewindBody

    def pack(self) -> tuple[bytes, bytes]:
        record_type = RecordType.RESET if self.kind == "RESET" else RecordType.UNDO
        previous_epoch = _OFFSET.pack(self.previous_epoch)
        return _key(record_type, packed_text(self.group), previous_epoch), _value(self.body.pack())


@dataclass(frozen=True, slots=True)
class SnapshotBegin:
    """What follows, up to the end that names this record's offset, holds the whole state."""

    at_ms: int

    def pack(self) -> tuple[bytes, bytes]:
        return _key(RecordType.SNAPSHOT_BEGIN), _value(_OFFSET.pack(self.at_ms))


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Some groups, each whole: replaying it replaces them."""

    begin_offset: Offset
    index: int
    groups: tuple[GroupImage, ...]

    def pack(self) -> tuple[bytes, bytes]:
        key = _key(RecordType.SNAPSHOT_CHUNK, _CHUNK_KEY.pack(self.begin_offset, self.index))
        return key, _value(_COUNT.pack(len(self.groups)), *(group.pack() for group in self.groups))


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The snapshot is complete if what was replayed since its begin has these totals."""

    begin_offset: Offset
    chunks: int
    groups: int
    chunks_crc32c: int

    def pack(self) -> tuple[bytes, bytes]:
        key = _key(RecordType.SNAPSHOT_END, _OFFSET.pack(self.begin_offset))
        return key, _value(_TOTALS.pack(self.chunks, self.groups, self.chunks_crc32c))


OffsetRecord = (
    CommitRecord | GroupTombstone | RewindRecord | SnapshotBegin | SnapshotChunk | SnapshotEnd
)


def unpack_record(key: bytes, value: bytes | None) -> OffsetRecord:
    """The record of a key and value. Raises StoredDataCorrupt, UnsupportedVersion."""
    key_reader = StructReader(key)
    version, raw_type = key_reader.unpack(_HEAD)
    _check_version(version, "key")
    if raw_type == RecordType.GROUP:
        group = key_reader.text()
        key_reader.finish()
        if value is not None:
            raise UnsupportedVersion("a group record of __consumer_offsets has a value")
        return GroupTombstone(group)
    if value is None:
        raise StoredDataCorrupt(f"a record of type {raw_type} in __consumer_offsets has no value")
    reader = StructReader(value)
    _check_version(reader.unpack(_VERSION)[0], "value")
    record = _unpack(raw_type, key_reader, reader)
    key_reader.finish()
    reader.finish()
    return record


def chain_crc32c(value: bytes, before: int) -> int:
    """The CRC-32C of a chunk's value, going on from the chunks before it."""
    return crc32c.crc32c(value, before)


def _unpack(raw_type: int, key: StructReader, value: StructReader) -> OffsetRecord:
    match raw_type:
        case RecordType.COMMIT:
            return _unpack_commit(key, value)
        case RecordType.RESET | RecordType.UNDO:
            group = key.text()
            (previous_epoch,) = key.unpack(_OFFSET)
            kind: Literal["RESET", "UNDO"] = "RESET" if raw_type == RecordType.RESET else "UNDO"
            body = RewindBody.unpack(value)
            return RewindRecord(group, kind, RewindEpoch(previous_epoch), body)
        case RecordType.SNAPSHOT_BEGIN:
            return SnapshotBegin(*value.unpack(_OFFSET))
        case RecordType.SNAPSHOT_CHUNK:
            begin_offset, index = key.unpack(_CHUNK_KEY)
            (count,) = value.unpack(_COUNT)
            images = tuple(GroupImage.unpack(value) for _ in range(count))
            return SnapshotChunk(Offset(begin_offset), index, images)
        case RecordType.SNAPSHOT_END:
            (begin_offset,) = key.unpack(_OFFSET)
            return SnapshotEnd(Offset(begin_offset), *value.unpack(_TOTALS))
        case _:
            raise UnsupportedVersion(
                f"__consumer_offsets holds a record of type {raw_type}, which this version of logd "
                "does not know; run the version that wrote it",
                field="type",
            )


def _unpack_commit(key: StructReader, value: StructReader) -> CommitRecord:
    group = key.text()
    topic_id, partition = key.unpack(_WHERE)
    position = Position.unpack(value)
    (flags,) = value.unpack(_FLAGS)
    if flags > 1:
        raise StoredDataCorrupt(f"a commit in __consumer_offsets has flags {flags}")
    where = TopicPartition(TopicId(topic_id), PartitionId(partition))
    return CommitRecord(group, where, position, bool(flags), value.text())


def _check_version(version: int, of: str) -> None:
    if version != VERSION:
        raise UnsupportedVersion(
            f"__consumer_offsets holds a {of} of version {version}; this logd knows {VERSION}",
            field=f"{of}_version",
        )


def _key(record_type: RecordType, *parts: bytes) -> bytes:
    return b"".join((_HEAD.pack(VERSION, record_type), *parts))


def _value(*parts: bytes) -> bytes:
    return b"".join((_VERSION.pack(VERSION), *parts))
