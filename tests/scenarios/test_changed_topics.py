"""A topic changes under clients that run: its settings one by one, its partitions, its very self.

A real broker in this process. Before each change the producer has sent and the consumer has read;
after it both go on, nothing is lost or doubled, and what the change means is seen.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from pathlib import Path

import pytest

from harness.local_broker import LocalBroker, local_broker
from logd.model.errors import InvalidConfig, RecordTooLarge, UnknownPartition, UnknownTopic
from logd.model.topic_config import TopicConfig
from logd_client.admin import Admin
from logd_client.consumer import Consumer
from logd_client.producer import Producer
from logd_client.record import Record

pytestmark = pytest.mark.slow

TOPIC = "orders"


class Running:
    """Clients of one broker, and every value that was acknowledged."""

    def __init__(self, broker: LocalBroker) -> None:
        self.broker = broker
        self.admin = Admin(transport=broker.transport)
        self.producer = Producer(transport=broker.transport, clock=broker.clock, linger_ms=0)
        self.consumer = Consumer(TOPIC, transport=broker.transport, metadata_max_age_ms=1)
        self.acknowledged: list[bytes] = []
        self.read: list[Record] = []

    async def send(self, *values: bytes) -> None:
        await (await self.producer.send_many(TOPIC, values))
        self.acknowledged += values

    async def read_all(self) -> None:
        """Until all that was acknowledged is read; at most that."""
        while len(self.read) < len(self.acknowledged):
            self.read += await self.consumer.poll(timeout_ms=10_000)
        assert sorted(r.value or b"" for r in self.read) == sorted(self.acknowledged)

    async def alter(self, **settings: str) -> None:
        await self.admin.set_topic(TOPIC, settings)

    async def pass_time(self, ms: int) -> None:
        self.broker.clock.advance(ms)
        await self.broker.broker._maintenance.run_pass()

    async def segments(self) -> int:
        return (await self.admin.describe_partitions(TOPIC))[0].segments

    async def close(self) -> None:
        await self.consumer.close()
        await self.producer.close()
        await self.admin.close()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with local_broker(tmp_path) as broker:
        running = Running(broker)
        await running.admin.create_topic(TOPIC, partitions=1)
        await running.send(*(b"before %d" % n for n in range(10)))
        await running.read_all()
        yield running
        await running.close()


async def larger_messages(running: Running) -> None:
    large = b"x" * (9 << 20)
    with pytest.raises(RecordTooLarge):
        await running.producer.send(TOPIC, large)
    await running.alter(message_bytes_max="16MiB")
    await running.send(large)


async def larger_messages_of_each_kind(running: Running) -> None:
    """Whichever call has a record, its key, its headers that are taken by now."""
    producer = running.producer
    await running.alter(message_bytes_max="2KiB")
    await producer._sender.topics.reread(TOPIC)  # type: ignore[union-attr]
    await running.alter(message_bytes_max="8MiB")
    await (await producer.send(TOPIC, b"headers", headers=[("h", b"x" * 3000)]))
    await running.alter(message_bytes_max="2KiB")
    await producer._sender.topics.reread(TOPIC)  # type: ignore[union-attr]
    await running.alter(message_bytes_max="8MiB")
    await (await producer.send_many(TOPIC, [b"many"], [b"k" * 3000]))
    running.acknowledged += [b"headers", b"many"]


async def smaller_messages(running: Running) -> None:
    """Whole batches are refused now; record by record all fit but one, which fails alone."""
    too_large = b"z" * 100_000
    values = [b"%d " % n + b"y" * 100 for n in range(2000)]
    values[700] = too_large
    await running.alter(message_bytes_max="4KiB")
    handles = await running.producer.send_many(TOPIC, values)
    with pytest.raises(RecordTooLarge):
        await handles
    assert [at for at, handle in enumerate(handles) if handle.exception()] == [700]
    running.acknowledged += values[:700] + values[701:]
    await running.read_all()
    assert [record.value for record in running.read[10:]] == running.acknowledged[10:]
    with pytest.raises(RecordTooLarge) as refused:
        await running.producer.send_many(TOPIC, [b"1", too_large, b"2"])
    assert refused.value.details["added"] == "0", "by now it is refused before any is added"


async def append_times(running: Running) -> None:
    await running.alter(timestamp_type="append_time")
    running.broker.clock.advance(60_000)
    await (await running.producer.send(TOPIC, b"stamped", timestamp_ms=5))
    running.acknowledged.append(b"stamped")
    await running.read_all()
    assert running.read[-1].timestamp_ms == running.broker.clock.wall_ms()


async def page_cache(running: Running) -> None:
    await running.alter(durability="page_cache")
    receipt = await (await running.producer.send(TOPIC, b"not synced"))
    assert (receipt.replicas, receipt.replicas_synced) == (1, 0)
    running.acknowledged.append(b"not synced")
    await running.alter(durability="fsync")
    receipt = await (await running.producer.send(TOPIC, b"synced"))
    assert (receipt.replicas, receipt.replicas_synced) == (1, 1)
    running.acknowledged.append(b"synced")


async def smaller_segments(running: Running) -> None:
    await running.alter(segment_bytes="1MiB")
    for _ in range(4):
        await running.send(b"s" * 500_000)
    assert await running.segments() > 1


async def younger_segments(running: Running) -> None:
    await running.alter(segment_ms="1s")
    await running.pass_time(2_000)
    await running.send(b"next segment")
    assert await running.segments() > 1


async def less_time(running: Running) -> None:
    await running.alter(retention_ms="1s", segment_ms="1s")
    await _goes_on_where_the_log_starts(running)


async def less_space(running: Running) -> None:
    await running.alter(retention_bytes="0", segment_ms="1s")
    await _goes_on_where_the_log_starts(running)


async def _goes_on_where_the_log_starts(running: Running) -> None:
    """A consumer that is behind loses what went, and reads the rest."""
    for _ in range(3):
        await running.pass_time(60_000)
    await running.send(b"kept")
    [partition] = await running.admin.describe_partitions(TOPIC)
    assert partition.log_start_offset > 0
    await running.read_all()
    running.consumer.seek(TOPIC, 0, 0)
    again: list[Record] = []
    while not again or again[-1].value != b"kept":
        again += await running.consumer.poll(timeout_ms=10_000)
    assert again[0].offset >= partition.log_start_offset


def nothing_to_see(**settings: str) -> Callable[[Running], Awaitable[None]]:
    """It matters to brokers alone, or once there are several."""

    async def change(running: Running) -> None:
        await running.alter(**settings)

    return change


async def more_replicas_than_there_are(running: Running) -> None:
    with pytest.raises(InvalidConfig):
        await running.alter(min_insync_replicas="2")
    await running.alter(min_insync_replicas="1")


CHANGES: dict[str, list[Callable[[Running], Awaitable[None]]]] = {
    "cleanup_policy": [nothing_to_see(cleanup_policy="delete")],
    "delete_retention_ms": [nothing_to_see(delete_retention_ms="1d")],
    "durability": [page_cache],
    "message_bytes_max": [larger_messages, larger_messages_of_each_kind, smaller_messages],
    "min_insync_replicas": [more_replicas_than_there_are],
    "retention_bytes": [less_space],
    "retention_ms": [less_time],
    "segment_bytes": [smaller_segments],
    "segment_ms": [younger_segments],
    "timestamp_type": [append_times],
    "unclean_election": [nothing_to_see(unclean_election="false")],
}


def test_the_table_names_every_setting() -> None:
    assert set(CHANGES) == {field.name for field in fields(TopicConfig)}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(each, id=f"{name}: {each.__name__}")
        for name, row in CHANGES.items()
        for each in row
    ],
)
async def test_a_setting_changes(
    running: Running, change: Callable[[Running], Awaitable[None]]
) -> None:
    await change(running)
    await running.send(b"after")
    await running.read_all()


async def test_partitions_are_added(running: Running) -> None:
    """Who names one of them is told of them first: what was known says that they are not there."""
    await running.admin.add_partitions(TOPIC, 4)
    for partition in reversed(range(4)):
        value = b"to %d" % partition
        receipt = await (await running.producer.send(TOPIC, value, partition=partition))
        assert receipt.partition == partition
        running.acknowledged.append(value)
    await running.read_all()
    assert {record.partition for record in running.read[-4:]} == {0, 1, 2, 3}
    await running.admin.add_partitions(TOPIC, 6)
    for partition, timestamps_ms in ((4, None), (5, [running.broker.clock.wall_ms()])):
        many = running.producer.send_many(
            TOPIC, [b"many %d" % partition], partition=partition, timestamps_ms=timestamps_ms
        )
        (receipt,) = await (await many)
        assert receipt.partition == partition
        running.acknowledged.append(b"many %d" % partition)
    await running.read_all()
    with pytest.raises(UnknownPartition):
        await running.producer.send(TOPIC, b"to none", partition=6)


async def test_the_topic_is_made_anew_with_more_partitions(running: Running) -> None:
    await running.admin.delete_topic(TOPIC)
    await running.admin.create_topic(TOPIC, partitions=3)
    receipt = await (await running.producer.send(TOPIC, b"to 2", partition=2))
    assert (receipt.partition, receipt.offset) == (2, 0)


async def test_the_topic_is_made_anew_with_larger_messages(running: Running) -> None:
    await running.admin.delete_topic(TOPIC)
    with pytest.raises(UnknownTopic):
        await running.producer.send(TOPIC, b"x" * (9 << 20))
    await running.admin.create_topic(TOPIC, partitions=2, config={"message_bytes_max": "16MiB"})
    receipt = await (await running.producer.send(TOPIC, b"x" * (9 << 20)))
    assert receipt.offset == 0


async def test_the_topic_is_made_anew_with_smaller_messages(running: Running) -> None:
    await running.admin.delete_topic(TOPIC)
    await running.admin.create_topic(TOPIC, partitions=2, config={"message_bytes_max": "4KiB"})
    values = [b"%d " % n + b"y" * 100 for n in range(200)]
    receipts = await (await running.producer.send_many(TOPIC, values))
    assert len({(receipt.partition, receipt.offset) for receipt in receipts}) == 200


async def test_who_commits_for_a_topic_made_anew_commits_for_that_one(running: Running) -> None:
    admin, at = running.admin, (TOPIC, 0)
    assert [done.error for done in await admin.commit_offsets("billing", {at: 3})] == [None]
    await admin.delete_topic(TOPIC)
    await admin.create_topic(TOPIC, partitions=1)
    await running.send(b"0")
    assert [done.error for done in await admin.commit_offsets("billing", {at: 1})] == [None]


async def test_a_consumer_of_a_topic_made_anew_is_told_so(running: Running) -> None:
    """Its place was in the old one; where to begin in the new one is for its owner to say."""
    await running.admin.delete_topic(TOPIC)
    await running.admin.create_topic(TOPIC, partitions=1)
    await (await running.producer.send(TOPIC, b"new"))
    with pytest.raises(UnknownTopic, match="deleted"):
        await running.consumer.poll(timeout_ms=10_000)
