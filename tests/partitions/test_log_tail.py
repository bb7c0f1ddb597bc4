"""What a follower takes from its leader, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.log_bench import LARGE_SEGMENTS, SMALL_SEGMENTS, LogBench
from logd.model.errors import (
    CorruptBatch,
    FencedLeaderEpoch,
    LogReadOnly,
    StorageFull,
    StoredDataCorrupt,
)
from logd.model.ids import LeaderEpoch, Offset
from logd.model.record_batch import split_batches
from logd_partitions.stored_batches import Gap

TWO = ([b"a", b"b"], [b"c"])


def gap(start: int, end: int) -> Gap:
    return Gap(Offset(start), Offset(end))


def epochs(bench: LogBench) -> list[tuple[int, int]]:
    return [(entry.epoch, entry.start_offset) for entry in bench.log.leader_epochs.entries]


def test_the_bytes_stay_the_leaders_and_come_in_one_write(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    stored = bench.stored(*TWO, *TWO, epoch=3, hint=1)
    writes = bench.fs.calls["pwrite"]
    bench.log.append_stored(stored)
    assert bench.fs.calls["pwrite"] == writes + 1
    assert b"".join(data for _, data in bench.read_all()) == stored
    assert (bench.log.log_end_offset, bench.log.synced_end_offset) == (6, 0)
    bench.sync()
    assert bench.log.synced_end_offset == 6
    for reopened in (bench.crash, bench.stop):
        reopened()
        assert b"".join(data for _, data in bench.read_all()) == stored


def test_a_segment_takes_what_fits_and_the_next_one_the_rest(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, SMALL_SEGMENTS)
    bench.log.append_stored(bench.stored(*[[bytes(900)] for _ in range(10)]))
    assert [path.stat().st_size <= 4096 for path in bench.segment_paths()] == [True] * 3
    assert bench.base_offsets() == list(range(10))


def test_a_segment_ends_with_its_time_also_among_batches_of_one_answer(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replace(LARGE_SEGMENTS, segment_ms=1000))
    answer = bench.stored([b"a"], base_offset=0)
    bench.clock.advance(999)
    answer += bench.stored([b"b"], base_offset=1)
    bench.clock.advance(1)
    answer += bench.stored([b"c"], [b"d"], base_offset=2)
    bench.log.append_stored(answer)
    assert [path.stem.lstrip("0") for path in bench.segment_paths()] == ["", "2"]


def test_sequences_are_not_judged_and_are_remembered(tmp_path: Path) -> None:
    """What the leader appended has happened: also where a producer's earlier batches are gone."""
    bench = LogBench(tmp_path)
    bench.log.append_stored(bench.stored([b"a"], producer=(7, 2, 40)))
    bench.log.append_stored(bench.stored([b"b"], producer=(7, 2, 99)))
    again = bench.append([b"b"], producer=(7, 2, 99))
    assert (again.base_offset, again.duplicate) == (1, True)
    assert bench.append([b"c"], producer=(7, 2, 100)).base_offset == 2


def test_epochs_are_noted_where_they_begin(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    answer = bench.stored(*TWO, epoch=2) + bench.stored(*TWO, base_offset=3, epoch=5)
    bench.log.append_stored(answer)
    assert epochs(bench) == [(2, 0), (5, 3)]
    with pytest.raises(FencedLeaderEpoch):
        bench.log.append_stored(bench.stored(*TWO, epoch=4))
    bench.log.begin_epoch(LeaderEpoch(7))
    assert epochs(bench) == [(2, 0), (5, 3), (7, 6)]
    with pytest.raises(FencedLeaderEpoch):
        bench.log.append_stored(bench.stored(*TWO, epoch=6))
    with pytest.raises(FencedLeaderEpoch):
        bench.log.begin_epoch(LeaderEpoch(6))
    bench.log.begin_epoch(LeaderEpoch(8))
    bench.log.append_stored(bench.stored(*TWO, epoch=8))
    assert epochs(bench) == [(2, 0), (5, 3), (8, 6)], "7 never had a batch"


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_one_flipped_byte_and_nothing_is_appended(at: int, tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    stored = bytearray(bench.stored([b"a", b"b"], [bytes(64)]))
    at %= len(stored)
    stored[at] ^= 0x10
    with pytest.raises(CorruptBatch):
        bench.log.append_stored(bytes(stored))
    assert (bench.log.log_end_offset, bench.files()) == (0, [])


@pytest.mark.parametrize("base", [0, 2, 4, 90])
def test_batches_follow_on_what_is_there(base: int, tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    with pytest.raises(CorruptBatch) as caught:
        bench.log.append_stored(bench.stored(*TWO, base_offset=base))
    assert (caught.value.details["expected"], caught.value.details["got"]) == ("3", str(base))
    assert bench.log.log_end_offset == 3


def test_a_named_gap_is_kept_as_one(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append(producer=(7, 0, 0))
    with pytest.raises(CorruptBatch):
        bench.log.append_stored(bench.stored(*TWO, base_offset=9), [gap(3, 8)])
    answer = bench.stored(*TWO, base_offset=9) + bench.stored(*TWO, base_offset=20)
    bench.log.append_stored(answer, [gap(3, 9), gap(12, 20)])
    bench.sync()
    expected = ([0, 9, 11, 20, 22], [(3, 9), (12, 20)])
    assert bench.readable() == expected
    for reopened in (bench.stop, bench.crash):
        reopened()
        assert bench.readable() == expected and bench.log.log_end_offset == 23


def test_a_gap_may_come_with_nothing_behind_it(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.log.append_stored(b"", [gap(3, 8)])
    bench.sync()
    assert (bench.log.log_end_offset, bench.log.held_end) == (8, 8)
    bench.crash()
    assert bench.log.log_end_offset == 8
    bench.log.append_stored(bench.stored(*TWO))
    assert bench.readable() == ([0, 8, 10], [(3, 8)])
    with pytest.raises(StoredDataCorrupt) as caught:
        bench.read_at(5)
    assert caught.value.details["next_offset"] == "8"


def test_what_follows_a_gap_stands_in_a_file_of_its_own(tmp_path: Path) -> None:
    """Also behind a segment in which nothing stands yet."""
    bench = LogBench(tmp_path)
    bench.append()
    bench.log.roll()
    bench.log.append_stored(bench.stored(*TWO, base_offset=8), [gap(3, 8)])
    bench.sync()
    assert [int(path.stem) for path in bench.segment_paths()] == [0, 3, 8]
    assert bench.readable() == ([0, 8, 10], [(3, 8)])


def test_of_whom_a_gap_held_batches_nobody_knows(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append(producer=(7, 0, 0))
    bench.identities.first_id = 10  # type: ignore[assignment]
    bench.log.append_stored(b"", [gap(3, 8)])
    assert bench.log.producer_state.refuse_unknown_below == 10


def test_what_was_written_before_the_disk_was_full_stays(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, SMALL_SEGMENTS)
    answer = bench.stored(*[[bytes(900)] for _ in range(10)])
    bench.fs.free = 8192
    with pytest.raises(StorageFull):
        bench.log.append_stored(answer)
    end = bench.log.log_end_offset
    assert 0 < end < 10
    bench.fs.free = None
    rest = [bytes(data) for header, data in split_batches(answer) if header.base_offset >= end]
    bench.log.append_stored(b"".join(rest))
    assert bench.base_offsets() == list(range(10))


def test_a_broken_disk_takes_no_more(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.fs.faults.append(Fault("pwrite", ".log"))
    with pytest.raises(LogReadOnly):
        bench.log.append_stored(bench.stored(*TWO))
    with pytest.raises(LogReadOnly):
        bench.log.append_stored(bench.stored(*TWO))
    assert bench.log.log_end_offset == 0


@pytest.mark.parametrize(("committed", "hint"), [(0, 0), (2, 2), (4, 3)])
def test_with_more_replicas_a_leader_says_no_more_than_is_committed(
    committed: int, hint: int, tmp_path: Path
) -> None:
    """A follower of its ISR has synced that as well, so what it lacks below is damage."""
    bench = LogBench(tmp_path, replicated=True)
    bench.append()
    bench.sync()
    bench.log.note_committed(Offset(committed))
    bench.append()
    assert bench.read_at(3)[0][0].synced_hint == hint


def test_alone_it_says_what_it_has_synced(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.sync()
    bench.append()
    assert bench.read_at(3)[0][0].synced_hint == 3
