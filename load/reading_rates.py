"""Records a second of each way of reading, as a member of a group and without one."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tables import print_table

from logd import Admin, Consumer, Producer, Record
from logd.dev.demo_broker import DemoBroker

PARTITIONS = 4
KEYS = 10_000
BATCH = 10_000
CONCURRENCY = 32


async def _one_by_one(consumer: Consumer, count: int) -> None:
    async for _ in consumer:
        count -= 1
        if not count:
            return


async def _batches(consumer: Consumer, count: int) -> None:
    async for batch in consumer.batches():
        count -= len(batch)
        if count <= 0:
            return


class _Enough(Exception):
    """All were handled."""


async def _in_parallel(consumer: Consumer, count: int) -> None:
    left = count

    async def handle(record: Record) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise _Enough

    try:
        await consumer.records(concurrency=CONCURRENCY, order="key").for_each(handle)
    except _Enough:
        pass


WAYS: dict[str, Callable[[Consumer, int], Awaitable[None]]] = {
    "async for record in consumer": _one_by_one,
    "async for batch in consumer.batches()": _batches,
    f'records(concurrency={CONCURRENCY}, order="key").for_each': _in_parallel,
}


def measure_reading(records: int, value_bytes: int, rounds: int) -> None:
    """In each round each way once, with a group and without, so that all see the same machine."""
    with tempfile.TemporaryDirectory(prefix="logd-reading-") as folder:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            rates = asyncio.run(_measure(broker.address, records, value_bytes, rounds))
        finally:
            broker.close()
    head = "way | records/s, median | least | most | in a group | least | most"
    command = f"load/measure.py reading --records {records} --bytes {value_bytes}"
    print_table(command, head, [f"{way} | {cells}" for way, cells in rates.items()])


async def _measure(address: str, records: int, value_bytes: int, rounds: int) -> dict[str, str]:
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("t", PARTITIONS, config={"durability": "page_cache"})
    async with Producer(bootstrap_servers=address) as producer:
        for start in range(0, records, BATCH):
            numbers = range(start, min(start + BATCH, records))
            keys = [b"%d" % (number % KEYS) for number in numbers]
            await producer.send_many("t", [os.urandom(value_bytes)] * len(keys), keys)
    found: dict[tuple[str, bool], list[float]] = {}
    for number in range(rounds + 1):  # the first is not counted
        for which, (way, read) in enumerate(WAYS.items()):
            for in_group in (False, True):
                group_id = f"g-{number}-{which}" if in_group else None
                consumer = Consumer("t", bootstrap_servers=address, group_id=group_id)
                async with consumer:
                    began_s = time.perf_counter()
                    await read(consumer, records)
                    rate = records / (time.perf_counter() - began_s)
                if number:
                    found.setdefault((way, in_group), []).append(rate)
    return {
        way: " | ".join(
            f"{cell:,.0f}"
            for in_group in (False, True)
            for rates in [found[way, in_group]]
            for cell in (statistics.median(rates), min(rates), max(rates))
        )
        for way in WAYS
    }
