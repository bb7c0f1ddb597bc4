"""What a failed call to the disk means to those who asked."""

import errno

from logd.model.errors import LogdError, LogReadOnly, Overloaded, StorageFull

_NO_FILES_LEFT = frozenset({errno.EMFILE, errno.ENFILE})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Whether space ran out, which passes by itself; anything else is a failing disk."""
    return error.errno in _FULL


def write_error(error: OSError, path: str) -> LogdError:
    """StorageFull; Overloaded for lack of descriptors; LogReadOnly for what time does not mend."""
    if is_full(error):
        return storage_full(path)
    if error.errno in _NO_FILES_LEFT:
        return Overloaded(
            f"too many open files to open {path}: raise the limit (ulimit -n)", limit="open files"
        )
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
