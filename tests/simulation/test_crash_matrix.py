"""Every operation, crashed at every change that it makes on the disk.

The steps are not listed: a run without a crash counts the calls, and then one run for each of them
dies in it. A call that changes nothing else is done whole or not at all, so dying in call n is
dying after call n - 1; a write is torn.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from typing import TypeVar

import pytest

from logd.sim.seeded_random import SeededRandom
from logd.sim.simulation import Simulation, simulate
from logd_consumer_groups.core import snapshots
from simulation.crash_bench import CrashBench, outcome_of
from simulation.crash_operations import OPERATIONS, Operation
from simulation.knobs import few_offsets_partitions

T = TypeVar("T")

POWER_VARIANTS = 2
SETTLED_S = 2.5
"""What an operation leaves to do behind it is done by then."""
SNAPSHOT_LOG_BYTES = 6_000
CALLS_MIN = 1


def changes_of(operation: Operation) -> int:
    """How many calls change the disk, from the operation's beginning on."""

    async def scenario(simulation: Simulation) -> int:
        bench = CrashBench(simulation)
        machine = bench.machine
        assert await machine.start()
        await operation.prepare(bench)
        await asyncio.sleep(SETTLED_S)
        assert machine.file_system is not None
        before = machine.file_system.crash_point.changes
        running = asyncio.ensure_future(operation.operate(bench))
        if operation.at_start:
            await running
            before = 0
            assert await machine.start()
        await running
        await asyncio.sleep(SETTLED_S)
        return machine.file_system.crash_point.changes - before

    return simulated(scenario)


def crashed(operation: Operation, at: int, variant: int | None) -> list[str]:
    """Die in change number `at`, by kill or (a variant) by power failure; what is then wrong."""

    async def scenario(simulation: Simulation) -> list[str]:
        bench = CrashBench(simulation)
        machine = bench.machine
        power = variant is not None
        assert await machine.start()
        await operation.prepare(bench)
        await asyncio.sleep(SETTLED_S)
        if power:
            machine.disk.random = SeededRandom(f"variant-{variant}")
        if not operation.at_start:
            machine.crash_after(at, power=power)
        running = asyncio.ensure_future(operation.operate(bench))
        if operation.at_start:
            await running
            await machine.start(crash_at=at, power=power)
        await asyncio.wait([running, asyncio.ensure_future(machine.died.wait())], timeout=60)
        await asyncio.sleep(SETTLED_S)
        if machine.broker is not None or not machine.died.is_set():  # it came to its end
            machine.lose_power() if power else machine.kill()
        if power:
            bench.power_failed()
        assert await machine.start()
        for work in (running, *bench.unfinished):
            await outcome_of(work)
        findings = await bench.check()
        machine.lose_power()  # what has been acknowledged or read by now is durable
        bench.power_failed()
        assert await machine.start()
        findings += await bench.check()
        await bench.go_on()
        findings += await bench.check()
        await machine.stop()
        assert await machine.start()
        findings += await bench.check()
        return [*findings, *simulation.failures()]

    return simulated(scenario)


def simulated(scenario: Callable[[Simulation], Awaitable[T]]) -> T:
    """With snapshots of offsets that are due soon."""
    before = snapshots.LOG_BYTES_MIN
    snapshots.LOG_BYTES_MIN = SNAPSHOT_LOG_BYTES
    try:
        with few_offsets_partitions():
            return simulate(0, scenario)
    finally:
        snapshots.LOG_BYTES_MIN = before


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """One for each processor."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_can_be_crashed_anywhere(
    operation: Operation, processes: ProcessPoolExecutor, say: Callable[[str], None]
) -> None:
    calls = changes_of(operation)
    assert calls >= CALLS_MIN
    variants = (None, *range(POWER_VARIANTS))
    cases = [(at, variant) for at in range(1, calls + 2) for variant in variants]
    found = processes.map(crashed, repeat(operation), *zip(*cases, strict=True), chunksize=4)
    for (at, variant), findings in zip(cases, found, strict=True):
        how = "killed" if variant is None else f"power failed, variant {variant}"
        assert not findings, f"{operation.name}, {how} in change {at}: {findings}"
    say(f"crash matrix: {operation.name}: {calls} changes of the disk, {len(cases)} cases")
