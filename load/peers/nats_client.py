"""NATS JetStream through nats-py, with what was found fastest for it.

Core publish with a reply subject, a window of answers outstanding, each answer looked at, is 14
times as fast as publish_async; a push consumer without acknowledgements 6 times as fast as fetch.
How durable a stream is, its server's `sync_interval` says: there is no task with fsync here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from pacing import age, schedule, stamp

Options = dict[str, Any]
WINDOW = 20_000
STEP = 1_000
WAIT_S = 30
PUSH = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL)


def version(address: str) -> str:
    async def run() -> str:
        async with _connected(address) as client:
            await client.jetstream().account_info()
            return f"NATS {client.connected_server_version}, nats-py {nats.aio.client.__version__}"

    return asyncio.run(run())


def create(address: str, topic: str, partitions: int = 1, copies: int = 1) -> None:
    async def run() -> None:
        async with _connected(address) as client:
            stream = StreamConfig(name=topic, subjects=[topic], num_replicas=copies)
            await client.jetstream().add_stream(stream)

    asyncio.run(run())


def delete(address: str, topic: str) -> None:
    async def run() -> None:
        async with _connected(address) as client:
            await client.jetstream().delete_stream(topic)

    asyncio.run(run())


class Answers:
    """Counts the answers to what is published with `inbox` to reply to."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.inbox: str = client.new_inbox()
        self.count = 0
        self._refused: list[bytes] = []
        self._came = asyncio.Event()

    async def listen(self) -> None:
        await self._client.subscribe(
            self.inbox, cb=self._on, pending_msgs_limit=-1, pending_bytes_limit=-1
        )

    async def reach(self, count: int) -> None:
        """Wait until so many came. Raises RuntimeError where one is a refusal."""
        while self.count < count:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), WAIT_S)
        if self._refused:
            raise RuntimeError(self._refused[0])

    async def _on(self, message: Any) -> None:
        if b'"seq"' not in message.data or message.data.startswith(b'{"error"'):
            self._refused.append(message.data)
        self.count += 1
        self._came.set()


def produce(
    address: str,
    topic: str,
    values: Sequence[bytes],
    opts: Options,
    timer: AbstractContextManager[Any],
) -> None:
    async def run() -> None:
        async with _connected(address) as client:
            await client.jetstream().publish(topic, values[0])
            answers = Answers(client)
            await answers.listen()
            with timer:
                publish, inbox = client.publish, answers.inbox
                for at in range(0, len(values), STEP):
                    for value in values[at : at + STEP]:
                        await publish(topic, value, inbox)
                    await asyncio.sleep(0)
                    await answers.reach(at + STEP - WINDOW)
                await answers.reach(len(values))

    asyncio.run(run())


def consume(
    address: str, topic: str, count: int, opts: Options, timer: AbstractContextManager[Any]
) -> int:
    async def run() -> int:
        async with _connected(address) as client:
            with timer:
                values = await _subscribed(client, topic, count, len, lambda: None)
            return sum(values)

    return asyncio.run(run())


def latency(address: str, topic: str, values: Sequence[bytes], opts: Options) -> list[float]:
    async def run() -> list[float]:
        took = []
        async with _connected(address) as client:
            publish = client.jetstream().publish
            for value in values:
                begin = time.perf_counter()
                await publish(topic, value)
                took.append(time.perf_counter() - begin)
        return took

    return asyncio.run(run())


def send_at(address: str, topic: str, rate: int, count: int, size: int, opts: Options) -> None:
    async def run() -> None:
        async with _connected(address) as client:
            answers = Answers(client)
            await answers.listen()
            for due in schedule(rate, count):
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await client.publish(topic, stamp(size), answers.inbox)
                await client.flush()
            await answers.reach(count)

    asyncio.run(run())


def receive(
    address: str, topic: str, count: int, ready: Callable[[], None], opts: Options
) -> list[float]:
    async def run() -> list[float]:
        async with _connected(address) as client:
            return await _subscribed(client, topic, count, age, ready)

    return asyncio.run(run())


async def _subscribed(
    client: Any, topic: str, count: int, of: Callable[[bytes], Any], ready: Callable[[], None]
) -> list[Any]:
    """`of` each of the first `count` values, in a callback."""
    found: list[Any] = []
    done = asyncio.Event()

    async def on(message: Any) -> None:
        found.append(of(message.data))
        if len(found) == count:
            done.set()

    await client.jetstream().subscribe(
        topic, cb=on, config=PUSH, manual_ack=True, pending_msgs_limit=-1, pending_bytes_limit=-1
    )
    ready()
    await done.wait()
    return found[:count]


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Any]:
    servers = [f"nats://{each}" for each in address.split(",")]
    client = await nats.connect(
        servers, pending_size=64 << 20, flusher_queue_size=1 << 16, allow_reconnect=False
    )
    try:
        yield client
    finally:
        await client.close()
