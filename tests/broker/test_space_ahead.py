"""Space is reserved ahead of a flow of appends, off the loop."""

import asyncio
from pathlib import Path

import pytest

from harness.log_bench import LARGE_SEGMENTS, LogBench
from harness.manual_clock import ManualClock
from harness.stepped_offload import SteppedOffload, settle
from logd.broker.space_ahead import SpaceAhead
from logd.system.background_tasks import BackgroundTasks
from logd_partitions.segment import segment_writer


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_writer, "ALLOCATE_BYTES_MAX", 64 << 10)
    monkeypatch.setattr(segment_writer, "AHEAD_BYTES_MIN", 32 << 10)


def file_bytes(bench: LogBench) -> int:
    return next(bench.path.glob("*.log")).stat().st_size


async def test_a_segment_grows_once_before_an_append_needs_it(tmp_path: Path) -> None:
    pool, bench = SteppedOffload(), LogBench(tmp_path, LARGE_SEGMENTS)
    space = SpaceAhead(pool, BackgroundTasks(ManualClock()))
    for _ in range(6):  # past the middle of 64 KiB
        bench.append([bytes(7_000)])
        space.appended(bench.log)
    await settle()
    assert len(pool.waiting) == 1, "asked for once, however many appends come meanwhile"
    assert file_bytes(bench) == 64 << 10
    await pool.step()
    assert file_bytes(bench) == 128 << 10
    space.appended(bench.log)
    await settle()
    assert not pool.waiting, "there is space enough"
    for _ in range(5):
        bench.append([bytes(7_000)])
    assert file_bytes(bench) == 128 << 10, "appends use what was reserved"


async def test_a_drain_waits_for_a_growth(tmp_path: Path) -> None:
    pool, bench = SteppedOffload(), LogBench(tmp_path, LARGE_SEGMENTS)
    space = SpaceAhead(pool, BackgroundTasks(ManualClock()))
    for _ in range(6):
        bench.append([bytes(7_000)])
    space.appended(bench.log)
    draining = asyncio.ensure_future(space.drain())
    await settle()
    assert not draining.done()
    await pool.step()
    await asyncio.wait_for(draining, 30)


async def test_what_is_rolled_or_too_large_for_the_disk_does_not_grow(tmp_path: Path) -> None:
    pool, bench = SteppedOffload(), LogBench(tmp_path, LARGE_SEGMENTS)
    space = SpaceAhead(pool, BackgroundTasks(ManualClock()))
    for _ in range(16):
        bench.append([bytes(7_000)])
    space.appended(bench.log)
    bench.log.roll()
    await pool.step()
    sealed = min(bench.path.glob("*.log"))
    assert sealed.stat().st_size % (64 << 10), "what was given back stays given back"
    assert bench.log.size_bytes == sealed.stat().st_size
    for _ in range(6):
        bench.append([bytes(7_000)])
    bench.fs.free = 1_000
    space.appended(bench.log)
    await pool.step()
    bench.append([bytes(7_000)])  # a full disk is not this append's matter
    bench.sync()
    assert len(bench.read_all()) == 23
