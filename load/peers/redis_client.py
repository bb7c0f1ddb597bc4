"""Redis Streams through redis-py (with hiredis, if installed): pipelines of XADD, pages of XRANGE.

How durable it is, its server's `appendfsync` says: there is no task with fsync here.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import redis
from pacing import age, schedule, sleep_until, stamp

Options = dict[str, Any]
CHUNK_RECORDS = 1_000
PAGE_RECORDS = 2_000


def version(address: str) -> str:
    server = _connect(address).info("server")
    return f"Redis {server['redis_version']}, redis-py {redis.__version__}"


def create(address: str, topic: str, partitions: int = 1, copies: int = 1) -> None:
    """The first XADD makes it."""


def delete(address: str, topic: str) -> None:
    _connect(address).unlink(topic)


def produce(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    client, key = _connect(address), topic.encode()
    client.ping()
    with timer:
        for at in range(0, len(values), CHUNK_RECORDS):
            pipeline = client.pipeline(transaction=False)
            for value in values[at : at + CHUNK_RECORDS]:
                pipeline.execute_command(b"XADD", key, b"*", b"v", value)
            pipeline.execute()


def consume(
    address: str, topic: str, count: int, opts: Options, timer: AbstractContextManager[Any]
) -> int:
    client, start, size = _connect(address), b"-", 0
    client.ping()
    with timer:
        while page := client.xrange(topic, start, b"+", count=PAGE_RECORDS):
            for _, fields in page:
                size += len(fields[b"v"])
            start = b"(" + page[-1][0]
    return size


def latency(address: str, topic: str, values: Sequence[bytes], opts: Options) -> list[float]:
    client, took = _connect(address), []
    for value in values:
        begin = time.perf_counter()
        client.xadd(topic, {b"v": value})
        took.append(time.perf_counter() - begin)
    return took


def send_at(address: str, topic: str, rate: int, count: int, size: int, opts: Options) -> None:
    client = _connect(address)
    client.ping()
    for due in schedule(rate, count):
        sleep_until(due)
        client.xadd(topic, {b"v": stamp(size)})


def receive(
    address: str, topic: str, count: int, ready: Callable[[], None], opts: Options
) -> list[float]:
    client, last = _connect(address), b"0"
    client.ping()
    ready()
    ages: list[float] = []
    while len(ages) < count:
        for _, entries in client.xread({topic: last}, count=1_000, block=1_000) or ():
            ages += [age(fields[b"v"]) for _, fields in entries]
            last = entries[-1][0]
    return ages[:count]


def _connect(address: str) -> Any:
    host, port = address.split(":")
    return redis.Redis(host, int(port), socket_timeout=60)
