"""Retention in passes over all partitions, and a clock that is not to be trusted."""

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.host_bench import HostBench, host_bench
from harness.manual_clock import ManualClock
from logd.broker import maintenance as maintenance_module
from logd.broker.maintenance import CLOCK_LEAP_MS_MAX, Maintenance
from logd.broker.ports import Receipt

HOUR_MS = 3_600_000


class LeapingClock(ManualClock):
    """A wall clock that someone sets, and a machine that sleeps."""

    leapt_ms = 0
    slept_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.leapt_ms + self.slept_ms

    def boottime_ms(self) -> int:
        return super().boottime_ms() + self.slept_ms


@dataclass
class Case:
    """`clock` is that of maintenance; the logs have one of their own."""

    bench: HostBench
    clock: LeapingClock
    maintenance: Maintenance


@pytest_asyncio.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with host_bench(tmp_path) as bench:
        clock = LeapingClock()
        yield Case(bench, clock, Maintenance(bench.host, clock, bench.tasks))


async def start_of(case: Case, where: object) -> int:
    return (await case.bench.host.status(where)).log_start_offset  # type: ignore[arg-type]


async def test_what_is_older_than_retention_goes(case: Case) -> None:
    (where,) = await case.bench.topic("orders", retention_ms="10h")
    await case.bench.produce(where, b"a")
    case.clock.advance(9 * HOUR_MS)
    await case.maintenance.run_pass()
    assert await start_of(case, where) == 0
    case.clock.advance(2 * HOUR_MS)
    with capture_logs() as logs:
        await case.maintenance.run_pass()
    assert await start_of(case, where) == 1
    assert case.maintenance.problems() == []
    (told,) = [line for line in logs if line["event"] == "retention removed records"]
    assert told["directory"].endswith("/orders-0")
    assert (told["records"], told["log_start_offset"]) == (1, 1)


async def test_a_leap_of_the_clock_pauses_time_retention_and_is_told(case: Case) -> None:
    (where,) = await case.bench.topic("orders", retention_ms="10h")
    await case.bench.produce(where, b"a")
    case.clock.leapt_ms = 1000 * HOUR_MS
    await case.maintenance.run_pass()
    assert await start_of(case, where) == 0
    (problem,) = case.maintenance.problems()
    assert (problem.severity, problem.reason) == ("warning", "CLOCK_LEAPT")
    since_ms = problem.since_ms
    case.clock.advance(HOUR_MS)
    await case.maintenance.run_pass()
    assert [p.since_ms for p in case.maintenance.problems()] == [since_ms]
    case.clock.leapt_ms = CLOCK_LEAP_MS_MAX
    await case.maintenance.run_pass()
    assert case.maintenance.problems() == []


async def test_a_leap_does_not_pause_retention_by_size(case: Case) -> None:
    (where,) = await case.bench.topic("orders", retention_bytes="0", segment_bytes="1MiB")
    for _ in range(3):
        await case.bench.produce(where, bytes(600_000))
    case.clock.leapt_ms = 1000 * HOUR_MS
    await case.maintenance.run_pass()
    assert await start_of(case, where) == 2


async def test_time_in_suspend_is_no_leap(case: Case) -> None:
    (where,) = await case.bench.topic("orders", retention_ms="10h")
    await case.bench.produce(where, b"a")
    case.clock.slept_ms = 11 * HOUR_MS
    await case.maintenance.run_pass()
    assert case.maintenance.problems() == []
    assert await start_of(case, where) == 1


async def test_partitions_that_nobody_has_opened_yet_are_reached_too(tmp_path: Path) -> None:
    async with host_bench(tmp_path) as bench:
        wheres = await bench.topic("orders", 5, retention_ms="10h")
        for where in wheres[:3]:
            await bench.produce(where, b"a")
    async with host_bench(tmp_path) as bench:
        assert bench.host.all_hosted() == []
        clock = LeapingClock()
        clock.advance(11 * HOUR_MS)
        await Maintenance(bench.host, clock, bench.tasks).run_pass()
        hosted = {h.topic_partition: h.log.log_start_offset for h in bench.host.all_hosted()}
        assert hosted == dict.fromkeys(wheres[:3], 1)


async def test_a_partition_that_does_not_open_stops_no_other(tmp_path: Path) -> None:
    async with host_bench(tmp_path) as bench:
        broken, well = await bench.topic("orders", 2, retention_ms="10h")
        await bench.produce(broken, b"a")
        await bench.produce(well, b"a")
    shutil.rmtree(tmp_path / "data" / "orders-0")
    async with host_bench(tmp_path) as bench:
        clock = LeapingClock()
        clock.advance(11 * HOUR_MS)
        maintenance = Maintenance(bench.host, clock, bench.tasks)
        await maintenance.run_pass()
        await maintenance.run_pass()
        assert [h.topic_partition for h in bench.host.all_hosted()] == [well]
        assert (await bench.host.status(well)).log_start_offset == 1
        assert [p.resource for p in bench.host.problems()] == ["orders:0"]


async def test_a_partition_whose_old_records_stay_is_in_health_until_they_go(
    tmp_path: Path,
) -> None:
    disk, clock = FaultyFileSystem(), LeapingClock()
    async with host_bench(tmp_path, disk) as bench:
        maintenance = Maintenance(bench.host, clock, bench.tasks)
        where, well = await bench.topic("orders", 2, retention_ms="10h")
        for each in (where, well):
            await bench.produce(each, b"a")
        disk.faults.append(Fault("create", "orders-0", errno.EMFILE, times=1000))
        disk.faults.append(Fault("open", "orders-0", errno.EMFILE, times=1000))
        clock.advance(11 * HOUR_MS)
        await maintenance.run_pass()
        [problem] = maintenance.problems()
        assert (problem.reason, problem.resource) == ("RETENTION_FAILED", str(where))
        clock.advance(HOUR_MS)
        await maintenance.run_pass()
        assert maintenance.problems() == [problem], "since the first time"
        assert (await bench.host.status(well)).log_start_offset == 1
        disk.faults.clear()
        await maintenance.run_pass()
        assert maintenance.problems() == []
        assert (await bench.host.status(where)).log_start_offset == 1


async def test_it_runs_until_it_is_stopped(case: Case) -> None:
    case.maintenance.start()
    await case.bench.turns()
    await case.maintenance.stop()
    await case.maintenance.stop()
    (where,) = await case.bench.topic("orders")
    assert isinstance(await case.bench.produce(where, b"a"), Receipt)


@pytest.mark.ends_background
async def test_a_fault_in_a_pass_is_told_and_does_not_end_later_ones(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    twice = asyncio.Event()

    async def stumble() -> None:
        passes.append(len(passes))
        if len(passes) == 2:
            twice.set()
        raise ZeroDivisionError

    monkeypatch.setattr(maintenance_module, "PASS_INTERVAL_S", 0)
    monkeypatch.setattr(case.maintenance, "run_pass", stumble)
    case.maintenance.start()
    await twice.wait()
    await case.bench.turns()
    await case.maintenance.stop()
    (failure,) = case.bench.tasks.failures()
    assert failure.name == "maintenance" and failure.count >= 2


async def test_stopping_what_was_never_started(case: Case) -> None:
    await case.maintenance.stop()
