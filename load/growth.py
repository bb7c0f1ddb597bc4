"""What grows with a broker: partitions, the size of a batch, the size of a log."""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from memory import memory_of
from sdk import cpu_s
from tables import latencies, print_table
from writers import VALUE_BYTES

from logd import Admin, Consumer, Producer
from logd.dev.demo_broker import DemoBroker
from logd_client import OffsetSpec

PARTITIONS_PER_TOPIC = 1_000
CHUNK_RECORDS = 1_000
LOOKUPS = 300
LOOKUP_CHUNK_S = 0.02
"""Between chunks of a log that is looked up by time, so that they have times of their own."""

Row = Callable[[DemoBroker, int], Coroutine[None, None, str]]


def measure_partitions(counts: list[int]) -> None:
    """So many records to all of them in turn, then all read again."""
    head = (
        "partitions | in, k records/s | out, k records/s | client + broker CPU, s a million in | "
    )
    head += "RSS MiB | of it anonymous | of it files | descriptors | maps"
    _each("partitions", counts, _partitions, head)


def measure_batches(mibs: list[int]) -> None:
    """One partition, records of 1 KiB in batches of so many MiB."""
    head = "batch, MiB | in, MB/s | out, MB/s | RSS MiB | of it anonymous | of it files | "
    _each("batches", mibs, _batches, head + "descriptors | maps")


def measure_lookups(gibs: list[int]) -> None:
    """One partition: an offset by its time, and the first records from an offset, at random."""
    head = "log, GiB | by time: p50 ms | p99 ms | max ms | read at: p50 ms | p99 ms | max ms"
    _each("lookups", gibs, _lookups, head)


def _each(name: str, sizes: list[int], measure: Row, head: str) -> None:
    rows: list[str] = []
    with asyncio.Runner() as runner:  # gRPC complains where a second loop follows the first
        for size in sizes:
            with tempfile.TemporaryDirectory(prefix="logd-growth-") as folder:
                broker = DemoBroker(Path(folder))
                try:
                    broker.start()
                    rows.append(runner.run(measure(broker, size)))
                finally:
                    broker.close()
    print_table(f"load/measure.py {name} {' '.join(map(str, sizes))}", head, rows)


async def _partitions(broker: DemoBroker, partitions: int) -> str:
    """100 B records; each partition has its turn with a hundredth of what it gets in all."""
    records = 1_000_000
    per_turn = max(1, records // partitions // 100)
    values = [os.urandom(100) for _ in range(per_turn)]
    places = [
        (f"t{n // PARTITIONS_PER_TOPIC}", n % PARTITIONS_PER_TOPIC) for n in range(partitions)
    ]
    topics = list(dict.fromkeys(topic for topic, _ in places))
    async with Admin(bootstrap_servers=broker.address) as admin:
        for topic in topics:
            count = sum(name == topic for name, _ in places)
            await admin.create_topic(topic, count)
    async with Producer(bootstrap_servers=broker.address, acks="all") as producer:
        for topic, partition in places:  # opened before the clock starts
            await producer.send(topic, b"first", partition=partition)
        await producer.flush()
        begun, cpu = time.perf_counter(), time.process_time() + cpu_s(broker.pid)
        sent = 0
        while sent < records:
            for topic, partition in places:
                await producer.send_many(topic, values, partition=partition)
            sent += per_turn * partitions
        await producer.flush()
        in_s = time.perf_counter() - begun
        cpu = time.process_time() + cpu_s(broker.pid) - cpu
    out_s = await _read(broker.address, topics, sent + partitions)
    return (
        f"{partitions:,} | {sent / in_s / 1e3:,.0f} | {sent / out_s / 1e3:,.0f} | "
        f"{cpu / sent * 1e6:.2f} | {memory_of(broker.pid)}"
    )


async def _batches(broker: DemoBroker, mib: int) -> str:
    size, total = mib << 20, 1 << 30
    values = [os.urandom(VALUE_BYTES) for _ in range(CHUNK_RECORDS)]
    async with Admin(bootstrap_servers=broker.address) as admin:
        config = {"message_bytes_max": str(2 * size)}
        await admin.create_topic("t", config=config)
    async with Producer(bootstrap_servers=broker.address, batch_size=size - (1 << 10)) as producer:
        await (await producer.send("t", b"first"))
        begun = time.perf_counter()
        for _ in range(total // VALUE_BYTES // CHUNK_RECORDS):
            await producer.send_many("t", values)
        await producer.flush()
        in_s = time.perf_counter() - begun
    out_s = await _read(
        broker.address, ["t"], total // VALUE_BYTES // CHUNK_RECORDS * CHUNK_RECORDS
    )
    speeds = f"{total / in_s / 1e6:,.0f} | {total / out_s / 1e6:,.0f}"
    return f"{mib} | {speeds} | {memory_of(broker.pid)}"


async def _read(address: str, topics: list[str], records: int) -> float:
    async with Consumer(*topics, bootstrap_servers=address) as consumer:
        begun = time.perf_counter()
        while records > 0:
            records -= len(await consumer.next_batch())
        return time.perf_counter() - begun


async def _lookups(broker: DemoBroker, gib: int) -> str:
    values = [os.urandom(VALUE_BYTES) for _ in range(CHUNK_RECORDS)]
    chunks = (gib << 30) // VALUE_BYTES // CHUNK_RECORDS
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("t")
    started_ms = time.time() * 1000
    async with Producer(bootstrap_servers=broker.address) as producer:
        for _ in range(chunks):
            await producer.send_many("t", values)
        await producer.flush()
    ended_ms = time.time() * 1000
    by_time, reads = [], []
    async with Admin(bootstrap_servers=broker.address) as admin:
        for _ in range(LOOKUPS):
            at_ms = round(random.uniform(started_ms, ended_ms))
            begun = time.perf_counter()
            await admin.list_offsets("t", {0: OffsetSpec.at_time(at_ms)})
            by_time.append(time.perf_counter() - begun)
    async with Consumer("t", bootstrap_servers=broker.address, fetch_max_bytes=1) as consumer:
        await consumer.next_batch()
        for _ in range(LOOKUPS):
            offset = random.randrange(chunks * CHUNK_RECORDS)
            begun = time.perf_counter()
            consumer.seek("t", 0, offset)
            batch = await consumer.next_batch()
            reads.append(time.perf_counter() - begun)
            assert batch.base_offset == offset
    return f"{gib} | {latencies(by_time)} | {latencies(reads)}"
