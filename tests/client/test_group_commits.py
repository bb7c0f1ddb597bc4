"""Commits up to a record, or up to given offsets."""

import asyncio

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from logd.model.errors import InvalidConfig, UnknownPartition
from logd_client.consumer import Consumer

ARRIVES_MS = 60_000
"""What is there arrives at once; only what hangs takes so long."""


@pytest.fixture
def broker() -> FakeFetchBroker:
    broker = FakeFetchBroker()
    broker.create_topic("t", 2)
    for partition in (0, 1):
        broker.append("t", partition, [b"%d" % n for n in range(12)])
    return broker


def make(broker: FakeFetchBroker, **settings: object) -> Consumer:
    quick: dict[str, object] = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **settings}
    return Consumer("t", group_id="g", transport=broker, **quick)  # type: ignore[arg-type]


async def test_a_commit_upto_a_record_leaves_the_rest(broker: FakeFetchBroker) -> None:
    async with make(broker, enable_auto_commit=False) as consumer:
        reading = aiter(consumer)
        records = [await anext(reading) for _ in range(24)]
        (third,) = (record for record in records if (record.partition, record.offset) == (0, 2))
        assert await consumer.commit(third)
        assert await consumer.commit({("t", 1): 7, ("t", 0): 1})  # the latter is committed already
        assert await consumer.committed("t", 0) == 3 and await consumer.committed("t", 1) == 7
        assert consumer.position("t", 0) == 12
        for wrong in (third.offset, [third], {"t": 3}, {("t", 0): -1}, {("t", 0): "3"}):
            with pytest.raises(InvalidConfig):
                await consumer.commit(wrong)  # type: ignore[arg-type]
        with pytest.raises(UnknownPartition):
            await consumer.commit({("t", 2): 1})
    assert set(broker.group("g").offsets.values()) == {3, 7}


async def test_a_commit_upto_the_record_in_hand_is_not_taken_back(broker: FakeFetchBroker) -> None:
    async with make(broker, partitions=[0], auto_commit_interval_ms=1) as consumer:
        records = aiter(consumer)
        await anext(records)
        assert await consumer.commit(await anext(records))
        commits = broker.group("g").commits
        seen = len(commits)
        while len(commits) < seen + 3:
            await asyncio.sleep(0.001)
        assert not any(commit.allow_rewind for commit in commits)
        assert await consumer.committed("t", 0) == 2
        await anext(records)
    assert broker.group("g").offsets[broker.topic_id("t"), 0] == 3


async def test_a_record_from_before_a_rewind_is_not_committed(broker: FakeFetchBroker) -> None:
    async with make(broker, partitions=[0], enable_auto_commit=False) as consumer:
        records = await consumer.poll(ARRIVES_MS)
        broker.rewind("g", {("t", 0): 2})
        assert not await consumer.commit(records[-1])  # so it learns of it
        assert not await consumer.commit(records[-1])
        assert broker.group("g").offsets[broker.topic_id("t"), 0] == 2
        (again, *_) = await consumer.poll(ARRIVES_MS)
        assert again.offset == 2 and await consumer.commit(again)
        assert await consumer.committed("t", 0) == 3
        consumer.seek("t", 0, 0)
        (first, *_) = await consumer.poll(ARRIVES_MS, max_records=1)
        assert await consumer.commit(first)
        assert await consumer.committed("t", 0) == 1
        assert broker.group("g").commits[-1].allow_rewind
