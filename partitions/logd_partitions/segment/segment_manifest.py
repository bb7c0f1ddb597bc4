"""What a sealed segment holds: `<base offset>.manifest`, made once when the segment is sealed.

A checked JSON object (see `checked_json`):

    version            2
    topic_id           32 hex digits
    partition          number of the partition
    base_offset        of the segment
    next_offset        behind its last batch
    size_bytes         of the `.log` file
    checksum           of its bytes: the algorithm, ":", hex digits. crc32c (8 digits) is written
    first_append_ms, last_append_ms, max_record_ms    -1 in an empty segment
    leader_epochs      [[leader_epoch, start_offset], ...] that hold in it, oldest first; the first
                       may have begun before the segment

Version 1 has sha256 (64 hex digits) in the place of checksum; it reads as "sha256:...". Each batch
has its own CRC-32C: this one is for batches that are whole, but not those that were sealed.

Written by temporary file, sync, rename and sync of the directory, after the segment itself has been
synced and its indexes saved: so what is missing below its end is lost, not torn. Recovery does
without; verify, repair and tiering need it. One that is missing after a crash is made by the next
maintenance, from the bytes as they are then.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from crc32c import crc32c

from logd.model.errors import StoredDataCorrupt, UnsupportedVersion
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.seams import File, FileSystem
from logd_partitions.atomic_file import read_file
from logd_partitions.core.checked_json import decode_checked, encode_checked
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.segment.log_segment import LogSegment

VERSION = 2
_READ_AT_ONCE_BYTES = 1 << 20
_CHECKSUM = re.compile(r"crc32c:[0-9a-f]{8}|sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SegmentManifest:
    """See the module."""

    topic_id: TopicId
    partition: PartitionId
    base_offset: Offset
    next_offset: Offset
    size_bytes: int
    checksum: str
    first_append_ms: int
    last_append_ms: int
    max_record_ms: int
    leader_epochs: tuple[EpochEntry, ...]

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic_id, self.partition)

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
                "checksum": self.checksum,
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
        if members.get("version") not in (1, VERSION):
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
    """Of a sealed segment, whose bytes are all read. Blocking. Raises OSError.

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
        _checksum_of(segment),
        times.first_append_ms,
        times.last_append_ms,
        times.max_record_ms,
        tuple(before + inside),
    )


def find_sealed_offset(
    fs: FileSystem, topic_partition: TopicPartition, segments: Sequence[LogSegment]
) -> Offset:
    """Where the last segment with a readable manifest ends, which was synced before that was
    written; 0 if there is none. One of another segment tells nothing.
    Blocking. Raises OSError, UnsupportedVersion."""
    for segment in reversed(segments):
        if segment.saved:
            path = segment.companion("manifest")
            with contextlib.suppress(StoredDataCorrupt):
                manifest = SegmentManifest.from_bytes(read_file(fs, path), path)
                if (manifest.topic_partition, manifest.base_offset) == (
                    topic_partition,
                    segment.base_offset,
                ):
                    return manifest.next_offset
    return Offset(0)


def matches_file(manifest: SegmentManifest, file: File) -> bool:
    """Whether the file has the size and the bytes that were sealed. Blocking. Raises OSError."""
    size = file.size()
    if size != manifest.size_bytes:
        return False
    if manifest.checksum.startswith("sha256:"):
        digest = hashlib.sha256()
        for data in _chunks(file, size):
            digest.update(data)
        return manifest.checksum == f"sha256:{digest.hexdigest()}"
    return manifest.checksum == _crc32c_of(file, size)


def _checksum_of(segment: LogSegment) -> str:
    with segment.open() as file:
        return _crc32c_of(file, segment.size)


def _crc32c_of(file: File, size: int) -> str:
    crc = 0
    for data in _chunks(file, size):
        crc = crc32c(data, crc)
    return f"crc32c:{crc:08x}"


def _chunks(file: File, size: int) -> Iterator[bytes]:
    for at in range(0, size, _READ_AT_ONCE_BYTES):
        yield file.pread(min(_READ_AT_ONCE_BYTES, size - at), at)


def _from_members(members: Mapping[str, object]) -> SegmentManifest:
    def integer(name: str) -> int:
        value = members[name]
        if not isinstance(value, int):
            raise TypeError(name)
        return value

    checksum = members["checksum"] if members["version"] != 1 else f"sha256:{members['sha256']}"
    if not isinstance(checksum, str) or not _CHECKSUM.fullmatch(checksum):
        raise ValueError("checksum")
    epochs = members["leader_epochs"]
    if not isinstance(epochs, list):
        raise TypeError("leader_epochs")
    return SegmentManifest(
        TopicId(bytes.fromhex(str(members["topic_id"]))),
        PartitionId(integer("partition")),
        Offset(integer("base_offset")),
        Offset(integer("next_offset")),
        integer("size_bytes"),
        checksum,
        integer("first_append_ms"),
        integer("last_append_ms"),
        integer("max_record_ms"),
        tuple(EpochEntry(LeaderEpoch(epoch), Offset(start)) for epoch, start in epochs),
    )
