"""What a broker takes: time to serve, time of `logctl --help`, memory. One table a subcommand.

    python load/measure.py start --partitions 1000
    python load/measure.py help
    python load/measure.py memory --gib 2

Each starts brokers of its own in a temporary folder. Linux: it reads /proc.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from logd import Admin, Consumer, Producer
from logd.dev.demo_broker import DemoBroker

PARTITIONS_PER_TOPIC = 1_000
VALUE_BYTES = 1 << 10
CHUNK_RECORDS = 1_000
SETTLE_S = 2.0
"""Before memory is read: what was freed is given back, what was dirty is synced."""


def timed_s(work: Callable[[], object]) -> float:
    """Seconds it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def spread(seconds: list[float]) -> str:
    """Median with minimum and maximum, as cells of a table, in ms."""
    cells = (statistics.median(seconds), min(seconds), max(seconds))
    return " | ".join(f"{cell * 1000:.0f}" for cell in cells)


def print_table(title: str, head: str, rows: list[str]) -> None:
    """A Markdown table, under the command that made it and the machine's load meanwhile."""
    columns = head.count("|") + 1
    print(f"\n`{title}`, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(f"| {head} |\n|{'---|' * columns}")
    for row in rows:
        print(f"| {row} |")


def measure_start(runs: int, partitions: int, records: int) -> None:
    """From starting the process to its line on stdout."""
    rows = []
    empty = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="logd-start-") as folder:
            broker = DemoBroker(Path(folder))
            empty.append(timed_s(broker.start))
            broker.close()
    rows.append(f"empty data directory | {spread(empty)}")
    # One event loop for all: gRPC complains in the background when a second one follows it.
    with tempfile.TemporaryDirectory(prefix="logd-start-") as folder, asyncio.Runner() as runner:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            runner.run(_fill_partitions(broker.address, partitions, records))
            for name, stop in (("a clean stop", broker.close), ("kill -9", broker.kill)):
                took = []
                for _ in range(runs):
                    runner.run(_write_to_each(broker.address, partitions, records))
                    stop()
                    took.append(timed_s(broker.start))
                rows.append(f"{partitions} partitions, after {name} | {spread(took)}")
        finally:
            broker.close()
    title = f"load/measure.py start --partitions {partitions} --records {records} --runs {runs}"
    print_table(title, "start to serving, ms | median | min | max", rows)


async def _fill_partitions(address: str, partitions: int, records: int) -> None:
    async with Admin(address) as admin:
        for first in range(0, partitions, PARTITIONS_PER_TOPIC):
            count = min(PARTITIONS_PER_TOPIC, partitions - first)
            await admin.create_topic(f"t{first}", count)
    await _write_to_each(address, partitions, records)


async def _write_to_each(address: str, partitions: int, records: int) -> None:
    value = os.urandom(VALUE_BYTES)
    async with Producer(address) as producer:
        handles = []
        for number in range(partitions):
            topic, partition = divmod(number, PARTITIONS_PER_TOPIC)
            name = f"t{topic * PARTITIONS_PER_TOPIC}"
            handles.append(await producer.send_many(name, [value] * records, partition=partition))
        for handle in handles:
            await handle


def measure_help(runs: int) -> None:
    """Interleaved; a first pass that is not counted fills the page cache."""
    folder = Path(sys.executable).parent
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "logctl --help": [str(folder / "logctl"), "--help"],
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, command in commands.items():
            seconds = timed_s(partial(subprocess.run, command, check=True, capture_output=True))
            if run:
                took[name].append(seconds)
    rows = [f"{name} | {spread(seconds)}" for name, seconds in took.items()]
    print_table(f"load/measure.py help --runs {runs}", "command, ms | median | min | max", rows)


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
    async with Admin(address) as admin:
        await admin.create_topic(topic)
    async with Consumer(topic, bootstrap_servers=address) as consumer:
        for number in range(1, gib + 1):
            async with Producer(address) as producer:
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start to serving")
    start.add_argument("--runs", type=int, default=5)
    start.add_argument("--partitions", type=int, default=1_000)
    start.add_argument("--records", type=int, default=100, help="of 1 KiB, in each partition")
    help_ = commands.add_parser("help", help="logctl --help beside python -c pass")
    help_.add_argument("--runs", type=int, default=10)
    memory = commands.add_parser("memory", help="RSS, descriptors and maps after each GiB")
    memory.add_argument("--gib", type=int, default=2)
    args = parser.parse_args()
    if args.command == "start":
        measure_start(args.runs, args.partitions, args.records)
    elif args.command == "help":
        measure_help(args.runs)
    else:
        measure_memory(args.gib)


if __name__ == "__main__":
    main()
