from dataclasses import replace
from pathlib import Path

import pytest

from harness.log_bench import SMALL_SEGMENTS, TOPIC_PARTITION, LogBench
from logd.model.errors import OffsetOutOfRange
from logd.model.ids import Offset
from logd_partitions.recovery.producer_history import saved_snapshot
from logd_partitions.sync import sync_progress


def test_the_high_watermark_is_what_durability_asks_for(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    assert (bench.log.held_end, bench.log.unsynced_bytes > 0) == (0, True)
    ticket = bench.log.start_sync()
    bench.append()
    ticket.run()
    bench.log.finish_sync(ticket)
    assert (bench.log.held_end, bench.log.log_end_offset) == (3, 6)
    bench.log.set_config(replace(SMALL_SEGMENTS, durability="page_cache"))
    assert bench.log.held_end == 6
    bench.log.set_config(SMALL_SEGMENTS)
    assert bench.log.held_end == 6, "readers have seen it"
    bench.sync()
    assert bench.log.synced_end_offset == 6


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
        watermarks.append(bench.log.held_end)
    assert watermarks == sorted(watermarks), "the high watermark never falls"
    assert watermarks[2:] == [4, 5, 5, 5, 5, 5], "what passes the bound is not acknowledged"
    bench.sync()
    assert bench.log.held_end == bench.log.log_end_offset == 9


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


def test_with_more_replicas_nothing_goes_that_is_not_committed(tmp_path: Path) -> None:
    config = replace(SMALL_SEGMENTS, retention_bytes=0)
    bench = LogBench(tmp_path, config, replicated=True)
    for _ in range(3):
        bench.append([bytes(3000)])
    bench.sync()
    assert bench.log.apply_retention(None) == []
    with pytest.raises(OffsetOutOfRange):
        bench.log.advance_log_start(Offset(1))
    bench.log.note_committed(Offset(1))
    assert len(bench.log.apply_retention(None)) == 1
    bench.log.note_committed(Offset(0))
    assert bench.log.committed_end == 1, "it never falls"
    bench.log.note_committed(Offset(99))
    assert bench.log.committed_end == 3, "a leader may be ahead of what is here"
    assert bench.log.advance_log_start(Offset(2)) == 2


def test_producers_are_saved_up_to_what_is_committed_before_their_batches_go(
    tmp_path: Path,
) -> None:
    bench = LogBench(tmp_path, replicated=True)
    for number in range(4):
        bench.append([bytes(3000)], producer=(5, 0, number))
    bench.sync()
    bench.log.note_committed(Offset(3))
    assert bench.log.advance_log_start(Offset(2)) == 2
    saved = saved_snapshot(bench.log._storage, TOPIC_PARTITION)
    assert saved is not None and saved.offset == 3
    bench.crash()
    again = bench.append([bytes(3000)], producer=(5, 0, 1))
    assert (again.base_offset, again.duplicate) == (1, True)
