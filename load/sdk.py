"""What each call of the SDK costs a record: wall, the client's CPU, the broker's, and where."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tables import print_table

from logd import Consumer, Producer, sync
from logd.cli.bench_calls import CHUNK_RECORDS, Tally, read_batches, read_records, send_chunks
from logd.cli.bench_calls import send_each as send_each_nowait
from logd.dev.demo_broker import DemoBroker
from logd.model.errors import BufferFull
from logd.system.malloc_thresholds import raise_malloc_thresholds

BYTES = 200 << 20
"""Of values in a pass."""
TOP_LINES = 5

Work = Callable[[str, list[bytes]], None]


def measure_sdk(value_bytes: int, passes: int, *, profile: bool) -> None:
    """Producing calls fill a topic each; reading calls read the one that the first filled."""
    raise_malloc_thresholds()
    with tempfile.TemporaryDirectory(prefix="logd-sdk-") as folder:
        broker = DemoBroker(Path(folder))
        try:
            broker.start()
            with asyncio.Runner() as runner:  # gRPC complains where a second loop follows
                works = _works(broker.address, runner)
                rows, lines = _measure(broker, works, value_bytes, passes, profile)
        finally:
            broker.close()
    command = f"load/measure.py sdk --bytes {value_bytes} --passes {passes}"
    head = "call | wall ns a record, best | median | client CPU ns | broker CPU ns | k records/s"
    print_table(command, head, rows)
    if profile:
        print_table(f"{command} --profile (py-spy)", "call | line | of the client's time", lines)


def _measure(
    broker: DemoBroker, works: dict[str, Work], value_bytes: int, passes: int, profile: bool
) -> tuple[list[str], list[str]]:
    count = BYTES // value_bytes
    blob = os.urandom(count * value_bytes)
    values = [blob[at : at + value_bytes] for at in range(0, len(blob), value_bytes)]
    rows, lines = [], []
    _topic(broker.address, "read")
    works["send_many"]("read", values)
    for name, work in works.items():
        reads = "for" in name or "batch" in name
        wall, cpu, served = [], 0.0, 0.0
        watching = _watch(name, folder=broker.directory) if profile else None
        for number in range(passes):
            topic = "read" if reads else f"{number}-{re.sub('[^a-z_]', '-', name)}"
            if not reads:
                _topic(broker.address, topic)
            begun = time.perf_counter(), time.process_time(), cpu_s(broker.pid)
            work(topic, values)
            wall.append((time.perf_counter() - begun[0]) / count * 1e9)
            cpu += time.process_time() - begun[1]
            served += cpu_s(broker.pid) - begun[2]
            if not reads:
                _topic(broker.address, topic, delete=True)
        wall.sort()
        each = 1e9 / count / passes
        rows.append(
            f"{name} | {wall[0]:.0f} | {wall[passes // 2]:.0f} | {cpu * each:.0f} | "
            f"{served * each:.0f} | {1e6 / wall[passes // 2]:,.0f}"
        )
        if watching is not None:
            lines += [f"{name} | {line} | {share:.0%}" for line, share in _top(*watching)]
    return rows, lines


def _works(address: str, runner: asyncio.Runner) -> dict[str, Work]:
    """By name, each from a new client to its close; what is sent is acknowledged."""

    async def produce(topic: str, values: list[bytes], send: object) -> None:
        async with Producer(bootstrap_servers=address) as producer:
            await send(producer, topic, values)  # type: ignore[operator]

    async def consume(topic: str, values: list[bytes], read: object) -> None:
        async with Consumer(topic, bootstrap_servers=address) as consumer:
            await read(consumer, len(values), Tally())  # type: ignore[operator]

    def sends(send: object) -> Work:
        return lambda topic, values: runner.run(produce(topic, values, send))

    def reads(read: object) -> Work:
        return lambda topic, values: runner.run(consume(topic, values, read))

    return {
        "await send": sends(_send),
        "send_nowait": sends(send_each_nowait),
        "send_many": sends(send_chunks),
        "async for": reads(read_records),
        "batches, .values": reads(read_batches),
        "sync send": lambda topic, values: _sync_send(address, topic, values),
        "sync send_nowait": lambda topic, values: _sync_nowait(address, topic, values),
        "sync send_many": lambda topic, values: _sync_many(address, topic, values),
        "sync for": lambda topic, values: _sync_for(address, topic, len(values)),
        "sync batches, .values": lambda topic, values: _sync_batches(address, topic, len(values)),
    }


async def _send(producer: Producer, topic: str, values: list[bytes]) -> None:
    for value in values:
        await producer.send(topic, value)


def _sync_send(address: str, topic: str, values: list[bytes]) -> None:
    with sync.Producer(bootstrap_servers=address) as producer:
        for value in values:
            producer.send(topic, value)


def _sync_nowait(address: str, topic: str, values: list[bytes]) -> None:
    with sync.Producer(bootstrap_servers=address) as producer:
        send = producer.send_nowait
        for value in values:
            try:
                send(topic, value)
            except BufferFull:
                producer.send(topic, value)


def _sync_many(address: str, topic: str, values: list[bytes]) -> None:
    with sync.Producer(bootstrap_servers=address) as producer:
        for at in range(0, len(values), CHUNK_RECORDS):
            producer.send_many(topic, values[at : at + CHUNK_RECORDS])


def _sync_for(address: str, topic: str, left: int) -> None:
    size = 0
    with sync.Consumer(topic, bootstrap_servers=address) as consumer:
        for record in consumer:
            size += len(record.value or b"")
            left -= 1
            if not left:
                break


def _sync_batches(address: str, topic: str, left: int) -> None:
    size = 0
    with sync.Consumer(topic, bootstrap_servers=address) as consumer:
        for batch in consumer.batches():
            size += sum(map(len, filter(None, batch.values)))
            left -= len(batch)
            if left <= 0:
                break


def _topic(address: str, name: str, *, delete: bool = False) -> None:
    with sync.Admin(bootstrap_servers=address) as admin:
        if delete:
            admin.delete_topic(name)
        else:
            admin.create_topic(name)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def _watch(name: str, folder: Path) -> "tuple[subprocess.Popen[bytes], Path]":
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    py_spy = shutil.which("py-spy", path=places)
    if py_spy is None:
        raise SystemExit("--profile needs py-spy: pip install py-spy")
    file = folder / f"{re.sub('[^a-z]', '-', name)}.txt"
    command = [py_spy, "record", "-p", str(os.getpid()), "-r", "500", "-f", "raw", "-o", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.0)
    return process, file


def _top(process: "subprocess.Popen[bytes]", file: Path) -> list[tuple[str, float]]:
    """The lines that most samples of the thread with the most ended in."""
    process.send_signal(2)
    process.wait()
    ends: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, samples = line.rpartition(" ")
        frame = stack.rpartition(";")[2]
        if "threading.py" not in frame and "selectors.py" not in frame:
            ends[re.sub(r"\(.*/", "(", frame)] += int(samples)
    total = sum(ends.values()) or 1
    return [(line, samples / total) for line, samples in ends.most_common(TOP_LINES)]
