"""What a comparison harness measures of logd: the public SDK, in its fastest form.

Functions, options and timers are the harness's own (`load/README.md`). Modes: `loop`, a call and an
object a record; `sync`, as `loop` with the synchronous producer; `batch`, send_many() and whole
batches; `plain`, as `loop` without raised malloc thresholds. Settings are the defaults.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any, TypeVar

from pacing import age, schedule, stamp

from logd import Admin, Consumer, Producer, sync
from logd.cli.bench_calls import Tally, read_batches, read_records, send_chunks, send_each
from logd.system.malloc_thresholds import raise_malloc_thresholds
from logd_client import OffsetSpec

Options = dict[str, Any]
T = TypeVar("T")

_runner = asyncio.Runner()
"""One event loop for all: gRPC serves one at a time in a process."""


def skip(cell: Options) -> bool:
    """What cannot be measured yet: more than one broker."""
    return bool(cell.get("copies", 1) > 1)


def version(address: str) -> str:
    """Fails where no broker answers."""

    async def run() -> None:
        async with Admin(bootstrap_servers=address) as admin:
            await admin.list_topics()

    _run(run())
    return f"logd {metadata.version('logd')}"


def first(address: str, copies: int = 1) -> None:
    """One record in a new topic: the broker is ready."""
    topic = f"first-{time.time_ns()}"
    create(address, topic)
    latency(address, topic, [b"x"], {"acks": "all", "durability": "page_cache"})


def create(address: str, topic: str, partitions: int = 1, copies: int = 1) -> None:
    """A topic that `_make_durable` finds as it is in the harness's default, page_cache."""

    async def run() -> None:
        async with Admin(bootstrap_servers=address) as admin:
            await admin.create_topic(topic, partitions, config={"durability": "page_cache"})

    _run(run())


def delete(address: str, topic: str) -> None:
    """Drop the topic."""

    async def run() -> None:
        async with Admin(bootstrap_servers=address) as admin:
            await admin.delete_topic(topic)

    _run(run())


def produce(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    """Every value is acknowledged when the timer ends; whether all are in the log is seen then."""
    _tune(opts)
    _make_durable(address, topic, opts)
    if opts.get("mode") == "sync":
        _produce_sync(address, topic, values, opts, timer)
    else:
        _run(_produce(address, topic, values, opts, timer))
    _check_written(address, topic, opts["partitions"], opts["partitions"] + len(values))


async def _produce(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    async with Producer(bootstrap_servers=address, **_producer_settings(opts)) as producer:
        for partition in range(opts["partitions"]):
            await (await producer.send(topic, values[0], partition=partition))
        with timer:
            send = send_chunks if opts.get("mode") == "batch" else send_each
            await send(producer, topic, values)
            await producer.flush()


def _produce_sync(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    with sync.Producer(bootstrap_servers=address, **_producer_settings(opts)) as producer:
        for partition in range(opts["partitions"]):
            producer.send(topic, values[0], partition=partition).result()
        with timer:
            send = producer.send
            for value in values:
                send(topic, value)
            producer.flush()


def consume(
    address: str,
    topic: str,
    count: int,
    opts: Options,
    timer: AbstractContextManager[Any],
) -> int:
    """Bytes of the first `count` values, from the start of the topic."""
    _tune(opts)

    async def run() -> int:
        settings = opts.get("consumer", {})
        read = read_batches if opts.get("mode") == "batch" else read_records
        tally = Tally()
        async with Consumer(topic, bootstrap_servers=address, **settings) as consumer:
            with timer:
                await read(consumer, count, tally)
        return tally.size_bytes

    return _run(run())


def latency(address: str, topic: str, values: Sequence[bytes], opts: Options) -> list[float]:
    """Seconds from send() to the acknowledgement, one record in flight."""
    _make_durable(address, topic, opts)

    async def run() -> list[float]:
        took = []
        async with Producer(bootstrap_servers=address, acks=opts["acks"], linger_ms=0) as producer:
            await (await producer.send(topic, values[0]))
            for value in values:
                begin = time.perf_counter()
                await (await producer.send(topic, value))
                took.append(time.perf_counter() - begin)
        return took

    return _run(run())


def send_at(address: str, topic: str, rate: int, count: int, size: int, opts: Options) -> None:
    """`count` records at a steady rate; each value begins with the time it was sent."""

    async def run() -> None:
        async with Producer(bootstrap_servers=address, acks=opts["acks"], linger_ms=0) as producer:
            for due in schedule(rate, count):
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await producer.send(topic, stamp(size))

    _run(run())


def receive(
    address: str, topic: str, count: int, ready: Callable[[], None], opts: Options
) -> list[float]:
    """Seconds from send() to receipt, of `count` records that come after `ready()`."""

    async def run() -> list[float]:
        ages = []
        async with Consumer(topic, bootstrap_servers=address) as consumer:
            ready()
            async for record in consumer:
                ages.append(age(record.value))
                if len(ages) == count:
                    break
        return ages

    return _run(run())


def _tune(opts: Options) -> None:
    """Client settings are best as they are; a library does not touch the process's malloc."""
    if opts.get("mode") != "plain":
        raise_malloc_thresholds()


def _run(work: Coroutine[Any, Any, T]) -> T:
    return _runner.run(work)


def _producer_settings(opts: Options) -> Options:
    chosen = {"acks": opts["acks"], "compression_type": opts.get("codec", "none")}
    return {**chosen, **opts.get("producer", {})}


def _make_durable(address: str, topic: str, opts: Options) -> None:
    """The harness tells how durable a topic shall be when it produces, not when it makes it."""
    if opts.get("durability") != "fsync":
        return

    async def run() -> None:
        async with Admin(bootstrap_servers=address) as admin:
            await admin.set_topic(topic, {"durability": "fsync"})

    _run(run())


def _check_written(address: str, topic: str, partitions: int, records: int) -> None:
    """Raises RuntimeError where the log does not hold exactly so many records."""

    async def run() -> int:
        latest = dict.fromkeys(range(partitions), OffsetSpec.latest())
        async with Admin(bootstrap_servers=address) as admin:
            found = await admin.list_offsets(topic, latest)
        return sum(each.offset for each in found)

    written = _run(run())
    if written != records:
        raise RuntimeError(f"{records} records were sent, but {written} are in the log")
