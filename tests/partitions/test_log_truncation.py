"""What is left where a log's tail is cut, and of what was under way meanwhile."""

import errno
import itertools
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.log_bench import LARGE_SEGMENTS, SMALL_SEGMENTS, TOPIC_PARTITION, LogBench
from logd.model.errors import (
    LeaderNotAvailable,
    LogdError,
    LogReadOnly,
    OffsetOutOfRange,
    Overloaded,
    StorageFull,
    StoredDataCorrupt,
)
from logd.model.ids import LeaderEpoch, Offset
from logd_partitions.core.producer_state import ProducerState
from logd_partitions.core.time_index import NO_TIME
from logd_partitions.directory.directory_port import Recoverable
from logd_partitions.leader_epochs import EpochEntry
from logd_partitions.log_truncation import find_cut
from logd_partitions.recovery.producer_history import saved_snapshot
from logd_partitions.segment.read_plan import Cold, Hot


def rolled(tmp_path: Path, *, replicated: bool = True) -> LogBench:
    """Batches of two records, four a segment, one an epoch; all synced, the sealed ones saved."""
    bench = LogBench(tmp_path, SMALL_SEGMENTS, replicated=replicated)
    for number in range(14):
        values = [b"%d" % number, bytes(800)]
        bench.append(values, producer=(5, 0, 2 * number), epoch=1 + number // 3)
        bench.clock.advance(10)
        bench.sync()
    bench.log.apply_retention(None)
    return bench


@pytest.mark.parametrize("offset", range(29))
def test_the_log_ends_where_the_batch_that_holds_the_offset_begins(
    offset: int, tmp_path: Path
) -> None:
    bench = rolled(tmp_path)
    before = bench.read_all()
    end = offset - offset % 2
    assert bench.log.truncate_to(Offset(offset)) == end
    assert bench.log.log_end_offset == bench.log.synced_end_offset == bench.log.held_end == end
    assert bench.read_all() == before[: end // 2]
    assert bench.log.leader_epochs.latest() == (1 + (end // 2 - 1) // 3 if end else -1)
    names = {path.stem for path in bench.path.glob("*.manifest")}
    assert all(int(name) < end for name in names)
    appended = bench.append([b"x"], producer=(5, 0, end), epoch=9)
    assert (appended.base_offset, appended.duplicate) == (end, False)
    bench.crash()
    assert [header.base_offset for header, _ in bench.read_all()] == [*range(0, end, 2), end]
    assert bench.reasons() == []


def test_at_the_end_epochs_are_cut_all_the_same(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    bench.log.begin_epoch(LeaderEpoch(8))
    calls = bench.fs.calls.copy()
    assert bench.log.truncate_to(Offset(28)) == 28
    assert bench.log.leader_epochs.latest() == 5
    assert bench.fs.calls == calls, "and nothing else is done"
    bench.log.begin_epoch(LeaderEpoch(6))


def test_below_the_start_nothing_can_be_cut(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    bench.log.note_committed(Offset(20))
    bench.log.advance_log_start(Offset(9))
    with pytest.raises(OffsetOutOfRange):
        bench.log.truncate_to(Offset(8))
    assert bench.log.truncate_to(Offset(9)) == 9, "it begins within a batch, of which nothing stays"
    assert (bench.log.log_start_offset, bench.log.log_end_offset) == (9, 9)
    bench.log.append_stored(bench.stored([b"a", b"b"], base_offset=8, epoch=9))
    assert (bench.log.log_end_offset, bench.base_offsets()) == (10, [8])


def test_a_sync_that_is_under_way_counts_for_nothing(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(3):
        bench.append()
    ticket = bench.log.start_sync()
    assert bench.log.truncate_to(Offset(3)) == 3
    ticket.run()
    bench.log.finish_sync(ticket)
    assert (bench.log.synced_end_offset, bench.log.held_end) == (3, 3)
    assert bench.log.recovery_point(open=True).next_offset == 3
    bench.append()
    assert bench.log.held_end == 3


def test_a_ticket_of_before_writes_no_hints_any_more(tmp_path: Path) -> None:
    """Its producers and index entries tell of batches that are gone."""
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for number in range(200):
        bench.append([bytes(4000)], producer=(5, 0, number))
    bench.log._progress.save_producers(bench.log.producer_state, bench.log.log_end_offset)
    ticket = bench.log.start_sync()
    assert ticket.snapshot is not None and ticket.tail is not None
    bench.log.truncate_to(Offset(3))
    ticket.run()
    saved = saved_snapshot(bench.log._storage, TOPIC_PARTITION)
    assert saved is None or saved.offset <= 3
    assert not bench.path.joinpath("00000000000000000000.index").exists()


def test_readers_ask_again_where_what_they_had_planned_was_cut(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    log = bench.log
    hot = log.plan_read(Offset(26), 1 << 20, Offset(28))
    cold = log.plan_read(Offset(2), 1 << 20, Offset(8))
    gone = log.plan_read(Offset(16), 1 << 20, Offset(28))
    assert isinstance(hot, Hot) and isinstance(cold, Cold) and isinstance(gone, Cold | Hot)
    log.truncate_to(Offset(10))
    for plan in (hot, gone):
        with pytest.raises(LeaderNotAvailable):
            log.read(plan)
    assert log.read(cold)
    assert log.problems() == []


def test_a_view_of_a_sealed_segment_outlives_its_cut(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, SMALL_SEGMENTS)
    for number in range(5):
        bench.append([b"%d" % number, bytes(800)])
    plan = bench.log.plan_read(Offset(0), 1 << 20, Offset(8))
    assert isinstance(plan, Hot) and plan.segment.sealed
    view = bench.log.read(plan)
    before = bytes(view)
    bench.log.truncate_to(Offset(2))
    bench.append([bytes(3000)])
    assert bytes(view) == before


@pytest.mark.parametrize("call", ["unlink", "truncate", "rename", "open", "sync_directory"])
@pytest.mark.parametrize("skip", range(12))
@pytest.mark.parametrize("offset", [10, 22])
def test_what_could_not_be_done_is_done_by_the_next_call(
    call: str, skip: int, offset: int, tmp_path: Path
) -> None:
    bench = rolled(tmp_path)
    before = bench.read_all()
    fault = Fault(call, error=errno.EMFILE, skip=skip, times=2)  # what is idle gives way first
    bench.fs.faults.append(fault)
    try:
        bench.log.truncate_to(Offset(offset))
    except (Overloaded, LogReadOnly) as error:
        assert isinstance(error, Overloaded), error
        left = bench.log.log_end_offset
        assert offset <= left <= 28
    bench.fs.faults.clear()
    assert bench.log.truncate_to(Offset(offset)) == offset
    assert bench.read_all() == before[: offset // 2]
    bench.crash()
    assert bench.read_all() == before[: offset // 2] and bench.reasons() == []


def test_a_sync_that_fails_on_the_way_breaks_the_log(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    bench.fs.faults.append(Fault("datasync", ".log"))
    bench.append()
    with pytest.raises(LogdError):
        bench.log.truncate_to(Offset(10))
    with pytest.raises(LogReadOnly):
        bench.log.truncate_to(Offset(10))


def test_producers_are_not_saved_before_the_watermark_is_past_them(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    storage = bench.log._storage
    assert saved_snapshot(storage, TOPIC_PARTITION) is None, "of no batch it is known"
    bench.log.note_committed(Offset(7))
    bench.sync()
    assert saved_snapshot(storage, TOPIC_PARTITION) is None, "the first was made at 8"
    bench.log.note_committed(Offset(8))
    bench.sync()
    saved = saved_snapshot(storage, TOPIC_PARTITION)
    assert saved is not None and saved.offset == 8


def test_a_cut_above_a_snapshot_reads_only_the_headers_behind_it(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    bench.log.note_committed(Offset(8))
    bench.sync()
    bench.log._progress.save_snapshot(
        bench.log.producer_state.to_bytes(TOPIC_PARTITION, Offset(28)), Offset(28)
    )
    bench.fs.reads.clear()
    bench.log.truncate_to(Offset(18))
    read = {Path(path).name for path, _, _ in bench.fs.reads if path.endswith(".log")}
    assert read == {"00000000000000000008.log", "00000000000000000016.log"}


def test_a_snapshot_that_tells_of_too_much_is_made_anew(tmp_path: Path) -> None:
    """As after an unclean election: cut below what was thought committed."""
    bench = rolled(tmp_path)
    bench.log.note_committed(Offset(24))
    bench.sync()
    bench.append([b"x"], producer=(6, 0, 0))
    bench.log._progress.save_producers(bench.log.producer_state, bench.log.log_end_offset)
    bench.log.note_committed(Offset(29))
    bench.sync()
    bench.log.truncate_to(Offset(12))
    saved = saved_snapshot(bench.log._storage, TOPIC_PARTITION)
    assert saved is not None and saved.offset == 12
    assert len(bench.log.producer_state) == len(saved.producers) == 1


def test_start_anew_continues_another_log(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    producers = ProducerState()
    epochs = [EpochEntry(LeaderEpoch(1), Offset(0)), EpochEntry(LeaderEpoch(7), Offset(50))]
    bench.log.start_anew(Offset(100), epochs, producers)
    for reopened in (bench.same, bench.crash, bench.stop):
        reopened()
        log = bench.log
        assert (log.log_start_offset, log.log_end_offset, log.held_end) == (100, 100, 100)
        assert log.leader_epochs.entries == tuple(epochs)
        assert (log.segment_count, log.size_bytes, bench.reasons()) == (0, 0, [])
    assert not bench.segment_paths()
    bench.log.append_stored(bench.stored([b"a"], base_offset=100, epoch=7))
    bench.stop()
    assert bench.base_offsets() == [100]


def test_who_reads_while_a_log_starts_anew_is_told_what_it_holds(tmp_path: Path) -> None:
    """Nothing there is damaged at any moment, and so no health tells of it."""
    bench = rolled(tmp_path)
    said: list[type[LogdError]] = []

    def read() -> None:
        with pytest.raises(LogdError) as refused:
            bench.log.plan_read(Offset(10), 1000, Offset(28))
        said.append(refused.type)

    changed = bench.bounds_changed

    def changed_while_read(log: Recoverable) -> None:
        changed(log)
        read()

    bench.bounds_changed = changed_while_read  # type: ignore[method-assign]
    bench.log.start_anew(Offset(100), [EpochEntry(LeaderEpoch(1), Offset(0))], ProducerState())
    read()
    assert said[-1] is OffsetOutOfRange and StoredDataCorrupt not in said
    assert bench.reasons() == []


def test_a_start_anew_that_fails_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    bench = rolled(tmp_path)
    changed, calls = bench.bounds_changed, itertools.count()

    def full(log: Recoverable) -> None:
        """Where the log's new start would be saved; it has fallen back by then."""
        if next(calls) == 0:
            raise StorageFull("no room for the points", path="points")
        changed(log)

    bench.bounds_changed = full  # type: ignore[method-assign]
    epochs = [EpochEntry(LeaderEpoch(1), Offset(0)), EpochEntry(LeaderEpoch(7), Offset(50))]
    with pytest.raises(StorageFull):
        bench.log.start_anew(Offset(100), epochs, ProducerState())
    assert (bench.log.log_start_offset, bench.log.log_end_offset) == (0, 0)
    bench.log.append_stored(bench.stored([b"a"], base_offset=0, epoch=8))
    bench.sync()
    assert bench.base_offsets() == [0]
    bench.log.start_anew(Offset(100), epochs, ProducerState())
    assert (bench.log.log_start_offset, bench.log.log_end_offset) == (100, 100)


def test_a_new_replica_starts_anew_where_nothing_is(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replicated=True)
    bench.log.start_anew(Offset(40), [EpochEntry(LeaderEpoch(3), Offset(2))], ProducerState())
    bench.crash()
    assert (bench.log.log_end_offset, bench.log.leader_epochs.latest()) == (40, 3)


def test_the_indexes_of_a_cut_are_those_of_its_batches(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for number in range(60):
        bench.append([bytes(2000), b"%d" % number], timestamps_ms=bench.clock.wall_ms() + number)
        bench.clock.advance(10)
    (segment,) = bench.log._segments
    headers = [header for header, _ in bench.read_all()]
    for offset in range(0, 121, 7):
        kept, count = find_cut(segment, Offset(offset)), offset // 2
        assert (kept.position, kept.offset) == (
            sum(h.batch_length for h in headers[:count]),
            2 * count,
        )
        below = segment.index().up_to(Offset(kept.offset - 1))
        assert kept.index.entry_bytes(0) == below.entry_bytes(0)
        times = [header.append_timestamp_ms for header in headers[:count]]
        assert kept.time_index.last_append_ms == (times[-1] if times else NO_TIME)
        assert kept.time_index.first_append_ms == (times[0] if times else NO_TIME)
