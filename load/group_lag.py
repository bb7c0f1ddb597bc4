"""What the lag of many groups costs: asked for one by one, a few at a time, as `logctl` does."""

import asyncio
import tempfile
import time
from pathlib import Path

from sdk import cpu_s
from tables import print_table

from logd import Admin, Producer
from logd.dev.demo_broker import DemoBroker

PARTITIONS = 10
RECORDS = 10_000
AT_ONCE = 16


def measure_lag(groups: int) -> None:
    """Each group has committed half of every partition."""
    with tempfile.TemporaryDirectory(prefix="logd-lag-") as folder:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            row = asyncio.run(_ask(broker.address, broker.pid, groups))
        finally:
            broker.close()
    head = "groups | partitions of each | s for all | broker CPU, ms a group"
    print_table(f"load/measure.py lag {groups}", head, [row])


async def _ask(address: str, pid: int, groups: int) -> str:
    names = [f"g{number}" for number in range(groups)]
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("t", PARTITIONS)
        async with Producer(bootstrap_servers=address) as producer:
            for partition in range(PARTITIONS):
                await producer.send_many("t", [bytes(100)] * RECORDS, partition=partition)
        half = {("t", partition): RECORDS // 2 for partition in range(PARTITIONS)}
        for start in range(0, groups, AT_ONCE):
            some = names[start : start + AT_ONCE]
            await asyncio.gather(*(admin.commit_offsets(name, half) for name in some))
        cpu, began_s = cpu_s(pid), time.perf_counter()
        for start in range(0, groups, AT_ONCE):
            some = names[start : start + AT_ONCE]
            for lags in await asyncio.gather(*map(admin.group_lag, some)):
                assert sum(each.lag_records for each in lags) == PARTITIONS * RECORDS // 2
        took_s, spent_s = time.perf_counter() - began_s, cpu_s(pid) - cpu
    return f"{groups:,} | {PARTITIONS} | {took_s:.2f} | {spent_s * 1000 / groups:.2f}"
