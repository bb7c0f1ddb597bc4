"""What a sealed segment holds: `<base offset>.manifest`, made once when the segment is sealed.

A checked JSON object (see `checked_json`):

    version            1
    topic_id           32 hex digits
    partition          number of the partition
    base_offset        of the segment
    next_offset        behind its last batch
    size_bytes         of the `.log` file
    sha256             64 hex digits, of its bytes
    first_append_ms, last_append_ms, max_record_ms    -1 in an empty segment
    leader_epochs      [[leader_epoch, start_offset], ...] that hold in it, oldest first; the first
                       may have begun before the segment

Written by temporary file, sync, rename and sync of the directory, after the segment itself has been
synced and its indexes saved: so what is missing below its end is lost, not torn. Recovery does
without; verify, repair and tiering need it. One that is missing after a crash is made by the next
maintenance, from the bytes as they are then.
"""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.seams import File, FileSystem
from logd_partitions.atomic_file import read_file
from logd_partitions.checked_json import decode_checked, encode_checked
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.log_segment import LogSegment

VERSION = 1
_HASHED_AT_ONCE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SegmentManifest:
    """See the module."""

    topic_id: TopicId
    partition: PartitionId
    base_offset: Offset
    next_offset: Offset
    size_bytes: int
    sha256: str
    first_append_ms: int
    last_append_ms: int
    max_record_ms: int
    leader_epochs: tuple[EpochEntry, ...]

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        return encode_checked(
            {
                "version": VERSION,
                "topic_id": self.topic_id.hex(),
                "partition": self.partition,
                "base_offset": self.base_offset,
                "next_offset": self.next_offset,
                "size_bytes": self.size_bytes,
                "sha256": self.sha256,
                "first_append_ms": self.first_append_ms,
                "last_append_ms": self.last_append_ms,
                "max_record_ms": self.max_record_ms,
                "leader_epochs": [list(entry) for entry in self.leader_epochs],
            }
        )

    @staticmethod
    def from_bytes(data: bytes, path: str) -> "SegmentManifest":
        """Raises StoredDataCorrupt, UnsupportedVersion; both name `path`."""
        members = decode_checked(data, path)
        if members.get("version") != VERSION:
            raise UnsupportedVersion(
                f"{path} has version {members.get('version')}, this program knows {VERSION}: "
                "use a newer logd",
                field="version",
            )
        try:
            return _from_members(members)
        except (KeyError, TypeError, ValueError) as error:
            raise StoredDataCorrupt(f"{path} lacks or misstates {error}", segment=path) from None


def make_manifest(
    segment: LogSegment, topic_partition: TopicPartition, epochs: tuple[EpochEntry, ...]
) -> SegmentManifest:
    """Of a sealed segment, whose bytes are read and hashed. Blocking. Raises OSError.

    `epochs`: all of the log's leader epochs.
    """
    times, next_offset = segment.time_index(), segment.find_end()
    inside = [e for e in epochs if segment.base_offset < e.start_offset < next_offset]
    before = [e for e in epochs if e.start_offset <= segment.base_offset][-1:]
    return SegmentManifest(
        topic_partition.topic_id,
        topic_partition.partition,
        segment.base_offset,
        next_offset,
        segment.size,
        _hash_of(segment),
        times.first_append_ms,
        times.last_append_ms,
        times.max_record_ms,
        tuple(before + inside),
    )


def find_sealed_offset(fs: FileSystem, segments: Sequence[LogSegment]) -> Offset:
    """Where the last segment with a readable manifest ends, which was synced before that was
    written; 0 if there is none. Blocking. Raises OSError, UnsupportedVersion."""
    for segment in reversed(segments):
        if segment.saved:
            path = segment.companion("manifest")
            with contextlib.suppress(StoredDataCorrupt):
                return SegmentManifest.from_bytes(read_file(fs, path), path).next_offset
    return Offset(0)


def hash_file(file: File, size: int) -> str:
    """SHA-256 of the first `size` bytes, in hex. Blocking. Raises OSError."""
    digest = hashlib.sha256()
    for at in range(0, size, _HASHED_AT_ONCE_BYTES):
        digest.update(file.pread(min(_HASHED_AT_ONCE_BYTES, size - at), at))
    return digest.hexdigest()


def _hash_of(segment: LogSegment) -> str:
    with segment.open() as file:
        return hash_file(file, segment.size)


def _from_members(members: Mapping[str, object]) -> SegmentManifest:
    def integer(name: str) -> int:
        value = members[name]
        if not isinstance(value, int):
            raise TypeError(name)
        return value

    epochs = members["leader_epochs"]
    if not isinstance(epochs, list):
        raise TypeError("leader_epochs")
    return SegmentManifest(
        TopicId(bytes.fromhex(str(members["topic_id"]))),
        PartitionId(integer("partition")),
        Offset(integer("base_offset")),
        Offset(integer("next_offset")),
        integer("size_bytes"),
        str(members["sha256"]),
        integer("first_append_ms"),
        integer("last_append_ms"),
        integer("max_record_ms"),
        tuple(EpochEntry(LeaderEpoch(epoch), Offset(start)) for epoch, start in epochs),
    )
