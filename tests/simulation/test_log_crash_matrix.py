"""Every verb of a replica's log, crashed at every change that it makes on the disk.

As `test_crash_matrix`, on the log alone: what a follower does to it no broker does yet. What is
found afterwards is the log of before, cut somewhere between the two ends, or what the verb should
make of it, or a part of that: never a batch that is missing in between, nor an old one behind new
ones. Done again, the verb comes to its end.
"""

import contextlib
import errno
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from logd.model.errors import Overloaded
from logd.model.ids import LeaderEpoch, Offset
from logd.sim.disk_faults import NEEDS_FILE, DiskFaults
from logd.sim.seeded_random import SeededRandom
from logd_partitions.core import offset_index, time_index
from logd_partitions.core.producer_state import ProducerState
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.segment import log_segment
from logd_partitions.sync import sync_progress
from logd_partitions.sync.sync_ticket import SyncTicket
from simulation.log_crash_bench import (
    Life,
    LogCrashBench,
    Stored,
    died,
    prepared,
    run,
)

pytestmark = pytest.mark.slow

POWER_VARIANTS = 2
FAILED_VARIANTS = 6
KNOBS = (
    (offset_index, "INDEX_INTERVAL_BYTES", 512),
    (time_index, "TIME_INTERVAL_BYTES", 512),
    (log_segment, "TAIL_ENTRIES_MIN", 1),
)
NEW_START = 61
"""Of a log that begins anew, within a batch of its leader's."""


EPOCHS = (EpochEntry(LeaderEpoch(2), Offset(0)), EpochEntry(LeaderEpoch(4), Offset(9)))
"""Of the leader of a log that begins anew."""


@dataclass(frozen=True)
class LogOperation:
    """`operate` is crashed; done again it goes on. `lives`: what the log may be then; the last one
    is what it is in the end."""

    name: str
    operate: Callable[[LogCrashBench], None]
    lives: Sequence[Life]
    is_new: bool = False
    """Whether the log is that of a new replica, of which nothing is on the disk."""

    def __str__(self) -> str:
        return self.name


@functools.cache
def _prepared() -> LogCrashBench:
    return prepared()


def opened(*, is_new: bool = False) -> LogCrashBench:
    """With two batches more, so that the active segment is in use. All is synced."""
    bench = LogCrashBench() if is_new else _prepared().clone()
    bench.start()
    if is_new:
        return bench
    more = run(32, 16, 2, 4, [*bench.gone, *bench.batches])
    bench.append(more)
    bench.batches += more
    return bench


def operations() -> Iterator[LogOperation]:
    bench = opened()
    gone, old = bench.gone, bench.batches
    end = old[-1].header.next_offset
    history = [*gone, *old]
    for offset in sorted({*range(4, end + 1, 2), *range(5, end, 6)}):  # some within a batch
        kept = [batch for batch in old if batch.header.next_offset <= offset]
        rest = old[len(kept) :]
        yield LogOperation(
            f"truncate to {offset}",
            functools.partial(truncate, offset=offset),
            [Life(4, kept, rest, gone), Life(4, kept, [], gone)],
        )
        if offset % 2 == 0:
            base = kept[-1].header.next_offset if kept else 4
            others = run(base, 30, 4, 7, [*gone, *kept])
            yield LogOperation(
                f"truncate to {offset}, and append",
                functools.partial(truncate_and_append, offset=offset, batches=others),
                [Life(4, kept, rest, gone), Life(4, kept, others, gone)],
            )
    for count in (1, 2, 11):
        more = run(end, 40, count, 5, history)
        yield LogOperation(
            f"append {count} stored",
            functools.partial(append, batches=more),
            [Life(4, old, more, gone)],
        )
    more = run(end, 40, 2, 9, history)
    yield LogOperation("an epoch without batches", epoch_alone, [Life(4, old, [], gone)])
    yield LogOperation(
        "an epoch, and its batches",
        functools.partial(epoch_and_append, batches=more),
        [Life(4, old, more, gone)],
    )
    for start in (20, end, NEW_START):
        others = run(start - start % 2, 50, 3, 6, [])
        yield LogOperation(
            f"start anew at {start}",
            functools.partial(start_anew, start=start, batches=others),
            [Life(4, [], old, gone), Life(start, [], others, epochs=EPOCHS)],
        )
    others = run(40, 50, 3, 6, [])
    yield LogOperation(
        "start anew as a new replica",
        functools.partial(start_anew, start=40, batches=others),
        [Life(0, [], []), Life(40, [], others, epochs=EPOCHS)],
        is_new=True,
    )
    yield LogOperation(
        "advance the log's start",
        advance_log_start,
        [Life(4, old, [], gone), Life(12, old[4:], [], [*gone, *old[:4]])],
    )


def truncate(bench: LogCrashBench, offset: int) -> None:
    bench.committed = min(bench.committed, offset)
    new_end = bench.log.truncate_to(Offset(offset))
    assert bench.log.log_end_offset == new_end <= offset


def truncate_and_append(bench: LogCrashBench, offset: int, batches: Sequence[Stored]) -> None:
    truncate(bench, offset)
    for at in range(0, len(batches), 2):
        bench.append(batches[at : at + 2])


def append(bench: LogCrashBench, batches: Sequence[Stored]) -> None:
    end = bench.log.log_end_offset
    bench.append([batch for batch in batches if batch.header.base_offset >= end])


def begin_epoch(bench: LogCrashBench, epoch: int) -> None:
    bench.log.begin_epoch(LeaderEpoch(max(epoch, bench.log.leader_epochs.latest())))


def epoch_alone(bench: LogCrashBench) -> None:
    begin_epoch(bench, 8)
    bench.sync()
    bench.log.roll()
    bench.sync()


def epoch_and_append(bench: LogCrashBench, batches: Sequence[Stored]) -> None:
    begin_epoch(bench, 8)
    bench.sync()
    begin_epoch(bench, 9)
    append(bench, batches)


def start_anew(bench: LogCrashBench, start: int, batches: Sequence[Stored]) -> None:
    bench.committed = start
    bench.log.start_anew(Offset(start), EPOCHS, ProducerState())
    assert bench.log.leader_epochs.entries == EPOCHS
    bench.append(batches[:2])
    bench.append(batches[2:])


def advance_log_start(bench: LogCrashBench) -> None:
    bench.log.advance_log_start(Offset(12))


def changes_of(operation: LogOperation) -> int:
    """How many calls change the disk."""
    bench = opened(is_new=operation.is_new)
    before = bench.fs.crash_point.changes
    operation.operate(bench)
    return bench.fs.crash_point.changes - before


def crashed(operation: LogOperation, at: int, variant: int | None) -> list[str]:
    """Die in change number `at`, by kill or (a variant) by power failure; what is then wrong."""
    bench = opened(is_new=operation.is_new)
    bench.crash_after(at, power=variant)
    if not died(lambda: operation.operate(bench)):
        bench.die(variant)
        lives = [_whole(operation)]
    else:
        lives = [*operation.lives, _whole(operation)]
    bench.start()
    if findings := bench.findings(lives):
        return findings
    operation.operate(bench)
    bench.die(0)
    bench.start()
    findings = [f"once done: {each}" for each in bench.findings([_whole(operation)])]
    bench.stop()
    bench.start()
    return findings + [f"stopped: {each}" for each in bench.findings([_whole(operation)])]


def _whole(operation: LogOperation) -> Life:
    last = operation.lives[-1]
    return last._replace(must=[*last.must, *last.may], may=[])


OPERATIONS = list(operations())
_prepared.cache_clear()


@pytest.fixture(autouse=True)
def _many_index_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written behind in each round, so that stale ones would be there to mislead."""
    for module, name, value in KNOBS:
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_a_verb_can_be_crashed_anywhere(operation: LogOperation) -> None:
    calls = changes_of(operation)
    for at in range(1, calls + 2):
        for variant in (None, *range(POWER_VARIANTS)):
            findings = crashed(operation, at, variant)
            how = "killed" if variant is None else f"power failed, variant {variant}"
            assert not findings, f"{operation}, {how} in change {at} of {calls}: {findings}"


class FailOnce(DiskFaults):
    """One call that takes a descriptor finds none, and none when what is idle has given way."""

    def __init__(self, at: int) -> None:
        super().__init__(SeededRandom("fail once"))
        self.calls, self.at = 0, at

    def error(self, call: str) -> int | None:
        self.calls += call in NEEDS_FILE
        if call in NEEDS_FILE and self.at <= self.calls < self.at + 2:
            return errno.EMFILE
        return None


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if "truncate" in each.name][::3], ids=str
)
def test_a_verb_that_failed_and_was_done_again_outlasts_a_power_failure(
    operation: LogOperation,
) -> None:
    """What it had done before it failed is made durable by the call that finds it done."""
    whole = _whole(operation)
    for at in itertools.count(1):
        for variant in range(FAILED_VARIANTS):
            bench = opened()
            faults = bench.fs.faults = FailOnce(at)
            with contextlib.suppress(Overloaded, OSError):  # of the log, of the bench's directory
                operation.operate(bench)
            bench.fs.faults = DiskFaults(SeededRandom("sound"))
            operation.operate(bench)
            bench.die(variant)
            bench.start()
            findings = bench.findings([whole])
            assert not findings, f"{operation.name}, without descriptors in call {at}: {findings}"
        if faults.calls < at:
            return


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.name.startswith(("truncate", "start anew at"))][::6],
    ids=str,
)
@pytest.mark.parametrize("snapshot", [False, True], ids=["", "with a snapshot"])
def test_a_sync_that_begins_in_the_middle_of_a_verb(
    operation: LogOperation, snapshot: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of the end of before: it moves nothing, then or later, and saves nothing of it."""
    if snapshot:
        monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES", 0)
        monkeypatch.setattr(sync_progress, "SNAPSHOT_INTERVAL_BYTES_PER_PRODUCER", 0)
    whole, at, calls = _whole(operation), 0, 1
    while at < calls:
        at += 1
        bench = opened()
        taken = SyncInBetween(bench, at)
        bench.fs.faults = taken
        operation.operate(bench)
        bench.fs.faults = DiskFaults(SeededRandom("sound"))
        calls = taken.calls
        end = bench.log.synced_end_offset
        if taken.ticket is not None:
            bench.log.finish_sync(taken.ticket)
        assert bench.log.synced_end_offset == end == bench.log.log_end_offset
        bench.die(0)
        bench.start()
        findings = bench.findings([whole])
        assert not findings, f"{operation.name}, a sync in call {at}: {findings}"


class SyncInBetween(DiskFaults):
    """Another thread begins a sync of the log in one call, or in the first after it that holds it
    up nowhere; it ends after all."""

    def __init__(self, bench: LogCrashBench, at: int) -> None:
        super().__init__(SeededRandom("sync in between"))
        self.calls, self.at = 0, at
        self.ticket: SyncTicket | None = None
        self._bench = bench

    def error(self, call: str) -> int | None:
        self.calls += 1
        if 0 < self.at <= self.calls and not self._bench.log._progress.hints_lock.locked():
            self.at = 0  # the ticket's own calls are none of the verb's
            calls, self.ticket = self.calls, self._bench.log.start_sync()
            self.ticket.run()
            self.calls = calls
        return None
