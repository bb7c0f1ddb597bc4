"""What a failed call to the disk means to those who asked."""

import errno

from logd.model.errors import LogdError, LogReadOnly, StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Whether space ran out, which passes by itself; anything else is a failing disk."""
    return error.errno in _FULL


def write_error(error: OSError, path: str) -> LogdError:
    """StorageFull, or LogReadOnly for what no free space mends."""
    if is_full(error):
        return storage_full(path)
    return LogReadOnly(
        f"the disk failed to write {path} ({error}): this data directory takes no more writes; "
        "replace the disk, or restart the broker to scan it",
        path=path,
    )


def storage_full(path: str) -> StorageFull:
    return StorageFull(
        f"the disk is too full to write {path}: free space, add a disk, or shorten the retention "
        "of large topics; writes go on by themselves then",
        path=path,
    )
