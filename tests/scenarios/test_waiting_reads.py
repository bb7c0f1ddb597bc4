"""A read that waits hears of all that gives it something to read, whoever does it.

The broker is asked to wait far longer than the tests do: what nobody tells comes too late.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.local_broker import LocalBroker, local_broker
from logd.model.errors import UnknownTopic
from logd_client import Admin, Consumer, Producer, ResetTarget

pytestmark = pytest.mark.slow

TOPIC, GROUP = "orders", "billing"
RECORDS = 20
FETCH_MAX_WAIT_MS = 60_000
HEARD_S = 30.0
"""What is told arrives at once; only what nobody tells takes so long."""


@dataclass
class Reader:
    """A consumer at the end of both partitions, and who does something to it."""

    admin: Admin
    producer: Producer
    consumer: Consumer

    async def send(self, partition: int = 0) -> None:
        await (await self.producer.send(TOPIC, b"new", partition=partition))

    async def read_some(self) -> None:
        """So that the rest is fetched, and waits."""
        self.consumer.seek(TOPIC, 0, 0)
        assert await self.consumer.poll(FETCH_MAX_WAIT_MS, max_records=2)

    async def rewind(self) -> None:
        await self.admin.reset_offsets(GROUP, ResetTarget.earliest(), execute=True)
        assert not await self.consumer.commit(), "the group was rewound"


Prepare = Callable[[Reader], Awaitable[None]]


async def nothing(_: Reader) -> None: ...


async def paused(reader: Reader) -> None:
    """With a record that was not fetched."""
    reader.consumer.pause(TOPIC, 0)
    await reader.send()


async def paused_with_records(reader: Reader) -> None:
    await reader.read_some()
    reader.consumer.pause(TOPIC, 0)


async def both_paused(reader: Reader) -> None:
    await paused_with_records(reader)
    reader.consumer.pause(TOPIC, 1)


async def paused_and_rewound(reader: Reader) -> None:
    await reader.consumer.commit()
    reader.consumer.pause(TOPIC, 0)
    await reader.rewind()


async def committed(reader: Reader) -> None:
    await reader.consumer.commit()


async def a_record(reader: Reader) -> None:
    await reader.send()


async def a_seek(reader: Reader) -> None:
    reader.consumer.seek(TOPIC, 0, 4)


async def two_seeks(reader: Reader) -> None:
    reader.consumer.seek(TOPIC, 0, 0)
    reader.consumer.seek(TOPIC, 0, 4)


async def a_resume(reader: Reader) -> None:
    reader.consumer.resume(TOPIC, 0)


async def a_seek_and_a_resume(reader: Reader) -> None:
    reader.consumer.seek(TOPIC, 0, 4)
    reader.consumer.resume(TOPIC, 0)


async def a_resume_and_a_seek(reader: Reader) -> None:
    reader.consumer.resume(TOPIC, 0)
    reader.consumer.seek(TOPIC, 0, 4)


async def a_rewind(reader: Reader) -> None:
    await reader.rewind()


EVENTS: list[tuple[Prepare, Prepare]] = [
    (nothing, a_record),
    (nothing, a_seek),
    (nothing, two_seeks),
    (committed, a_rewind),
    (paused, a_resume),
    (paused_with_records, a_resume),
    (paused_with_records, a_seek_and_a_resume),
    (paused_with_records, a_resume_and_a_seek),
    (both_paused, a_resume),
    (paused_and_rewound, a_resume),
]
READS: dict[str, Callable[[Consumer], Awaitable[Any]]] = {
    "poll": lambda consumer: consumer.poll(2 * FETCH_MAX_WAIT_MS),
    "next_batch": lambda consumer: consumer.next_batch(),
    "async for": lambda consumer: anext(aiter(consumer)),
}


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[LocalBroker]:
    async with local_broker(tmp_path) as broker, Admin(transport=broker.transport) as admin:
        await admin.create_topic(TOPIC, partitions=2)
        yield broker


@pytest.fixture
async def reader(broker: LocalBroker) -> AsyncIterator[Reader]:
    transport = broker.transport
    async with (
        Admin(transport=transport) as admin,
        Producer(transport=transport, clock=broker.clock, linger_ms=0) as producer,
        Consumer(
            TOPIC,
            group_id=GROUP,
            transport=transport,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            enable_auto_commit=False,
        ) as consumer,
    ):
        await (await producer.send_many(TOPIC, [b"%d" % n for n in range(RECORDS)], partition=0))
        read = 0
        while read < RECORDS:
            read += len(await consumer.poll(FETCH_MAX_WAIT_MS))
        yield Reader(admin, producer, consumer)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("before", "event"), EVENTS, ids=[f"{b.__name__}, {e.__name__}" for b, e in EVENTS]
)
async def test_it_is_heard(reader: Reader, before: Prepare, event: Prepare, read: str) -> None:
    await before(reader)
    waiting = asyncio.ensure_future(READS[read](reader.consumer))
    await asyncio.wait([waiting], timeout=0.02)
    assert not waiting.done(), "there was something to read"
    await event(reader)
    await asyncio.wait([waiting], timeout=HEARD_S)
    assert waiting.done(), "nobody told the reader"
    assert waiting.result()


@pytest.mark.parametrize("read", READS)
async def test_the_end_of_the_topic_is_heard(reader: Reader, read: str) -> None:
    waiting = asyncio.ensure_future(READS[read](reader.consumer))
    await asyncio.wait([waiting], timeout=0.02)
    await reader.admin.delete_topic(TOPIC)
    await asyncio.wait([waiting], timeout=HEARD_S)
    with pytest.raises(UnknownTopic):
        waiting.result()
