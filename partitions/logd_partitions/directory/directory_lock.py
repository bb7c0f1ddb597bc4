"""Only one process uses a data directory: the file `lock`, which holds that process's id."""

import contextlib

from logd.model.errors import DataDirectoryLocked
from logd.model.seams import FileLock, FileSystem
from logd_partitions.atomic_file import read_file

FILE_NAME = "lock"


def lock_directory(fs: FileSystem, directory: str, process_id: int) -> FileLock:
    """Take the lock. Raises DataDirectoryLocked (details: pid, directory), OSError.

    The system drops it when the process dies, so a lock file that nobody holds means nothing.
    """
    path = f"{directory}/{FILE_NAME}"
    try:
        return fs.lock(path, f"{process_id}\n".encode())
    except BlockingIOError:
        pid = lock_holder(fs, directory)
        raise DataDirectoryLocked(
            f"{directory} is in use by process {pid or 'unknown'}: stop that broker first, "
            "or use another data_dir",
            pid=pid,
            directory=directory,
        ) from None


def lock_holder(fs: FileSystem, directory: str) -> str:
    """The process id that last held the lock; empty if unknown. Says nothing about now."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text = read_file(fs, f"{directory}/{FILE_NAME}").decode("ascii").strip()
        return text if text.isdigit() else ""
    return ""
