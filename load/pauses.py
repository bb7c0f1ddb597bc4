"""What makes the broker's loop stand still while producers write, and for how long."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tables import latencies, print_table
from writers import VALUE_BYTES, write_once, write_until

from logd import Admin, Producer
from logd.dev.demo_broker import DemoBroker

CHUNK_RECORDS = 64
SEGMENT_BYTES = 64 << 20
"""Small, so that many are rolled."""


class TimedBroker(DemoBroker):
    """`timed_broker.py` as a process."""

    @property
    def program(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("timed_broker.py"))]

    def took_ms(self) -> dict[str, list[float]]:
        """Since the last call."""
        assert self._process is not None and self._process.stdout is not None
        os.kill(self.pid, signal.SIGUSR1)
        found: dict[str, list[float]] = json.loads(self._process.stdout.readline())
        return found


def measure_pauses(seconds: float, mb_per_s: int, durability: str) -> None:
    with tempfile.TemporaryDirectory(prefix="logd-pauses-") as folder:
        broker = TimedBroker(Path(folder))
        try:
            broker.start()
            waited, took = asyncio.run(_load(broker, seconds, mb_per_s, durability))
        finally:
            broker.close()
    command = (
        f"load/measure.py pauses --seconds {seconds:g} --mb {mb_per_s} --durability {durability}"
    )
    print_table(
        command,
        "a record acknowledged beside it: p50 ms | p99 ms | max ms",
        [latencies(waited)],
    )
    rows = [
        f"{name} | {len(ms)} | {sorted(ms)[len(ms) // 2]:.1f} | {max(ms):.1f} | {sum(ms):.0f}"
        for name, ms in sorted(took.items(), key=lambda item: -max(item[1]))
    ]
    print_table(command, "over 0.2 ms in the loop | times | median ms | max ms | sum ms", rows)


async def _load(
    broker: TimedBroker, seconds: float, mb_per_s: int, durability: str
) -> tuple[list[float], dict[str, list[float]]]:
    config = {"durability": durability, "segment_bytes": str(SEGMENT_BYTES)}
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("flow", config=config)
        await admin.create_topic("probe", config=config)
    async with (
        Producer(bootstrap_servers=broker.address, linger_ms=0) as probe,
        Producer(bootstrap_servers=broker.address) as flow,
    ):
        await write_once(probe, "probe", [0])
        await write_once(flow, "flow", [0])
        broker.took_ms()
        end_s = time.perf_counter() + seconds
        flowing = asyncio.ensure_future(_flow(flow, mb_per_s, end_s))
        waited = await write_until(probe, "probe", [0], end_s, pause_s=0.002)
        await flowing
        return waited, broker.took_ms()


async def _flow(producer: Producer, mb_per_s: int, end_s: float) -> None:
    values = [os.urandom(VALUE_BYTES) for _ in range(CHUNK_RECORDS)]
    step_s = CHUNK_RECORDS * VALUE_BYTES / (mb_per_s * 1e6)
    due_s = time.perf_counter()
    while due_s < end_s:
        await producer.send_many("flow", values)
        due_s += step_s
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
    await producer.flush()
