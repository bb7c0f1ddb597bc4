"""Offline looks at a data directory: what `logctl segments ls | dump | verify` show.

Reads files only, with the broker stopped; on a directory in use it works too, but may see an append
half done. Never writes, not even a lock: so a damaged directory stays as it is found. DIR is a data
directory, or one partition's directory in it.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from logd.model.errors import InvalidConfig, LogdError
from logd.model.ids import Offset
from logd.model.record_batch import BatchHeader, Codec
from logd.model.seams import FileSystem
from logd_partitions.atomic_file import parent_directory, read_file
from logd_partitions.directory.directory_format import FILE_NAME as FORMAT_FILE
from logd_partitions.directory.directory_lock import lock_holder
from logd_partitions.directory.partition_descriptor import FILE_NAME as PARTITION_FILE
from logd_partitions.directory.partition_descriptor import PartitionDescriptor, decode_descriptor
from logd_partitions.directory.partition_directories import DELETED, ORPHANED
from logd_partitions.directory.partition_testimony import SEGMENT_NAME
from logd_partitions.segment.segment_scan import Damage, ScannedBatch, SegmentScan


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One segment file. `next_offset` is that of its last intact batch; times are append times."""

    path: str
    topic: str
    partition: int
    base_offset: Offset
    next_offset: Offset
    size_bytes: int
    batches: int
    records: int
    first_append_ms: int | None
    last_append_ms: int | None


@dataclass(frozen=True, slots=True)
class DumpedBatch:
    """One batch, or (`header` None) bytes up to `end_position` that are no intact batch."""

    position: int
    end_position: int
    expected_offset: Offset
    header: BatchHeader | None
    zeros: bool = False

    @property
    def codec(self) -> str:
        """Its name; a number if unknown."""
        if self.header is None:
            return ""
        with contextlib.suppress(ValueError):
            return Codec(self.header.codec).name.lower()
        return str(self.header.codec)


@dataclass(frozen=True, slots=True)
class PartitionFiles:
    """A partition's directory and its segments' base offsets, rising. `descriptor` None: its
    `partition.json` is missing or damaged, as `problem` says."""

    path: str
    bases: tuple[Offset, ...]
    descriptor: PartitionDescriptor | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def segment_path(self, base_offset: Offset) -> str:
        return f"{self.path}/{base_offset:020d}.log"


def list_segments(fs: FileSystem, directory: str) -> list[SegmentInfo]:
    """Every segment below `directory`, by partition and offset; reads the headers of all batches.

    Raises InvalidConfig where there is nothing of ours, OSError.
    """
    return [
        _describe(fs, partition, base_offset)
        for partition in find_partitions(fs, directory)
        for base_offset in partition.bases
    ]


def dump_segment(fs: FileSystem, path: str) -> Iterator[DumpedBatch]:
    """Every batch of one segment file, bodies checked, and what is damaged between them.

    Raises InvalidConfig where the name is not a segment's, OSError.
    """
    match = SEGMENT_NAME.fullmatch(path.rpartition("/")[2])
    if match is None:
        raise InvalidConfig(
            f"{path} is no segment: name a file such as 00000000000000000000.log", field="FILE"
        )
    file = fs.open(path, "read")
    try:
        for item in SegmentScan(file, file.size(), bodies=True).items(0, Offset(int(match[1]))):
            yield _dumped(item)
    finally:
        file.close()


def find_partitions(fs: FileSystem, directory: str) -> list[PartitionFiles]:
    """The partitions below `directory`, or the one that it is. Raises InvalidConfig, OSError."""
    directory = directory.rstrip("/") or "/"
    if not fs.exists(directory):
        raise InvalidConfig(f"there is no directory {directory}", field="DIR")
    if _is_partition(fs, directory):
        return [_read_partition(fs, directory)]
    aside = (ORPHANED, DELETED)
    paths = [f"{directory}/{name}" for name in fs.list(directory) if name not in aside]
    found = [_read_partition(fs, path) for path in paths if _is_partition(fs, path)]
    if not found and not fs.exists(f"{directory}/{FORMAT_FILE}"):
        raise InvalidConfig(
            f"{directory} is neither a data directory nor a partition's", field="DIR"
        )
    return found


def data_directory_of(fs: FileSystem, directory: str) -> str | None:
    """The data directory that `directory` is, or lies in; None if neither."""
    directory = directory.rstrip("/") or "/"
    for path in (directory, parent_directory(directory)):
        if fs.exists(f"{path}/{FORMAT_FILE}"):
            return path
    return None


def used_by(fs: FileSystem, data_directory: str) -> str:
    """The id of a living process that took the lock last; empty if there is none.

    It may have let go since: so this is for a warning, and never keeps anyone out.
    """
    pid = lock_holder(fs, data_directory)
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return pid
    except (OSError, ValueError, OverflowError):
        return ""
    return pid


def _is_partition(fs: FileSystem, path: str) -> bool:
    try:
        names = fs.list(path)
    except NotADirectoryError:
        return False
    return PARTITION_FILE in names or any(map(SEGMENT_NAME.fullmatch, names))


def _read_partition(fs: FileSystem, path: str) -> PartitionFiles:
    matches = map(SEGMENT_NAME.fullmatch, fs.list(path))
    bases = tuple(Offset(int(match[1])) for match in matches if match)
    try:
        file = f"{path}/{PARTITION_FILE}"
        return PartitionFiles(path, bases, decode_descriptor(read_file(fs, file), file))
    except (FileNotFoundError, LogdError) as error:
        return PartitionFiles(path, bases, problem=str(error))


def _describe(fs: FileSystem, partition: PartitionFiles, base_offset: Offset) -> SegmentInfo:
    path, descriptor = partition.segment_path(base_offset), partition.descriptor
    batches = records = 0
    first_append_ms = last_append_ms = None
    next_offset = base_offset
    file = fs.open(path, "read")
    try:
        size = file.size()
        for item in SegmentScan(file, size, bodies=False).items(0, base_offset):
            if isinstance(item, ScannedBatch):
                batches += 1
                records += item.header.record_count
                next_offset = item.header.next_offset
                last_append_ms = item.header.append_timestamp_ms
                if first_append_ms is None:
                    first_append_ms = last_append_ms
    finally:
        file.close()
    return SegmentInfo(
        path,
        descriptor.topic_name if descriptor else partition.name,
        descriptor.topic_partition.partition if descriptor else -1,
        base_offset,
        next_offset,
        size,
        batches,
        records,
        first_append_ms,
        last_append_ms,
    )


def _dumped(item: ScannedBatch | Damage) -> DumpedBatch:
    if isinstance(item, Damage):
        return DumpedBatch(item.position, item.end_position, item.expected_offset, None, item.zeros)
    header = item.header
    return DumpedBatch(
        item.position, item.position + header.batch_length, header.base_offset, header
    )
