"""One replica's log on a simulated disk, whose verbs are crashed, and what must be true then."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.manual_clock import ManualClock
from logd.model.batch_encoder import encode_batch
from logd.model.errors import LogdError
from logd.model.ids import (
    BrokerId,
    Offset,
    PartitionId,
    ProducerEpoch,
    ProducerId,
    TopicId,
    TopicPartition,
)
from logd.model.key_ranges import even_ranges
from logd.model.record_batch import HEADER_BYTES, BatchHeader, split_batches, stamp
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd.sim.disk_faults import DiskFaults
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_disk import SimulatedDisk
from logd.sim.simulated_file_system import CrashPoint, SimulatedFileSystem
from logd.sim.simulated_process import ProcessDied, SimulatedProcess
from logd.sim.trace import Trace
from logd_partitions.core.producer_state import NOTHING_LOST, ProducerState
from logd_partitions.directory.log_directory import LogDirectory
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.partition_log import PartitionLog

TOPIC = Topic(
    TopicId(bytes(range(16))),
    "orders",
    (PartitionSpec(even_ranges(1)[0]),),
    TopicConfig(segment_bytes=4096),
    revision=1,
)
WHERE = TopicPartition(TOPIC.topic_id, PartitionId(0))
CAPACITY_BYTES = 64 << 20
START_MS = 1_700_000_000_000


class Stored(NamedTuple):
    """A batch as it stands in a log."""

    header: BatchHeader
    data: bytes


def stored(base: int, number: int, epoch: int, sequence: int, hint: int = 0) -> Stored:
    """Two records; of each three batches the first two are equally long. `number` sets its time."""
    batch = encode_batch(
        [b"%06d" % number, bytes(700 + 100 * (number % 3 // 2))],
        timestamps_ms=START_MS,
        producer_id=ProducerId(number % 2),
        producer_epoch=ProducerEpoch(0),
        base_sequence=sequence,
    )
    stamps = stamp(
        batch,
        leader_epoch=epoch,
        base_offset=base,
        append_timestamp_ms=START_MS + 10 * number,
        synced_hint=hint,
    )
    data = stamps + batch[HEADER_BYTES:]
    return Stored(BatchHeader.unpack(data), data)


def run(base: int, first: int, count: int, epoch: int, before: Sequence[Stored]) -> list[Stored]:
    """Batches from offset `base` on, numbered from `first`; their sequences follow on `before`.

    Their leader had synced what their follower has, but for the last two batches."""
    batches: list[Stored] = []
    hint = max(0, base - 4)
    for number in range(first, first + count):
        own = [b.header for b in [*before, *batches] if b.header.producer_id == number % 2]
        sequence = own[-1].base_sequence + own[-1].record_count if own else 0
        batches.append(stored(base, number, epoch, sequence, hint))
        base += 2
    return batches


class Life(NamedTuple):
    """What a log may be found to be: it starts at `start`, has all of `must` and of `may` the
    first ones. `before`: what producers have sent besides; `epochs`: what has begun besides."""

    start: int
    must: Sequence[Stored]
    may: Sequence[Stored]
    before: Sequence[Stored] = ()
    epochs: Sequence[EpochEntry] = ()

    def fits(self, start: int, found: Sequence[Stored]) -> bool:
        whole = [*self.must, *self.may]
        return (
            start == self.start
            and len(found) >= len(self.must)
            and list(found) == whole[: len(found)]
        )


@dataclass
class LogCrashBench:
    """A disk, and one process after another on it. `gone`: batches that the log has let go."""

    disk: SimulatedDisk = field(
        default_factory=lambda: SimulatedDisk(SeededRandom("disk"), CAPACITY_BYTES)
    )
    gone: list[Stored] = field(default_factory=list)
    batches: list[Stored] = field(default_factory=list)
    committed: int = 0

    def start(self) -> PartitionLog:
        """A process opens the log."""
        self.process = SimulatedProcess("broker")
        trace = Trace(lambda: 0.0)
        faults = DiskFaults(SeededRandom("faults"))
        self.fs = SimulatedFileSystem(self.disk, self.process, faults, SeededRandom("files"), trace)
        clock = ManualClock()
        self.directory = LogDirectory.open(
            self.fs, clock, "/data", broker_id=BrokerId(0), process_id=1
        )
        self.log = self.directory.open_log(TOPIC, WHERE.partition, replicated=True)
        self.log.note_committed(Offset(self.committed))
        return self.log

    def clone(self) -> "LogCrashBench":
        """Another bench on a copy of the disk, which nobody uses now."""
        disk = copy.deepcopy(self.disk)
        return LogCrashBench(disk, list(self.gone), list(self.batches), self.committed)

    def crash_after(self, changes: int, *, power: int | None) -> None:
        """The process dies in that change, counted from 1; and the machine, if `power` is given."""
        at = self.fs.crash_point.changes + changes
        self.fs.crash_point = CrashPoint(lambda: self.die(power), at)
        self.fs.crash_point.changes = at - changes

    def die(self, power: int | None) -> None:
        self.process.die()
        if power is not None:
            self.disk.random = SeededRandom(f"variant-{power}-{self.fs.crash_point.changes}")
            self.disk.lose_power()

    def sync(self) -> None:
        """A round of the flusher."""
        ticket = self.log.start_sync()
        if self.directory.needs_sync:
            self.directory.sync()
        ticket.run()
        self.log.finish_sync(ticket)
        self.directory.note_synced(self.log)
        self.directory.collect_points()
        self.directory.write_points()

    def stop(self) -> None:
        self.directory.close()

    def append(self, batches: Sequence[Stored]) -> None:
        """In one call, and one round."""
        self.log.append_stored(b"".join(batch.data for batch in batches))
        self.sync()

    # What must hold

    def findings(self, lives: Sequence[Life]) -> list[str]:
        """What is wrong with the log as it was opened."""
        log = self.log
        try:
            found = self.read_all()
        except LogdError as error:
            return [f"not readable: {error!r}"]
        fitting = [life for life in lives if life.fits(log.log_start_offset, found)]
        findings = [f"{p.reason}: {p.message}" for p in log.problems() if p.severity == "error"]
        if not fitting:
            offsets = [(b.header.base_offset, b.header.leader_epoch) for b in found]
            return [*findings, f"starts at {log.log_start_offset} and holds {offsets}"]
        end = found[-1].header.next_offset if found else log.log_start_offset
        if not end == log.log_end_offset == log.synced_end_offset:
            findings.append(f"ends at {log.log_end_offset}, synced to {log.synced_end_offset}")
        remembered = ProducerState()
        for batch in [*fitting[0].before, *found]:
            header = batch.header
            remembered.record(header, header.base_offset, header.append_timestamp_ms)
        unknown = not found and fitting[0].may  # nothing is there, and it is on the way elsewhere
        if not unknown and _bytes(log.producer_state) != _bytes(remembered):
            findings.append("remembers other producers")
        epochs = tuple(fitting[0].epochs)
        if log.leader_epochs.entries[: len(epochs)] != epochs:
            findings.append(f"knows of {log.leader_epochs.entries}, not {epochs}")
        return findings + self._looked_up(found)

    def _looked_up(self, found: Sequence[Stored]) -> list[str]:
        """Epochs and times of what is there."""
        log, findings = self.log, []
        for header, _ in found:
            if log.leader_epochs.epoch_at(header.base_offset) != header.leader_epoch:
                findings.append(f"takes {header.base_offset} for another epoch's")
            end = log.log_end_offset
            at = log.find_offset_by_time(header.append_timestamp_ms, False, end)
            if at is None or at.offset != max(header.base_offset, log.log_start_offset):
                findings.append(f"finds {at}, not {header.base_offset}, by its time")
        return findings

    def read_all(self) -> list[Stored]:
        log = self.log
        offset, found = log.log_start_offset, list[Stored]()
        while offset < log.log_end_offset:
            plan = log.plan_read(offset, 3000, log.log_end_offset)
            assert plan is not None
            batches = split_batches(log.read(plan))
            found += [Stored(header, bytes(data)) for header, data in batches]
            offset = found[-1].header.next_offset
        return found


def prepared() -> LogCrashBench:
    """A follower's log of several segments and epochs, whose head is gone, cleanly stopped."""
    bench = LogCrashBench()
    log = bench.start()
    for number in range(16):
        base, epoch = 2 * number, 1 + number // 5
        bench.batches += run(base, number, 1, epoch, bench.batches)
        bench.append(bench.batches[-1:])
        bench.committed = max(0, 2 * (number - 5))
        log.note_committed(Offset(bench.committed))
    log.advance_log_start(Offset(4))
    log.apply_retention(None)
    bench.gone, bench.batches = bench.batches[:2], bench.batches[2:]
    bench.stop()
    return bench


def died(work: Callable[[], object]) -> bool:
    """Whether the process died in it."""
    try:
        work()
    except ProcessDied:
        return True
    return False


def _bytes(state: ProducerState) -> bytes:
    before, state.refuse_unknown_below = state.refuse_unknown_below, NOTHING_LOST
    try:
        return state.to_bytes(WHERE, Offset(0))
    finally:
        state.refuse_unknown_below = before
