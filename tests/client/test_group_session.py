"""Members over a coordinator in memory: who has what, breaks, stalls, leaving. In virtual time."""

import asyncio

import pytest

from harness.consumers_world import HANGS_MS, RECORDS, World, member_id, moments, virtual
from logd.model.errors import (
    BrokerUnreachable,
    ClientClosed,
    CoordinatorLoading,
    DuplicateInstance,
    InvalidConfig,
    LogdError,
    Overloaded,
    UnknownMember,
    UnknownPartition,
    UnknownTopic,
)
from logd_client import Consumer
from logd_client.core.progress_watch import TOLD_MS


async def take(consumer: Consumer, count: int) -> None:
    """Read so many records."""
    records = aiter(consumer)
    for _ in range(count):
        await anext(records)


@virtual
async def test_members_share_and_take_over(world: World) -> None:
    async with world.consumer() as first:
        assert first.assignment == [("t", 0), ("t", 1)]
        assert len(await first.poll(HANGS_MS)) == 2 * RECORDS
        async with world.consumer() as second:
            assert second.assignment == []
            assert await second.poll(50) == [], "the first has not come back from what it received"
            await first.poll(50)
            await moments()
            assert (first.assignment, second.assignment) == ([("t", 0)], [("t", 1)])
            assert world.committed(1) == RECORDS, "the last commit came before the grant"
            world.broker.append("t", 0, [b"a"])
            world.broker.append("t", 1, [b"b"])
            assert [r.value for r in await first.poll(HANGS_MS)] == [b"a"]
            assert [r.value for r in await second.poll(HANGS_MS)] == [b"b"]
            with pytest.raises(UnknownPartition, match="any more"):
                first.position("t", 1)
        await moments()
        assert first.assignment == [("t", 0), ("t", 1)] and world.committed(1) == RECORDS + 1
    assert world.group.members == {} and world.committed(0) == RECORDS + 1
    assert world.told == [
        ("on_assigned", [("t", 0), ("t", 1)]),
        ("on_revoked", [("t", 1)]),
        ("on_assigned", [("t", 1)]),
        ("on_revoked", [("t", 1)]),
        ("on_assigned", [("t", 1)]),
        ("on_revoked", [("t", 0), ("t", 1)]),
    ]


@virtual
async def test_a_topic_that_is_not_there_is_told_before_joining(world: World) -> None:
    with pytest.raises(UnknownTopic):
        await world.consumer("nothing").start()
    assert world.group.members == {}


@virtual
async def test_what_was_sought_and_paused_before_the_start_is_taken_when_it_is_assigned(
    world: World,
) -> None:
    consumer = world.consumer()
    consumer.seek("t", 0, 10)
    consumer.pause("t", 1)
    async with consumer:
        assert [r.offset for r in await consumer.poll(HANGS_MS)] == [10, 11]
        assert world.group.messages[-1].held[1].paused
        consumer.resume("t", 1)
        await moments()
        assert not world.group.messages[-1].held[1].paused


@virtual
async def test_partitions_younger_than_the_group_are_read_from_their_beginning(
    world: World,
) -> None:
    world.broker.coordinator.younger = {world.key(1)}
    async with world.consumer(auto_offset_reset="latest") as consumer:
        assert [consumer.position("t", p) for p in (0, 1)] == [RECORDS, 0]


@virtual
async def test_a_broken_stream_changes_nothing_for_who_reads(world: World) -> None:
    async with world.consumer() as consumer:
        seen = [r.offset for r in await consumer.poll(HANGS_MS, max_records=3)]
        world.broker.break_streams()
        await asyncio.sleep(1)
        while len(seen) < 2 * RECORDS:
            seen += [r.offset for r in await consumer.poll(HANGS_MS)]
        assert sorted(seen) == sorted([*range(RECORDS)] * 2)
        assert consumer.health().ok
    assert [name for name, _ in world.told] == ["on_assigned", "on_revoked"]
    again = [m for m in world.group.messages if m.HasField("subscription")]
    assert len(again) == 2 and len(again[1].held) == 2 and again[1].member_epoch > 0
    assert again[0].member_id == again[1].member_id


@virtual
async def test_a_session_that_is_away_for_too_long_loses_all_and_joins_again(world: World) -> None:
    async with world.consumer(session_timeout_ms=5_000) as consumer:
        assert len(await consumer.poll(HANGS_MS, max_records=3)) == 3
        world.broker.coordinator.refuses = CoordinatorLoading("not yet")
        world.broker.break_streams()
        await asyncio.sleep(4)
        assert len(consumer.assignment) == 2
        assert consumer.health().problems == ("no session with the group's coordinator for 4 s",)
        await asyncio.sleep(2)
        assert consumer.assignment == [] and not world.committed(0)
        assert "nothing is assigned to it" in consumer.health().problems
        world.broker.coordinator.refuses = None
        assert (await consumer.poll(HANGS_MS))[0].offset == 0
        assert len(consumer.assignment) == 2
    names = [name for name, _ in world.told]
    assert names == ["on_assigned", "on_lost", "on_assigned", "on_revoked"]


@virtual
async def test_a_member_that_is_forgotten_joins_anew(world: World) -> None:
    async with world.consumer() as consumer:
        for session in world.broker.coordinator.streams:
            session.fail(UnknownMember("who?"))
        world.broker.coordinator.remove(world.group, member_id(consumer))
        await asyncio.sleep(1)
        assert len(consumer.assignment) == 2
    names = [name for name, _ in world.told]
    assert names == ["on_assigned", "on_lost", "on_assigned", "on_revoked"]


@virtual
async def test_a_session_that_is_not_answered_is_tried_anew(world: World) -> None:
    world.broker.coordinator.silent = True
    consumer = world.consumer(request_timeout_ms=1_000)
    starting = asyncio.ensure_future(consumer.start())
    await asyncio.sleep(3)
    world.broker.coordinator.silent = False
    await starting
    assert len(consumer.assignment) == 2
    await consumer.close()


@virtual
async def test_what_the_coordinator_refuses_is_raised_by_start_and_by_reads(world: World) -> None:
    world.broker.coordinator.refuses = InvalidConfig("no such assignor")
    consumer = world.consumer()
    for _ in range(2):
        with pytest.raises(InvalidConfig, match="no such assignor"):
            await consumer.start()
    world.broker.coordinator.refuses = None
    await consumer.start()
    assert len(await consumer.poll(HANGS_MS)) == 2 * RECORDS
    world.broker.coordinator.refuses = InvalidConfig("not any more")
    world.broker.coordinator.break_streams()
    with pytest.raises(InvalidConfig, match="not any more"):
        await consumer.poll(HANGS_MS)
    world.broker.coordinator.refuses = None
    world.broker.append("t", 0, [b"x"])
    assert len(await consumer.poll(HANGS_MS)) == 1
    await consumer.close()


@virtual
async def test_who_finds_its_name_taken_ends_and_does_not_join_again(world: World) -> None:
    consumer = world.consumer(group_instance_id="a")
    async with consumer:
        waiting = asyncio.ensure_future(consumer.next_batch())
        await waiting
        while True:
            waiting = asyncio.ensure_future(consumer.next_batch())
            await moments()
            if not waiting.done():
                break
        sessions = list(world.broker.coordinator.streams)
        sessions[0].fail(DuplicateInstance("'a' is another process since"))
        with pytest.raises(DuplicateInstance):
            await waiting
        for call in (consumer.start, consumer.poll, consumer.commit):
            with pytest.raises(DuplicateInstance):
                await call()
        for plain in (consumer.health, lambda: consumer.seek("t", 0, 0)):
            with pytest.raises(DuplicateInstance):
                plain()
        said = len(world.group.messages)
        await asyncio.sleep(60)
        assert len(world.group.messages) == said
    with pytest.raises(ClientClosed):
        await consumer.poll(0)
    assert [name for name, _ in world.told][:2] == ["on_assigned", "on_lost"]


@virtual
async def test_a_static_member_leaves_its_place_and_its_last_commit(world: World) -> None:
    async with world.consumer(group_instance_id="a") as consumer:
        assert len(await consumer.poll(HANGS_MS)) == 2 * RECORDS
    assert len(world.group.members) == 1 and len(world.group.owners) == 2
    assert world.committed(0) == world.committed(1) == RECORDS
    assert not any(message.leaving for message in world.group.messages)
    async with world.consumer(group_instance_id="b", enable_auto_commit=False):
        pass  # with nothing to commit it says nothing, and waits for nothing


@virtual
async def test_what_is_in_hand_when_the_program_fails_is_not_committed(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with world.consumer() as consumer:
            async for record in consumer:
                if record.offset == 4:
                    raise ZeroDivisionError
    assert world.committed(0) == 4 and world.group.members == {}
    assert not world.group.commits, "the last message carried it"


@virtual
async def test_a_broker_that_is_gone_is_told_of_on_leaving(world: World) -> None:
    consumer = world.consumer()
    await consumer.poll(HANGS_MS)
    world.broker.down = True
    world.broker.break_streams()
    with pytest.raises(BrokerUnreachable, match="gave up on leaving the group after 1000 ms"):
        await consumer.close()


@virtual
async def test_a_member_that_was_never_joined_closes_at_once(world: World) -> None:
    world.broker.coordinator.silent = True
    consumer = world.consumer()
    starting = asyncio.ensure_future(consumer.start())
    await moments()
    before_ms = world.clock.monotonic_ms()
    await consumer.close()
    assert world.clock.monotonic_ms() == before_ms
    with pytest.raises(ClientClosed):
        await starting


@virtual
async def test_an_application_that_stands_still_loses_its_partitions_until_it_comes_back(
    world: World,
) -> None:
    settings = {"max_poll_interval_ms": 60_000, "revocation_timeout_ms": 10_000}
    async with world.consumer(told=False, **settings) as consumer:
        reading = aiter(consumer)
        await anext(reading)
        record = await anext(reading)
        await asyncio.sleep(TOLD_MS / 1000 + 2)
        stalled = [each.stalled_ms for each in world.group.messages[-1].held]
        assert sorted(stalled) == [0, TOLD_MS] and not world.group.messages[-1].stalled
        (problem,) = consumer.health().problems
        assert problem.startswith(f"{record.topic}:{record.partition}: offset 1 is in hand for 3")
        await asyncio.sleep(30)
        assert any(message.stalled for message in world.group.messages)
        assert world.group.messages[-1].stalled and consumer.assignment == [("t", record.partition)]
        await asyncio.sleep(10)
        assert consumer.assignment == [] and world.group.owners == {}
        assert world.committed(record.partition) == 1, "not what is in hand"
        await asyncio.sleep(300)
        assert consumer.assignment == [] and world.group.messages[-1].stalled
        again = await anext(reading)
        assert not world.group.messages[-1].stalled
        assert (again.offset, again.partition) in ((0, 1 - record.partition), (1, record.partition))


@virtual
async def test_a_slow_loop_that_moves_on_is_not_stalled(world: World) -> None:
    async with world.consumer(max_poll_interval_ms=5_000) as consumer:
        count = 0
        async for _ in consumer:
            await asyncio.sleep(4)
            count += 1
            if count == 2 * RECORDS:
                break
    assert not any(message.stalled for message in world.group.messages)
    assert [name for name, _ in world.told] == ["on_assigned", "on_revoked"]


@virtual
async def test_what_nobody_takes_is_a_problem_of_its_health(world: World) -> None:
    async with world.consumer() as consumer:
        assert consumer.health().ok
        await asyncio.sleep(40)
        problems = consumer.health().problems
        assert len(problems) == 2
        assert problems[0].startswith("t:0: offset 0 is there and is not taken for 40 s")
        untaken = "its application takes no records at offset 0 for 30 s"
        assert [each.problem for each in world.group.messages[-1].held] == [untaken, untaken]
        said = len(world.group.messages)
        await asyncio.sleep(15)
        assert len(world.group.messages) == said, "told once in 30 s"
        await consumer.poll(HANGS_MS)
        await asyncio.sleep(2)
        assert consumer.health().ok
        assert [each.problem for each in world.group.messages[-1].held] == ["", ""]


@virtual
async def test_what_does_not_come_is_told_to_the_group(world: World) -> None:
    world.broker.append("t", 0, [b"never comes"])
    world.broker.topics["t"][0].errors[RECORDS] = Overloaded("not now", limit="the test's")
    async with world.consumer() as consumer:
        reading = asyncio.ensure_future(take(consumer, 2 * RECORDS + 1))
        await asyncio.sleep(40)
        said = f"no records reach it at offset {RECORDS} for 30 s"
        assert [each.problem for each in world.group.messages[-1].held] == [said, ""]
        world.broker.topics["t"][0].errors.clear()
        await reading
        await asyncio.sleep(2)
        assert [each.problem for each in world.group.messages[-1].held] == ["", ""]


@virtual
async def test_last_commits_that_are_refused(
    world: World,
) -> None:
    """Those of another member's partition are a warning, others an error of close()."""
    for reason, raises in (("FENCED_MEMBER", False), ("OVERLOADED", True)):
        consumer = world.consumer()
        await consumer.poll(HANGS_MS)
        world.group.offsets.clear()
        world.broker.coordinator.refuses_commits = reason
        if raises:
            with pytest.raises(LogdError, match="refused by the test"):
                await consumer.close()
        else:
            await consumer.close()
        world.broker.coordinator.refuses_commits = ""
        assert world.group.members == {}
