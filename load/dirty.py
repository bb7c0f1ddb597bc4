"""Acknowledged appends by the number of partitions that are dirty at once, under fsync.

Through the SDK to a broker process. Each partition has one writer, with one record of 1 KiB under
way: so as many partitions are dirty as there are writers, and a record is a batch and a sync's
share.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from tables import latencies, print_table
from watched_broker import WatchedBroker
from writers import write_once, write_until

from logd import Admin, Producer


def measure_dirty(counts: list[int], seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="logd-dirty-") as folder:
        broker = WatchedBroker(Path(folder))
        try:
            broker.start()
            rows = asyncio.run(_rows(broker, counts, seconds))
        finally:
            broker.close()
    title = "load/measure.py dirty" + "".join(f" --partitions {count}" for count in counts)
    head = "dirty partitions | acknowledged/s | p50 ms | p99 ms | max ms | longest tick ms"
    print_table(f"{title} --seconds {seconds:g}", head, rows)


async def _rows(broker: WatchedBroker, counts: list[int], seconds: float) -> list[str]:
    rows = []
    for count in counts:
        topic = f"dirty-{count}"
        async with Admin(bootstrap_servers=broker.address) as admin:
            await admin.create_topic(topic, count)
        async with Producer(bootstrap_servers=broker.address, linger_ms=0) as producer:
            await write_once(producer, topic, range(count))
            await write_until(producer, topic, range(count), time.perf_counter() + 1)
            broker.longest_tick_ms()
            begin = time.perf_counter()
            took = await write_until(producer, topic, range(count), begin + seconds)
            rate = len(took) / (time.perf_counter() - begin)
        tick_ms = broker.longest_tick_ms()
        rows.append(f"{count} | {rate:.0f} | {latencies(took)} | {tick_ms:.1f}")
    return rows
