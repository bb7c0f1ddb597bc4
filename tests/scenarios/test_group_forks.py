"""A group that replays the past, with a broker in this process and the SDK's members."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from harness.local_broker import LocalBroker, local_broker
from logd.model.errors import ReplayEnded
from logd_client import Admin, Consumer, Producer
from logd_proto.v1 import groups_pb2

WAIT_S = 60
"""For an event that must come; longer only where a test fails."""
STEP_MS = 60_000
PARTITIONS, STEPS, A_STEP = 3, 10, 20


async def written(local: LocalBroker) -> int:
    """Topic "t" with A_STEP records a minute in each partition, STEPS times, all read by "g"; when
    the first came."""
    began_ms = local.clock.wall_ms()
    async with Admin(transport=local.transport) as admin:
        await admin.create_topic("t", PARTITIONS)
        async with Producer(transport=local.transport) as producer:
            for step in range(STEPS):
                for partition in range(PARTITIONS):
                    for number in range(A_STEP):
                        await producer.send(
                            "t",
                            b"%d %d" % (step, number),
                            partition=partition,
                            timestamp_ms=local.clock.wall_ms(),
                        )
                await producer.flush()
                local.clock.advance(STEP_MS)
        ends = {("t", partition): STEPS * A_STEP for partition in range(PARTITIONS)}
        await admin.commit_offsets("g", ends)
    return began_ms


def member(local: LocalBroker, **settings: object) -> Consumer:
    return Consumer("t", group_id="h", transport=local.transport, **settings)  # type: ignore[arg-type]


async def test_members_share_a_part_of_the_past_and_end(tmp_path: Path) -> None:
    async with local_broker(tmp_path) as local, asyncio.timeout(WAIT_S):
        began_ms = await written(local)
        async with Admin(transport=local.transport) as admin:
            at_ms, until_ms = began_ms + 2 * STEP_MS, began_ms + 7 * STEP_MS
            plan = await admin.fork_group("g", "h", at_ms, until_ms)
            assert [(p.start, p.end) for p in plan.partitions] == [(40, 140)] * PARTITIONS
            async with Producer(transport=local.transport) as producer:
                now_ms = local.clock.wall_ms()
                await producer.send("t", b"later", partition=0, timestamp_ms=now_ms)
            read: Counter[tuple[int, int]] = Counter()

            async def read_to_the_end() -> None:
                async with member(local) as consumer:
                    async for record in consumer:
                        read[record.partition, record.offset] += 1

            await asyncio.gather(*(read_to_the_end() for _ in range(4)))
            wanted = {(p, offset) for p in range(PARTITIONS) for offset in range(40, 140)}
            assert set(read) == wanted and set(read.values()) == {1}
            assert {each.reason for each in await admin.group_lag("h")} == {"caught up"}
            untouched = [each.lag_records for each in await admin.group_lag("g")]
            assert untouched == [1, 0, 0]


async def test_who_comes_after_a_crash_goes_on(tmp_path: Path) -> None:
    async with local_broker(tmp_path) as local, asyncio.timeout(WAIT_S):
        began_ms = await written(local)
        async with Admin(transport=local.transport) as admin:
            await admin.fork_group("g", "h", began_ms, began_ms + 5 * STEP_MS)
        first = member(local, enable_auto_commit=False)
        records = aiter(first)
        for _ in range(30):
            record = await anext(records)
            await first.commit(record)
        done = {(p, o) for p in range(PARTITIONS) for o in range(first.position("t", p))}
        await first.close()
        async with member(local) as second:
            rest = [(record.partition, record.offset) async for record in second]
        assert len(rest) == len(set(rest)) and done.isdisjoint(rest)
        assert len(done) + len(rest) == PARTITIONS * 5 * A_STEP


async def test_what_is_not_due_waits_and_the_lag_says_so(tmp_path: Path) -> None:
    async with local_broker(tmp_path) as local, asyncio.timeout(WAIT_S):
        began_ms = await written(local)
        async with Admin(transport=local.transport) as admin:
            await admin.fork_group("g", "h", began_ms, began_ms + 3 * STEP_MS, speed=6.0)
            async with member(local, clock=local.clock) as consumer:
                for step in range(3):
                    values: list[bytes | None] = []
                    while len(values) < PARTITIONS * A_STEP:
                        values += [record.value for record in await consumer.poll(WAIT_S * 1000)]
                    assert {value and value.split()[0] for value in values} == {b"%d" % step}
                    await consumer.commit()
                    if step < 2:
                        due = "replayed at 6x: the next record is due in 10.0 s"
                        assert [e.reason for e in await admin.group_lag("h")] == [due] * PARTITIONS
                        assert consumer.health().ok
                    status = (await admin.describe_group("h")).replay
                    assert status is not None and status.clock_ms == began_ms + step * STEP_MS
                    local.clock.advance(STEP_MS // 6)
                with pytest.raises(ReplayEnded):
                    await consumer.poll()


async def test_a_bare_stub_is_told_all_of_it(tmp_path: Path) -> None:
    async with local_broker(tmp_path) as local, asyncio.timeout(WAIT_S):
        began_ms = await written(local)
        request = groups_pb2.ForkGroupRequest(
            group="h",
            source="g",
            at_ms=began_ms + STEP_MS,
            until_ms=began_ms + 3 * STEP_MS,
            speed=2.0,
        )
        await local.transport.unary(
            "", "/logd.v1.GroupService/ForkGroup", request.SerializeToString(), WAIT_S * 1000
        )
        session = groups_pb2.SessionRequest(
            group="h", member_id="stub", subscription=groups_pb2.Subscription(topics=["t"])
        )
        heartbeat = groups_pb2.HeartbeatRequest(session=session).SerializeToString()
        answer = groups_pb2.HeartbeatResponse.FromString(
            bytes(
                await local.transport.unary(
                    "", "/logd.v1.GroupService/Heartbeat", heartbeat, WAIT_S * 1000
                )
            )
        ).session
        assert [(g.position.offset, g.end) for g in answer.assigned] == [(20, 60)] * PARTITIONS
        assert (answer.replay.speed, answer.replay.clock_ms) == (2.0, began_ms + STEP_MS)


async def test_nobody_ends_while_a_partition_changes_hands(tmp_path: Path) -> None:
    """B is to get one that A is at, and one that is done: it may not end with the latter, nor A
    while what it has given up is nobody's."""
    async with local_broker(tmp_path) as local, asyncio.timeout(WAIT_S):
        began_ms = await written(local)
        async with Admin(transport=local.transport) as admin:
            await admin.fork_group("g", "h", began_ms, began_ms + STEP_MS)
            ends = {("t", 1): A_STEP, ("t", 2): A_STEP}
            epoch = (await admin.describe_group("h")).rewind_epoch
            assert epoch >= 0
            assert all(each.error is None for each in await admin.commit_offsets("h", ends))
            read: list[tuple[int, int]] = []

            async def read_to_the_end(consumer: Consumer) -> None:
                async with consumer:
                    async for record in consumer:
                        read.append((record.partition, record.offset))

            async with member(local) as first:
                (record,) = await first.poll(WAIT_S * 1000, max_records=1)
                read.append((record.partition, record.offset))
                second = member(local)
                await second.start()
                other = asyncio.ensure_future(read_to_the_end(second))
                await read_to_the_end(first)
            await other
            assert sorted(set(read)) == [(0, offset) for offset in range(A_STEP)]
            assert {each.reason for each in await admin.group_lag("h")} == {"caught up"}


async def test_a_partition_that_waits_for_its_parent_is_read_to_its_end(tmp_path: Path) -> None:
    async with local_broker(tmp_path) as local, asyncio.timeout(WAIT_S):
        began_ms = local.clock.wall_ms()
        async with Admin(transport=local.transport) as admin:
            await admin.create_topic("t", 1)
            async with Producer(transport=local.transport) as producer:
                for partitions in (1, 2):
                    if partitions == 2:
                        await admin.add_partitions("t", 2)
                    for number in range(20):
                        key, now_ms = b"%d" % number, local.clock.wall_ms()
                        await producer.send("t", b"x", key, timestamp_ms=now_ms)
                    await producer.flush()
                    local.clock.advance(STEP_MS)
            await admin.commit_offsets("g", {("t", 0): 0})
            plan = await admin.fork_group("g", "h", began_ms, began_ms + 2 * STEP_MS)
            assert len(plan.partitions) == 2 and sum(p.records for p in plan.partitions) == 40
            async with member(local) as consumer:
                assert len([record async for record in consumer]) == 40
