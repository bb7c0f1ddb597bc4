"""The operating system's files, for Linux in production and macOS in development."""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import shutil
from collections.abc import Iterator, Sequence

from logd.model.seams import Buffer, FailedSync, OpenMode

_FLAGS = {
    "read": os.O_RDONLY,
    "write": os.O_RDWR,
    "create": os.O_RDWR | os.O_CREAT | os.O_EXCL,
}
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


@contextlib.contextmanager
def _syncing(path: str | None = None) -> Iterator[None]:
    """What the system refuses here failed in the sync itself."""
    try:
        yield
    except OSError as error:
        raise FailedSync(error.errno, error.strerror, path) from error


class OsFileMap:
    """Implements `FileMap`. The descriptor may be closed before the map is."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._map = mmap.mmap(descriptor, size, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
        self.view = memoryview(self._map)

    def close(self) -> None:
        self.view.release()
        self._map.close()


class OsFile:
    """Implements `File` on a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def pwrite(self, buffers: Sequence[Buffer], at: int) -> int:
        return os.pwritev(self._descriptor, buffers, at)

    def pread(self, size: int, at: int) -> bytes:
        data = os.pread(self._descriptor, size, at)
        if not data or len(data) == size:
            return data
        parts = [data]  # a regular file is short at its end, or past 2 GiB
        while (got := sum(map(len, parts))) < size:
            data = os.pread(self._descriptor, size - got, at + got)
            if not data:
                break
            parts.append(data)
        return b"".join(parts)

    def pread_cached(self, size: int, at: int) -> bytes | None:
        if not _RWF_NOWAIT:
            return None
        buffer = bytearray(size)
        try:
            got = os.preadv(self._descriptor, [buffer], at, _RWF_NOWAIT)
        except OSError:
            return None  # would block, or the file system does not know the flag
        return bytes(buffer) if got == size else None

    def map(self, size: int) -> OsFileMap:
        return OsFileMap(self._descriptor, size)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def allocate(self, at: int, size: int) -> None:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, at, size)
        elif self.size() < at + size:
            os.ftruncate(self._descriptor, at + size)

    def datasync(self) -> None:
        with _syncing():
            if hasattr(fcntl, "F_FULLFSYNC"):
                fcntl.fcntl(self._descriptor, fcntl.F_FULLFSYNC)
            else:
                os.fdatasync(self._descriptor)

    def drop_cache(self) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)


class OsFileLock:
    """Implements `FileLock` with flock, which the kernel drops when the process dies."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class OsFileSystem:
    """Implements `logd.model.seams.FileSystem`."""

    def open(self, path: str, mode: OpenMode) -> OsFile:
        return OsFile(os.open(path, _FLAGS[mode] | os.O_CLOEXEC, 0o644))

    def lock(self, path: str, content: bytes) -> OsFileLock:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return OsFileLock(descriptor)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def make_directory(self, path: str) -> None:
        os.mkdir(path)

    def remove_directory(self, path: str) -> None:
        os.rmdir(path)

    def list(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def exists(self, path: str) -> bool:
        try:  # os.path.lexists takes every error for a no
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def sync_directory(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _syncing(path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_file_system(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(AttributeError):  # no syncfs outside Linux
                while ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
                    number = ctypes.get_errno()
                    if number != errno.EINTR:  # Python's own calls go on after a signal, too
                        raise FailedSync(number, "syncfs failed", path)
                return
            os.sync()
        finally:
            os.close(descriptor)

    def free_bytes(self, path: str) -> int:
        return shutil.disk_usage(path).free

    def total_bytes(self, path: str) -> int:
        return shutil.disk_usage(path).total
