"""The directories inside a data directory: one a partition, and the two for what is gone.

    <topic>-<partition>/partition.json   whose it is; written before anything else in it
    <topic>-<partition>/leader-epochs    so is this, and tells it too (see partition_testimony)
    .orphaned/<number>-<name>            not what its name says: kept for people to look at
    .deleted/<number>-<name>             of deleted topics: removed now, or by the next start

A directory is moved out of the way by one rename before anything in it is touched, so that after
any crash it is either whole in its place or not in its place at all.
"""

import contextlib
import re
from collections.abc import Sequence

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import PartitionId, TopicId, TopicPartition
from logd.model.seams import FileSystem
from logd_partitions.atomic_file import (
    parent_directory,
    read_file,
    write_atomically,
    write_fully,
)
from logd_partitions.core.disk_errors import passes
from logd_partitions.directory.partition_descriptor import (
    FILE_NAME,
    PartitionDescriptor,
    TopicMembers,
    decode_descriptor,
    encode_descriptor,
)
from logd_partitions.leader_epochs import EPOCHS_FILE, encode_epochs

ORPHANED = ".orphaned"
DELETED = ".deleted"
SYNCFS_DIRECTORIES_MIN = 16
"""From so many new directories on, one syncfs before their own syncs leaves these little to do."""
_NAME = re.compile(r"([A-Za-z0-9._-]+)-(0|[1-9][0-9]*)")


class PartitionDirectories:
    """All methods block; all raise OSError."""

    def __init__(self, fs: FileSystem, root: str) -> None:
        self._fs = fs
        self._root = root

    def path_of(self, topic_name: str, partition: PartitionId) -> str:
        """Where this partition's files are, or would be."""
        return f"{self._root}/{topic_name}-{partition}"

    def read(self, path: str) -> PartitionDescriptor:
        """What it says of itself. Raises FileNotFoundError, StoredDataCorrupt."""
        file = f"{path}/{FILE_NAME}"
        return decode_descriptor(read_file(self._fs, file), file)

    def create(self, path: str, members: TopicMembers, topic_partition: TopicPartition) -> None:
        """Make the directory with its `partition.json` and `leader-epochs`; durable only after
        `sync_created`.

        Raises OSError: then there is no `partition.json`, not even a part of one.
        """
        with contextlib.suppress(FileExistsError):
            self._fs.make_directory(path)
        self._write_new(f"{path}/{EPOCHS_FILE}", encode_epochs(topic_partition))
        descriptor = encode_descriptor(members, topic_partition.partition)
        self._write_new(f"{path}/{FILE_NAME}", descriptor)

    def _write_new(self, path: str, data: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(path)
        file = self._fs.open(path, "create")
        try:
            write_fully(file, data)
        except OSError:
            with contextlib.suppress(OSError):
                self._fs.unlink(path)
            raise
        finally:
            file.close()

    def sync_created(self, paths: Sequence[str]) -> None:
        """Make what `create` made durable: as many files, and the root once."""
        if len(paths) >= SYNCFS_DIRECTORIES_MIN:
            self._fs.sync_file_system(self._root)
        for path in paths:
            self._sync_file(f"{path}/{FILE_NAME}")
            with contextlib.suppress(FileNotFoundError):  # of an older logd
                self._sync_file(f"{path}/{EPOCHS_FILE}")
            self._fs.sync_directory(path)
        if paths:
            self._fs.sync_directory(self._root)

    def _sync_file(self, path: str) -> None:
        file = self._fs.open(path, "write")
        try:
            file.datasync()
        finally:
            file.close()

    def rewrite(self, path: str, members: TopicMembers, partition: PartitionId) -> None:
        """Replace `partition.json`; durable on return."""
        write_atomically(self._fs, f"{path}/{FILE_NAME}", encode_descriptor(members, partition))

    def all(self) -> list[PartitionDescriptor]:
        """Every partition that is where it belongs. Reads one file a partition."""
        names = filter(_NAME.fullmatch, self._fs.list(self._root))
        found = (self._read_in_place(f"{self._root}/{name}") for name in names)
        return [descriptor for descriptor in found if descriptor is not None]

    def any(self) -> bool:
        """Whether anything looks like a partition."""
        return any(_NAME.fullmatch(name) for name in self._fs.list(self._root))

    def in_doubt(self) -> list[tuple[str, PartitionId]]:
        """Names of directories that do not say that they are what they are called."""
        named = ((name, _NAME.fullmatch(name)) for name in self._fs.list(self._root))
        return [
            (match[1], PartitionId(int(match[2])))
            for name, match in named
            if match is not None and self._read_in_place(f"{self._root}/{name}") is None
        ]

    def is_of(self, path: str, topic_id: TopicId) -> bool:
        """Whether the directory at `path`, if there is one, says that it is this topic's."""
        found = self._read_in_place(path)
        return found is not None and found.topic_partition.topic_id == topic_id

    def set_aside(self, path: str) -> str:
        """Move a directory that is not what its name says to `.orphaned`; where it is now."""
        [moved] = self._move([path], ORPHANED)
        return moved

    def orphaned(self) -> list[str]:
        """What was set aside, and is still there."""
        aside = f"{self._root}/{ORPHANED}"
        if not self._fs.exists(aside):
            return []
        return [f"{aside}/{name}" for name in self._fs.list(aside)]

    def delete(self, paths: Sequence[str]) -> None:
        """Move away (durable), then remove. What an error or a crash leaves, the next start
        removes."""
        for moved in self._move(paths, DELETED):
            self._remove(moved)

    def finish_deletions(self) -> None:
        """Remove what an earlier run could not finish."""
        trash = f"{self._root}/{DELETED}"
        if self._fs.exists(trash):
            for name in self._fs.list(trash):
                self._remove(f"{trash}/{name}")

    def _read_in_place(self, path: str) -> PartitionDescriptor | None:
        """None where nothing readable is there, or what was another directory once. Raises OSError
        where that is not known now."""
        try:
            found = self.read(path)
        except StoredDataCorrupt:
            return None
        except OSError as error:
            if passes(error):
                raise
            return None
        its_path = self.path_of(found.topic_name, found.topic_partition.partition)
        return found if its_path == path else None

    def _move(self, paths: Sequence[str], where: str) -> list[str]:
        target = f"{self._root}/{where}"
        with contextlib.suppress(FileExistsError):
            self._fs.make_directory(target)
            self._fs.sync_directory(self._root)
        numbers = [int(name.partition("-")[0]) for name in self._fs.list(target)]
        first = max(numbers, default=0) + 1
        moved = [f"{target}/{n}-{_short(path)}" for n, path in enumerate(paths, first)]
        for path, new_path in zip(paths, moved, strict=True):
            self._fs.rename(path, new_path)
        if paths:
            self._fs.sync_directory(target)
            self._fs.sync_directory(self._root)
        return moved

    def _remove(self, path: str) -> None:
        try:
            self._fs.unlink(path)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):  # which one depends on the system
            for name in self._fs.list(path):
                self._remove(f"{path}/{name}")
            self._fs.remove_directory(path)


def _short(path: str) -> str:
    """A directory's name, cut so that a number still fits before it."""
    return path.rpartition("/")[2][:200]


def make_directories(fs: FileSystem, path: str) -> None:
    """`path` and its parents, durable."""
    if fs.exists(path):
        return
    parent = parent_directory(path)
    make_directories(fs, parent)
    with contextlib.suppress(FileExistsError):
        fs.make_directory(path)
    fs.sync_directory(parent)
