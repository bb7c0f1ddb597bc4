"""Takes a torn tail off a log, and keeps its bytes for people to look at.

`<base offset>.<position>.cut` holds the bytes that stood in that segment from that position on,
without trailing zeros. Order: the saved bytes are synced and their names made durable, then the
file is cut and synced; so after a crash on the way the tail is there to be found torn again.
"""

import contextlib

import structlog

from logd.model.seams import File
from logd_partitions.atomic_file import TEMPORARY_SUFFIX, write_fully
from logd_partitions.core.disk_errors import is_full
from logd_partitions.core.tail_verdict import Place
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.segment.log_segment import LogSegment

COPY_BYTES = 1 << 20
COMPANIONS = ("index", "timeindex", "manifest")

logger = structlog.get_logger()


def cut_tail(
    storage: PartitionStorage, segments: list[LogSegment], place: Place
) -> tuple[list[LogSegment], list[str]]:
    """The segments that stay, and the paths of what was saved (none: there were only zeros).

    Blocking. Raises OSError. Where the disk is too full to save the bytes, that is said in the log
    and they go all the same.
    """
    kept, later = segments[: place.segment + 1], segments[place.segment + 1 :]
    saved = [] if place.zeros else _save_cut(storage, kept[-1], place.position)
    for segment in reversed(later):
        used = _used_bytes(storage, segment, 0)
        storage.open_files.forget(segment.path)
        if used:
            saved.append(_cut_path(storage, segment, 0))
            storage.fs.rename(segment.path, saved[-1])
        else:
            storage.fs.unlink(segment.path)
        for kind in COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                storage.fs.unlink(segment.companion(kind))
    if saved or later:
        storage.fs.sync_directory(storage.path)
    kept[-1] = shorten(storage, kept[-1], place.position, durable=not place.zeros)
    return kept, saved


def shorten(
    storage: PartitionStorage, segment: LogSegment, size: int, *, durable: bool = True
) -> LogSegment:
    """The segment with its file cut to `size`. Raises OSError. Zeros need not be cut off durably:
    to find them again does no harm."""
    storage.open_files.close_map(segment.path)
    with storage.open_files.open(segment.path, "write") as file:
        file.truncate(size)
        if durable:
            file.datasync()
    return LogSegment(storage, segment.base_offset, size)


def _cut_path(storage: PartitionStorage, segment: LogSegment, position: int) -> str:
    return storage.file_path(f"{segment.base_offset:020d}.{position}.cut")


def _save_cut(storage: PartitionStorage, segment: LogSegment, position: int) -> list[str]:
    used = _used_bytes(storage, segment, position)
    if used <= position:
        return []
    path = _cut_path(storage, segment, position)
    temporary = path + TEMPORARY_SUFFIX
    with contextlib.suppress(FileNotFoundError):
        storage.fs.unlink(temporary)
    try:
        copy = storage.fs.open(temporary, "create")
        try:
            with storage.open_files.open(segment.path) as file:
                copy_bytes(file, position, used, copy)
            copy.datasync()
        finally:
            copy.close()
        storage.fs.rename(temporary, path)
    except OSError as error:
        if not is_full(error):
            raise
        logger.warning("torn_tail_not_saved", path=path, error=str(error))
        with contextlib.suppress(OSError):
            storage.fs.unlink(temporary)
    return [path]


def copy_bytes(file: File, start: int, end: int, copy: File) -> None:
    """Copy bytes [start, end) to the beginning of `copy`. Raises OSError."""
    for at in range(start, end, COPY_BYTES):
        write_fully(copy, file.pread(min(COPY_BYTES, end - at), at), at - start)


def _used_bytes(storage: PartitionStorage, segment: LogSegment, start: int) -> int:
    """Behind the last byte from `start` on that is not zero; `start` if there is none."""
    used = start
    with storage.open_files.open(segment.path) as file:
        for at in range(start, segment.size, COPY_BYTES):
            data = file.pread(min(COPY_BYTES, segment.size - at), at).rstrip(b"\0")
            if data:
                used = at + len(data)
    return used
