"""One record in flight, acknowledged, beside a bare grpc.aio echo of its size: how much is ours."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
from echo_server import METHOD, EchoServer
from tables import print_table

from logd import Admin, Producer
from logd.dev.demo_broker import DemoBroker

WARM_UP = 200
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]

Call = Callable[[bytes], Awaitable[object]]


def measure_echo(sizes: list[int], records: int, rounds: int) -> None:
    """By turns, each against a process of its own; linger 0, through gRPC, durability page_cache.
    Ratios are taken round by round."""
    with tempfile.TemporaryDirectory(prefix="logd-echo-") as folder:
        broker, echo = DemoBroker(Path(folder)), EchoServer(Path(folder))
        try:
            broker.start()
            echo.start()
            rows = asyncio.run(_measure(broker.address, echo.address, sizes, records, rounds))
        finally:
            echo.close()
            broker.close()
    sized = "".join(f" --bytes {size}" for size in sizes)
    command = f"load/measure.py echo{sized} --records {records} --rounds {rounds}"
    head = "bytes | echo p50 ms | p99 | record p50 ms | p99 | of the echo: p50 | p99"
    print_table(command, head, rows)


async def _measure(
    broker: str, echo: str, sizes: list[int], records: int, rounds: int
) -> list[str]:
    async with Admin(bootstrap_servers=broker) as admin:
        await admin.create_topic("echo", 1, config={"durability": "page_cache"})
    async with (
        grpc.aio.insecure_channel(echo, OPTIONS) as channel,
        Producer(bootstrap_servers=broker, linger_ms=0) as producer,
    ):
        stream: Any = channel.stream_stream(METHOD)()

        async def bare(value: bytes) -> None:
            await stream.write(value)
            await stream.read()

        async def record(value: bytes) -> None:
            await (await producer.send("echo", value))

        rows = [await _row(size, bare, record, records, rounds) for size in sizes]
        await stream.done_writing()
        return rows


async def _row(size: int, bare: Call, record: Call, records: int, rounds: int) -> str:
    value = os.urandom(size)
    bares, ours = [], []
    for call in (bare, record):
        await _took(call, value, WARM_UP)
    for _ in range(rounds):
        bares.append(await _took(bare, value, records))
        ours.append(await _took(record, value, records))
    cells = [
        statistics.median(took[at] for took in side) for side in (bares, ours) for at in (0, 1)
    ]
    ratios = [
        statistics.median(our[at] / echo[at] for our, echo in zip(ours, bares, strict=True))
        for at in (0, 1)
    ]
    times = " | ".join(f"{cell * 1000:.3f}" for cell in cells)
    return f"{size} | {times} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)}"


async def _took(call: Call, value: bytes, count: int) -> tuple[float, float]:
    """p50 and p99, in seconds."""
    took = []
    for _ in range(count):
        begin = time.perf_counter()
        await call(value)
        took.append(time.perf_counter() - begin)
    took.sort()
    return took[count // 2], took[count * 99 // 100]
