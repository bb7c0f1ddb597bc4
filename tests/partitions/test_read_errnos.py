"""What a reader is told when the system lacks something: to come again, never that data is lost."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.log_bench import LARGE_SEGMENTS, LogBench
from logd.model.errors import Overloaded, StoredDataCorrupt
from logd.model.ids import Offset
from logd_partitions.segment.read_plan import Hot

PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)
BATCHES = 3

Read = Callable[[LogBench], object]


def read_cold(bench: LogBench) -> object:
    plan = bench.log.plan_read(Offset(0), 1 << 20, Offset(BATCHES))
    assert plan is not None
    return bytes(bench.log.read(plan))


def find_by_time(bench: LogBench) -> object:
    return bench.log.find_offset_by_time(bench.clock.wall_ms(), True, Offset(BATCHES))


def measure(bench: LogBench) -> object:
    return bench.log.bytes_between(Offset(1), Offset(BATCHES))


def made(tmp_path: Path) -> LogBench:
    bench = LogBench(tmp_path, LARGE_SEGMENTS)
    for _ in range(BATCHES):
        bench.append([b"x"])
    bench.sync()
    return bench


def cold(bench: LogBench) -> None:
    bench.stop()
    bench.log._segments.last._index = None  # type: ignore[union-attr]
    bench.log._segments.last._time_index = None  # type: ignore[union-attr]
    bench.close_files()


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["open", "pread"])
@pytest.mark.parametrize("read", [read_cold, find_by_time, measure])
def test_what_passes_is_no_damage(tmp_path: Path, call: str, read: Read, number: int) -> None:
    bench = made(tmp_path)
    good = read(bench)
    cold(bench)
    bench.fs.faults.append(Fault(call, ".log", number, times=2))
    with pytest.raises(Overloaded):
        read(bench)
    assert bench.reasons() == [], "operators are not told of damage"
    bench.fs.faults.clear()
    assert read(bench) == good


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["open", "map"])
def test_a_map_that_was_given_up_between_plan_and_read(
    tmp_path: Path, call: str, number: int
) -> None:
    bench = made(tmp_path)
    plan = bench.log.plan_read(Offset(0), 1 << 20, Offset(BATCHES))
    assert isinstance(plan, Hot)
    good = bytes(bench.log.read(plan))
    bench.close_files()
    bench.fs.faults.append(Fault(call, ".log", number, times=2))
    with pytest.raises(Overloaded):
        bench.log.read(plan)
    bench.fs.faults.clear()
    assert bytes(bench.log.read(plan)) == good


@pytest.mark.parametrize("read", [read_cold, find_by_time, measure])
def test_a_disk_that_cannot_be_read_is_told_as_before(tmp_path: Path, read: Read) -> None:
    bench = made(tmp_path)
    cold(bench)
    bench.fs.faults.append(Fault("pread", ".log", errno.EIO, times=9))
    with pytest.raises(StoredDataCorrupt):
        read(bench)
