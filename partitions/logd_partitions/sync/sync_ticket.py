"""What one sync of a log covers: taken on the loop, carried out on a flush thread.

Order in `run`: the dirty segments' data; the directory, if a file was made; then, if they are due,
leader epochs, the producer snapshot and new index entries. These only spare recovery work: it scans
from where the snapshot ends, so the epochs before it must be on disk when it is. They may fail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock

import structlog

from logd.model.ids import Offset
from logd_partitions.atomic_file import write_atomically
from logd_partitions.core.producer_state import SNAPSHOT_FILE
from logd_partitions.leader_epochs import LeaderEpochs
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.segment.index_tail import IndexTail
from logd_partitions.segment.log_segment import LogSegment

logger = structlog.get_logger()


@dataclass(slots=True)
class Era:
    """Ends (`over`) where a log's tail is cut: what a ticket of before knows is true no more."""

    over: bool = False


@dataclass(slots=True)
class SyncTicket:
    """Covers the log up to `end_offset`, which stands at `position` of `active`.

    `segments`: what has to be synced, and each one's size. `created`, `appended_bytes`: how many
    files had been made and bytes appended. `hints_lock`: one at a time writes the small files.
    """

    storage: PartitionStorage
    segments: list[tuple[LogSegment, int]]
    active: LogSegment | None
    position: int
    end_offset: Offset
    created: int
    appended_bytes: int
    directory_is_synced: bool
    leader_epochs: LeaderEpochs
    hints_lock: Lock
    era: Era
    snapshot: bytes | None = None
    tail: IndexTail | None = None
    snapshot_saved: bool = False

    def run(self) -> None:
        """Make it durable. Blocking, on any thread, once. Raises OSError, which says by
        `disk_errors` whether another ticket may be tried.

        A segment that retention removed meanwhile needs no sync.
        """
        try:
            self._sync()
        except OSError:
            self._forget_tail()
            raise
        if self.snapshot is not None:
            self.snapshot_saved = self._try(partial(self._write_snapshot, self.snapshot))
        if self.tail is not None and not self._try(partial(self.tail.write, self.storage)):
            self._forget_tail()

    def _forget_tail(self) -> None:
        if self.tail is not None and self.active is not None:
            self.active.forget_tail()

    def _sync(self) -> None:
        for segment, _ in self.segments:
            try:
                with self.storage.open_files.open(segment.path, "write") as file:
                    file.datasync()
            except FileNotFoundError:
                if not segment.removed:
                    raise
        if not self.directory_is_synced:
            storage = self.storage
            storage.open_files.give_way(partial(storage.fs.sync_directory, storage.path))

    def _write_snapshot(self, snapshot: bytes) -> None:
        self.leader_epochs.flush()
        write_atomically(self.storage.fs, self.storage.file_path(SNAPSHOT_FILE), snapshot)

    def _try(self, write: Callable[[], None]) -> bool:
        try:
            with self.hints_lock:
                if self.era.over:
                    return False
                write()
        except OSError as error:
            logger.warning("recovery_hints_not_written", path=self.storage.path, error=str(error))
            return False
        return True
