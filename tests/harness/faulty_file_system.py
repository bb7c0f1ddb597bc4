"""A real file system whose calls can be made to fail, to fall short, or to run out of space."""

import errno
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from logd.model.seams import Buffer, File, FileMap, OpenMode
from logd.sim.disk_faults import failed_call
from logd.system.os_file_system import OsFileSystem


@dataclass
class Fault:
    """`call` on a path that holds `path` fails `times` times, after `skip` that succeed.

    A pwrite with `short` writes so many bytes first, and raises only if there is an `error`.
    """

    call: str
    path: str = ""
    error: int | None = errno.EIO
    skip: int = 0
    times: int = 1
    short: int | None = None


class FaultyFile:
    """Implements `File`."""

    def __init__(self, owner: "FaultyFileSystem", path: str, file: File) -> None:
        self._owner = owner
        self._path = path
        self._file = file

    def pwrite(self, buffers: Sequence[Buffer], at: int) -> int:
        fault = self._owner.match("pwrite", self._path)
        data = b"".join(bytes(buffer) for buffer in buffers)
        if fault is not None:
            data = data[: fault.short or 0]
            if data:
                self._file.pwrite([data], at)
            if fault.error is not None:
                raise OSError(fault.error, os.strerror(fault.error), self._path)
            return len(data)
        room = self._owner.room_for(max(0, at + len(data) - self._file.size()))
        if room < 0:
            data = data[:room]
            if not data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        return self._file.pwrite([data], at)

    def pread(self, size: int, at: int) -> bytes:
        self._owner.check("pread", self._path)
        data = self._file.pread(size, at)
        self._owner.reads.append((self._path, at, len(data)))
        return data

    def pread_cached(self, size: int, at: int) -> bytes | None:
        if self._owner.match("pread_cached", self._path) is not None:
            return None
        return self._file.pread_cached(size, at)

    def map(self, size: int) -> FileMap:
        assert size <= self._file.size(), "a map behind the end of its file ends in a SIGBUS"
        self._owner.check("map", self._path)
        return self._file.map(size)

    def truncate(self, size: int) -> None:
        self._owner.check("truncate", self._path)
        self._owner.room_for(size - self._file.size())
        self._file.truncate(size)

    def allocate(self, at: int, size: int) -> None:
        self._owner.check("allocate", self._path)
        room = self._owner.room_for(max(0, at + size - self._file.size()))
        if room < 0:
            if size + room > 0:
                self._file.allocate(at, size + room)  # as ext4: the file keeps what there was
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        self._file.allocate(at, size)

    def datasync(self) -> None:
        self._owner.check("datasync", self._path)
        self._file.datasync()

    def drop_cache(self) -> None:
        self._owner.check("drop_cache", self._path)
        self._file.drop_cache()

    def size(self) -> int:
        return self._file.size()

    def close(self) -> None:
        self._owner.open_files -= 1
        self._file.close()


class FaultyFileSystem(OsFileSystem):
    """Implements `FileSystem`. `free`: bytes left on the disk; None: as many as one likes."""

    def __init__(self, free: int | None = None) -> None:
        self.free = free
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.open_files = 0
        self.reads: list[tuple[str, int, int]] = []

    def open(self, path: str, mode: OpenMode) -> FaultyFile:  # type: ignore[override]
        self.check("open", path)
        file = FaultyFile(self, path, super().open(path, mode))
        self.open_files += 1
        return file

    def rename(self, source: str, target: str) -> None:
        self.check("rename", source)
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self.check("unlink", path)
        self.room_for(-self.size(path) if self.exists(path) else 0)
        super().unlink(path)

    def make_directory(self, path: str) -> None:
        self.check("make_directory", path)
        super().make_directory(path)

    def remove_directory(self, path: str) -> None:
        self.check("remove_directory", path)
        super().remove_directory(path)

    def list(self, path: str) -> list[str]:
        self.check("list", path)
        return super().list(path)

    def exists(self, path: str) -> bool:
        self.check("exists", path)
        return super().exists(path)

    def sync_directory(self, path: str) -> None:
        self.check("sync_directory", path)
        super().sync_directory(path)

    def sync_file_system(self, path: str) -> None:
        self.check("sync_file_system", path)
        super().sync_file_system(path)

    def free_bytes(self, path: str) -> int:
        return 1 << 40 if self.free is None else self.free

    def match(self, call: str, path: str) -> Fault | None:
        """The fault that this call meets."""
        self.calls[call] += 1
        for fault in self.faults:
            if fault.call == call and fault.path in path and fault.times > 0:
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def check(self, call: str, path: str) -> None:
        fault = self.match(call, path)
        if fault is not None:
            assert fault.error is not None
            raise failed_call(call, fault.error, path)

    def room_for(self, grown: int) -> int:
        """Take `grown` bytes of the free space, or give them back; what is missing, as below 0."""
        if self.free is None:
            return 0
        taken = min(grown, self.free)
        self.free -= taken
        return taken - grown if grown > 0 else 0
