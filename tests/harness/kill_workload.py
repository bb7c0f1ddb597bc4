"""Producers and consumers that go on while their broker is killed, and tell the history."""

import asyncio
import random
from collections.abc import Iterator

from logd.testing.history import History
from logd_client import Admin, Consumer, Producer
from logd_client.record_handle import RecordHandle

KEYS = [f"key-{n}".encode() for n in range(8)]
"""Shared by all producers, so that their records interleave in every partition."""
VALUE_BYTES = 4_000
"""With segments of 1 MiB, a roll comes every few hundred records."""
IN_DOUBT_MAX = 200
"""Records a producer has under way: a kill finds requests in flight."""
DURABILITIES = ("fsync", "page_cache")
PARTITIONS = 2
REQUEST_TIMEOUT_MS = 60_000
RETRY_BACKOFF_MS = 20


def payload_of(value: bytes | None) -> bytes:
    assert value is not None
    return value[: value.index(b"|")]


def name_of(topic: str, partition: int) -> str:
    return f"{topic}:{partition}"


class KillWorkload:
    """`async with` runs it; `acknowledged` counts, so that a test can wait for progress."""

    def __init__(self, address: str, history: History, *, producers: int, consumers: int) -> None:
        self.acknowledged = 0
        self.delivered = 0
        self._address = address
        self._history = history
        self._counts = (producers, consumers)
        self._stopping = False
        self._producing: list[asyncio.Task[None]] = []
        self._consuming: list[asyncio.Task[None]] = []

    async def create_topics(self) -> None:
        async with Admin(bootstrap_servers=self._address, request_timeout_ms=20_000) as admin:
            for durability in DURABILITIES:
                config = {"durability": durability, "segment_bytes": "1MiB"}
                await admin.create_topic(durability, PARTITIONS, config=config)

    def start(self) -> None:
        producers, consumers = self._counts
        self._producing = [asyncio.ensure_future(self._produce(n)) for n in range(producers)]
        self._consuming = [asyncio.ensure_future(self._consume(n)) for n in range(consumers)]

    async def finish(self) -> None:
        """Stop producing, await every receipt, read all to the end, stop consuming."""
        self._stopping = True
        await asyncio.gather(*self._producing)
        await self._read_finally()
        for task in self._consuming:
            task.cancel()
        for result in await asyncio.gather(*self._consuming, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def check_alive(self) -> None:
        """A client that gave up is a failure, whatever the history says."""
        for task in [*self._producing, *self._consuming]:
            if task.done() and task.exception() is not None:
                raise AssertionError("a client gave up") from task.exception()

    async def _produce(self, number: int) -> None:
        chooser = random.Random(number)
        sent = self._records(number, chooser)
        under_way: dict[tuple[str, int, bytes], RecordHandle] = {}
        async with Producer(
            bootstrap_servers=self._address,
            linger_ms=2,
            delivery_timeout_ms=60_000,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=RETRY_BACKOFF_MS,
        ) as producer:
            while not self._stopping:
                for _ in range(chooser.randint(1, 20)):
                    topic, sequence, key, value = next(sent)
                    handle = await producer.send(topic, value, key)
                    under_way[topic, sequence, payload_of(value)] = handle
                while len(under_way) > IN_DOUBT_MAX or (under_way and chooser.random() < 0.2):
                    await self._settle(number, under_way)
                await asyncio.sleep(0.001)
            while under_way:
                await self._settle(number, under_way)

    def _records(
        self, number: int, chooser: random.Random
    ) -> Iterator[tuple[str, int, bytes, bytes]]:
        sequence = 0
        while True:
            payload = f"p{number}-{sequence}".encode()
            value = payload + b"|" + chooser.randbytes(chooser.randint(0, VALUE_BYTES))
            yield chooser.choice(DURABILITIES), sequence, chooser.choice(KEYS), value
            sequence += 1

    async def _settle(
        self, number: int, under_way: dict[tuple[str, int, bytes], RecordHandle]
    ) -> None:
        """Await the oldest record's outcome; it must be a receipt, since the broker comes back."""
        (topic, sequence, payload), handle = next(iter(under_way.items()))
        receipt = await handle
        del under_way[topic, sequence, payload]
        where = name_of(topic, receipt.partition)
        self._history.acknowledged(f"p{number}", where, sequence, payload, receipt.offset)
        self.acknowledged += 1

    async def _consume(self, number: int) -> None:
        reader = f"c{number}"
        async with Consumer(
            *DURABILITIES,
            bootstrap_servers=self._address,
            group_id=reader,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=RETRY_BACKOFF_MS,
        ) as consumer:
            async for record in consumer:
                where = name_of(record.topic, record.partition)
                payload = payload_of(record.value)
                self._history.delivered(reader, where, record.offset, payload)
                self.delivered += 1

    async def _read_finally(self) -> None:
        for topic in DURABILITIES:
            for partition in range(PARTITIONS):
                records: list[tuple[int, bytes]] = []
                async with Consumer(
                    topic, bootstrap_servers=self._address, partitions=[partition]
                ) as consumer:
                    await consumer.start()
                    while await consumer.lag(topic, partition):
                        for record in await consumer.poll(timeout_ms=1_000):
                            records.append((record.offset, payload_of(record.value)))
                self._history.finally_read(name_of(topic, partition), records)
