"""RabbitMQ streams through rstream: batches with confirms, values as plain bytes.

A stream has no mode that syncs before it confirms: there is no task with fsync here.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from typing import Any

from pacing import age, schedule, stamp
from rstream import Consumer, ConsumerOffsetSpecification, OffsetType, Producer

Options = dict[str, Any]
BATCH_RECORDS = 1_000
WINDOW = 20_000
CREDIT = 100
WAIT_S = 30
FROM_THE_FIRST = ConsumerOffsetSpecification(OffsetType.FIRST, None)


def version(address: str) -> str:
    async def ask(producer: Any) -> str:
        await producer.stream_exists("bench")
        return f"RabbitMQ streams, rstream {metadata.version('rstream')}"

    return str(_with_producer(address, ask))


def create(address: str, topic: str, partitions: int = 1, copies: int = 1) -> None:
    _with_producer(address, lambda producer: producer.create_stream(topic))


def delete(address: str, topic: str) -> None:
    _with_producer(address, lambda producer: producer.delete_stream(topic))


def produce(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    async def run(producer: Any) -> None:
        confirmed, refused, came = 0, [], asyncio.Event()

        def on_confirm(status: Any) -> None:
            nonlocal confirmed
            confirmed += 1
            came.set()
            if not status.is_confirmed:
                refused.append(status)

        async def reach(count: int) -> None:
            while confirmed < count:
                came.clear()
                await asyncio.wait_for(came.wait(), WAIT_S)

        await producer.send_wait(topic, values[0])
        with timer:
            for at in range(0, len(values), BATCH_RECORDS):
                batch = list(values[at : at + BATCH_RECORDS])
                await producer.send_batch(topic, batch, on_publish_confirm=on_confirm)
                await reach(at + BATCH_RECORDS - WINDOW)
            await reach(len(values))
        if refused:
            raise RuntimeError(refused[0])

    _with_producer(address, run)


def consume(
    address: str, topic: str, count: int, opts: Options, timer: AbstractContextManager[Any]
) -> int:
    return sum(asyncio.run(_subscribed(address, topic, count, len, lambda: None, timer)))


def latency(address: str, topic: str, values: Sequence[bytes], opts: Options) -> list[float]:
    async def run(producer: Any) -> list[float]:
        took = []
        for value in values:
            begin = time.perf_counter()
            await producer.send_wait(topic, value)
            took.append(time.perf_counter() - begin)
        return took

    return list(_with_producer(address, run))


def send_at(address: str, topic: str, rate: int, count: int, size: int, opts: Options) -> None:
    async def run(producer: Any) -> None:
        for due in schedule(rate, count):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await producer.send_batch(topic, [stamp(size)])
        await producer.send_wait(topic, stamp(size))  # the last of a connection: all are confirmed

    _with_producer(address, run)


def receive(
    address: str, topic: str, count: int, ready: Callable[[], None], opts: Options
) -> list[float]:
    return asyncio.run(_subscribed(address, topic, count, age, ready, nullcontext()))


async def _subscribed(
    address: str,
    topic: str,
    count: int,
    of: Callable[[bytes], Any],
    ready: Callable[[], None],
    timer: AbstractContextManager[Any],
) -> list[Any]:
    """`of` each of the first `count` values; `timer` runs from the subscription on."""
    found: list[Any] = []
    done = asyncio.Event()

    def on(value: bytes, _: Any) -> None:
        found.append(of(value))
        if len(found) == count:
            done.set()

    consumer = Consumer(**_address(address))
    await consumer.start()
    with timer:
        await consumer.subscribe(
            topic, on, decoder=bytes, offset_specification=FROM_THE_FIRST, initial_credit=CREDIT
        )
        ready()
        await done.wait()
    await consumer.close()
    return found[:count]


def _with_producer(address: str, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with Producer(**_address(address)) as producer:
            return await work(producer)

    return asyncio.run(run())


def _address(address: str) -> Options:
    host, port = address.split(":")
    return {"host": host, "port": int(port), "username": "guest", "password": "guest"}
