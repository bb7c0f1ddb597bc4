"""Every record of __consumer_offsets: its key, its value, and their versions.

Key and value each open with a version byte: 1, or 2 in the values of resets, undos and chunks that
were written since groups have members. The key's second byte is the type. A version or type that
this program does not know raises UnsupportedVersion and keeps the partition from loading: passing
it over would lose state at the next snapshot. All integers are little-endian; `position`, `event`
and `image` are laid out in `group_image`, `member` in `member_table`, `replay` in `replays`.

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
    8 member           group text, member_id text            member; null: it is a member no more
    9 owner            as commit                             member_id text; null: nobody has it
    10 topic seen      group text, topic_id 16               partitions u32; null: the topic is gone
    11 replay          group text                            replay
    16 to 18           reserved for share groups: ranges acquired, acknowledged, delivery counts

A reset is one record, so that no crash can tear it apart. Its key names the epoch before it, which
no other reset of the group has: no compaction by key may take one away. Its place is the group's
rewind epoch: as `group_epoch` makes it, or of version 1 its offset alone.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import crc32c

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.group import RewindEpoch
from logd.model.group_replay import Replay
from logd.model.ids import TOPIC_ID_BYTES, Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import GroupImage, Position, RewindBody
from logd_consumer_groups.core.member_table import Member
from logd_consumer_groups.core.replays import pack_replay, unpack_replay
from logd_consumer_groups.core.struct_reader import StructReader, packed_text

VERSION = 1
VALUE_VERSION = 2


class RecordType(IntEnum):
    COMMIT = 1
    GROUP = 2
    RESET = 3
    UNDO = 4
    SNAPSHOT_BEGIN = 5
    SNAPSHOT_CHUNK = 6
    SNAPSHOT_END = 7
    MEMBER = 8
    OWNER = 9
    TOPIC_SEEN = 10
    REPLAY = 11
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
    version: int = VALUE_VERSION

    def pack(self) -> tuple[bytes, bytes]:
        key = _key(RecordType.COMMIT, packed_text(self.group), _WHERE.pack(*self.topic_partition))
        flags = _FLAGS.pack(self.went_back)
        position = self.position.pack(self.version)
        return key, _value(position, flags, packed_text(self.actor), version=self.version)


@dataclass(frozen=True, slots=True)
class GroupTombstone:
    """The group is forgotten: offsets, epoch and history."""

    group: str

    def pack(self) -> tuple[bytes, None]:
        return _key(RecordType.GROUP, packed_text(self.group)), None


@dataclass(frozen=True, slots=True)
class RewindRecord:
    """A reset or undo of all its partitions at once. Its place becomes the rewind epoch."""

    group: str
    kind: Literal["RESET", "UNDO"]
    previous_epoch: RewindEpoch
    body: RewindBody
    version: int = VALUE_VERSION

    def pack(self) -> tuple[bytes, bytes]:
        record_type = RecordType.RESET if self.kind == "RESET" else RecordType.UNDO
        previous_epoch = _OFFSET.pack(self.previous_epoch)
        key = _key(record_type, packed_text(self.group), previous_epoch)
        return key, _value(self.body.pack(), version=self.version)


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
    version: int = VALUE_VERSION

    def pack(self) -> tuple[bytes, bytes]:
        key = _key(RecordType.SNAPSHOT_CHUNK, _CHUNK_KEY.pack(self.begin_offset, self.index))
        images = (group.pack(self.version) for group in self.groups)
        return key, _value(_COUNT.pack(len(self.groups)), *images, version=self.version)


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


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """Somebody joined, or a member changed; `member` None: it is one no more."""

    group: str
    member_id: str
    member: Member | None

    def pack(self) -> tuple[bytes, bytes | None]:
        key = _key(RecordType.MEMBER, packed_text(self.group), packed_text(self.member_id))
        return key, None if self.member is None else _value(self.member.pack())


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """A partition was granted to a member, or ("") nobody has it any more."""

    group: str
    topic_partition: TopicPartition
    member_id: str

    def pack(self) -> tuple[bytes, bytes | None]:
        key = _key(RecordType.OWNER, packed_text(self.group), _WHERE.pack(*self.topic_partition))
        return key, _value(packed_text(self.member_id)) if self.member_id else None


@dataclass(frozen=True, slots=True)
class TopicSeenRecord:
    """How many partitions a topic had when the group first saw it; None: the topic is gone."""

    group: str
    topic_id: TopicId
    partitions: int | None

    def pack(self) -> tuple[bytes, bytes | None]:
        key = _key(RecordType.TOPIC_SEEN, packed_text(self.group), self.topic_id)
        return key, None if self.partitions is None else _value(_COUNT.pack(self.partitions))


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """The group replays the past of another's topics: so it stands now."""

    group: str
    replay: Replay

    def pack(self) -> tuple[bytes, bytes]:
        key = _key(RecordType.REPLAY, packed_text(self.group))
        return key, _value(pack_replay(self.replay))


OffsetRecord = (
    CommitRecord
    | GroupTombstone
    | RewindRecord
    | SnapshotBegin
    | SnapshotChunk
    | SnapshotEnd
    | MemberRecord
    | OwnerRecord
    | TopicSeenRecord
    | ReplayRecord
)
_OF_VERSION_2 = (
    RecordType.COMMIT,
    RecordType.RESET,
    RecordType.UNDO,
    RecordType.SNAPSHOT_CHUNK,
)
_WITHOUT_VALUE = (
    RecordType.GROUP,
    RecordType.MEMBER,
    RecordType.OWNER,
    RecordType.TOPIC_SEEN,
)


def unpack_record(key: bytes, value: bytes | None) -> OffsetRecord:
    """The record of a key and value. Raises StoredDataCorrupt, UnsupportedVersion."""
    key_reader = StructReader(key)
    version, raw_type = key_reader.unpack(_HEAD)
    if version != VERSION:
        raise _unsupported("key", version, VERSION)
    if value is None:
        record = _unpack_tombstone(raw_type, key_reader)
    else:
        reader = StructReader(value)
        (version,) = reader.unpack(_VERSION)
        if not 1 <= version <= _known_version(raw_type):
            raise _unsupported("value", version, _known_version(raw_type))
        record = _unpack(raw_type, key_reader, reader, version)
        reader.finish()
    key_reader.finish()
    return record


def chain_crc32c(value: bytes, before: int) -> int:
    """The CRC-32C of a chunk's value, going on from the chunks before it."""
    return crc32c.crc32c(value, before)


def _unpack_tombstone(raw_type: int, key: StructReader) -> OffsetRecord:
    if raw_type not in _WITHOUT_VALUE:
        raise StoredDataCorrupt(f"a record of type {raw_type} in __consumer_offsets has no value")
    group = key.text()
    match raw_type:
        case RecordType.MEMBER:
            return MemberRecord(group, key.text(), None)
        case RecordType.OWNER:
            return OwnerRecord(group, _unpack_where(key), "")
        case RecordType.TOPIC_SEEN:
            return TopicSeenRecord(group, TopicId(key.take(TOPIC_ID_BYTES)), None)
        case _:
            return GroupTombstone(group)


def _unpack(raw_type: int, key: StructReader, value: StructReader, version: int) -> OffsetRecord:
    match raw_type:
        case RecordType.COMMIT:
            return _unpack_commit(key, value, version)
        case RecordType.RESET | RecordType.UNDO:
            group = key.text()
            (previous_epoch,) = key.unpack(_OFFSET)
            kind: Literal["RESET", "UNDO"] = "RESET" if raw_type == RecordType.RESET else "UNDO"
            body = RewindBody.unpack(value)
            return RewindRecord(group, kind, RewindEpoch(previous_epoch), body, version)
        case RecordType.SNAPSHOT_BEGIN:
            return SnapshotBegin(*value.unpack(_OFFSET))
        case RecordType.SNAPSHOT_CHUNK:
            begin_offset, index = key.unpack(_CHUNK_KEY)
            (count,) = value.unpack(_COUNT)
            images = tuple(GroupImage.unpack(value, version) for _ in range(count))
            return SnapshotChunk(Offset(begin_offset), index, images, version)
        case RecordType.SNAPSHOT_END:
            (begin_offset,) = key.unpack(_OFFSET)
            return SnapshotEnd(Offset(begin_offset), *value.unpack(_TOTALS))
        case RecordType.MEMBER:
            group, member_id = key.text(), key.text()
            return MemberRecord(group, member_id, Member.unpack(member_id, value))
        case RecordType.OWNER:
            return OwnerRecord(key.text(), _unpack_where(key), value.text())
        case RecordType.TOPIC_SEEN:
            group, topic_id = key.text(), TopicId(key.take(TOPIC_ID_BYTES))
            return TopicSeenRecord(group, topic_id, *value.unpack(_COUNT))
        case RecordType.REPLAY:
            return ReplayRecord(key.text(), unpack_replay(value))
        case RecordType.GROUP:
            raise UnsupportedVersion("a group record of __consumer_offsets has a value")
        case _:
            raise UnsupportedVersion(
                f"__consumer_offsets holds a record of type {raw_type}, which this version of logd "
                "does not know; run the version that wrote it",
                field="type",
            )


def _unpack_commit(key: StructReader, value: StructReader, version: int) -> CommitRecord:
    group, where = key.text(), _unpack_where(key)
    position = Position.unpack(value, version)
    (flags,) = value.unpack(_FLAGS)
    if flags > 1:
        raise StoredDataCorrupt(f"a commit in __consumer_offsets has flags {flags}")
    return CommitRecord(group, where, position, bool(flags), value.text(), version)


def _unpack_where(key: StructReader) -> TopicPartition:
    topic_id, partition = key.unpack(_WHERE)
    return TopicPartition(TopicId(topic_id), PartitionId(partition))


def _known_version(raw_type: int) -> int:
    return VALUE_VERSION if raw_type in _OF_VERSION_2 else VERSION


def _unsupported(of: str, version: int, known: int) -> UnsupportedVersion:
    return UnsupportedVersion(
        f"__consumer_offsets holds a {of} of version {version}; this logd knows {known}",
        field=f"{of}_version",
    )


def _key(record_type: RecordType, *parts: bytes) -> bytes:
    return b"".join((_HEAD.pack(VERSION, record_type), *parts))


def _value(*parts: bytes, version: int = VERSION) -> bytes:
    return b"".join((_VERSION.pack(version), *parts))
