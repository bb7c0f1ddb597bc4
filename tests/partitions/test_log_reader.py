import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.log_bench import LARGE_SEGMENTS, SMALL_SEGMENTS, LogBench
from logd.model.errors import (
    OffsetOutOfRange,
    StoredDataCorrupt,
)
from logd.model.ids import Offset
from logd.model.record_batch import BatchHeader
from logd.model.topic_config import TopicConfig
from logd_partitions.segment import log_segment
from logd_partitions.segment.read_plan import Cold, Hot


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


@pytest.mark.parametrize("sealed", [False, True])
def test_a_map_is_given_up_after_so_many_bytes_and_reads_go_on(
    tmp_path: Path, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_segment, "MAPPED_READ_BYTES_MAX", 2_500)
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(20):
        bench.append([bytes(1000)])
    if sealed:
        bench.log.roll()
    given_up, views = 0, []
    for offset in range(20):
        plan = bench.log.plan_read(Offset(offset), 1, Offset(20))
        assert isinstance(plan, Hot)
        views.append(bench.log.read(plan))
        given_up += not bench._open_files._maps
    assert given_up == 20 // 3
    read = [BatchHeader.unpack(view).base_offset for view in views]
    assert read == list(range(20)), "views that were lent outlive their map"


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
    bench.log.advance_log_start(Offset(2))
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
    bench.log.advance_log_start(Offset(1))
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
    bench.log.advance_log_start(Offset(1))
    for plan in (hot, cold):
        with pytest.raises(OffsetOutOfRange):
            bench.log.read(plan)


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


def test_time_lookups(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    start = bench.clock.wall_ms()
    for number in range(200):
        bench.append([b"x"] * 3, timestamps_ms=[start + 10 * number - 100 + i for i in range(3)])
        bench.clock.advance(10)
    end = bench.log.log_end_offset

    def by_append_time(time_ms: int) -> tuple[int, int | None] | None:
        return bench.log.find_offset_by_time(time_ms, False, end)

    def by_record_time(time_ms: int) -> tuple[int, int | None] | None:
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
    bench.log.advance_log_start(Offset(301))
    assert by_append_time(0) == (301, start + 1000)
    assert by_record_time(0) == (301, start + 901)


@pytest.mark.parametrize("number", [0, 3, 19])
@pytest.mark.parametrize("at", [10, 110])
def test_damage_that_may_be_what_a_time_names_is_the_answer(
    tmp_path: Path, number: int, at: int
) -> None:
    bench = LogBench(tmp_path)
    start = bench.clock.wall_ms()
    for _ in range(20):
        bench.append([b"x" * 500] * 3)
        bench.clock.advance(10)
    bench.stop()
    end = bench.log.log_end_offset
    flip_byte_of_batch(bench, 3 * number, at)
    bench.stop()
    for by_record_time in (False, True):
        for before_ms in (5, 0):
            time_ms = start + 10 * number - before_ms
            found = bench.log.find_offset_by_time(time_ms, by_record_time, end)
            assert found is not None and found[0] == 3 * number
        if number:
            found = bench.log.find_offset_by_time(start + 10 * number - 10, by_record_time, end)
            assert found == (3 * number - 3, start + 10 * number - 10), "what is older is not it"
    if number < 19:
        after = bench.log.find_offset_by_time(start + 10 * number + 20, False, end)
        assert after == (3 * number + 6, start + 10 * number + 20)
    assert (3 * number, 3 * number + 3) in bench.readable()[1]


def flip_byte_of_batch(bench: LogBench, base_offset: int, at: int) -> None:
    for path in bench.segment_paths():
        data, position = bytearray(path.read_bytes()), 0
        while position < len(data) and (header := BatchHeader.unpack(data[position:])).magic:
            if header.base_offset == base_offset:
                data[position + at] ^= 1
                path.write_bytes(data)
                return
            position += header.batch_length


def test_bytes_between_is_about_right(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, segment_bytes=40_000))
    for _ in range(200):
        bench.append([bytes(1000)])
    size = bench.log.size_bytes
    assert bench.log.bytes_between(Offset(0), bench.log.log_end_offset) == size
    half = bench.log.bytes_between(Offset(50), Offset(150))
    assert abs(half - size // 2) <= 2 * 4096 + 1200
    assert bench.log.bytes_between(Offset(10), Offset(10)) == 0


def test_what_is_not_empty_has_bytes(tmp_path: Path) -> None:
    """Ranges within one batch, and within one interval of the index, are shares of it."""
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, segment_bytes=40_000))
    for _ in range(6):
        bench.append([bytes(1000)] * 10)
    log, end = bench.log, 60
    one = log.size_bytes / end
    for start, stop in itertools.combinations(range(end + 1), 2):
        size = log.bytes_between(Offset(start), Offset(stop))
        assert size == pytest.approx((stop - start) * one, abs=2), (start, stop)
    bench.append([b""] * 10_000)
    assert log.bytes_between(Offset(70), Offset(71)) > 0


def test_bytes_below_the_start_of_the_log_count_for_nothing(tmp_path: Path) -> None:
    """The start lies in the middle of a segment, so that its first records are still there."""
    bench = LogBench(tmp_path, replace(SMALL_SEGMENTS, segment_bytes=40_000))
    for _ in range(200):
        bench.append([bytes(1000)])
    bench.sync()
    log, start, end = bench.log, Offset(130), bench.log.log_end_offset
    log.advance_log_start(start)
    first = log._segments.holding(start)
    assert first is not None and first.base_offset < start - 20
    left = log.bytes_between(start, end)
    assert log.bytes_between(Offset(0), end) == log.bytes_between(Offset(start - 1), end) == left
    assert left < log.size_bytes - 15 * 1000
    assert log.bytes_between(Offset(0), start) == 0
    assert log.bytes_between(first.base_offset, Offset(start - 1)) == 0
    assert log.bytes_between(Offset(0), Offset(50)) == 0
