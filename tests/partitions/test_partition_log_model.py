"""A PartitionLog against a list of batches, through any mix of operations."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness.log_bench import SMALL_SEGMENTS, LogBench
from logd.model.batch_decoder import decode_batch
from logd.model.errors import OffsetOutOfRange
from logd.model.ids import Offset
from logd_partitions.segment.read_plan import Cold

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class PartitionLogModel(RuleBasedStateMachine):
    """`batches` is what the log must hold: (base offset, values) in order."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="logd-model-", dir=MEMORY))
        self.bench = LogBench(self.root)
        self.batches: list[tuple[int, list[bytes]]] = []
        self.append_ms: list[int] = []
        self.start = self.end = self.synced = 0
        self.epoch = 1
        self.sequence = 0

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=5), step=st.integers(-20, 50))
    def append(self, sizes: list[int], step: int) -> None:
        self.bench.clock.advance(step)
        values = [b"%d:" % (self.end + i) + bytes(size) for i, size in enumerate(sizes)]
        appended = self.bench.append(values, producer=(9, 0, self.sequence), epoch=self.epoch)
        assert (appended.base_offset, appended.duplicate) == (self.end, False)
        assert not self.append_ms or appended.append_timestamp_ms >= self.append_ms[-1]
        self.batches.append((self.end, values))
        self.append_ms.append(appended.append_timestamp_ms)
        self.end += len(values)
        self.sequence += len(values)

    @precondition(lambda self: self.batches)
    @rule()
    def append_again(self) -> None:
        base, values = self.batches[-1]
        sequence = self.sequence - len(values)
        appended = self.bench.append(values, producer=(9, 0, sequence), epoch=self.epoch)
        assert (appended.base_offset, appended.duplicate) == (base, True)

    @rule()
    def new_epoch(self) -> None:
        self.epoch += 1

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

    @rule(kept=st.integers(0, 20_000))
    def retain_bytes(self, kept: int) -> None:
        self.bench.log.set_config(replace(SMALL_SEGMENTS, retention_bytes=kept))
        self.bench.log.apply_retention(None)
        self.bench.log.set_config(SMALL_SEGMENTS)
        new_start = self.bench.log.log_start_offset
        assert self.start <= new_start <= self.synced
        self._forget_before(new_start)

    @rule(share=st.floats(0, 1))
    def advance_log_start(self, share: float) -> None:
        offset = round(self.synced * share)
        assert self.bench.log.advance_log_start(Offset(offset)) == max(offset, self.start)
        self._forget_before(max(offset, self.start))

    @rule()
    def stop(self) -> None:
        self.bench.stop()
        self.synced = self.end

    @rule()
    def crash(self) -> None:
        self.bench.crash()
        self.synced = self.end

    @rule(share=st.floats(0, 1), max_bytes=st.integers(1, 20_000))
    def read(self, share: float, max_bytes: int) -> None:
        offset = self.start + round((self.end - self.start) * share)
        found = self.bench.read_at(offset, max_bytes)
        decoded = [(header.base_offset, decode_batch(batch).values) for header, batch in found]
        expected = [b for b in self.batches if b[0] + len(b[1]) > offset][: len(found)]
        assert decoded == expected
        assert bool(found) == (offset < self.end)
        assert len(found) <= 1 or sum(len(batch) for _, batch in found) <= max_bytes

    @precondition(lambda self: self.batches)
    @rule(share=st.floats(0, 1), step=st.integers(-1, 1))
    def find_by_time(self, share: float, step: int) -> None:
        time_ms = self.append_ms[round((len(self.append_ms) - 1) * share)] + step
        held = zip(self.batches, self.append_ms, strict=True)
        later = [(max(base, self.start), ms) for (base, _), ms in held if ms >= time_ms]
        found = self.bench.log.find_offset_by_time(time_ms, False, Offset(self.end))
        assert found == (later[0] if later else None)

    @invariant()
    def bounds(self) -> None:
        log = self.bench.log
        assert (log.log_start_offset, log.log_end_offset) == (self.start, self.end)
        assert log.synced_end_offset == log.held_end == self.synced
        assert log.problems() == []
        assert self.bench.fs.open_files <= 8
        for outside in (self.start - 1, self.end + 1):
            with pytest.raises(OffsetOutOfRange):
                log.plan_read(Offset(outside), 1, Offset(outside + 1))

    @invariant()
    def last_batch_is_there(self) -> None:
        if self.batches:
            base, values = self.batches[-1]
            offset = Offset(max(base, self.start))
            plan = self.bench.log.plan_read(offset, 1, Offset(self.end))
            assert plan is not None
            assert decode_batch(self.bench.log.read(plan)).values == values
            assert isinstance(plan, Cold) or plan.next_offset == self.end

    def _forget_before(self, start: int) -> None:
        self.start = start
        gone = sum(base + len(values) <= start for base, values in self.batches)
        del self.batches[:gone], self.append_ms[:gone]
        assert self.synced <= self.bench.log.synced_end_offset <= self.end
        self.synced = self.bench.log.synced_end_offset


TestPartitionLogModel = PartitionLogModel.TestCase
TestPartitionLogModel.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestPartitionLogModel = pytest.mark.slow(TestPartitionLogModel)
