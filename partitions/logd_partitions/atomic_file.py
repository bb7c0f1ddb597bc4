"""Small files that are read whole and replaced whole.

A file written here is, after any crash, either the old one or the new one. Order: the new bytes go
to `<path>.tmp`, are synced, renamed over `path`, and the directory is synced. A `.tmp` found later
is the rest of an interrupted write: never read, and overwritten by the next one.
"""

import contextlib
import errno

from logd.model.seams import Buffer, FailedSync, File, FileSystem

TEMPORARY_SUFFIX = ".tmp"


def write_atomically(fs: FileSystem, path: str, data: Buffer) -> None:
    """Replace `path` by `data`, durable on return. Blocking: two syncs.

    Raises OSError: the old file then stands, and it may be tried again. FailedSync: that of the
    directory failed, and which of the two a crash would leave is unknown. One writer a path at a
    time.
    """
    temporary = path + TEMPORARY_SUFFIX
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(temporary)
    file = fs.open(temporary, "create")
    try:
        try:
            write_fully(file, data)
            file.datasync()
        finally:
            file.close()
        fs.rename(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fs.unlink(temporary)
        if isinstance(error, FailedSync):  # of a file that nobody will read
            raise OSError(error.errno, error.strerror, path) from error
        raise
    fs.sync_directory(parent_directory(path))


def write_fully(file: File, data: Buffer, at: int = 0) -> None:
    """Write all of `data` at `at`, going on after short writes. Raises OSError."""
    view = memoryview(data)
    done = 0
    while done < len(view):
        written = file.pwrite([view[done:]], at + done)
        if written <= 0:
            raise OSError(errno.ENOSPC, f"a write of {len(view) - done} bytes wrote nothing")
        done += written


def read_file(fs: FileSystem, path: str) -> bytes:
    """All bytes of `path`. Raises OSError (FileNotFoundError where there is none)."""
    file = fs.open(path, "read")
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()


def parent_directory(path: str) -> str:
    """The directory that holds `path`."""
    head, slash, _ = path.rstrip("/").rpartition("/")
    return head or slash or "."
