"""kill -9 at seeded moments under load: nothing acknowledged is lost, doubled or reordered."""

import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import killing_broker
from harness.broker_process import BrokerProcess
from harness.kill_workload import KillWorkload
from logd.testing.history import History
from logd.testing.history_checker import check_history

PRODUCERS, CONSUMERS = 4, 3
PROGRESS_MIN = 50
"""Records acknowledged before the first kill and after the last: else nothing was tried."""
KILL_TIMEOUT_S = 20
HANG_S = 60
"""Longer only where a test fails."""
COUNTS_MAX = {"append": 60, "sync": 60, "roll": 4, "snapshot": 6, "recovery": 12}
"""How far into a run each kind of kill may come."""


class KilledBroker(BrokerProcess):
    """A broker whose next start dies at a chosen operation."""

    def start_killing(self, kind: str, count: int) -> None:
        plain = self.command
        program = killing_broker.__file__
        assert program is not None
        point = f"{kind}:{count}"
        self.command = [sys.executable, program, point, str(self.data_dir), self.address]
        self.command.append(self.door)
        try:
            self.start()
        finally:
            self.command = plain


async def run_kills(directory: Path, seed: int, kills: int) -> tuple[Counter[str], str]:
    """How often each kind was hit, and the verdict's text. Raises what went wrong."""
    chooser = random.Random(seed)
    history = History()
    hits: Counter[str] = Counter()
    with KilledBroker(directory) as broker:
        workload = KillWorkload(broker.address, history, producers=PRODUCERS, consumers=CONSUMERS)
        await workload.create_topics()
        workload.start()
        await _progress(workload)
        broker.kill()
        for number in range(kills):
            kind = killing_broker.KINDS[number % len(killing_broker.KINDS)]
            count = chooser.randint(1, COUNTS_MAX[kind])
            hits[kind] += await asyncio.to_thread(_start_until_dead, broker, kind, count)
            workload.check_alive()
        await asyncio.to_thread(broker.start)
        await _progress(workload)
        await workload.finish()
        assert await asyncio.to_thread(broker.stop) == 0
    verdict = check_history(history)
    assert verdict.ok, f"seed {seed}: {verdict}"
    assert verdict.deliveries > workload.acknowledged, "every consumer reads everything"
    return hits, str(verdict)


async def _progress(workload: KillWorkload) -> None:
    goal = workload.acknowledged + PROGRESS_MIN
    async with asyncio.timeout(HANG_S):
        while workload.acknowledged < goal:
            workload.check_alive()
            await asyncio.sleep(0.01)


def _start_until_dead(broker: KilledBroker, kind: str, count: int) -> bool:
    """Whether the chosen operation was reached: else it is killed from outside after a while."""
    try:
        broker.start_killing(kind, count)
    except RuntimeError:
        return broker.wait_until_dead() == -signal.SIGKILL  # died before it served: in recovery
    try:
        return broker.wait_until_dead(KILL_TIMEOUT_S) == -signal.SIGKILL
    except TimeoutError:
        broker.kill()
        return False


@pytest.mark.slow
@pytest.mark.usefixtures("door")
async def test_twelve_kills(tmp_path: Path, say: Callable[[str], None]) -> None:
    hits, verdict = await run_kills(tmp_path, seed=1, kills=12)
    say(f"12 kills: hits {dict(hits)}; {verdict}")
    assert set(hits) == set(killing_broker.KINDS), f"every kind of moment must be hit: {hits}"


@pytest.mark.soak
@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("seed", range(2, 12))
async def test_a_hundred_kills(tmp_path: Path, seed: int, say: Callable[[str], None]) -> None:
    hits, verdict = await run_kills(tmp_path, seed, kills=10)
    say(f"10 kills, seed {seed}: hits {dict(hits)}; {verdict}")
    assert set(hits) == set(killing_broker.KINDS)
