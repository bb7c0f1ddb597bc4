"""Start to serving: an empty data directory, many partitions, a large log; clean and after kill -9.

A log's bytes are in the page cache, as far as that reaches: what is timed is what a start reads and
checks, not the disk.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tables import print_table, spread, timed_s

from logd import Admin, Producer
from logd.dev.demo_broker import DemoBroker
from logd_partitions.directory.log_directory import POINTS_FILE

PARTITIONS_PER_TOPIC = 1_000
VALUE_BYTES = 1 << 10
CHUNK_RECORDS = 1_000


def measure_start(runs: int, partitions: int, records: int, gibs: list[int]) -> None:
    """From starting the process to its line on stdout."""
    empty = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="logd-start-") as folder:
            broker = DemoBroker(Path(folder))
            empty.append(timed_s(broker.start))
            broker.close()
    rows = [f"empty data directory | {spread(empty)}"]
    # One event loop for all: gRPC complains in the background when a second one follows it.
    with asyncio.Runner() as runner:
        rows += _partition_rows(runner, runs, partitions, records)
        for gib in gibs:
            rows += _log_rows(runner, runs, gib)
    title = f"load/measure.py start --partitions {partitions} --records {records} --runs {runs}"
    title += "".join(f" --gib {gib}" for gib in gibs)
    print_table(title, "start to serving, ms | median | min | max", rows)


def _partition_rows(runner: asyncio.Runner, runs: int, partitions: int, records: int) -> list[str]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="logd-start-") as folder:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            runner.run(_create(broker.address, partitions))
            runner.run(_write_to_each(broker.address, partitions, records))
            for name, stop in (("a clean stop", broker.close), ("kill -9", broker.kill)):
                took = []
                for _ in range(runs):
                    runner.run(_write_to_each(broker.address, partitions, records))
                    stop()
                    took.append(timed_s(broker.start))
                rows.append(f"{partitions} partitions, after {name} | {spread(took)}")
        finally:
            broker.close()
    return rows


def _log_rows(runner: asyncio.Runner, runs: int, gib: int) -> list[str]:
    """One partition that holds so much, written to (64 MiB more) before each stop."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="logd-start-") as folder:
        broker = DemoBroker(Path(folder))

        def kill_and_forget() -> None:
            broker.kill()
            (Path(folder) / "data" / POINTS_FILE).unlink()

        stops: dict[str, Callable[[], None]] = {
            "a clean stop": broker.close,
            "kill -9": broker.kill,
            "kill -9, all read as without recovery-points": kill_and_forget,
        }
        try:
            broker.start()
            runner.run(_create(broker.address, 1))
            for _ in range(gib):
                runner.run(_write_log(broker.address, 1 << 10))
            for name, stop in stops.items():
                took = []
                for _ in range(runs):
                    runner.run(_write_log(broker.address, 64))
                    stop()
                    took.append(timed_s(broker.start))
                rows.append(f"a log of {gib} GiB, after {name} | {spread(took)}")
        finally:
            broker.close()
    return rows


async def _create(address: str, partitions: int) -> None:
    async with Admin(bootstrap_servers=address) as admin:
        for first in range(0, partitions, PARTITIONS_PER_TOPIC):
            await admin.create_topic(f"t{first}", min(PARTITIONS_PER_TOPIC, partitions - first))


async def _write_to_each(address: str, partitions: int, records: int) -> None:
    value = os.urandom(VALUE_BYTES)
    async with Producer(bootstrap_servers=address) as producer:
        handles = []
        for number in range(partitions):
            topic, partition = divmod(number, PARTITIONS_PER_TOPIC)
            name = f"t{topic * PARTITIONS_PER_TOPIC}"
            handles.append(await producer.send_many(name, [value] * records, partition=partition))
        for handle in handles:
            await handle


async def _write_log(address: str, mib: int) -> None:
    values = [os.urandom(VALUE_BYTES) for _ in range(CHUNK_RECORDS)]
    async with Producer(bootstrap_servers=address) as producer:
        send = partial(producer.send_many, "t0", values, partition=0)
        for handles in [await send() for _ in range((mib << 20) // (VALUE_BYTES * CHUNK_RECORDS))]:
            await handles
