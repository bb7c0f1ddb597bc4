"""What a partition's log is built on: the seams and where its files are."""

from dataclasses import dataclass

from logd.model.seams import Clock, FileSystem
from logd_partitions.core.producer_identities import ANY_IDENTITY, ProducerIdentities
from logd_partitions.directory.directory_port import DirectoryPort
from logd_partitions.open_files import OpenFiles


@dataclass(frozen=True, slots=True)
class PartitionStorage:
    """`path` is the partition's directory, which need not exist before the first append.

    `open_files` is shared by all partitions of a data directory. `reserve_bytes` of the disk stay
    free for internal topics and metadata. `is_synced`: the whole file system was synced since the
    last run, so recovery need not sync what it finds. `identities` are those of all producers.
    """

    fs: FileSystem
    clock: Clock
    open_files: OpenFiles
    port: DirectoryPort
    path: str
    reserve_bytes: int = 0
    is_synced: bool = False
    identities: ProducerIdentities = ANY_IDENTITY

    def file_path(self, name: str) -> str:
        return f"{self.path}/{name}"


RESERVE_BYTES_MAX = 64 << 20
RESERVE_SHARE = 0.02


def reserve_bytes(total_bytes: int) -> int:
    """What stays free on a disk of `total_bytes`: 64 MiB or 2 %, the smaller."""
    return min(RESERVE_BYTES_MAX, int(total_bytes * RESERVE_SHARE))
