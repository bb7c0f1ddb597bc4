"""Writers that wait for each acknowledgement before they send again."""

import asyncio
import os
import time
from collections.abc import Iterable

from logd import Producer

VALUE_BYTES = 1 << 10


async def write_until(
    producer: Producer, topic: str, partitions: Iterable[int], end_s: float, pause_s: float = 0.0
) -> list[float]:
    """A writer a partition, until perf_counter() is `end_s`: seconds to each acknowledgement."""
    value = os.urandom(VALUE_BYTES)
    seconds: list[float] = []

    async def write(partition: int) -> None:
        while (begin := time.perf_counter()) < end_s:
            await (await producer.send(topic, value, partition=partition))
            seconds.append(time.perf_counter() - begin)
            await asyncio.sleep(pause_s)

    await asyncio.gather(*map(write, partitions))
    return seconds


async def write_once(producer: Producer, topic: str, partitions: Iterable[int]) -> None:
    """So that no first append is timed."""
    handles = [await producer.send(topic, b"first", partition=number) for number in partitions]
    for handle in handles:
        await handle
