"""From where a start must read each partition: the file `recovery-points` of a data directory.

    at  type  field
     0  4s    magic 'LGRP'
     4  u16   version              1
     6  u16   flags                1: made again after a loss, and partitions may lack
     8  u32   count
    12        count entries of 56 bytes:
              16s  topic_id
              i32  partition
              i64  segment_base_offset  names the segment that holds next_offset
              i64  position             bytes into it; everything before is synced
              i64  next_offset          offset (exclusive) that `position` stands for
              i64  log_start_offset     durable here before what is below it is removed
              u32  open                 1: more may have been written behind it
     +  u32   crc                  CRC-32C of everything before it

Little-endian. The file is replaced whole by rename, so after a crash it is an older or a newer one,
never torn. An older one is safe but for two facts, which are therefore written before they count:
that a partition is open, and a log start that has moved. A missing or damaged file means that
nothing is known: every partition then counts as open and is read from its start. Directories of
which it could not be told then whose they are have no point in the next file either: while there
are any, its flag says so. Without it, who has no point has acknowledged nothing.
"""

import struct
import threading
from dataclasses import dataclass

from crc32c import crc32c

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.seams import FileSystem
from logd_partitions.atomic_file import read_file, write_atomically

MAGIC = b"LGRP"
VERSION = 1

_HEAD = struct.Struct("<4sHHI")
_ENTRY = struct.Struct("<16siqqqqI")
_CRC = struct.Struct("<I")
_SOME_MAY_LACK = 1


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A partition is synced up to `next_offset` (exclusive), which is at `position` in a segment.

    `open`: more may have been written behind it, so a start scans on from here. Not open: the
    segment ends at `position`, and nothing needs to be read.
    """

    topic_id: TopicId
    partition: PartitionId
    segment_base_offset: Offset
    position: int
    next_offset: Offset
    log_start_offset: Offset
    open: bool

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic_id, self.partition)


class RecoveryPoints:
    """The points of one data directory, in memory, with `write` to their file.

    `put` and `remove` cost microseconds and touch no disk. `write` blocks; whoever needs something
    durable puts it and calls `write`, from any thread: what many put meanwhile is joined into one
    rewrite, so 10,000 partitions that open in one tick cost one file of 560 kB.
    """

    def __init__(self, fs: FileSystem, path: str) -> None:
        self._fs = fs
        self._path = path
        self.knows_all = True
        """Whether each partition that has acknowledged anything has a point. Set it before a
        `write`."""
        self._packed: dict[TopicPartition, bytes] = {}
        self._version = 0  # counts changes of `_packed`
        self._written = -1  # the version in the file
        self._changing = threading.Lock()  # guards the three above; never held over I/O
        self._writing = threading.Lock()  # one rewrite at a time

    def load(self) -> None:
        """Read the file.

        Raises FileNotFoundError, StoredDataCorrupt, UnsupportedVersion, OSError; nothing is known
        then, and the next `write` makes a new file.
        """
        data = read_file(self._fs, self._path)
        self._packed = decode_points(data, self._path)
        self.knows_all = not _HEAD.unpack_from(data)[2] & _SOME_MAY_LACK
        self._written = self._version

    def get(self, topic_partition: TopicPartition) -> RecoveryPoint | None:
        packed = self._packed.get(topic_partition)
        return _unpack(packed) if packed else None

    def known(self) -> list[TopicPartition]:
        """The partitions that have a point."""
        with self._changing:
            return list(self._packed)

    def all(self) -> list[RecoveryPoint]:
        """Every point, in the order in which the partitions were first noted."""
        with self._changing:
            return [_unpack(packed) for packed in self._packed.values()]

    def put(self, point: RecoveryPoint) -> None:
        """Note a partition's point in place of its last one."""
        packed = _pack(point)
        with self._changing:
            if self._packed.get(point.topic_partition) != packed:
                self._packed[point.topic_partition] = packed
                self._version += 1

    def remove(self, topic_partition: TopicPartition) -> None:
        """Forget a partition; nothing happens if it is not known."""
        with self._changing:
            if self._packed.pop(topic_partition, None):
                self._version += 1

    def write(self) -> None:
        """Make everything noted before the call durable. Blocking. Raises OSError."""
        asked = self._version
        with self._writing:
            with self._changing:
                if self._written >= asked:
                    return  # another thread's rewrite took it along
                version, entries = self._version, list(self._packed.values())
            write_atomically(self._fs, self._path, encode_points(entries, self.knows_all))
            self._written = version


def encode_points(entries: list[bytes], knows_all: bool = True) -> bytes:
    """The file's bytes; `entries` are packed."""
    flags = 0 if knows_all else _SOME_MAY_LACK
    data = b"".join([_HEAD.pack(MAGIC, VERSION, flags, len(entries)), *entries])
    return data + _CRC.pack(crc32c(data))


def decode_points(data: bytes, path: str) -> dict[TopicPartition, bytes]:
    """The packed entries of the file's bytes. Raises StoredDataCorrupt, UnsupportedVersion."""
    if len(data) < _HEAD.size + _CRC.size or data[:4] != MAGIC:
        raise _corrupt(path)
    if _CRC.unpack_from(data, len(data) - _CRC.size)[0] != crc32c(data[: -_CRC.size]):
        raise _corrupt(path)
    _, version, _, count = _HEAD.unpack_from(data)
    if version > VERSION:
        raise UnsupportedVersion(
            f"{path} has version {version}, this program knows {VERSION}: use a newer logd",
            field="version",
        )
    if len(data) != _HEAD.size + count * _ENTRY.size + _CRC.size:
        raise _corrupt(path)
    starts = range(_HEAD.size, len(data) - _CRC.size, _ENTRY.size)
    entries = [data[at : at + _ENTRY.size] for at in starts]
    return {_unpack(entry).topic_partition: entry for entry in entries}


def _pack(point: RecoveryPoint) -> bytes:
    return _ENTRY.pack(
        point.topic_id,
        point.partition,
        point.segment_base_offset,
        point.position,
        point.next_offset,
        point.log_start_offset,
        point.open,
    )


def _unpack(packed: bytes) -> RecoveryPoint:
    topic_id, partition, base, position, next_offset, log_start, is_open = _ENTRY.unpack(packed)
    return RecoveryPoint(
        topic_id, partition, base, position, next_offset, log_start, open=bool(is_open)
    )


def _corrupt(path: str) -> StoredDataCorrupt:
    return StoredDataCorrupt(
        f"{path} does not match its checksum: every partition is read from its start",
        segment=path,
    )
