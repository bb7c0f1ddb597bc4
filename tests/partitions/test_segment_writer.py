import errno
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.log_bench import LARGE_SEGMENTS, LogBench
from logd.model.errors import (
    LogReadOnly,
    Overloaded,
    StorageFull,
)


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


def test_a_reserve_of_space_is_not_used_by_appends(tmp_path: Path) -> None:
    fs = FaultyFileSystem(free=1 << 20)
    bench = LogBench(tmp_path, LARGE_SEGMENTS, fs, reserve_bytes=300_000)
    with pytest.raises(StorageFull):
        while True:
            bench.append([bytes(7000)])
    assert fs.free is not None and 300_000 <= fs.free < 310_000


def test_space_ahead_of_one_partition_is_not_missing_to_another(tmp_path: Path) -> None:
    """A disk of 4 MiB: what one that stands at 1.1 MiB reserves ahead is little of what is left."""
    fs = FaultyFileSystem(free=4 << 20)
    idle, busy = (
        LogBench(tmp_path / name, LARGE_SEGMENTS, fs, reserve_bytes=100_000)
        for name in ("idle", "busy")
    )
    for bench in (idle, busy):
        bench.path.parent.mkdir()
    while idle.log.size_bytes < 1_100_000:
        idle.append([bytes(7000)])
    with pytest.raises(StorageFull):
        while True:
            busy.append([bytes(7000)])
    used = idle.log.size_bytes + busy.log.size_bytes
    assert used > 0.9 * ((4 << 20) - 100_000)


@pytest.mark.parametrize("short", [0, 1, 95, 96, 97, 500])
def test_short_writes_go_on_and_failed_ones_leave_nothing(tmp_path: Path, short: int) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.fs.faults.append(Fault("pwrite", ".log", None, short=max(short, 1)))
    assert bench.append([bytes(600)]).base_offset == 3
    bench.fs.faults.append(Fault("pwrite", ".log", errno.ENOSPC, short=short))
    with pytest.raises(StorageFull):
        bench.append([bytes(600)])
    assert bench.base_offsets() == [0, 3]
    assert bench.append([b"z"]).base_offset == 4
    assert bench.base_offsets() == [0, 3, 4]
    data = bench.segment_paths()[0].read_bytes()
    assert not any(data[bench.log.size_bytes :]), "no old bytes behind the end"
    bench.crash()
    assert bench.base_offsets() == [0, 3, 4]


def test_a_failing_disk_makes_the_log_read_only(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.fs.faults.append(Fault("pwrite", ".log", errno.EIO, short=50))
    for _ in range(2):
        with pytest.raises(LogReadOnly):
            bench.append()
    bench.sync()
    assert bench.log.held_end == 3
    assert bench.base_offsets() == [0]
    bench.crash()
    bench.append()
    assert bench.base_offsets() == [0, 3]


def test_a_lack_of_descriptors_passes(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append()
    bench.close_files()
    bench.fs.faults.append(Fault("open", ".log", errno.EMFILE, times=2))
    with pytest.raises(Overloaded):
        bench.append()
    assert bench.append().base_offset == 3


def test_reserved_space_is_given_back_when_idle_and_at_a_clean_stop(tmp_path: Path) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    bench.append()
    [path] = bench.segment_paths()
    assert path.stat().st_size == 64 << 10
    bench.log.apply_retention(bench.clock.wall_ms())
    bench.log.apply_retention(bench.clock.wall_ms())
    assert path.stat().st_size == bench.log.size_bytes
    bench.append()
    assert bench.base_offsets() == [0, 3]
    bench.stop()
    assert path.stat().st_size == bench.log.size_bytes


@pytest.mark.parametrize("how", ["crash", "stop"])
def test_space_is_reserved_ahead_after_a_start_as_before_it(tmp_path: Path, how: str) -> None:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    bench.append([bytes(8000)])
    bench.sync()
    getattr(bench, how)()
    bench.append([bytes(8000)])
    bench.fs.calls.clear()
    for _ in range(100):
        bench.append([bytes(8000)])
    assert bench.fs.calls["allocate"] < 10, "not one an append"
