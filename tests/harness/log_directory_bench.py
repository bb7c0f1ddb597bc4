"""A LogDirectory on a real file system, opened, written to and crashed at will."""

import shutil
from collections.abc import Callable
from pathlib import Path

from harness.manual_clock import ManualClock
from logd.model.batch_encoder import encode_batch
from logd.model.ids import BrokerId, LeaderEpoch, PartitionId, TopicId, TopicPartition
from logd.model.key_ranges import even_ranges
from logd.model.record_batch import check_produced
from logd.model.seams import OpenMode
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd.system.os_file_system import OsFile, OsFileSystem
from logd_partitions.directory.log_directory import LogDirectory
from logd_partitions.partition_log import PartitionLog


class CountingFileSystem(OsFileSystem):
    """Counts opened files and rewrites; calls on paths that hold a word can be made to fail.

    `on_rename` is called once, after the next rename.
    """

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.renamed: list[str] = []
        self.synced: list[str] = []
        self.fail: tuple[str, OSError] | None = None
        self.on_rename: Callable[[], None] | None = None

    def open(self, path: str, mode: OpenMode) -> OsFile:
        self._maybe_fail(path)
        self.opened.append(path)
        return super().open(path, mode)

    def rename(self, source: str, target: str) -> None:
        self._maybe_fail(source)
        self.renamed.append(target.rpartition("/")[2])
        super().rename(source, target)
        on_rename, self.on_rename = self.on_rename, None
        if on_rename is not None:
            on_rename()

    def sync_directory(self, path: str) -> None:
        self.synced.append(path)
        super().sync_directory(path)

    def _maybe_fail(self, path: str) -> None:
        if self.fail is not None and self.fail[0] in path:
            raise self.fail[1]


def topic(name: str = "orders", number: int = 1, partitions: int = 3) -> Topic:
    ranges = tuple(PartitionSpec(key_range) for key_range in even_ranges(partitions))
    return Topic(TopicId(number.to_bytes(16, "big")), name, ranges, TopicConfig(), revision=5)


ORDERS = topic()
P0, P1 = PartitionId(0), PartitionId(1)


class LogDirectoryBench:
    """Data directories under tmp_path, opened and crashed at will."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "data"
        self.clock = ManualClock()
        self.fs = CountingFileSystem()
        self.crashes = 0
        self.opened: list[LogDirectory] = []

    def open(self, broker_id: int = 0, cluster_id: str | None = None) -> LogDirectory:
        directory = LogDirectory.open(
            self.fs,
            self.clock,
            str(self.root),
            broker_id=BrokerId(broker_id),
            cluster_id=cluster_id,
        )
        self.opened.append(directory)
        return directory

    def crash(self) -> None:
        """Go on with what a kill at this moment would leave."""
        self.crashes += 1
        copy = self.root.with_name(f"data-{self.crashes}")
        shutil.copytree(self.root, copy)
        self.root = copy

    def append(self, log: PartitionLog, *values: bytes) -> None:
        now_ms = self.clock.wall_ms()
        batch = encode_batch(list(values), timestamps_ms=now_ms)
        header = check_produced(batch, message_bytes_max=1 << 20, now_ms=now_ms)
        log.append_leader(batch, header, LeaderEpoch(1), now_ms)

    def sync(self, directory: LogDirectory, *logs: PartitionLog) -> None:
        """What a round of the flusher does."""
        tickets = [(log, log.start_sync()) for log in logs]
        if directory.needs_sync:
            directory.sync()
        for log, ticket in tickets:
            ticket.run()
            log.finish_sync(ticket)
            directory.note_synced(log)

    def stopped_with(self, *values: bytes, of: Topic = ORDERS) -> None:
        """Leave a cleanly stopped directory with these records in partition 0."""
        directory = self.open()
        log = directory.open_log(of, P0)
        self.append(log, *values)
        self.sync(directory, log)
        directory.close()

    def names(self, *parts: str) -> list[str]:
        return sorted(path.name for path in self.root.joinpath(*parts).iterdir())


def tp(partition: int, of: Topic = ORDERS) -> TopicPartition:
    return TopicPartition(of.topic_id, PartitionId(partition))


def points(directory: LogDirectory) -> dict[int, tuple[int, int, bool]]:
    return {
        p.partition: (p.next_offset, p.log_start_offset, p.open) for p in directory._points.all()
    }


def reasons(directory: LogDirectory) -> list[str]:
    return [problem.reason for problem in directory.problems()]
