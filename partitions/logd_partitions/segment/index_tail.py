"""New entries of an active segment's indexes, written behind its batches."""

from typing import NamedTuple

from logd.model.seams import OpenMode
from logd_partitions.atomic_file import write_fully
from logd_partitions.partition_storage import PartitionStorage

TAIL_ENTRIES_MIN = 64
"""Index entries that are written behind together: 256 KiB of small batches..."""
TAIL_BYTES_MIN = 16 << 20
"""...or of large ones so many bytes, which have an entry each. What is not written behind is read
again after a crash, so it should be no more than producers' snapshots let be read."""


class IndexTail(NamedTuple):
    """For the two files; with these, `ends` is how long each is."""

    index_path: str
    index_bytes: bytes
    time_path: str
    time_bytes: bytes
    ends: tuple[int, int]

    def write(self, storage: PartitionStorage) -> None:
        """Unsynced. Blocking. Raises OSError."""
        _write_entries(storage, self.index_path, self.index_bytes, self.ends[0])
        _write_entries(storage, self.time_path, self.time_bytes, self.ends[1])


def _write_entries(storage: PartitionStorage, path: str, data: bytes, end: int) -> None:
    mode: OpenMode = "write" if storage.fs.exists(path) else "create"
    with storage.open_files.open(path, mode) as file:
        if len(data) == end:
            file.truncate(0)
        write_fully(file, data, end - len(data))
