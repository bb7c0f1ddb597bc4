"""Callbacks, and how partitions are taken and given up. In virtual time."""

import asyncio
import contextlib

import pytest

from harness.consumers_world import HANGS_MS, RECORDS, World, member_id, moments, virtual
from logd.model.errors import ClientClosed, FencedMember, UnknownMember, UnknownPartition

OTHER = "other"
Names = list[tuple[str, int]]


@virtual
async def test_nothing_is_delivered_before_on_assigned_has_returned(world: World) -> None:
    begun = asyncio.Event()

    async def on_assigned(partitions: Names) -> None:
        begun.set()
        await asyncio.sleep(50)
        for topic, partition in partitions:
            consumer.seek(topic, partition, RECORDS - 1)

    consumer = world.consumer(on_assigned=on_assigned)
    async with consumer:
        assert begun.is_set() or not await consumer.poll(0)
        assert len(consumer.assignment) == 2 and await consumer.poll(49_000) == []
        assert [r.offset for r in await consumer.poll(HANGS_MS)] == [RECORDS - 1] * 2


@virtual
async def test_a_callback_that_hangs_holds_up_neither_the_session_nor_others(world: World) -> None:
    async def hang(partitions: Names) -> None:
        await asyncio.Event().wait()

    async with world.consumer(on_assigned=hang, revocation_timeout_ms=10_000):
        await asyncio.sleep(1)
        world.pin(1, OTHER)
        await asyncio.sleep(8)
        assert len(world.group.owners) == 2
        await asyncio.sleep(1.1)
        assert list(world.group.owners) == [world.key(0)], "without on_revoked, after 9 s"
        assert world.told == []
        before_s = world.clock.monotonic_ms()
    assert world.clock.monotonic_ms() - before_s == 9_000


@virtual
async def test_a_partition_waits_for_the_record_in_hand_and_no_longer(world: World) -> None:
    async with world.consumer(auto_commit_interval_ms=86_400_000) as consumer:
        reading = aiter(consumer)
        for _ in range(3):
            record = await anext(reading)
        world.pin(0, OTHER)
        world.pin(1, OTHER)
        await asyncio.sleep(5)
        assert list(world.group.owners) == [world.key(record.partition)]
        waiting = asyncio.ensure_future(anext(reading))
        await moments()
        assert not waiting.done() and world.group.owners == {}
        assert world.committed(record.partition) == record.offset + 1 == 3
        waiting.cancel()


@virtual
async def test_a_commit_of_what_is_in_hand_sets_the_partition_free(world: World) -> None:
    async with world.consumer(told=False) as consumer:
        record = await anext(aiter(consumer))
        world.pin(record.partition, OTHER)
        await asyncio.sleep(1)
        assert len(world.group.owners) == 2
        assert await consumer.commit(record)
        await moments()
        assert len(world.group.owners) == 1 and world.committed(record.partition) == 1
        with pytest.raises(FencedMember, match=f"does not have t:{record.partition}"):
            await consumer.commit(record)


@virtual
async def test_a_record_that_takes_too_long_is_left_to_the_next_owner(world: World) -> None:
    async with world.consumer(revocation_timeout_ms=10_000) as consumer:
        reading = aiter(consumer)
        await anext(reading)
        record = await anext(reading)
        world.pin(record.partition, OTHER)
        await asyncio.sleep(9.1)
        assert world.key(record.partition) not in world.group.owners
        assert world.committed(record.partition) == record.offset, "what is done, not what is not"
        with pytest.raises(FencedMember):
            await consumer.commit(record)
        assert await consumer.commit()
        assert world.committed(record.partition) == record.offset


@virtual
async def test_on_revoked_may_commit_seek_and_read_positions(world: World) -> None:
    seen: list[object] = []

    async def on_revoked(partitions: Names) -> None:
        for topic, partition in partitions:
            seen.append(consumer.position(topic, partition))
            seen.append(await consumer.commit())
            consumer.seek(topic, partition, 5)

    consumer = world.consumer(on_revoked=on_revoked)
    async with consumer:
        await consumer.poll(HANGS_MS)
        world.pin(1, OTHER)
        assert await consumer.poll(1_000) == []
        assert seen == [RECORDS, True] and world.committed(1) == 5
        assert world.group.commits[-1].allow_rewind
        world.group.pinned.clear()
        world.broker.coordinator.settle(world.group)
        assert [r.offset for r in await consumer.poll(HANGS_MS)] == list(range(5, RECORDS))


@pytest.mark.parametrize("name", ["on_assigned", "on_revoked", "on_lost"])
def test_a_callback_may_close_the_consumer(name: str) -> None:
    @virtual
    async def test(world: World) -> None:
        async def close(partitions: Names) -> None:
            await consumer.close()
            world.told.append(("closed", partitions))

        consumer = world.consumer(told=False, **{name: close})
        with contextlib.suppress(ClientClosed):
            await consumer.start()
            world.pin(1, OTHER)
            if name == "on_lost":
                for session in world.broker.coordinator.streams:
                    session.fail(UnknownMember("who?"))
            await consumer.poll(HANGS_MS)
            await consumer.poll(HANGS_MS)
        await asyncio.sleep(1)
        assert [what for what, _ in world.told] == ["closed"]
        assert world.group.members == {} or name == "on_lost"
        with pytest.raises(ClientClosed):
            await consumer.poll(0)

    test()


@virtual
async def test_what_a_callback_raises_is_told_and_raised_by_the_next_read(world: World) -> None:
    def on_assigned(partitions: Names) -> None:
        raise ZeroDivisionError("of the application")

    async with world.consumer(on_assigned=on_assigned) as consumer:
        with pytest.raises(ZeroDivisionError):
            await consumer.poll(HANGS_MS)
        assert len(await consumer.poll(HANGS_MS)) == 2 * RECORDS


@virtual
async def test_a_partition_that_others_have_is_lost_and_its_records_not_committed(
    world: World,
) -> None:
    async with world.consumer(auto_commit_interval_ms=1_000) as consumer:
        await consumer.poll(HANGS_MS)
        world.group.owners[world.key(1)] = (OTHER, world.group.epoch + 1)
        world.group.pinned[world.key(1)] = OTHER
        with pytest.raises(FencedMember, match="'other' has it"):
            await consumer.commit()
        world.broker.coordinator.settle(world.group)
        await moments()
        assert consumer.assignment == [("t", 0)]
        with pytest.raises(UnknownPartition):
            consumer.seek("t", 1, 0)
    assert [told for told in world.told if told[0] == "on_lost"] == [("on_lost", [("t", 1)])]
    assert world.committed(1) in (None, 0)


@virtual
async def test_a_partition_that_was_away_is_lost_and_assigned(world: World) -> None:
    async with world.consumer() as consumer:
        await consumer.poll(HANGS_MS)
        world.group.epoch += 1
        world.group.owners[world.key(1)] = (member_id(consumer), world.group.epoch)
        world.group.offsets[world.key(1)] = 7
        world.broker.coordinator.settle(world.group)
        assert [r.offset for r in await consumer.poll(HANGS_MS)] == list(range(7, RECORDS))
    assert world.told[1:3] == [("on_lost", [("t", 1)]), ("on_assigned", [("t", 1)])]


@virtual
async def test_a_commit_that_waited_while_its_partition_was_lost_does_not_pass_for_one(
    world: World,
) -> None:
    async with world.consumer() as consumer:
        await consumer.poll(HANGS_MS)
        commits = consumer._group
        assert commits is not None
        async with commits.one_at_a_time:  # one that waits for its broker
            committing = asyncio.create_task(consumer.commit())
            await moments()
            world.group.epoch += 1
            world.group.owners[world.key(1)] = (member_id(consumer), world.group.epoch)
            world.broker.coordinator.settle(world.group)
            await moments()
        with pytest.raises(FencedMember, match="t:1"):
            await committing
        assert world.committed(0) == RECORDS


@virtual
async def test_a_rewind_of_a_live_group_moves_every_member(world: World) -> None:
    async with world.consumer(told=False) as first, world.consumer(told=False) as second:
        await first.poll(HANGS_MS)
        await first.poll(100)
        await second.poll(100)
        assert (len(first.assignment), len(second.assignment)) == (1, 1)
        world.broker.rewind("g", {("t", 0): 3, ("t", 1): 4})
        await moments()
        for consumer in (first, second):
            ((topic, partition),) = consumer.assignment
            assert consumer.position(topic, partition) == 3 + partition
            records = await consumer.poll(HANGS_MS)
            assert [r.offset for r in records] == list(range(3 + partition, RECORDS))
            assert await consumer.commit()
    assert world.committed(0) == world.committed(1) == RECORDS


@virtual
async def test_a_rewind_while_a_partition_is_given_up_voids_its_last_commit(world: World) -> None:
    async with world.consumer(told=False) as consumer:
        await consumer.poll(HANGS_MS)
        world.pin(1, OTHER)
        await moments()
        world.broker.rewind("g", {("t", 0): 3, ("t", 1): 4})
        await asyncio.sleep(1)
        assert list(world.group.owners) == [world.key(0)]
    assert world.committed(1) == 4


@virtual
async def test_without_auto_commit_a_partition_goes_without_a_commit(world: World) -> None:
    async with world.consumer(enable_auto_commit=False) as consumer:
        await consumer.poll(HANGS_MS)
        world.pin(1, OTHER)
        await consumer.poll(1_000)
        assert list(world.group.owners) == [world.key(0)]
    assert world.group.offsets == {}
