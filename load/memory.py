"""What a broker holds: idle, after each GiB in, and after each GiB out again."""

import asyncio
import os
import tempfile
from pathlib import Path

from tables import print_table

from logd import Admin, Consumer, Producer
from logd.dev.demo_broker import DemoBroker

VALUE_BYTES = 1 << 10
CHUNK_RECORDS = 1_000
SETTLE_S = 2.0
"""Before memory is read: what was freed is given back, what was dirty is synced."""


def measure_memory(gib: int) -> None:
    """A broker with its defaults: idle, then after each GiB in, and out again."""
    with tempfile.TemporaryDirectory(prefix="logd-memory-") as folder:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            rows = asyncio.run(_memory_rows(broker, gib))
        finally:
            broker.close()
    head = "broker | RSS MiB | of it anonymous | of it files | descriptors | maps"
    print_table(f"load/measure.py memory --gib {gib}", head, rows)


async def _memory_rows(broker: DemoBroker, gib: int) -> list[str]:
    address, topic = broker.address, "memory"
    values = [os.urandom(VALUE_BYTES) for _ in range(CHUNK_RECORDS)]
    chunks = (1 << 30) // (VALUE_BYTES * CHUNK_RECORDS) + 1
    await asyncio.sleep(SETTLE_S)
    rows = [f"idle | {memory_of(broker.pid)}"]
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic(topic)
    async with Consumer(topic, bootstrap_servers=address) as consumer:
        for number in range(1, gib + 1):
            async with Producer(bootstrap_servers=address) as producer:
                sent = [await producer.send_many(topic, values) for _ in range(chunks)]
                for handles in sent:
                    await handles
            await asyncio.sleep(SETTLE_S)
            rows.append(f"{number} GiB in | {memory_of(broker.pid)}")
            left = chunks * CHUNK_RECORDS
            async for batch in consumer.batches():
                left -= len(batch)
                if left <= 0:
                    break
            await asyncio.sleep(SETTLE_S)
            rows.append(f"{number} GiB in and out | {memory_of(broker.pid)}")
    return rows


def memory_of(pid: int) -> str:
    """Cells of the table: resident memory, open descriptors, memory maps."""
    process = Path("/proc") / str(pid)
    lines = (process / "status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    resident = [int(status[name].split()[0]) >> 10 for name in ("VmRSS", "RssAnon", "RssFile")]
    descriptors = len(os.listdir(process / "fd"))
    maps = len((process / "maps").read_text().splitlines())
    return " | ".join(map(str, (*resident, descriptors, maps)))
