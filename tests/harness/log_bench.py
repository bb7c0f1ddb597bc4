"""A PartitionLog on real files, with what a LogDirectory would do around it."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.faulty_file_system import FaultyFileSystem
from harness.manual_clock import ManualClock
from logd.model.batch_encoder import encode_batch
from logd.model.errors import StoredDataCorrupt
from logd.model.ids import (
    LeaderEpoch,
    Offset,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    TopicId,
    TopicPartition,
)
from logd.model.record_batch import HEADER_BYTES, BatchHeader, split_batches, stamp
from logd.model.topic_config import TopicConfig
from logd_partitions.core.producer_identities import AnyIdentity
from logd_partitions.directory.directory_port import Recoverable
from logd_partitions.log_tail import Appended
from logd_partitions.open_files import OpenFiles
from logd_partitions.partition_log import PartitionLog
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.recovery.recovery_points import RecoveryPoint
from logd_partitions.segment.read_plan import Cold

TOPIC_PARTITION = TopicPartition(TopicId(bytes(range(16))), PartitionId(3))
SMALL_SEGMENTS = TopicConfig(segment_bytes=4096)
LARGE_SEGMENTS = TopicConfig(segment_bytes=64 << 20)


class LogBench:
    """Implements DirectoryPort. `point` is what a recovery-points file would hold."""

    def __init__(
        self,
        root: Path,
        config: TopicConfig = SMALL_SEGMENTS,
        fs: FaultyFileSystem | None = None,
        reserve_bytes: int = 0,
        replicated: bool = False,
    ) -> None:
        self.path = root / "orders-3"
        self.fs = fs or FaultyFileSystem()
        self.clock = ManualClock()
        self.config = config
        self.reserve_bytes = reserve_bytes
        self.replicated = replicated
        self.point: RecoveryPoint | None = None
        self.first_appends = 0
        self.identities = AnyIdentity()
        self._open_files = OpenFiles(self.fs)
        self.log = self.open()

    def open(self) -> PartitionLog:
        """A new PartitionLog on what is on disk, as after a start."""
        self._open_files.close()
        self._open_files = OpenFiles(self.fs, files_max=4, maps_max=4)
        storage = PartitionStorage(
            self.fs,
            self.clock,
            self._open_files,
            self,
            str(self.path),
            reserve_bytes=self.reserve_bytes,
            identities=self.identities,
        )
        self.log = PartitionLog.open(
            storage, TOPIC_PARTITION, self.config, self.point, replicated=self.replicated
        )
        if self.point is not None:
            self.point = self.log.recovery_point(open=self.point.open)
        return self.log

    def same(self) -> PartitionLog:
        """Not opened again."""
        return self.log

    def crash(self) -> PartitionLog:
        """As `kill -9`, then a start: what was written is there, nothing was tidied up."""
        return self.open()

    def stop(self) -> PartitionLog:
        """A clean stop, then a start."""
        self.log.close()
        if self.point is not None:
            self.point = self.log.recovery_point(open=False)
        return self.open()

    def close_files(self) -> None:
        """As if other partitions had needed the descriptors."""
        self._open_files.close()

    def before_first_append(self, log: Recoverable) -> None:
        self.path.mkdir(exist_ok=True)
        self.point = log.recovery_point(open=True)
        self.first_appends += 1

    def bounds_changed(self, log: Recoverable) -> None:
        assert self.point is not None
        self.point = log.recovery_point(open=self.point.open)

    def append(
        self,
        values: Sequence[bytes] = (b"a", b"b", b"c"),
        *,
        producer: tuple[int, int, int] | None = None,
        epoch: int | None = None,
        timestamps_ms: int | Sequence[int] | None = None,
    ) -> Appended:
        """Append one batch, at the bench's time. `producer`: id, epoch, first sequence.

        `epoch`: the leader's; None: the last one.
        """
        now_ms = self.clock.wall_ms()
        if epoch is None:
            epoch = max(1, self.log.leader_epochs.latest())
        producer_id, producer_epoch, sequence = producer or (-1, -1, -1)
        batch = encode_batch(
            values,
            timestamps_ms=now_ms if timestamps_ms is None else timestamps_ms,
            producer_id=ProducerId(producer_id),
            producer_epoch=ProducerEpoch(producer_epoch),
            base_sequence=sequence,
        )
        return self.log.append_leader(batch, BatchHeader.unpack(batch), LeaderEpoch(epoch), now_ms)

    def stored(
        self,
        *batches: Sequence[bytes],
        base_offset: int | None = None,
        epoch: int = 1,
        hint: int = 0,
        producer: tuple[int, int, int] | None = None,
    ) -> bytes:
        """Batches as a leader would have stamped them, one after the other from `base_offset` on
        (None: the log's end). The sequences of `producer` go on from batch to batch."""
        base = self.log.log_end_offset if base_offset is None else base_offset
        producer_id, producer_epoch, sequence = producer or (-1, -1, -1)
        stored = []
        for values in batches:
            batch = encode_batch(
                values,
                timestamps_ms=self.clock.wall_ms(),
                producer_id=ProducerId(producer_id),
                producer_epoch=ProducerEpoch(producer_epoch),
                base_sequence=sequence,
            )
            stamps = stamp(
                batch,
                leader_epoch=epoch,
                base_offset=base,
                append_timestamp_ms=self.clock.wall_ms(),
                synced_hint=min(hint, base),
            )
            stored.append(stamps + batch[HEADER_BYTES:])
            base += len(values)
            sequence += len(values) if producer else 0
        return b"".join(stored)

    def sync(self) -> None:
        """One round of the flusher."""
        ticket = self.log.start_sync()
        ticket.run()
        self.log.finish_sync(ticket)
        if self.point is not None:
            self.point = self.log.recovery_point(open=True)

    def read_at(self, offset: int, max_bytes: int = 1 << 20) -> list[tuple[BatchHeader, bytes]]:
        """The batches of one read, wherever they come from."""
        log = self.log
        plan = log.plan_read(Offset(offset), max_bytes, log.log_end_offset)
        if plan is None:
            return []
        found = log.try_read_cached(plan) if isinstance(plan, Cold) else None
        batches = split_batches(found if found is not None else log.read(plan))
        assert batches[0][0].base_offset <= offset < batches[0][0].next_offset
        assert plan.next_offset == batches[-1][0].next_offset
        return [(header, bytes(batch)) for header, batch in batches]

    def read_all(self, max_bytes: int = 1 << 20) -> list[tuple[BatchHeader, bytes]]:
        """Every batch from the start on, in as many reads as it takes."""
        offset, batches = self.log.log_start_offset, []
        while offset < self.log.log_end_offset:
            found = self.read_at(offset, max_bytes)
            batches += found
            offset = found[-1][0].next_offset
        return batches

    def base_offsets(self) -> list[int]:
        """Of every batch."""
        return [header.base_offset for header, _ in self.read_all()]

    def readable(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Base offsets of all batches that are served, and the ranges that answer with corruption,
        as a reader finds them who goes on at `next_offset`."""
        offset, end = self.log.log_start_offset, self.log.log_end_offset
        good: list[int] = []
        bad: list[tuple[int, int]] = []
        while offset < end:
            try:
                found = self.read_at(offset)
                good += [header.base_offset for header, _ in found]
                offset = found[-1][0].next_offset
            except StoredDataCorrupt as error:
                next_offset = Offset(int(error.details["next_offset"]))
                assert offset < next_offset <= end
                bad.append((offset, next_offset))
                offset = next_offset
        return good, bad

    def reasons(self) -> list[str]:
        """What recovery reported."""
        return [problem.reason for problem in self.log.problems()]

    def files(self) -> list[str]:
        return sorted(os.listdir(self.path)) if self.path.exists() else []

    def segment_paths(self) -> list[Path]:
        return sorted(self.path.glob("*.log"))

    def copy(self, root: Path) -> "LogBench":
        """Another bench on a copy of the files as they are now, not opened yet."""
        shutil.copytree(self.path, root / self.path.name)
        other = object.__new__(LogBench)
        other.__dict__.update(self.__dict__)
        other.path, other.fs = root / self.path.name, FaultyFileSystem()
        if self.point is not None:
            other.point = replace(self.point)
        return other


def written_log(tmp_path: Path, batches: int = 8, config: TopicConfig = LARGE_SEGMENTS) -> LogBench:
    """A log of batches of two records, one a leader epoch, all synced, left as by a crash."""
    root = tmp_path / "written"
    root.mkdir()
    bench = LogBench(root, config)
    for number in range(batches):
        bench.append([b"%d" % number, bytes(number)], producer=(5, 0, 2 * number), epoch=number + 1)
        bench.clock.advance(10)
    bench.sync()
    return bench
