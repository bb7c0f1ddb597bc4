"""The parts of a group's state, and their bytes: the same in commits, rewinds and snapshots.

All integers are little-endian; `text` is a u16 length and UTF-8.

    position   offset i64, leader_epoch i32 (-1: not known), committed_ms i64, since_ms i64,
               metadata length u16, range count u16, metadata, ranges: each start i64, end i64;
               from version 2 on attempt count u16, attempts: each offset i64, times u32
    event      at_ms i64, undoes i64 (-1: nothing), description text, actor text, entry count u32,
               entries: each topic_id 16 bytes, partition u32, from i64 (-1: none),
               to i64 (-1: none), replay_bytes i64, flags u8 (1: clamped)
    image      name text, rewind_epoch i64,
               offset count u32, offsets: each topic_id 16 bytes, partition u32, position,
               event count u32, events: each rewind_epoch i64, kind u8 (RESET 1, UNDO 2, COMMIT 3),
               event; from version 2 on the table of `member_table`, replay count u8 (0 or 1),
               replay as in `replays`
"""

import struct
from dataclasses import dataclass, field, replace
from itertools import chain

from logd.model.errors import StoredDataCorrupt
from logd.model.group import NEVER_REWOUND, Attempts, DoneRange, ResetKind, RewindEpoch
from logd.model.group_replay import Replay
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.member_table import MemberTable
from logd_consumer_groups.core.replays import pack_replay, unpack_replay
from logd_consumer_groups.core.struct_reader import StructReader, packed_text

_POSITION = struct.Struct("<qiqqHH")
_RANGE = struct.Struct("<qq")
_ATTEMPTS_COUNT = struct.Struct("<H")
_ATTEMPTS = struct.Struct("<qI")
_EVENT = struct.Struct("<qq")
_ENTRY = struct.Struct("<16sIqqqB")
_COUNT = struct.Struct("<I")
_EPOCH = struct.Struct("<q")
_EPOCH_AND_KIND = struct.Struct("<qB")
_FLAG = struct.Struct("<B")
_WHERE = struct.Struct("<16sI")
_POSITION_BYTES = _WHERE.size + _POSITION.size + _ATTEMPTS_COUNT.size

_KINDS: tuple[ResetKind, ...] = ("RESET", "UNDO", "COMMIT")
"""A kind's byte is its place here, plus 1."""


@dataclass(frozen=True, slots=True)
class Position:
    """What is committed for one partition. `since_ms`: when the offset got this value, by commits
    of other fields untouched. `leader_epoch` -1: not known."""

    offset: Offset
    committed_ms: int
    since_ms: int
    leader_epoch: int = -1
    metadata: str = ""
    done_ranges: tuple[DoneRange, ...] = ()
    attempts: tuple[Attempts, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Its share of an image; text counts as four bytes a character at most."""
        text = len(self.metadata) if self.metadata.isascii() else 4 * len(self.metadata)
        lists = _RANGE.size * len(self.done_ranges) + _ATTEMPTS.size * len(self.attempts)
        return _POSITION_BYTES + text + lists

    def pack(self, version: int) -> bytes:
        """As a value of `version` holds it: 1 has no attempts."""
        metadata = self.metadata.encode()
        head = _POSITION.pack(
            self.offset,
            self.leader_epoch,
            self.committed_ms,
            self.since_ms,
            len(metadata),
            len(self.done_ranges),
        )
        ranges = struct.pack(f"<{2 * len(self.done_ranges)}q", *chain(*self.done_ranges))
        if version == 1:
            return head + metadata + ranges
        count = _ATTEMPTS_COUNT.pack(len(self.attempts))
        attempts = b"".join(_ATTEMPTS.pack(*each) for each in self.attempts)
        return head + metadata + ranges + count + attempts

    @staticmethod
    def unpack(reader: StructReader, version: int) -> "Position":
        offset, leader_epoch, committed_ms, since_ms, text, count = reader.unpack(_POSITION)
        metadata = reader.text_of(text) if text else ""
        ranges = reader.unpack_many(_RANGE, count) if count else ()
        done_ranges = tuple(DoneRange(*r) for r in ranges)
        attempts: tuple[Attempts, ...] = ()
        if version > 1:
            (count,) = reader.unpack(_ATTEMPTS_COUNT)
            attempts = tuple(Attempts(*each) for each in reader.unpack_many(_ATTEMPTS, count))
        return Position(
            Offset(offset), committed_ms, since_ms, leader_epoch, metadata, done_ranges, attempts
        )


@dataclass(frozen=True, slots=True)
class RewindEntry:
    """One partition of an event; None: nothing was, or is, committed."""

    topic_partition: TopicPartition
    from_offset: Offset | None
    to_offset: Offset | None
    replay_bytes: int = 0
    clamped: bool = False

    def fields(self) -> tuple[bytes, int, int, int, int, int]:
        return (
            *self.topic_partition,
            -1 if self.from_offset is None else self.from_offset,
            -1 if self.to_offset is None else self.to_offset,
            self.replay_bytes,
            int(self.clamped),
        )


@dataclass(frozen=True, slots=True)
class RewindBody:
    """An event as its record holds it. `undoes`: the epoch of the reset that an undo takes back."""

    at_ms: int
    description: str
    actor: str
    entries: tuple[RewindEntry, ...]
    undoes: RewindEpoch = NEVER_REWOUND

    @property
    def size_bytes(self) -> int:
        return 4 * (len(self.description) + len(self.actor)) + _ENTRY.size * (1 + len(self.entries))

    def pack(self) -> bytes:
        return b"".join(
            (
                _EVENT.pack(self.at_ms, self.undoes),
                packed_text(self.description),
                packed_text(self.actor),
                _COUNT.pack(len(self.entries)),
                *(_ENTRY.pack(*entry.fields()) for entry in self.entries),
            )
        )

    @staticmethod
    def unpack(reader: StructReader) -> "RewindBody":
        at_ms, undoes = reader.unpack(_EVENT)
        description, actor = reader.text(), reader.text()
        (count,) = reader.unpack(_COUNT)
        entries = tuple(_entry(*fields) for fields in reader.unpack_many(_ENTRY, count))
        return RewindBody(at_ms, description, actor, entries, RewindEpoch(undoes))


@dataclass(frozen=True, slots=True)
class RewindEvent:
    """One entry of the history: what its record says, and the rewind epoch it made or found."""

    rewind_epoch: RewindEpoch
    kind: ResetKind
    body: RewindBody


@dataclass(frozen=True, slots=True)
class GroupImage:
    """A whole group, as a snapshot keeps it. Offsets are sorted by partition, events by age."""

    name: str
    rewind_epoch: RewindEpoch
    offsets: tuple[tuple[TopicPartition, Position], ...]
    events: tuple[RewindEvent, ...]
    table: MemberTable = field(default_factory=MemberTable)
    replay: Replay | None = None

    def pack(self, version: int) -> bytes:
        """As a chunk of `version` holds it: 1 has no members, no attempts and no replays."""
        parts = [packed_text(self.name), _EPOCH.pack(self.rewind_epoch)]
        parts.append(_COUNT.pack(len(self.offsets)))
        for where, position in self.offsets:
            parts += (_WHERE.pack(*where), position.pack(version))
        parts.append(_COUNT.pack(len(self.events)))
        for event in self.events:
            kind = _KINDS.index(event.kind) + 1
            parts += (_EPOCH_AND_KIND.pack(event.rewind_epoch, kind), event.body.pack())
        if version > 1:
            parts += (self.table.pack(), _FLAG.pack(self.replay is not None))
            parts += () if self.replay is None else (pack_replay(self.replay),)
        return b"".join(parts)

    @staticmethod
    def unpack(reader: StructReader, version: int) -> "GroupImage":
        """As `pack`."""
        name = reader.text()
        (rewind_epoch,) = reader.unpack(_EPOCH)
        (offset_count,) = reader.unpack(_COUNT)
        offsets = []
        for _ in range(offset_count):
            topic_id, partition = reader.unpack(_WHERE)
            where = TopicPartition(TopicId(topic_id), PartitionId(partition))
            offsets.append((where, Position.unpack(reader, version)))
        (event_count,) = reader.unpack(_COUNT)
        events = []
        for _ in range(event_count):
            event_epoch, kind = reader.unpack(_EPOCH_AND_KIND)
            if not 1 <= kind <= len(_KINDS):
                raise StoredDataCorrupt(f"a group's history in __consumer_offsets has kind {kind}")
            body = RewindBody.unpack(reader)
            events.append(RewindEvent(RewindEpoch(event_epoch), _KINDS[kind - 1], body))
        image = GroupImage(name, RewindEpoch(rewind_epoch), tuple(offsets), tuple(events))
        if version == 1:
            return image
        table, (has_replay,) = MemberTable.unpack(reader), reader.unpack(_FLAG)
        if has_replay > 1:
            raise StoredDataCorrupt("a group in __consumer_offsets has several replays")
        replay = unpack_replay(reader) if has_replay else None
        return replace(image, table=table, replay=replay)


def _entry(
    topic_id: bytes, partition: int, from_offset: int, to_offset: int, size: int, flags: int
) -> RewindEntry:
    if from_offset < -1 or to_offset < -1 or flags > 1:
        raise StoredDataCorrupt("a rewind in __consumer_offsets has an entry out of bounds")
    return RewindEntry(
        TopicPartition(TopicId(topic_id), PartitionId(partition)),
        None if from_offset == -1 else Offset(from_offset),
        None if to_offset == -1 else Offset(to_offset),
        size,
        bool(flags),
    )
