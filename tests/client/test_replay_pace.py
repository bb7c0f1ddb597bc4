"""A replay: what is due when, and where it ends. In virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from harness.consumers_world import RECORDS, World, virtual
from harness.fake_fetch_broker import stored_batch
from logd.model.errors import ReplayEnded
from logd_client.consumer import Consumer
from logd_client.core.delivery_turns import AHEAD_BYTES_MAX
from logd_client.core.partition_position import PartitionPosition
from logd_client.core.replay_pace import ReplayPace
from logd_client.record import Record
from logd_client.work_record import WorkRecord

HANGS_S = 3600


def place(name: str) -> PartitionPosition:
    return PartitionPosition(name, b"t" * 16, 0)


def test_a_clock_of_its_own() -> None:
    pace, at, other = ReplayPace(), place("a"), place("b")
    assert pace.is_due(1 << 60) and not pace.runs, "there is no replay"
    pace.tell(speed=10.0, clock_ms=1_000, now_ms=50_000)
    assert pace.is_due(1_000) and not pace.is_due(1_001) and pace.wait_ms is None
    pace.hold(at, 6_000)
    pace.hold(other, 3_000)
    assert pace.wait_ms == 200 and pace.due() == []
    pace.look(50_199)
    assert pace.wait_ms == 1 and pace.due() == []
    pace.look(50_200)
    assert pace.due() == [other] and pace.wait_ms == 0
    pace.forget(other)
    assert pace.wait_ms == 300
    pace.tell(speed=0.0, clock_ms=0, now_ms=50_201)
    assert pace.due() == [at] and pace.wait_ms == 0, "it is one no more"


def timed(world: World, speed: float) -> None:
    """Topic "t" anew: in partition 0 batches of 0, 20 and 40 s, in 1 of 10, 10 and 50 s."""
    zero, one = world.broker.create_topic("t", 2)
    for at_s in (0, 20, 40):
        zero.append([b"%d" % at_s, b"%d" % at_s], append_ms=at_s * 1000)
    for at_s in (10, 10, 50):
        one.append([b"%d" % at_s], append_ms=at_s * 1000)
    world.group.speed = speed


def end_at(world: World, zero: int, one: int) -> None:
    world.group.ends = {world.key(0): zero, world.key(1): one}


async def of_loop(consumer: Consumer) -> AsyncIterator[Record]:
    async for record in consumer:
        yield record


async def of_batches(consumer: Consumer) -> AsyncIterator[Record]:
    async for batch in consumer.batches():
        for record in batch:
            yield record


async def of_polls(consumer: Consumer) -> AsyncIterator[Record]:
    while True:
        try:
            records = await consumer.poll(100)
        except ReplayEnded:
            return
        for record in records:
            yield record


async def of_worker(consumer: Consumer) -> AsyncIterator[Record | WorkRecord]:
    async with consumer.records(concurrency=1, order="none") as records:
        async for record in records:
            yield record


WAYS = [of_loop, of_batches, of_polls, of_worker]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_each_record_comes_when_it_is_due(way: Callable[[Consumer], AsyncIterator[Record]]) -> None:
    @virtual
    async def test(world: World) -> None:
        timed(world, speed=10.0)
        end_at(world, 6, 3)
        async with world.consumer() as consumer, asyncio.timeout(HANGS_S):
            began_ms = world.clock.monotonic_ms()
            due_ms: dict[int, int] = {}
            async for record in way(consumer):
                late_ms = world.clock.monotonic_ms() - began_ms - int(record.value or b"") * 100
                due_ms.setdefault(int(record.value or b""), late_ms)
            assert sorted(due_ms) == [0, 10, 20, 40, 50]
            assert all(0 <= late_ms <= 1 for late_ms in due_ms.values()), due_ms
            assert world.committed(0) == 6 and world.committed(1) == 3, "before the loop is over"
            with pytest.raises(ReplayEnded):
                await consumer.poll()

    test()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_it_ends_in_the_middle_of_a_batch(way: Callable[[Consumer], AsyncIterator[Record]]) -> None:
    @virtual
    async def test(world: World) -> None:
        end_at(world, 5, 0)
        async with world.consumer() as consumer, asyncio.timeout(HANGS_S):
            read = [(record.partition, record.offset) async for record in way(consumer)]
            assert read == [(0, offset) for offset in range(5)]
            assert world.committed(0) == 5 and consumer.health().ok

    test()


@virtual
async def test_several_workers_end_together(world: World) -> None:
    end_at(world, RECORDS, RECORDS)
    async with world.consumer() as consumer, asyncio.timeout(HANGS_S):
        handled = []

        async def handle(record: WorkRecord) -> None:
            await asyncio.sleep(record.offset % 3)
            if record.attempt == 1 and record.offset == RECORDS - 1:
                record.retry(30)
            else:
                handled.append((record.partition, record.offset))

        await consumer.records(concurrency=5, order="none").for_each(handle)
        assert sorted(handled) == [(p, offset) for p in (0, 1) for offset in range(RECORDS)]
        assert (world.committed(0), world.committed(1)) == (RECORDS, RECORDS)


@virtual
async def test_what_others_have_still_to_read_keeps_who_has_nothing(world: World) -> None:
    end_at(world, 3, 3)
    async with world.consumer() as first, asyncio.timeout(HANGS_S):
        records = aiter(first)
        await anext(records)
        world.pin(0, first.health().member_id or "")
        world.pin(1, first.health().member_id or "")
        async with world.consumer() as second:
            reading = asyncio.ensure_future(places_of(second))
            await asyncio.sleep(20)
            assert not reading.done(), "its turn may come yet"
            world.pin(1, second.health().member_id or "")
            await asyncio.sleep(1)
            taken = [record async for record in records]
            assert {record.partition for record in taken} == {0}
            assert {partition for partition, _ in await reading} == {1}


async def places_of(consumer: Consumer) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) async for record in consumer]


@virtual
async def test_pauses_and_seeks_while_it_waits(world: World) -> None:
    timed(world, speed=1.0)
    end_at(world, 6, 3)
    async with world.consumer() as consumer, asyncio.timeout(HANGS_S):
        assert [r.value for r in await consumer.poll(1_000)] == [b"0", b"0"]
        consumer.pause("t", 0)
        assert [r.value for r in await consumer.poll(11_000)] == [b"10", b"10"]
        await asyncio.sleep(15)
        consumer.resume("t", 0)
        assert [r.value for r in await consumer.poll(5_000)] == [b"20", b"20"]
        consumer.seek("t", 0, 0)
        assert [r.value for r in await consumer.poll(5_000)][:2] == [b"0", b"0"]
        rest = [record.value async for record in consumer]
        assert rest[-1] == b"50" and rest.count(b"40") == 2
        assert consumer._positions.turns.buffered_bytes == 0


@virtual
async def test_what_is_early_leaves_room_for_what_is_due(world: World) -> None:
    """Of a partition whose records are due in hours little is fetched, and another goes on."""
    zero, one = world.broker.create_topic("t", 2)
    for hour in range(1, 65):
        zero.append([bytes(128 << 10)], append_ms=hour * 3_600_000)
    for second in range(100):
        one.append([bytes(64 << 10)], append_ms=second * 1000)
    world.group.speed = 1.0
    end_at(world, 64, 100)
    consumer = world.consumer(fetch_max_bytes=2 << 20, max_partition_fetch_bytes=256 << 10)
    async with consumer, asyncio.timeout(2 * HANGS_S):
        began_ms = world.clock.monotonic_ms()
        records = aiter(consumer)
        for second in range(100):
            assert (await anext(records)).partition == 1
            assert world.clock.monotonic_ms() - began_ms - second * 1000 in (0, 1)
        (held,) = [at for at in consumer._positions if at.partition == 0]
        assert AHEAD_BYTES_MAX <= held.buffered_bytes < AHEAD_BYTES_MAX + (512 << 10)
        assert consumer._positions.turns.buffered_bytes == 0
        assert (await anext(records)).partition == 0


@virtual
async def test_what_stands_behind_the_end_is_not_looked_at(world: World) -> None:
    zero, _ = world.broker.create_topic("t", 2)
    zero.append([b"0"])
    zero.append([b"1"], raw=stored_batch([b"1"], 1)[:-1] + b"?")
    end_at(world, 1, 0)
    async with world.consumer() as consumer, asyncio.timeout(HANGS_S):
        assert await places_of(consumer) == [(0, 0)]


@virtual
async def test_a_partition_that_is_no_part_of_it_needs_no_position(world: World) -> None:
    end_at(world, 6, 0)
    world.group.offsets[world.key(0)] = 0
    async with world.consumer(auto_offset_reset="none") as consumer, asyncio.timeout(HANGS_S):
        assert await places_of(consumer) == [(0, offset) for offset in range(6)]


@virtual
async def test_a_callback_that_seeks_back_comes_before_the_end(world: World) -> None:
    end_at(world, RECORDS, 0)
    world.group.offsets[world.key(0)] = RECORDS

    async def assigned(partitions: list[tuple[str, int]]) -> None:
        await asyncio.sleep(5)
        for topic, partition in partitions:
            consumer.seek(topic, partition, 0)

    consumer = world.consumer(told=False, on_assigned=assigned)
    async with consumer, asyncio.timeout(HANGS_S):
        assert len(await places_of(consumer)) == RECORDS


@virtual
async def test_what_comes_behind_records_that_are_done_waits_for_its_time(world: World) -> None:
    zero, _ = world.broker.create_topic("t", 2)
    for at_s in (0, 1, 60):
        zero.append([b"%d" % at_s], append_ms=at_s * 1000)
    world.group.speed = 1.0
    end_at(world, 3, 0)
    async with world.consumer() as consumer, asyncio.timeout(HANGS_S):
        began_ms = world.clock.monotonic_ms()
        async with consumer.records(concurrency=2, order="none") as records:
            first, second = aiter(records), aiter(records)
            await anext(first)
            await anext(second)
            waiting = asyncio.ensure_future(anext(second))  # it is done with the second record
            await asyncio.sleep(1)
            waiting.cancel()
        times = [(r.offset, world.clock.monotonic_ms() - began_ms) async for r in consumer]
    assert [offset for offset, _ in times] == [0, 2]
    assert times[1][1] >= 60_000, "the last one is due then"


@virtual
async def test_what_workers_lose_to_retention_is_done(world: World) -> None:
    zero, _ = world.broker.create_topic("t", 2)
    zero.append([b"x"] * 5)
    end_at(world, 20, 0)
    async with world.consumer() as consumer, asyncio.timeout(HANGS_S):

        async def handle(record: WorkRecord) -> None:
            await asyncio.sleep(2)
            if zero.start == 0:
                zero.append([b"x"] * 40)
                zero.batches, zero.start = [], 45
                world.broker.notify()

        await consumer.records(concurrency=2).for_each(handle)


@virtual
async def test_workers_that_wait_for_room_do_not_spin(world: World) -> None:
    zero, one = world.broker.create_topic("t", 2)
    zero.append([b"x"] * 1100, append_ms=0)
    one.append([b"y"], append_ms=5_000)
    world.group.speed = 1.0
    end_at(world, 1100, 1)
    waits = 0
    async with world.consumer() as consumer, asyncio.timeout(HANGS_S):
        arrival = consumer._fetcher.arrival

        async def counted(timeout_ms: int | None) -> None:
            nonlocal waits
            waits += 1
            assert waits < 20_000, "it spins"
            await arrival(timeout_ms)

        consumer._fetcher.arrival = counted  # type: ignore[method-assign]

        async def handle(record: WorkRecord) -> None:
            await asyncio.sleep(30 if record.offset == 0 else 0)

        await consumer.records(concurrency=2, order="partition").for_each(handle)
