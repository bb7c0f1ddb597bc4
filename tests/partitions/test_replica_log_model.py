"""A PartitionLog as leaders and followers use it, against a list of batches."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harness.log_bench import TOPIC_PARTITION, LogBench
from logd.model.errors import FencedLeaderEpoch
from logd.model.ids import NO_LEADER_EPOCH, LeaderEpoch, Offset
from logd.model.record_batch import BatchHeader, split_batches
from logd_partitions.core.producer_state import NOTHING_LOST, ProducerState
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.recovery.producer_history import saved_snapshot
from logd_partitions.stored_batches import Gap

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
SIZES = st.lists(st.integers(0, 1500), min_size=1, max_size=4)


class Batch(NamedTuple):
    header: BatchHeader
    bytes: bytes

    @property
    def base(self) -> int:
        return self.header.base_offset

    @property
    def end(self) -> int:
        return self.header.next_offset


class ReplicaLogModel(RuleBasedStateMachine):
    """`batches`: what the log must hold; `gone`: what stood before them, for the producers;
    `gaps`: what is named missing. `epochs`: as they began.
    `ever_committed`: also what a run before has been told. `exact`: whether what is remembered of
    producers is known: not where a cut went below a snapshot, and the head is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="logd-model-", dir=MEMORY))
        self.batches: list[Batch] = []
        self.gone: list[BatchHeader] = []
        self.gaps: list[tuple[int, int]] = []
        self.epochs: list[tuple[int, int]] = []
        self.ever_begun = {1}
        self.start = self.end = self.synced = self.committed = self.ever_committed = 0
        self.first_producer = 0
        self.exact = True

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @initialize(replicated=st.booleans())
    def begin(self, replicated: bool) -> None:
        self.bench = LogBench(self.root, replicated=replicated)

    @property
    def epoch(self) -> int:
        return self.epochs[-1][0] if self.epochs else int(NO_LEADER_EPOCH)

    # Leaders

    @rule(sizes=SIZES, who=st.integers(0, 1), step=st.integers(0, 50))
    def append_leader(self, sizes: list[int], who: int, step: int) -> None:
        self.bench.clock.advance(step)
        values = [b"%d:" % (self.end + i) + bytes(size) for i, size in enumerate(sizes)]
        epoch = max(self.ever_begun)
        producer = self.producer(who)
        appended = self.bench.append(values, producer=producer, epoch=epoch)
        assert appended.base_offset == self.end and not appended.duplicate
        self.took(self.bench.read_at(self.end)[0])
        hint = self.batches[-1].header.synced_hint
        assert hint <= self.synced
        assert not self.bench.replicated or hint <= max(self.committed, 0)

    @rule(by=st.integers(0, 2))
    def begin_epoch(self, by: int) -> None:
        epoch = max(self.ever_begun) + by
        self.bench.log.begin_epoch(LeaderEpoch(epoch))
        self.began(epoch, self.end)
        if epoch > 1:
            with pytest.raises(FencedLeaderEpoch):
                self.bench.log.begin_epoch(LeaderEpoch(epoch - 1))

    # Followers

    @rule(
        batches=st.lists(SIZES, min_size=1, max_size=6),
        gap=st.sampled_from([0, 0, 0, 0, 1, 7]),
        by=st.sampled_from([0, 0, 1]),
        hint=st.integers(0, 200),
        who=st.integers(0, 1),
    )
    def append_stored(
        self, batches: list[list[int]], gap: int, by: int, hint: int, who: int
    ) -> None:
        epoch = max(self.ever_begun) + by
        values = [[bytes(size) for size in sizes] for sizes in batches]
        base = self.end + gap
        producer = self.producer(who)
        stored = self.bench.stored(
            *values, base_offset=base, epoch=epoch, hint=hint, producer=producer
        )
        self.bench.log.append_stored(stored, [Gap(Offset(self.end), Offset(base))] * bool(gap))
        if gap:
            self.gaps.append((self.end, base))
            self.end = base
        for header, data in split_batches(stored):
            self.took((header, bytes(data)))

    @rule(length=st.integers(1, 5))
    def append_a_gap(self, length: int) -> None:
        """With nothing behind it yet."""
        gap = Gap(Offset(self.end), Offset(self.end + length))
        self.bench.log.append_stored(b"", [gap])
        self.gaps.append(gap)
        self.end += length

    @rule(share=st.floats(0, 1))
    def truncate_to(self, share: float) -> None:
        committed = min(self.ever_committed, self.end) if self.bench.replicated else self.end
        low = max(self.start, committed)
        self.cut(low + round((self.end - low) * share))

    @rule(share=st.floats(0, 1))
    def truncate_below_what_is_committed(self, share: float) -> None:
        """As an unclean election may."""
        saved = self.saved_offset()
        offset = self.start + round((self.end - self.start) * share)
        self.cut(offset)
        if saved > self.end and (self.gone or self.start > 0):
            self.exact, self.first_producer = False, self.first_producer + 2
        self.committed = min(self.committed, self.end)
        self.ever_committed = min(self.ever_committed, self.end)

    def cut(self, offset: int) -> None:
        ends = [0, *(batch.end for batch in self.batches), *(end for _, end in self.gaps)]
        ends += [batch.base for batch in self.batches[:1]]
        end = max([each for each in ends if each <= offset], default=0)
        if end < self.start or (not self.batches_below(end) and self.is_anew()):
            end = self.start
        assert self.bench.log.truncate_to(Offset(offset)) == end
        self.batches = self.batches_below(end)
        self.gaps = [gap for gap in self.gaps if gap[1] <= end]
        self.epochs = [each for each in self.epochs if each[1] < end]
        if end < self.end:
            assert self.bench.log.synced_end_offset == end, "what stays is synced"
            self.end = self.synced = end
        if not self.batches:
            self.forget_epochs()

    def forget_epochs(self) -> None:
        """One that has no batch may be forgotten, or not."""
        entries = self.bench.log.leader_epochs.entries
        assert {entry.epoch for entry in entries} <= self.ever_begun
        self.epochs = [(int(entry.epoch), int(entry.start_offset)) for entry in entries]
        if self.batches:
            assert self.epoch >= self.batches[-1].header.leader_epoch

    def batches_below(self, end: int) -> list[Batch]:
        return [batch for batch in self.batches if batch.end <= end]

    def is_anew(self) -> bool:
        return not len(self.bench.log._segments)

    @rule(
        offset=st.integers(0, 300),
        epochs=st.lists(st.integers(1, 5), max_size=3, unique=True).map(sorted),
        within=st.booleans(),
    )
    def start_anew(self, offset: int, epochs: list[int], within: bool) -> None:
        """Perhaps within the leader's first batch."""
        numbered = enumerate(epochs[:offset])
        entries = [EpochEntry(LeaderEpoch(epoch), Offset(at)) for at, epoch in numbered]
        self.bench.log.start_anew(Offset(offset), entries, ProducerState())
        self.batches, self.gone, self.gaps = [], [], []
        self.epochs = list(entries)
        self.ever_begun = {1, *epochs}
        self.start = self.end = self.synced = offset
        self.committed = self.ever_committed = offset
        self.exact = True
        if within and offset > 1:
            base = offset - 1
            stored = self.bench.stored([b"x", b"y"], base_offset=base, epoch=max(self.ever_begun))
            self.bench.log.append_stored(stored)
            for header, data in split_batches(stored):
                self.took((header, bytes(data)))

    # Both

    @rule(share=st.floats(0, 1))
    def note_committed(self, share: float) -> None:
        if self.bench.replicated:
            committed = round(self.end * share)
            self.committed = max([e.end for e in self.batches if e.end <= committed] + [0])
            self.bench.log.note_committed(Offset(self.committed))
            self.committed = int(self.bench.log._progress.committed_max)
            self.ever_committed = max(self.committed, self.ever_committed)

    @rule(share=st.floats(0, 1))
    def advance_log_start(self, share: float) -> None:
        committed = int(self.bench.log.committed_end)
        if committed < self.start:
            return
        offset = self.start + round((committed - self.start) * share)
        assert self.bench.log.advance_log_start(Offset(offset)) == offset
        self.start = offset
        self.gone += [batch.header for batch in self.batches if batch.end <= offset]
        self.batches = [batch for batch in self.batches if batch.end > offset]
        self.gaps = [(max(s, offset), e) for s, e in self.gaps if e > offset]

    @rule()
    def sync(self) -> None:
        self.bench.sync()
        self.synced = self.end

    @rule()
    def roll(self) -> None:
        self.bench.log.roll()

    @rule()
    def maintain(self) -> None:
        self.bench.log.apply_retention(None)

    @rule()
    def stop(self) -> None:
        self.bench.stop()
        self.opened_again()

    @rule()
    def crash(self) -> None:
        if any(gap[1] > self.synced for gap in self.gaps):
            self.bench.sync()  # else it is torn there, and fetched again
        self.bench.crash()
        self.opened_again()

    def opened_again(self) -> None:
        self.synced = self.end
        segments = list(self.bench.log._segments)
        if segments and self.saved_offset() < segments[0].base_offset:
            # The start moved before the segment was there that begins at it.
            self.exact, self.first_producer = False, self.first_producer + 2
        self.forget_epochs()
        if self.bench.replicated:
            self.committed = int(self.bench.log.log_start_offset)

    # What must hold

    @invariant()
    def bounds(self) -> None:
        if hasattr(self, "bench"):
            log = self.bench.log
            assert (log.log_start_offset, log.log_end_offset) == (self.start, self.end)
            assert log.synced_end_offset == log.held_end == self.synced
            assert self.bench.fs.open_files <= 8

    @invariant()
    def holds_the_batches(self) -> None:
        if hasattr(self, "bench"):
            good, bad = self.bench.readable()
            assert good == [batch.base for batch in self.batches]
            missing = [offset for start, end in bad for offset in range(start, end)]
            assert missing == [offset for start, end in self.gaps for offset in range(start, end)]
            for batch in self.batches[-3:]:
                found = self.bench.read_at(max(batch.base, self.start), 1)
                assert found == [(batch.header, batch.bytes)]

    @invariant()
    def knows_the_epochs(self) -> None:
        if hasattr(self, "bench"):
            epochs = self.bench.log.leader_epochs
            assert epochs.latest() == self.epoch
            for batch in self.batches:
                assert epochs.epoch_at(Offset(batch.end - 1)) == batch.header.leader_epoch

    @invariant()
    def remembers_the_producers(self) -> None:
        if hasattr(self, "bench") and self.exact:
            remembered = ProducerState()
            for header in self.headers():
                remembered.record(header, header.base_offset, header.append_timestamp_ms)
            assert _bytes(self.bench.log.producer_state) == _bytes(remembered)

    @invariant()
    def saves_only_what_is_committed(self) -> None:
        if hasattr(self, "bench") and self.bench.replicated:
            assert self.saved_offset() <= max(self.ever_committed, self.start)

    # The model's own

    def headers(self) -> list[BatchHeader]:
        """Of all that was appended and not cut, since the log last began anew."""
        return [*self.gone, *(batch.header for batch in self.batches)]

    def producer(self, who: int) -> tuple[int, int, int]:
        """Its id, epoch and next sequence."""
        producer_id = self.first_producer + who
        own = [header for header in self.headers() if header.producer_id == producer_id]
        return producer_id, 0, own[-1].base_sequence + own[-1].record_count if own else 0

    def saved_offset(self) -> int:
        if not self.bench.path.exists():
            return 0
        saved = saved_snapshot(self.bench.log._storage, TOPIC_PARTITION)
        return 0 if saved is None else int(saved.offset)

    def began(self, epoch: int, offset: int) -> None:
        if epoch != self.epoch:
            self.epochs = [each for each in self.epochs if each[1] < offset] + [(epoch, offset)]
            self.ever_begun.add(epoch)

    def took(self, found: tuple[BatchHeader, bytes]) -> None:
        batch = Batch(*found)
        self.began(batch.header.leader_epoch, max(batch.base, self.end))
        self.batches.append(batch)
        self.end = batch.end


def _bytes(state: ProducerState) -> bytes:
    before, state.refuse_unknown_below = state.refuse_unknown_below, NOTHING_LOST
    try:
        return state.to_bytes(TOPIC_PARTITION, Offset(0))
    finally:
        state.refuse_unknown_below = before


TestReplicaLogModel = ReplicaLogModel.TestCase
TestReplicaLogModel.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestReplicaLogModel = pytest.mark.slow(TestReplicaLogModel)
