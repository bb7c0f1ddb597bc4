"""What a disk that takes long to sync does to everybody else, when one topic or all are on it."""

import asyncio
import tempfile
import time
from pathlib import Path

from tables import latencies, print_table
from watched_broker import WatchedBroker
from writers import write_once, write_until

from logd import Admin, Consumer, Producer

PARTITIONS = 16
"""Of each topic: of the slow one more than a queue has threads."""
PAUSE_S = 0.02
"""Of each writer between its records: so that what is measured is waiting, not load."""
TOPICS = {"slow": "fsync", "quick": "fsync", "cached": "page_cache"}


def measure_slow_disk(slow_ms: int, seconds: float) -> None:
    rows = []
    with asyncio.Runner() as runner:
        for name, word in (("none", "nothing"), ("topic slow", "/slow-"), ("all topics", "-")):
            with tempfile.TemporaryDirectory(prefix="logd.slow.") as folder:
                broker = WatchedBroker(Path(folder), word, slow_ms)
                try:
                    broker.start()
                    rows += runner.run(_rows(broker, name, seconds))
                finally:
                    broker.close()
    title = f"load/measure.py slow-disk --ms {slow_ms} --seconds {seconds:g}"
    head = "slow | topic | p50 ms | p99 ms | max ms | longest tick ms"
    print_table(title, head, rows)


async def _rows(broker: WatchedBroker, name: str, seconds: float) -> list[str]:
    address, numbers = broker.address, range(PARTITIONS)
    async with Admin(bootstrap_servers=address) as admin:
        for topic, durability in TOPICS.items():
            await admin.create_topic(topic, PARTITIONS, config={"durability": durability})
    async with Producer(bootstrap_servers=address, linger_ms=0) as producer:
        for topic in TOPICS:
            await write_once(producer, topic, numbers)
        await asyncio.sleep(1)
        broker.longest_tick_ms()
        end_s = time.perf_counter() + seconds
        *took, reads = await asyncio.gather(
            *(write_until(producer, topic, numbers, end_s, PAUSE_S) for topic in TOPICS),
            _read_until(address, end_s),
        )
    tick_ms = broker.longest_tick_ms()
    return [
        f"{name} | {what} | {latencies(seconds)} | {tick_ms:.1f}"
        for what, seconds in [*zip(TOPICS, took, strict=True), ("reads of 'cached'", reads)]
    ]


async def _read_until(address: str, end_s: float) -> list[float]:
    """Seconds that reading the first record of a partition takes, again and again."""
    seconds = []
    async with Consumer(
        "cached", bootstrap_servers=address, partitions=[0], auto_offset_reset="earliest"
    ) as consumer:
        while (begin := time.perf_counter()) < end_s:
            consumer.seek("cached", 0, 0)
            await consumer.poll(max_records=1)
            seconds.append(time.perf_counter() - begin)
            await asyncio.sleep(PAUSE_S)
    return seconds
