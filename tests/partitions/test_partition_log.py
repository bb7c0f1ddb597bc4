import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.faulty_file_system import Fault
from harness.log_bench import (
    LARGE_SEGMENTS,
    SMALL_SEGMENTS,
    LogBench,
    written_log,
)
from logd.model.batch_encoder import encode_batch
from logd.model.errors import (
    FencedLeaderEpoch,
    LogReadOnly,
    OffsetOutOfRange,
    OutOfOrderSequence,
    StorageFull,
    SyncFailed,
)
from logd.model.ids import LeaderEpoch, Offset
from logd.model.record_batch import LeaderFlag
from logd.model.topic_config import Durability, TopicConfig
from logd_partitions.segment_maintenance import SegmentMaintenance


def test_opening_and_reading_an_unused_log_makes_nothing_on_disk(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    assert (bench.log.log_start_offset, bench.log.log_end_offset) == (0, 0)
    assert bench.log.plan_read(Offset(0), 100, Offset(0)) is None
    assert bench.log.apply_retention(10**13) == []
    bench.log.close()
    assert not bench.path.exists()


def test_a_prepared_log_makes_no_files_at_its_first_append(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    assert not bench.log.ready_for_append
    for _ in range(2):
        bench.log.prepare_append(LeaderEpoch(1))
    assert bench.log.ready_for_append and bench.first_appends == 1
    files, before = bench.files(), bench.fs.calls.copy()
    bench.append()
    assert bench.files() == files == ["00000000000000000000.log"]
    assert bench.fs.calls - before == {"pwrite": 1}
    bench.stop()
    bench.log.prepare_append(LeaderEpoch(1))
    before = bench.fs.calls.copy()
    assert bench.append().base_offset == 3
    assert bench.fs.calls - before == {"pwrite": 1}


def test_preparing_fails_as_an_append_would_and_leaves_a_closed_log_alone(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.fs.faults.append(Fault("allocate", error=errno.ENOSPC, times=2))
    with pytest.raises(StorageFull):
        bench.log.prepare_append(LeaderEpoch(1))
    assert bench.append().base_offset == 0
    bench.log.sync_failed(OSError(errno.EIO, "broken"))
    with pytest.raises(LogReadOnly):
        bench.log.prepare_append(LeaderEpoch(1))
    other = LogBench(tmp_path / "other")
    other.log.discard()
    other.log.prepare_append(LeaderEpoch(1))
    assert not other.path.exists()


def test_offsets_are_dense_and_receipts_say_what_was_stamped(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    first, second = bench.append(), bench.append([b"x"] * 5, epoch=4)
    assert (first.base_offset, first.next_offset, first.leader_epoch) == (0, 3, 1)
    assert (second.base_offset, second.next_offset, second.leader_epoch) == (3, 8, 4)
    assert second.append_timestamp_ms == bench.clock.wall_ms()
    assert not second.duplicate
    headers = [header for header, _ in bench.read_all()]
    assert [(h.base_offset, h.leader_epoch) for h in headers] == [(0, 1), (3, 4)]
    assert bench.log.leader_epochs.entries == ((1, 0), (4, 3))


def test_append_time_never_falls(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    times = []
    for step in (0, 50, -5000, 20):
        bench.clock.advance(step)
        times.append(bench.append().append_timestamp_ms)
    start = times[0]
    assert times == [start, start + 50, start + 50, start + 50]
    bench.stop()
    assert bench.append().append_timestamp_ms == start + 50
    bench.crash()
    assert bench.append().append_timestamp_ms == start + 50


def test_append_time_topics_are_flagged(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, timestamp_type="append_time"))
    bench.append()
    bench.log.set_config(SMALL_SEGMENTS)
    bench.append()
    flags = [header.leader_flags for header, _ in bench.read_all()]
    assert flags == [LeaderFlag.APPEND_TIME, 0]


def test_synced_hint_is_the_synced_end(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.append()
    bench.sync()
    bench.append()
    assert [header.synced_hint for header, _ in bench.read_all()] == [0, 0, 6]


def test_duplicates_are_answered_again_and_not_appended(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    first = bench.append(producer=(7, 0, 0), epoch=2)
    bench.clock.advance(1000)
    again = bench.append(producer=(7, 0, 0), epoch=3)
    assert again == first._replace(duplicate=True)
    assert bench.log.log_end_offset == 3
    with pytest.raises(OutOfOrderSequence):
        bench.append(producer=(7, 0, 9))
    for number in range(1, 20):
        bench.append(producer=(7, 0, 3 * number), epoch=3)
    old = bench.append(producer=(7, 0, 0), epoch=3)
    assert (old.base_offset, old.duplicate) == (None, True)
    assert old.next_offset <= bench.log.synced_end_offset
    for reopen in (bench.crash, bench.stop):
        reopen()
        assert bench.append(producer=(7, 0, 57), epoch=3).base_offset == 57
        assert bench.log.log_end_offset == 60


def test_an_older_leader_epoch_is_fenced(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append(epoch=5)
    with pytest.raises(FencedLeaderEpoch):
        bench.append(epoch=4)
    bench.crash()
    with pytest.raises(FencedLeaderEpoch):
        bench.append(epoch=4)


def test_segments_roll_by_size_and_by_age(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, segment_ms=1000))
    for _ in range(3):
        bench.append([bytes(1500)])
    assert [p.name for p in bench.segment_paths()] == [f"{0:020d}.log", f"{2:020d}.log"]
    bench.clock.advance(1000)
    bench.append()
    assert bench.log.segment_count == 3
    bench.log.roll()
    bench.log.roll()
    assert bench.log.segment_count == 4, "an empty segment is not rolled"
    assert bench.base_offsets() == [0, 1, 2, 3]
    assert all(p.stat().st_size % 8 == 0 for p in bench.segment_paths()[:-1])


def test_a_batch_larger_than_a_segment_gets_its_own(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    for size in (10, 100_000, 10):
        bench.append([bytes(size)])
    assert bench.log.segment_count == 3
    assert bench.base_offsets() == [0, 1, 2]


def test_a_full_disk_at_a_roll_leaves_the_old_segment_active(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append([bytes(3000)])
    bench.fs.faults.append(Fault("open", "0001.log", errno.ENOSPC))
    with pytest.raises(StorageFull):
        bench.append([bytes(3000)])
    assert bench.log.segment_count == 1
    assert bench.append([bytes(3000)]).base_offset == 1
    assert bench.base_offsets() == [0, 1]


@pytest.mark.parametrize("fault", [Fault("truncate", "0000.log"), Fault("open", "0001.log")])
def test_a_roll_that_fails_leaves_no_second_segment_for_a_start_to_believe_in(
    tmp_path: Path, fault: Fault
) -> None:
    """A start would take the first for one that ends where the second begins: once the log starts
    behind that, it would remove acknowledged records."""
    bench = LogBench(tmp_path)
    bench.append([bytes(3000)])
    bench.fs.faults.append(fault)
    with pytest.raises(LogReadOnly):
        bench.log.roll()
    assert len(list(tmp_path.rglob("*.log"))) == 1
    for _ in range(3):
        bench.append([bytes(10)])
    bench.sync()
    bench.log.advance_log_start(Offset(2))
    bench.open()
    assert bench.base_offsets() == [2, 3]


@pytest.mark.parametrize(("durability", "seen"), [("fsync", 3), ("page_cache", 6)])
def test_after_a_failed_sync_readers_stay_where_they_are(
    tmp_path: Path, durability: Durability, seen: int
) -> None:
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, durability=durability))
    bench.append()
    bench.sync()
    bench.append()
    bench.fs.faults.append(Fault("datasync", ".log"))
    ticket = bench.log.start_sync()
    with pytest.raises(OSError, match="Input/output"):
        ticket.run()
    bench.log.sync_failed(OSError(errno.EIO, "Input/output error"))
    assert bench.log.held_end == seen, "a watermark that falls would send readers back"
    with pytest.raises(LogReadOnly):
        bench.append()
    with pytest.raises(LogReadOnly):
        bench.log.roll()
    with pytest.raises(LogReadOnly):
        bench.log.close()
    ticket = bench.log.start_sync()
    ticket.run()
    bench.log.finish_sync(ticket)
    assert bench.log.held_end == seen, "a second sync that succeeds proves nothing"
    bench.open()
    assert bench.fs.calls["drop_cache"] == 1
    assert bench.base_offsets() == [0, 3]


def test_damage_that_a_reader_meets_is_a_problem_once(tmp_path: Path) -> None:
    bench = written_log(tmp_path)
    bench.stop()
    [segment] = bench.segment_paths()
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    bench.stop()
    assert bench.reasons() == [], "nothing of it was read"
    for _ in range(2):
        assert bench.readable()[1] == [(14, 16)]
    [problem] = bench.log.problems()
    assert (problem.severity, problem.reason) == ("error", "STORED_DATA_CORRUPT")
    assert str(segment) in problem.message and "offsets 14 to 15" in problem.message
    bench.crash()
    assert bench.readable()[1] == [(14, 16)]
    assert bench.reasons() == ["STORED_DATA_CORRUPT"], "recovery and readers tell the same once"


def test_retention_looks_at_a_log_as_it_was_at_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log rolls while it looks: the new segment has no batch, and the one before is no longer
    the active one. Neither may go."""
    bench = LogBench(tmp_path, TopicConfig(segment_bytes=4096, retention_ms=1000))
    bench.append([b"young"])
    bench.sync()
    look = SegmentMaintenance.new_start

    def rolled_meanwhile(upkeep: SegmentMaintenance, *args: Any) -> Offset | None:
        bench.log.roll()
        return look(upkeep, *args)

    monkeypatch.setattr(SegmentMaintenance, "new_start", rolled_meanwhile)
    assert bench.log.apply_retention(bench.clock.wall_ms()) == []
    assert bench.log.log_start_offset == 0 and len(bench.read_all()) == 1


def test_retention_by_size_and_by_time(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    for _ in range(10):
        bench.append([bytes(3000)])
        bench.clock.advance(1000)
    now_ms = bench.clock.wall_ms()
    bench.log.set_config(replace(SMALL_SEGMENTS, retention_bytes=7000))
    assert bench.log.apply_retention(now_ms) == [], "nobody has seen it yet"
    bench.sync()
    assert len(bench.log.apply_retention(now_ms)) == 7
    assert bench.log.log_start_offset == 7
    assert bench.point is not None and bench.point.log_start_offset == 7
    bench.log.set_config(replace(SMALL_SEGMENTS, retention_ms=2500))
    assert bench.log.apply_retention(None) == []
    assert len(bench.log.apply_retention(now_ms)) == 1
    assert bench.base_offsets() == [8, 9]
    assert len(bench.log.apply_retention(now_ms + 10_000)) == 2, "the active one is rolled"
    assert (bench.log.log_start_offset, bench.log.log_end_offset) == (10, 10)
    for reopen in (bench.crash, bench.stop):
        reopen()
        assert bench.log.log_start_offset == bench.log.log_end_offset == 10
    assert bench.append().base_offset == 10


def test_log_start_is_durable_before_a_file_goes(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    for _ in range(4):
        bench.append([bytes(3000)])
    bench.sync()
    bench.fs.faults.append(Fault("unlink", ".log"))
    with pytest.raises(LogReadOnly):
        bench.log.advance_log_start(Offset(2))
    assert bench.point is not None and bench.point.log_start_offset == 2
    bench.crash()
    assert bench.base_offsets() == [2, 3]
    assert [p.name for p in bench.segment_paths()] == [f"{2:020d}.log", f"{3:020d}.log"]


def test_truncation_is_bounded_by_the_high_watermark(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    with pytest.raises(OffsetOutOfRange):
        bench.log.advance_log_start(Offset(1))
    bench.sync()
    assert bench.log.advance_log_start(Offset(2)) == 2
    assert bench.log.advance_log_start(Offset(1)) == 2, "it moves forward only"
    assert bench.log.advance_log_start(Offset(3)) == 3
    bench.crash()
    assert (bench.log.log_start_offset, bench.log.log_end_offset) == (3, 3)


def test_sealed_segments_get_manifest_and_indexes(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    for _ in range(3):
        bench.append([bytes(3000)])
    bench.log.apply_retention(bench.clock.wall_ms())
    assert not any(name.endswith(".manifest") for name in bench.files()), "not synced yet"
    bench.sync()
    bench.log.apply_retention(bench.clock.wall_ms())
    names = [f"{base:020d}.{kind}" for base in (0, 1) for kind in ("index", "manifest")]
    assert set(names) <= set(bench.files())
    assert f"{2:020d}.manifest" not in bench.files()
    before = bench.fs.calls["rename"]
    bench.log.apply_retention(bench.clock.wall_ms())
    assert bench.fs.calls["rename"] == before, "once"


def test_a_clean_stop_leaves_nothing_to_read(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(300):
        bench.append([bytes(8000)], producer=None)
    bench.stop()
    preads = bench.fs.calls["pread"]
    bench.stop()
    assert bench.fs.calls["pread"] - preads <= 3, "epochs, snapshot and nothing of the log"
    assert len(bench.read_all()) == 300


def test_descriptors_stay_bounded_and_are_all_closed(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    for _ in range(30):
        bench.append([bytes(3000)])
    bench.read_all()
    assert bench.fs.open_files <= 4
    bench.log.close()
    assert bench.fs.open_files == 0
    assert bench.log.closed


def test_what_a_failed_write_left_is_cut_off_at_once(tmp_path: Path) -> None:
    """All but the last zeros of a batch, on reserved space: a start would find it whole."""
    bench = LogBench(tmp_path)
    bench.append([b"kept"])
    bench.sync()
    batch = encode_batch([b"1"], timestamps_ms=0)
    assert batch.endswith(b"\0")
    bench.fs.faults += [
        Fault("pwrite", ".log", error=None, short=len(batch) - 1),
        Fault("pwrite", ".log", errno.ENOSPC),
    ]
    with pytest.raises(StorageFull):
        bench.append([b"1"])
    bench.open()
    assert bench.base_offsets() == [0]


def test_what_cannot_be_cut_off_is_in_doubt(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append([b"kept"])
    bench.fs.faults += [
        Fault("pwrite", ".log", errno.EIO),
        Fault("truncate", ".log", errno.EIO),
    ]
    with pytest.raises(SyncFailed):
        bench.append([b"1"])
    with pytest.raises(LogReadOnly):
        bench.append([b"2"])
