"""Appends to one segment file, on disk space that was reserved before.

Space is reserved (`posix_fallocate`) 64 KiB at first, doubling to steps of 32 MiB, and less where
the disk is nearly full, so a mapped file is never sparse: a full disk is an error here, not a
SIGBUS in a reader. A write that failed or fell short leaves bytes behind the last good end. They
are cut off at once, durably: what lacks nothing but trailing zeros is a whole batch on reserved
space, and a start must not find what a producer was told is not there. No later scan can take old
bytes for a batch either.

Reserving may wait for the disk, so under a steady flow `grow` does it ahead, in another thread.
"""

import contextlib
import errno
import threading

from logd.model.errors import SyncFailed
from logd.model.seams import Buffer
from logd_partitions.core.disk_errors import is_full, storage_full, write_error
from logd_partitions.partition_storage import PartitionStorage

ALLOCATE_BYTES_MIN = 64 << 10
ALLOCATE_BYTES_MAX = 32 << 20
AHEAD_BYTES_MIN = ALLOCATE_BYTES_MAX // 2
"""With less reserved ahead, a segment that is past the small steps should grow."""
AHEAD_SHARE = 8
"""A step takes no more than this part of the space left above the reserve, but what is needed."""
_PAGE_BYTES = 4096


class SegmentWriter:
    """`size`: the good end. `allocated`: the file's size, at or behind it. One user at a time, but
    for `grow`, whose lock is held wherever the file's size changes."""

    __slots__ = ("_growth", "_path", "_storage", "_torn", "allocated", "limit", "size")

    def __init__(
        self, storage: PartitionStorage, path: str, *, size: int, allocated: int, limit: int
    ) -> None:
        """`limit`: no space is reserved ahead beyond this size."""
        self._storage = storage
        self._path = path
        self.limit = limit
        self.size = size
        self.allocated = allocated
        self._torn = False
        self._growth = threading.RLock()

    @property
    def should_grow(self) -> bool:
        """Whether space should be reserved before an append has to."""
        ahead_bytes = self.allocated - self.size
        large = ALLOCATE_BYTES_MAX <= self.allocated < self.limit
        return large and 0 < ahead_bytes < AHEAD_BYTES_MIN and not self._torn

    def grow(self) -> None:
        """Reserve the next step if it should. Blocking, from any thread. What is reserved already
        stays; a disk that is full or fails is for the append to find, which needs the space."""
        with self._growth:
            if self.should_grow:
                with contextlib.suppress(OSError):
                    wished = min(self.allocated + ALLOCATE_BYTES_MAX, self.limit)
                    target = min(wished, self._fair_end())
                    if target > self.allocated:
                        self._allocate(target)

    def write(self, stamped: bytes, body: Buffer, length: int) -> None:
        """Append `length` bytes. Raises StorageFull or LogReadOnly: nothing was appended; or
        SyncFailed: part of it was, and whether a start finds it whole is unknown."""
        end = self.size + length
        try:
            if end > self.allocated or self._torn:
                self._make_room(end)
            with self._storage.open_files.open(self._path, "write") as file:
                self._torn = True
                written = file.pwrite((stamped, body), self.size)
                if written != length:
                    rest = memoryview(stamped + bytes(body))
                    while written < length:
                        more = file.pwrite((rest[written:],), self.size + written)
                        if more <= 0:
                            raise OSError(errno.ENOSPC, "a write wrote nothing")
                        written += more
        except OSError as error:
            self._cut_off_torn()
            raise write_error(error, self._path) from error
        self._torn = False
        self.size = end

    def reserve(self) -> None:
        """Have reserved space behind the good end. Raises StorageFull or LogReadOnly."""
        try:
            if self.allocated == self.size or self._torn:
                self._make_room(self.size + 1)
        except OSError as error:
            raise write_error(error, self._path) from error

    def retire(self) -> None:
        """Nothing is appended or reserved through this writer any more."""
        with self._growth:
            self.limit = 0

    def give_back(self) -> None:
        """Cut off what is reserved or torn behind the good end. Raises OSError."""
        with self._growth:
            if self.allocated > self.size or self._torn:
                self._storage.open_files.close_map(self._path)
                with self._storage.open_files.open(self._path, "write") as file:
                    file.truncate(self.size)
                self.allocated = self.size
                self._torn = False

    def _cut_off_torn(self) -> None:
        if not self._torn:
            return
        try:
            self.give_back()
            with self._storage.open_files.open(self._path, "write") as file:
                file.datasync()
        except OSError as error:
            raise SyncFailed(
                f"the disk failed in the middle of a write to {self._path}, and to take it back "
                f"({error}): whether the append was kept is unknown"
            ) from error

    def _make_room(self, end: int) -> None:
        with self._growth:
            if self._torn:
                self.give_back()
            if end <= self.allocated:
                return
            step = min(max(self.allocated, ALLOCATE_BYTES_MIN), ALLOCATE_BYTES_MAX)
            needed = -(-end // _PAGE_BYTES) * _PAGE_BYTES
            wished = max(needed, min(self.allocated + step, self.limit, self._fair_end()))
            for target in (wished, needed):
                if self._allocate(target):
                    return
        raise storage_full(self._path)

    def _fair_end(self) -> int:
        """How far this segment may reserve ahead: what it only may need soon, another partition of
        a disk that is nearly full needs now."""
        storage, reserve = self._storage, self._storage.reserve_bytes
        if not reserve:
            return self.limit
        left = max(0, storage.fs.free_bytes(storage.path) - reserve)
        return self.allocated + left // AHEAD_SHARE // _PAGE_BYTES * _PAGE_BYTES

    def _allocate(self, target: int) -> bool:
        """Reserve up to `target`; False if the disk is too full, and then nothing has changed."""
        fs, grown = self._storage.fs, target - self.allocated
        reserve = self._storage.reserve_bytes
        if reserve and fs.free_bytes(self._storage.path) - grown < reserve:
            return False
        with self._storage.open_files.open(self._path, "write") as file:
            try:
                file.allocate(self.allocated, grown)
            except OSError as error:
                self._torn = True  # the file may have grown: ext4 keeps what it could get
                with contextlib.suppress(OSError):
                    file.truncate(self.allocated)
                    self._torn = False
                if is_full(error):
                    return False
                raise
        self.allocated = target
        return True
