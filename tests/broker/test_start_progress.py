"""A start says what it waits for, where it takes long."""

import asyncio
import shutil
from pathlib import Path

from structlog.testing import capture_logs

from harness.door_bench import door_bench
from harness.virtual_time import in_virtual_time
from logd.broker.config import BrokerConfig
from logd.broker.real_seams import real_seams
from logd.broker.start_progress import StartProgress, Step
from logd.broker.wiring import open_broker
from logd.sim.simulated_clock import SimulatedClock


async def test_a_start_has_steps(tmp_path: Path) -> None:
    """After an unclean stop, with three partitions that were appended to."""
    async with door_bench(tmp_path / "first") as bench:
        await bench.topic("orders", 3)
        for partition in range(3):
            await bench.produce("orders", b"a", partition=partition)
        shutil.copytree(tmp_path / "first", tmp_path / "killed")
    steps: list[Step] = []
    told: list[str] = []

    def begin(step: Step) -> None:
        told.extend(each() for each in steps[-1:])  # the last one, at its end
        steps.append(step)
        told.append(step())

    config = BrokerConfig(data_dir=str(tmp_path / "killed" / "data"))
    broker = await open_broker(config, real_seams(), begin)
    await broker.close()
    assert [text for text in told if text.startswith("recovery")] == [
        "recovery: 0 of 3 partitions done",
        "recovery: 3 of 3 partitions done",
    ]
    assert told[0] == f"the disk, to open {config.data_dir}"
    assert len(steps) == 4


def test_a_start_says_what_it_waits_for() -> None:
    async def work(clock: SimulatedClock) -> list[tuple[int, str]]:
        progress, done = StartProgress(), [0]
        with capture_logs() as lines:
            telling = asyncio.ensure_future(progress.tell())
            progress.begin(lambda: f"{done[0]} of 7")
            await asyncio.sleep(1.9)
            assert lines == []
            done[0] = 3
            await asyncio.sleep(10)
            done[0] = 5
            await asyncio.sleep(1)
            telling.cancel()
            await asyncio.sleep(60)
        return [(line["seconds"], line["waits_for"]) for line in lines]

    assert in_virtual_time(work) == [(2, "3 of 7"), (12, "5 of 7")]
