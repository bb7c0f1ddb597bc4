import errno
from dataclasses import replace
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.log_bench import SMALL_SEGMENTS, LogBench
from logd.model.errors import (
    FencedLeaderEpoch,
    LogReadOnly,
    OffsetOutOfRange,
    OutOfOrderSequence,
    Overloaded,
    StorageFull,
    StoredDataCorrupt,
)
from logd.model.ids import Offset
from logd.model.record_batch import LeaderFlag
from logd.model.topic_config import TopicConfig
from logd_partitions import sync_progress
from logd_partitions.read_plan import Cold, Hot

LARGE_SEGMENTS = TopicConfig(segment_bytes=64 << 20)


def base_offsets(bench: LogBench) -> list[int]:
    return [header.base_offset for header, _ in bench.read_all()]


def test_opening_and_reading_an_unused_log_makes_nothing_on_disk(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    assert (bench.log.log_start_offset, bench.log.log_end_offset) == (0, 0)
    assert bench.log.plan_read(Offset(0), 100, Offset(0)) is None
    assert bench.log.apply_retention(10**13) == []
    bench.log.close()
    assert not bench.path.exists()


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


def test_the_high_watermark_is_what_durability_asks_for(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    assert (bench.log.high_watermark, bench.log.unsynced_bytes > 0) == (0, True)
    ticket = bench.log.start_sync()
    bench.append()
    ticket.run()
    bench.log.finish_sync(ticket)
    assert (bench.log.high_watermark, bench.log.log_end_offset) == (3, 6)
    bench.log.set_config(replace(SMALL_SEGMENTS, durability="page_cache"))
    assert bench.log.high_watermark == 6
    bench.log.set_config(SMALL_SEGMENTS)
    assert bench.log.high_watermark == 6, "readers have seen it"
    bench.sync()
    assert bench.log.synced_end_offset == 6


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
    assert base_offsets(bench) == [0, 1, 2, 3]
    assert all(p.stat().st_size % 8 == 0 for p in bench.segment_paths()[:-1])


def test_a_batch_larger_than_a_segment_gets_its_own(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    for size in (10, 100_000, 10):
        bench.append([bytes(size)])
    assert bench.log.segment_count == 3
    assert base_offsets(bench) == [0, 1, 2]


def test_reads_are_hot_where_this_process_wrote_and_cold_elsewhere(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(50):
        bench.append([bytes(1000)])
    end = bench.log.log_end_offset
    hot = bench.log.plan_read(Offset(20), 3500, end)
    assert isinstance(hot, Hot) and hot.next_offset == 23 and hot.size_bytes <= 3500
    bench.sync()
    before = bench.read_all(3500)
    bench.crash()
    cold = bench.log.plan_read(Offset(20), 3500, end)
    assert isinstance(cold, Cold)
    assert bench.read_all(3500) == before
    bench.append([b"new"])
    assert isinstance(bench.log.plan_read(Offset(49), 100, Offset(51)), Cold)
    assert isinstance(bench.log.plan_read(Offset(50), 100, Offset(51)), Hot)


@pytest.mark.parametrize("config", [SMALL_SEGMENTS, LARGE_SEGMENTS])
@pytest.mark.parametrize("max_bytes", [1, 150, 1000, 9000, 1 << 20])
def test_reads_stop_at_the_end_that_was_asked_for(
    tmp_path: Path, max_bytes: int, config: TopicConfig
) -> None:
    bench = LogBench(tmp_path, config)
    for count in range(1, 60):
        bench.append([b"v"] * count)
    for reopen in (bench.same, bench.crash, bench.stop):
        log = reopen()
        ends = [header.next_offset for header, _ in bench.read_all(max_bytes)]
        assert ends[-1] == log.log_end_offset
        for end in ends[::7]:
            plan = log.plan_read(log.log_start_offset, max_bytes, end)
            offset = log.log_start_offset
            while plan is not None:
                read = log.read(plan)
                assert len(read) == plan.size_bytes
                assert offset < plan.next_offset <= end
                offset = plan.next_offset
                plan = log.plan_read(offset, max_bytes, end)
            assert offset == end


def test_offsets_outside_the_log_are_refused(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    with pytest.raises(OffsetOutOfRange):
        bench.log.plan_read(Offset(4), 100, Offset(9))
    bench.sync()
    bench.log.truncate_before(Offset(2))
    with pytest.raises(OffsetOutOfRange) as caught:
        bench.log.plan_read(Offset(1), 100, Offset(3))
    assert caught.value.details == {"log_start_offset": "2", "high_watermark": "3"}


def test_views_of_a_sealed_segment_outlive_it(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append([bytes(3000)])
    bench.append([bytes(3000)])
    plan = bench.log.plan_read(Offset(0), 100, Offset(1))
    assert isinstance(plan, Hot) and plan.segment.sealed
    view = bench.log.read(plan)
    before = bytes(view)
    bench.sync()
    bench.log.truncate_before(Offset(1))
    assert len(bench.segment_paths()) == 1
    assert bytes(view) == before


def test_a_read_to_the_end_of_a_sealed_segment_leaves_it_hot(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append([bytes(3000)])
    bench.append([bytes(3000)])
    for _ in range(2):
        plan = bench.log.plan_read(Offset(0), 1 << 20, Offset(2))
        assert isinstance(plan, Hot) and plan.segment.sealed and plan.next_offset == 1


def test_a_hot_plan_of_a_removed_segment_is_refused(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append([bytes(3000)])
    bench.append([bytes(3000)])
    bench.sync()
    hot = bench.log.plan_read(Offset(0), 100, Offset(1))
    assert isinstance(hot, Hot)
    cold = Cold(hot.segment, Offset(0), 100, Offset(1))
    bench.log.truncate_before(Offset(1))
    for plan in (hot, cold):
        with pytest.raises(OffsetOutOfRange):
            bench.log.read(plan)


def test_a_full_disk_refuses_appends_until_there_is_space(tmp_path: Path) -> None:
    fs = FaultyFileSystem(free=200_000)
    bench = LogBench(tmp_path, LARGE_SEGMENTS, fs)
    appended = 0
    with pytest.raises(StorageFull):
        for _ in range(100):  # far more than fits
            bench.append([bytes(7000)])
            appended += 1
    assert appended >= 20, "what is left is used to the last page"
    assert fs.free is not None
    bench.sync()
    assert len(bench.read_all()) == appended
    for _ in range(3):
        with pytest.raises(StorageFull):
            bench.append([bytes(30_000)])
    fs.free += 100_000
    assert bench.append([bytes(7000)]).base_offset == appended
    bench.sync()
    bench.crash()
    assert len(bench.read_all()) == appended + 1
    assert bench.log.problems() == []


def test_a_full_disk_at_a_roll_leaves_the_old_segment_active(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append([bytes(3000)])
    bench.fs.faults.append(Fault("open", "0001.log", errno.ENOSPC))
    with pytest.raises(StorageFull):
        bench.append([bytes(3000)])
    assert bench.log.segment_count == 1
    assert bench.append([bytes(3000)]).base_offset == 1
    assert base_offsets(bench) == [0, 1]


def test_a_reserve_of_space_is_not_used_by_appends(tmp_path: Path) -> None:
    fs = FaultyFileSystem(free=1 << 20)
    bench = LogBench(tmp_path, LARGE_SEGMENTS, fs, reserve_bytes=300_000)
    with pytest.raises(StorageFull):
        while True:
            bench.append([bytes(7000)])
    assert fs.free is not None and 300_000 <= fs.free < 310_000


@pytest.mark.parametrize("short", [0, 1, 95, 96, 97, 500])
def test_short_writes_go_on_and_failed_ones_leave_nothing(tmp_path: Path, short: int) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.fs.faults.append(Fault("pwrite", ".log", None, short=max(short, 1)))
    assert bench.append([bytes(600)]).base_offset == 3
    bench.fs.faults.append(Fault("pwrite", ".log", errno.ENOSPC, short=short))
    with pytest.raises(StorageFull):
        bench.append([bytes(600)])
    assert base_offsets(bench) == [0, 3]
    assert bench.append([b"z"]).base_offset == 4
    assert base_offsets(bench) == [0, 3, 4]
    data = bench.segment_paths()[0].read_bytes()
    assert not any(data[bench.log.size_bytes :]), "no old bytes behind the end"
    bench.crash()
    assert base_offsets(bench) == [0, 3, 4]


def test_a_failing_disk_makes_the_log_read_only(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.fs.faults.append(Fault("pwrite", ".log", errno.EIO, short=50))
    for _ in range(2):
        with pytest.raises(LogReadOnly):
            bench.append()
    bench.sync()
    assert bench.log.high_watermark == 3
    assert base_offsets(bench) == [0]
    bench.crash()
    bench.append()
    assert base_offsets(bench) == [0, 3]


def test_a_lack_of_descriptors_passes(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.close_files()
    bench.fs.faults.append(Fault("open", ".log", errno.EMFILE))
    with pytest.raises(Overloaded):
        bench.append()
    assert bench.append().base_offset == 3


def test_unreadable_bytes_are_said_to_be_damaged(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(10):
        bench.append([bytes(5000)])
    bench.sync()
    bench.crash()
    bench.fs.faults += [Fault("pread_cached"), Fault("pread", ".log")]
    with pytest.raises(StoredDataCorrupt) as caught:
        bench.read_at(2)
    assert caught.value.details["next_offset"] == "3"
    assert [header.base_offset for header, _ in bench.read_at(2)] == list(range(2, 10))


def test_bytes_that_changed_in_memory_are_not_served(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(3):
        bench.append()
    [path] = bench.segment_paths()
    with path.open("r+b") as file:
        file.seek(bench.log.size_bytes // 3 + 16)
        file.write(b"\xff" * 8)
    with pytest.raises(StoredDataCorrupt):
        bench.read_at(3)
    assert bench.read_at(0, 1)[0][0].base_offset == 0
    assert bench.read_at(6)[0][0].base_offset == 6


def test_after_a_failed_sync_readers_stay_at_the_synced_end(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, durability="page_cache"))
    bench.append()
    bench.sync()
    bench.append()
    bench.fs.faults.append(Fault("datasync", ".log"))
    ticket = bench.log.start_sync()
    with pytest.raises(OSError, match="Input/output"):
        ticket.run()
    bench.log.sync_failed(OSError(errno.EIO, "Input/output error"))
    assert bench.log.high_watermark == 3
    with pytest.raises(LogReadOnly):
        bench.append()
    with pytest.raises(LogReadOnly):
        bench.log.roll()
    with pytest.raises(LogReadOnly):
        bench.log.close()
    ticket = bench.log.start_sync()
    ticket.run()
    bench.log.finish_sync(ticket)
    assert bench.log.high_watermark == 3, "a second sync that succeeds proves nothing"
    bench.open(distrust_cache=True)
    assert bench.fs.calls["drop_cache"] == 1
    assert base_offsets(bench) == [0, 3]


def test_one_sync_a_file_and_one_a_new_directory_entry(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    for _ in range(5):
        bench.append()
    bench.sync()
    assert (bench.fs.calls["datasync"], bench.fs.calls["sync_directory"]) == (1, 1)
    bench.append()
    bench.sync()
    assert (bench.fs.calls["datasync"], bench.fs.calls["sync_directory"]) == (2, 1)


def test_what_is_appended_during_a_sync_is_left_to_the_next(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    first = bench.log.start_sync()
    bench.append()
    second = bench.log.start_sync()
    first.run()
    bench.log.finish_sync(first)
    assert [segment.size == size for segment, size in second.segments] == [True]
    second.run()
    assert bench.fs.calls["datasync"] == 2
    bench.log.finish_sync(second)
    assert bench.log.synced_end_offset == 6
    assert bench.log.start_sync().segments == []


def test_a_late_append_keeps_its_segment_dirty(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    ticket = bench.log.start_sync()
    bench.append()
    ticket.run()
    bench.log.finish_sync(ticket)
    assert len(bench.log.start_sync().segments) == 1


def test_a_roll_between_syncs_syncs_both_segments(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append([bytes(3000)])
    bench.append([bytes(3000)])
    ticket = bench.log.start_sync()
    assert [segment.base_offset for segment, _ in ticket.segments] == [0, 1]


def test_time_lookups(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    start = bench.clock.wall_ms()
    for number in range(200):
        bench.append([b"x"] * 3, timestamps_ms=[start + 10 * number - 100 + i for i in range(3)])
        bench.clock.advance(10)
    end = bench.log.log_end_offset

    def by_append_time(time_ms: int) -> tuple[int, int] | None:
        return bench.log.find_offset_by_time(time_ms, False, end)

    def by_record_time(time_ms: int) -> tuple[int, int] | None:
        return bench.log.find_offset_by_time(time_ms, True, end)

    for reopen in (bench.same, bench.stop, bench.crash):
        reopen()
        assert by_append_time(0) == (0, start)
        assert by_append_time(start + 705) == (71 * 3, start + 710)
        assert by_append_time(start + 1990) == (199 * 3, start + 1990)
        assert by_append_time(start + 1991) is None
        assert by_record_time(start + 602) == (70 * 3 + 2, start + 602)
        assert by_record_time(start + 603) == (71 * 3, start + 610)
        assert by_record_time(start + 5000) is None
        assert bench.log.find_offset_by_time(start + 1000, False, Offset(90)) is None
    bench.sync()
    bench.log.truncate_before(Offset(301))
    assert by_append_time(0) == (301, start + 1000)
    assert by_record_time(0) == (301, start + 901)


def test_bytes_between_is_about_right(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, segment_bytes=40_000))
    for _ in range(200):
        bench.append([bytes(1000)])
    size = bench.log.size_bytes
    assert bench.log.bytes_between(Offset(0), bench.log.log_end_offset) == size
    half = bench.log.bytes_between(Offset(50), Offset(150))
    assert abs(half - size // 2) <= 2 * 4096 + 1200
    assert bench.log.bytes_between(Offset(10), Offset(10)) == 0


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
    assert base_offsets(bench) == [8, 9]
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
        bench.log.truncate_before(Offset(2))
    assert bench.point is not None and bench.point.log_start_offset == 2
    bench.crash()
    assert base_offsets(bench) == [2, 3]
    assert [p.name for p in bench.segment_paths()] == [f"{2:020d}.log", f"{3:020d}.log"]


def test_truncation_is_bounded_by_the_high_watermark(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    with pytest.raises(OffsetOutOfRange):
        bench.log.truncate_before(Offset(1))
    bench.sync()
    assert bench.log.truncate_before(Offset(2)) == 2
    assert bench.log.truncate_before(Offset(1)) == 2, "it moves forward only"
    assert bench.log.truncate_before(Offset(3)) == 3
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


def test_reserved_space_is_given_back_when_idle_and_at_a_clean_stop(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    bench.append()
    [path] = bench.segment_paths()
    assert path.stat().st_size == 64 << 10
    bench.log.apply_retention(bench.clock.wall_ms())
    bench.log.apply_retention(bench.clock.wall_ms())
    assert path.stat().st_size == bench.log.size_bytes
    bench.append()
    assert base_offsets(bench) == [0, 3]
    bench.stop()
    assert path.stat().st_size == bench.log.size_bytes


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


def test_page_cache_acknowledgements_wait_once_too_much_is_unsynced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_progress, "UNSYNCED_BYTES_MAX", 10_000)
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, durability="page_cache"))
    bench.append([b"first"])
    bench.sync()
    watermarks = []
    for _ in range(8):
        bench.append([bytes(2000)])
        watermarks.append(bench.log.high_watermark)
    assert watermarks == sorted(watermarks), "the high watermark never falls"
    assert watermarks[2:] == [4, 5, 5, 5, 5, 5], "what passes the bound is not acknowledged"
    bench.sync()
    assert bench.log.high_watermark == bench.log.log_end_offset == 9
