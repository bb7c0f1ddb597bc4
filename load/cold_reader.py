"""A writer beside a reader that is a day behind: its pages have left the cache.

The reader is a process of its own. Beside it two that cost as much CPU but no disk or nothing: one
of pages that are still cached, and none at all.
"""

import asyncio
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tables import latencies, print_table
from watched_broker import WatchedBroker
from writers import VALUE_BYTES, write_once, write_until

from logd import Admin, Consumer, Producer

PARTITIONS = 4
PAUSE_S = 0.005
ALONE_S = 5.0
CHUNK_RECORDS = 1_000


def measure_cold_reader(gib: int) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="logd-cold-") as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as readers,
    ):
        broker = WatchedBroker(Path(folder))
        try:
            broker.start()
            rows = asyncio.run(_rows(broker, gib, readers))
        finally:
            broker.close()
    head = "reader | MB/s | writer p50 ms | p99 ms | max ms | longest tick ms"
    print_table(f"load/measure.py cold-reader --gib {gib}", head, rows)


async def _rows(broker: WatchedBroker, gib: int, readers: ProcessPoolExecutor) -> list[str]:
    address, records = broker.address, (gib << 30) // VALUE_BYTES
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("old")
        await admin.create_topic("new", PARTITIONS)
    async with Producer(bootstrap_servers=address) as producer:
        values = [os.urandom(VALUE_BYTES) for _ in range(CHUNK_RECORDS)]
        for handles in [
            await producer.send_many("old", values) for _ in range(records // CHUNK_RECORDS)
        ]:
            await handles
    records -= records % CHUNK_RECORDS
    rows = []
    loop = asyncio.get_running_loop()
    async with Producer(bootstrap_servers=address, linger_ms=0) as producer:
        await write_once(producer, "new", range(PARTITIONS))
        for name in ("none", "of cached pages", "of cold pages"):
            if name == "of cold pages":
                drop_caches(broker.directory)
            broker.longest_tick_ms()
            stop = asyncio.Event()
            writing = asyncio.ensure_future(_write(producer, stop))
            if name == "none":
                await asyncio.sleep(ALONE_S)
                speed = "-"
            else:
                took = await loop.run_in_executor(readers, read_all, address, records)
                speed = f"{records * VALUE_BYTES / took / 1e6:.0f}"
            stop.set()
            waited = await writing
            tick_ms = broker.longest_tick_ms()
            rows.append(f"{name} | {speed} | {latencies(waited)} | {tick_ms:.1f}")
    return rows


async def _write(producer: Producer, stop: asyncio.Event) -> list[float]:
    seconds = []
    while not stop.is_set():
        end_s = time.perf_counter() + 0.1
        seconds += await write_until(producer, "new", range(PARTITIONS), end_s, PAUSE_S)
    return seconds


def read_all(address: str, records: int) -> float:
    """In a process of its own: seconds for the topic 'old'."""
    return asyncio.run(_read_all(address, records))


async def _read_all(address: str, records: int) -> float:
    async with Consumer("old", bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        begin = time.perf_counter()
        async for batch in consumer.batches():
            records -= len(batch)
            if records <= 0:
                break
        return time.perf_counter() - begin


def drop_caches(directory: Path) -> None:
    """Of all segments: what is synced, as here all of it is, leaves the page cache."""
    for path in directory.rglob("*.log"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
