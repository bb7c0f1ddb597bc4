"""What a failed call to the disk means: one table for every errno of every call of the seam.

Calls are of two kinds. A sync (a `FailedSync`) may have written some of what was dirty, and leaves
what it did not write clean: nobody can know afterwards, and a second one that succeeds proves
nothing. So no errno of it is harmless, and the log counts as broken until a start has scanned it.
Any other call is done whole, or its caller takes back what it did (`SegmentWriter`), so what counts
is whether it may go well later.
"""

import errno
from collections.abc import Mapping
from enum import Enum
from typing import Literal

from logd.model.errors import LogdError, LogReadOnly, Overloaded, StorageFull
from logd.model.seams import FailedSync

Call = Literal["sync", "other"]


class Meaning(Enum):
    """Of a failed call, for who asked for it."""

    NOTHING_HAPPENED = "the system lacked what the call needs: it may be tried again"
    FULL = "nothing happened for lack of space: it may be tried again once there is some"
    UNKNOWN = "some of it may have happened: trying again proves nothing"
    BROKEN = "the disk does not do it, and will not by itself"


TABLE: Mapping[tuple[Call, int], Meaning] = {
    # Descriptors and kernel memory come and go. EMFILE and ENFILE are never a sync's own: what
    # fails then is opening the directory, before anything is handed to the disk.
    ("other", errno.EMFILE): Meaning.NOTHING_HAPPENED,
    ("other", errno.ENFILE): Meaning.NOTHING_HAPPENED,
    ("other", errno.ENOMEM): Meaning.NOTHING_HAPPENED,
    # A signal, or a file system that would have to wait (network, FUSE). Python itself calls again
    # after most EINTRs, but posix_fallocate and flock of some file systems still give them.
    ("other", errno.EINTR): Meaning.NOTHING_HAPPENED,
    ("other", errno.EAGAIN): Meaning.NOTHING_HAPPENED,
    ("other", errno.ENOSPC): Meaning.FULL,
    ("other", errno.EDQUOT): Meaning.FULL,
    ("other", errno.EFBIG): Meaning.FULL,
    # Writeback ran out of memory in the middle: pages may count as clean, and be unwritten.
    ("sync", errno.ENOMEM): Meaning.UNKNOWN,
    # The wait was broken off, on a network or FUSE file system; what of it was written is not said.
    ("sync", errno.EINTR): Meaning.UNKNOWN,
    ("sync", errno.EAGAIN): Meaning.UNKNOWN,
    # Space is found at writeback only (btrfs, network): what found none is dropped.
    ("sync", errno.ENOSPC): Meaning.UNKNOWN,
    ("sync", errno.EDQUOT): Meaning.UNKNOWN,
    ("sync", errno.EFBIG): Meaning.UNKNOWN,
}
DEFAULTS: Mapping[Call, Meaning] = {"sync": Meaning.UNKNOWN, "other": Meaning.BROKEN}
"""Of EIO, EROFS, ENODEV, ESTALE and whatever else there is."""
_LIMITS = {errno.EMFILE: "open files", errno.ENFILE: "open files", errno.ENOMEM: "memory"}


def meaning(error: OSError) -> Meaning:
    """What the failure of this call means."""
    call: Call = "sync" if isinstance(error, FailedSync) else "other"
    return TABLE.get((call, error.errno or 0), DEFAULTS[call])


def passes(error: Exception) -> bool:
    """Whether nothing happened, and trying again later is sound."""
    return isinstance(error, OSError) and meaning(error) in (
        Meaning.NOTHING_HAPPENED,
        Meaning.FULL,
    )


def is_full(error: OSError) -> bool:
    """Whether space ran out, whatever that means to the call."""
    return TABLE.get(("other", error.errno or 0)) is Meaning.FULL


def lacks_files(error: OSError) -> bool:
    """Whether no descriptor was to be had: what is closed now helps."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def write_error(error: OSError, path: str) -> LogdError:
    """StorageFull; Overloaded for what the system lacks now; LogReadOnly for what time does not
    mend."""
    match meaning(error):
        case Meaning.FULL:
            return storage_full(path)
        case Meaning.NOTHING_HAPPENED:
            return overloaded(error, path)
    return LogReadOnly(
        f"the disk failed to write {path} ({error}): this data directory takes no more writes; "
        "replace the disk, or restart the broker to scan it",
        path=path,
    )


def overloaded(error: OSError, path: str) -> Overloaded:
    """The system lacks something for a call on `path`, and nothing happened."""
    limit = _LIMITS.get(error.errno or 0, "system calls")
    hint = ": raise the limit (ulimit -n)" if lacks_files(error) else ""
    return Overloaded(f"{path} could not be used just now ({error}){hint}", limit=limit)


def storage_full(path: str) -> StorageFull:
    return StorageFull(
        f"the disk is too full to write {path}: free space, add a disk, or shorten the retention "
        "of large topics; writes go on by themselves then",
        path=path,
    )
