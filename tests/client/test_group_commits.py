"""Commits up to a record, or up to given offsets."""

import asyncio

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from logd.model.errors import FencedMember, InvalidConfig, UnknownPartition
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
    async with make(broker, partitions=[0, 1], enable_auto_commit=False) as consumer:
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


async def test_a_member_commits_what_it_has_and_learns_what_it_has_not(
    broker: FakeFetchBroker,
) -> None:
    group = broker.group("g")
    async with make(broker, enable_auto_commit=False) as consumer:
        records = await consumer.poll(ARRIVES_MS, max_records=1)
        assert await consumer.commit()
        sent = group.commits[-1]
        assert sent.member_epoch == group.epoch and sent.consumer_id in group.members
        with pytest.raises(FencedMember, match="does not have t:7"):
            await consumer.commit({("t", 7): 1})
        await consumer.poll(ARRIVES_MS, max_records=1)
        key = (broker.topic_id("t"), records[0].partition)
        before, group.owners[key] = group.owners[key], ("another", group.epoch + 1)
        with pytest.raises(FencedMember, match="'another' has it"):
            await consumer.commit()
        group.owners[key] = before


async def test_a_member_learns_of_a_rewind_by_a_commit_and_where_to_go_on_by_its_session(
    broker: FakeFetchBroker,
) -> None:
    group = broker.group("g")
    async with make(broker, enable_auto_commit=False) as consumer:
        await consumer.poll(ARRIVES_MS, max_records=24)
        group.rewind_epoch += 1  # and nobody is told
        group.offsets = {(broker.topic_id("t"), n): 3 for n in (0, 1)}
        assert not await consumer.commit()
        assert not await consumer.commit()
        assert await consumer.poll(30) == []
        broker.coordinator.settle(group)
        assert (await consumer.poll(ARRIVES_MS))[0].offset == 3
        assert await consumer.commit()
