"""A process's view of a simulated disk: where calls fail, and where the process dies."""

import errno
import os
from collections.abc import Callable, Sequence

from logd.model.seams import Buffer, OpenMode
from logd.sim.disk_faults import DiskFaults, failed_call
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_disk import Directory, SimulatedDisk, pages
from logd.sim.simulated_file import SimulatedFile, SimulatedMap
from logd.sim.simulated_process import ProcessDied, SimulatedProcess
from logd.sim.trace import Trace

READS = frozenset({"open", "pread", "map", "list"})
"""Calls that leave the disk as it is: dying at one is dying before the next that does not."""


class CrashPoint:
    """Counts the calls that change the disk, of one process; at number `at` (from 1) it dies.

    `crash` is what then happens: the machine's kill, or its power failure.
    """

    def __init__(self, crash: Callable[[], None] = lambda: None, at: int = 0) -> None:
        self.changes = 0
        self.at = at
        self.crash = crash

    def reached(self, call: str) -> bool:
        if call in READS:
            return False
        self.changes += 1
        return self.changes == self.at


class SimulatedHandle:
    """Implements `File`."""

    def __init__(
        self, owner: "SimulatedFileSystem", path: str, file: SimulatedFile, writable: bool
    ) -> None:
        self._owner = owner
        self._path = path
        self._file = file
        self._writable = writable

    def pwrite(self, buffers: Sequence[Buffer], at: int) -> int:
        data = b"".join(bytes(buffer) for buffer in buffers)
        if not self._writable:
            raise _error(errno.EBADF, self._path)
        dies = self._owner.begin("pwrite", self._path, at, len(data))
        data = data[: self._owner.faults.written_bytes(len(data))]
        if dies:
            data = data[: self._owner.random.below(len(data) + 1)]
        room = self._owner.room(len(self._file.data))
        if at + len(data) > room:
            data = data[: max(0, room - at)]
            if not data and not dies:
                raise _error(errno.ENOSPC, self._path)
        held = len(self._file.data)
        self._file.write(at, data)
        self._owner.disk.resized(self._file, held)
        if dies:
            self._owner.die()
        return len(data)

    def pread(self, size: int, at: int) -> bytes:
        self._owner.start("pread", self._path, at, size)
        return bytes(self._file.data[at : at + size])

    def pread_cached(self, size: int, at: int) -> bytes | None:
        if self._owner.faults.is_cold() or at + size > len(self._file.data):
            return None
        return bytes(self._file.data[at : at + size])

    def map(self, size: int) -> SimulatedMap:
        self._owner.start("map", self._path, size)
        return self._file.map(size, self._owner.process)

    def truncate(self, size: int) -> None:
        self._owner.start("truncate", self._path, size)
        self._resize(size)

    def allocate(self, at: int, size: int) -> None:
        self._owner.start("allocate", self._path, at, size)
        held = len(self._file.data)
        room = self._owner.room(held)
        self._resize(max(held, min(at + size, room)))  # as ext4: it keeps what there was
        if at + size > room:
            raise _error(errno.ENOSPC, self._path)

    def _resize(self, size: int) -> None:
        held = len(self._file.data)
        self._file.resize(size)
        self._owner.disk.resized(self._file, held)

    def datasync(self) -> None:
        try:
            self._owner.start("datasync", self._path)
        except OSError:
            self._file.fail_sync(self._owner.random)
            raise
        self._file.sync()

    def drop_cache(self) -> None:
        self._file.drop_cache()

    def size(self) -> int:
        return len(self._file.data)

    def close(self) -> None:
        return None


class SimulatedLock:
    """Implements `FileLock`; a dead process holds none."""

    def __init__(self, file: SimulatedFile) -> None:
        self._file = file

    def release(self) -> None:
        self._file.locked_by = None


class SimulatedFileSystem:
    """Implements `logd.model.seams.FileSystem` for one process on a disk that outlives it.

    `faults` may be shared by processes that follow each other; `crash_point` is this one's own.
    """

    def __init__(
        self,
        disk: SimulatedDisk,
        process: SimulatedProcess,
        faults: DiskFaults,
        random: SeededRandom,
        trace: Trace,
    ) -> None:
        self.faults = faults
        self.random = random
        self.crash_point = CrashPoint()
        self.disk = disk
        self.process = process
        self._trace = trace

    # Every call goes through one of these.

    def begin(self, call: str, path: str, *details: object) -> bool:
        """Trace a call; whether the process dies in it. Raises ProcessDied, OSError."""
        if not self.process.alive:
            raise ProcessDied
        self._trace.note("disk", call, path, *details)
        if self.crash_point.reached(call):
            return True
        error = self.faults.error(call)
        if error is not None:
            self._trace.note("disk", "fails", call, path, errno.errorcode[error])
            raise failed_call(call, error, path)
        return False

    def start(self, call: str, path: str, *details: object) -> None:
        """As `begin`, for a call that is done whole or not at all."""
        if self.begin(call, path, *details):
            self.die()

    def die(self) -> None:
        self.crash_point.crash()
        raise ProcessDied

    def room(self, held_bytes: int) -> int:
        """How large a file that has `held_bytes` can become."""
        return pages(held_bytes) + self.disk.free_bytes

    # FileSystem

    def open(self, path: str, mode: OpenMode) -> SimulatedHandle:
        self.start("create" if mode == "create" else "open", path, mode)
        found = self.disk.find(path)
        if mode == "create":
            if found is not None:
                raise _error(errno.EEXIST, path)
            found = SimulatedFile()
            self.disk.add(path, found)
        if found is None:
            raise _error(errno.ENOENT, path)
        if isinstance(found, Directory):
            raise _error(errno.EISDIR, path)
        return SimulatedHandle(self, path, found, mode != "read")

    def lock(self, path: str, content: bytes) -> SimulatedLock:
        self.start("lock", path)
        file = self.disk.find(path)
        if not isinstance(file, SimulatedFile):
            file = SimulatedFile()
            self.disk.add(path, file)
        if file.locked_by is not None and file.locked_by.alive:
            raise _error(errno.EAGAIN, path)
        file.resize(0)
        file.write(0, content)
        file.locked_by = self.process
        return SimulatedLock(file)

    def rename(self, source: str, target: str) -> None:
        self.start("rename", source, target)
        if self.disk.find(source) is None:
            raise _error(errno.ENOENT, source)
        if isinstance(self.disk.find(target), Directory):
            raise _error(errno.ENOTEMPTY, target)
        self.disk.move(source, target)

    def unlink(self, path: str) -> None:
        self.start("unlink", path)
        found = self.disk.find(path)
        if not isinstance(found, SimulatedFile):
            raise _error(errno.EISDIR if found is not None else errno.ENOENT, path)
        self.disk.remove(path)

    def make_directory(self, path: str) -> None:
        self.start("make_directory", path)
        if self.disk.find(path) is not None:
            raise _error(errno.EEXIST, path)
        self.disk.add(path, Directory())

    def remove_directory(self, path: str) -> None:
        self.start("remove_directory", path)
        if self._directory(path).entries:
            raise _error(errno.ENOTEMPTY, path)
        self.disk.remove(path)

    def list(self, path: str) -> list[str]:
        self.start("list", path)
        return sorted(self._directory(path).entries)

    def exists(self, path: str) -> bool:
        return self.disk.find(path) is not None

    def size(self, path: str) -> int:
        found = self.disk.find(path)
        if not isinstance(found, SimulatedFile):
            raise _error(errno.ENOENT, path)
        return len(found.data)

    def sync_directory(self, path: str) -> None:
        self.start("sync_directory", path)
        self.disk.sync_directory(self._directory(path))

    def sync_file_system(self, path: str) -> None:
        self.start("sync_file_system", path)
        self._directory(path)
        self.disk.sync_all()

    def free_bytes(self, path: str) -> int:
        return self.disk.free_bytes

    def total_bytes(self, path: str) -> int:
        return self.disk.capacity_bytes

    def _directory(self, path: str) -> Directory:
        found = self.disk.find(path)
        if not isinstance(found, Directory):
            raise _error(errno.ENOENT if found is None else errno.ENOTDIR, path)
        return found


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
