"""Members of a group against a real broker in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from harness.local_broker import LocalBroker, local_broker
from logd.model.errors import DuplicateInstance, InvalidConfig
from logd_client.admin import Admin
from logd_client.consumer import Consumer
from logd_client.descriptions import ResetTarget
from logd_client.producer import Producer

pytestmark = pytest.mark.slow

PARTITIONS, RECORDS = 4, 10
WAITS_S = 60
"""Only what hangs takes so long."""


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalBroker]:
    """With topic "t", RECORDS in each partition, and a clock that goes."""

    async with local_broker(tmp_path) as found:

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.005)
                found.clock.advance(5)

        ticking = asyncio.create_task(tick())
        async with Admin(transport=found.transport) as admin:
            await admin.create_topic("t", PARTITIONS)
        await produce(found, RECORDS)
        yield found
        ticking.cancel()


async def produce(local: LocalBroker, count: int, topic: str = "t") -> None:
    async with Producer(transport=local.transport) as producer:
        for number in range(PARTITIONS):
            for n in range(count):
                now_ms = local.clock.wall_ms()
                await producer.send(topic, b"%d" % n, partition=number, timestamp_ms=now_ms)


def make(local: LocalBroker, *topics: str, **given: object) -> Consumer:
    quick: dict[str, object] = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **given}
    return Consumer(*topics, group_id="g", transport=local.transport, **quick)  # type: ignore[arg-type]


class Reader:
    """A consumer that is read all the time; `offsets` by partition, in the order of arrival."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.offsets: dict[tuple[str, int], list[int]] = {}

    async def run(self) -> None:
        while True:
            for record in await self.consumer.poll(20):
                key = (record.topic, record.partition)
                self.offsets.setdefault(key, []).append(record.offset)


@asynccontextmanager
async def reading(*consumers: Consumer) -> AsyncIterator[list[Reader]]:
    readers = [Reader(consumer) for consumer in consumers]
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        async with asyncio.timeout(WAITS_S):
            yield readers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(*holds: object) -> None:
    condition = holds[0]
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0.002)


async def test_members_share_and_one_that_closes_or_dies_loses_and_doubles_nothing(
    local: LocalBroker,
) -> None:
    first, second, third = (make(local, "t", client_id=name) for name in "abc")
    async with first:
        async with second, reading(first, second) as (one, two):
            await until(lambda: len(first.assignment) == len(second.assignment) == 2)
            await until(lambda: received(one, two) == PARTITIONS * RECORDS)
        await produce(local, 5)
        async with reading(first) as (again,):
            await until(lambda: len(first.assignment) == PARTITIONS)
            await until(lambda: received(again) == PARTITIONS * 5)
        assert all(offsets == [*range(10, 15)] for offsets in again.offsets.values())
        await third.start()
        async with reading(first, third):
            await until(lambda: len(third.assignment) == 2)
            tasks = list(third._tasks)
            for task in tasks:  # it dies: its stream ends without a goodbye
                task.cancel()
            await until(lambda: len(first.assignment) == PARTITIONS)
    async with Admin(transport=local.transport) as admin:
        committed = await admin.fetch_offsets("g")
        assert [each.offset for each in committed] == [15] * PARTITIONS
        assert not (await admin.describe_group("g")).consumers
    await third._end()


def received(*readers: Reader) -> int:
    return sum(len(offsets) for reader in readers for offsets in reader.offsets.values())


async def test_a_live_group_is_rewound(local: LocalBroker) -> None:
    async with make(local, "t") as first, make(local, "t") as second:
        async with reading(first, second) as (one, two):
            await until(lambda: received(one, two) == PARTITIONS * RECORDS)
            await until(lambda: len(first.assignment) == len(second.assignment) == 2)
            await first.commit()
            await second.commit()
            async with Admin(transport=local.transport) as admin:
                await admin.reset_offsets("g", ResetTarget.at_offset(4), execute=True)
            await until(lambda: received(one, two) == PARTITIONS * (RECORDS + 6))
        for reader in (one, two):
            for offsets in reader.offsets.values():
                assert offsets[-6:] == [*range(4, 10)]


async def test_topics_and_partitions_that_come_later_are_read_from_their_beginning(
    local: LocalBroker,
) -> None:
    wants = {"pattern": "t-.*", "auto_offset_reset": "latest"}
    async with make(local, "t", **wants) as consumer, reading(consumer) as (reader,):
        async with Admin(transport=local.transport) as admin:
            await admin.create_topic("t-new", PARTITIONS)
        await until(lambda: len(consumer.assignment) == 2 * PARTITIONS)
        await produce(local, 3, "t-new")
        await until(lambda: received(reader) == PARTITIONS * 3)


async def test_the_newest_of_a_static_member_wins(local: LocalBroker) -> None:
    first, second = (make(local, "t", group_instance_id="worker-1") for _ in range(2))
    async with first:
        assert len(first.assignment) == PARTITIONS
        await first.poll(5_000)
    async with second:
        assert len(second.assignment) == PARTITIONS
        third = make(local, "t", group_instance_id="worker-1")
        async with third:
            assert len(third.assignment) == PARTITIONS
            with pytest.raises(DuplicateInstance, match="worker-1"):
                async with asyncio.timeout(WAITS_S):
                    while True:
                        await second.poll(20)


async def test_what_the_broker_refuses_is_raised_by_start(local: LocalBroker) -> None:
    consumer = make(local, pattern="(")
    with pytest.raises(InvalidConfig, match="pattern"):
        await consumer.start()
    await consumer.close()
