"""Several workers on one consumer, over a broker in memory and over a whole one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from harness.local_broker import LocalBroker, local_broker
from logd.model.errors import ClientClosed, InvalidConfig
from logd.sim.seeded_random import SeededRandom
from logd_client import Admin, Consumer, Producer, Record, ResetTarget

WAIT_S = 60


@pytest.fixture
def broker() -> FakeFetchBroker:
    broker = FakeFetchBroker()
    broker.create_topic("t", 2)
    for partition in (0, 1):
        broker.append("t", partition, [b"%d" % n for n in range(12)])
    return broker


def make(broker: FakeFetchBroker, **settings: Any) -> Consumer:
    quick = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **settings}
    return Consumer("t", transport=broker, random=SeededRandom(), **quick)


class Work:
    """A handler that takes what its gate lets through, and knows what it has had."""

    def __init__(self) -> None:
        self.begun: list[Record] = []
        self.over: list[Record] = []
        self.held: Callable[[Record], bool] = lambda record: False
        self._changed = asyncio.Event()

    async def handle(self, record: Record) -> None:
        self.begun.append(record)
        self.change()
        while self.held(record):
            self._changed.clear()
            await self._changed.wait()
        self.over.append(record)
        self.change()

    def change(self) -> None:
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                await asyncio.sleep(0.001)

    def places(self) -> list[tuple[int, int]]:
        return sorted((record.partition, record.offset) for record in self.over)


EVERYTHING = [(partition, offset) for partition in (0, 1) for offset in range(12)]


@asynccontextmanager
async def running(consumer: Consumer, work: Work, **how: Any) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(consumer.records(**how).for_each(work.handle))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_all_is_handled_once_and_several_at_a_time(broker: FakeFetchBroker) -> None:
    work = Work()
    work.held = lambda record: len(work.begun) < 5
    async with make(broker) as consumer, running(consumer, work, concurrency=5):
        await work.until(lambda: len(work.over) == 24)
    assert work.places() == EVERYTHING


async def test_no_more_are_in_hand_than_there_are_workers(broker: FakeFetchBroker) -> None:
    work = Work()
    work.held = lambda record: True
    async with make(broker) as consumer, running(consumer, work, concurrency=3, order="none"):
        await work.until(lambda: len(work.begun) == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(work.begun) == 3


async def test_a_failure_ends_it_and_what_was_not_done_comes_again(broker: FakeFetchBroker) -> None:
    work = Work()

    async def handle(record: Record) -> None:
        if (record.partition, record.offset) == (0, 3):
            await work.until(lambda: len(work.over) == 20)
            raise ValueError("broken")
        work.held = lambda record: record.partition == 1 and record.offset in (5, 7, 9)
        await work.handle(record)

    async with make(broker) as consumer:
        with pytest.raises(ValueError, match="broken"):
            await consumer.records(concurrency=8, order="none").for_each(handle)
        again: list[Record] = []
        while len(again) < 4:
            again += await consumer.poll(WAIT_S * 1000)
        assert sorted((r.partition, r.offset) for r in again) == [(0, 3), (1, 5), (1, 7), (1, 9)]
        assert await consumer.poll(0) == []


async def test_workers_of_your_own_and_their_end(broker: FakeFetchBroker) -> None:
    seen: list[int] = []

    async with make(broker, partitions=[0]) as consumer:
        async with consumer.records(concurrency=2, order="partition") as records:

            async def worker() -> None:
                async for record in records:
                    seen.append(record.offset)

            workers = [asyncio.create_task(worker()) for _ in range(2)]
            async with asyncio.timeout(WAIT_S):
                while len(seen) < 12:
                    await asyncio.sleep(0.001)
        await asyncio.gather(*workers)
        assert seen == list(range(12))


async def test_another_way_of_reading_ends_it(broker: FakeFetchBroker) -> None:
    work = Work()
    work.held = lambda record: record.offset == 2
    async with make(broker, partitions=[0]) as consumer:
        async with running(consumer, work, concurrency=4, order="none") as task:
            await work.until(lambda: len(work.over) == 11)
            (record,) = await consumer.poll(WAIT_S * 1000)
            assert record.offset == 2, "all else is done"
            work.held = lambda record: False
            work.change()
            await task


async def test_a_seek_drops_what_waits(broker: FakeFetchBroker) -> None:
    work = Work()
    work.held = lambda record: record.offset < 2
    async with make(broker, partitions=[0]) as consumer:
        async with running(consumer, work, concurrency=2, order="none"):
            await work.until(lambda: len(work.begun) == 2)
            consumer.seek("t", 0, 10)
            work.held = lambda record: False
            work.change()
            await work.until(lambda: len(work.over) == 4)
    assert [record.offset for record in work.begun] == [0, 1, 10, 11]


async def test_a_pause_holds_back_what_was_fetched(broker: FakeFetchBroker) -> None:
    work = Work()
    work.held = lambda record: len(work.begun) < 2
    async with make(broker) as consumer, running(consumer, work, concurrency=1, order="none"):
        await work.until(lambda: len(work.begun) == 1)
        paused = work.begun[0].partition
        consumer.pause("t", paused)
        work.held = lambda record: False
        work.change()
        await work.until(lambda: len(work.over) == 13)
        assert len([r for r in work.over if r.partition == paused]) == 1
        consumer.resume("t", paused)
        await work.until(lambda: len(work.over) == 24)
    assert work.places() == EVERYTHING


async def test_closing_ends_the_workers(broker: FakeFetchBroker) -> None:
    work = Work()
    consumer = make(broker)
    async with running(consumer, work, concurrency=2) as task:
        await work.until(lambda: len(work.over) == 24)
        await consumer.close()
        with pytest.raises(ClientClosed):
            await task


@pytest.mark.parametrize(
    "how", [{"concurrency": 0}, {"concurrency": 1001}, {"concurrency": 1, "order": "keys"}]
)
async def test_what_cannot_be_meant_is_refused(broker: FakeFetchBroker, how: Any) -> None:
    async with make(broker) as consumer:
        with pytest.raises(InvalidConfig):
            consumer.records(**how)


# With a group, on a whole broker


@asynccontextmanager
async def filled(tmp_path: Path, count: int, partitions: int = 1) -> AsyncIterator[LocalBroker]:
    async with local_broker(tmp_path) as local:
        async with Admin(transport=local.transport) as admin:
            await admin.create_topic("t", partitions)
        async with Producer(transport=local.transport) as producer:
            for number in range(count):
                now_ms, key = local.clock.wall_ms(), b"key-%d" % (number % 7)
                await producer.send("t", b"%d" % number, key, timestamp_ms=now_ms)
        yield local


def member(local: LocalBroker, **settings: Any) -> Consumer:
    quick = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **settings}
    return Consumer("t", group_id="g", transport=local.transport, **quick)


async def test_the_commit_is_the_first_that_is_not_done_with_what_is_done_beyond(
    tmp_path: Path,
) -> None:
    work = Work()
    work.held = lambda record: record.offset in (10, 40)
    async with filled(tmp_path, 100) as local, member(local) as consumer:
        async with running(consumer, work, concurrency=8, order="none"):
            await work.until(lambda: len(work.over) == 98)
            assert await consumer.commit() and await consumer.committed("t", 0) == 10
            async with Admin(transport=local.transport) as admin:
                (committed,) = await admin.fetch_offsets("g")
                assert [(d.start, d.end) for d in committed.done_ranges] == [(11, 40), (41, 100)]
                (lag,) = await admin.group_lag("g")
                assert lag.lag_records == 2
            work.held = lambda record: record.offset == 40
            work.change()
            await work.until(lambda: len(work.over) == 99)
            assert await consumer.commit() and await consumer.committed("t", 0) == 40


@pytest.mark.parametrize("then", ["in order", "in parallel"])
async def test_who_comes_after_repeats_none_of_what_was_done(tmp_path: Path, then: str) -> None:
    first, undone = Work(), (3, 4, 50, 99)
    first.held = lambda record: record.offset in undone
    async with filled(tmp_path, 100) as local:
        async with member(local) as consumer:
            async with running(consumer, first, concurrency=8, order="none"):
                await first.until(lambda: len(first.over) == 96)
        async with member(local) as consumer:
            if then == "in order":
                offsets = [(await anext(aiter(consumer))).offset for _ in undone]
            else:
                second = Work()
                async with running(consumer, second, concurrency=8):
                    await second.until(lambda: len(second.over) == len(undone))
                    offsets = sorted(record.offset for record in second.over)
            assert tuple(offsets) == undone
        async with Admin(transport=local.transport) as admin:
            (committed,) = await admin.fetch_offsets("g")
            assert (committed.offset, committed.done_ranges) == (100, ())


async def test_what_is_left_of_a_batch_in_parts_is_kept_through_every_way_of_reading(
    tmp_path: Path,
) -> None:
    """What is done cuts a batch into parts, and each way of reading puts back what it began."""
    undone = (3, 4, 5, 20, 21, 22, 40, 41)
    first = Work()
    first.held = lambda record: record.offset in undone
    async with filled(tmp_path, 50) as local:
        async with member(local) as consumer:
            async with running(consumer, first, concurrency=10, order="none"):
                await first.until(lambda: len(first.over) == 42)
        async with member(local) as consumer:
            seen = [(await anext(aiter(consumer))).offset]
            seen += (await consumer.next_batch()).offsets
            seen += [record.offset for record in await consumer.poll(1000, max_records=1)]
            consumer.pause("t", 0)
            consumer.resume("t", 0)
            seen += [record.offset for record in await consumer.poll(1000, max_records=1)]
            rest = Work()
            async with running(consumer, rest, concurrency=1):
                await rest.until(lambda: len(rest.over) == 3)
            assert tuple(seen) == undone[:5]
            assert tuple(record.offset for record in rest.over) == undone[5:]


async def test_a_partition_is_given_up_once_its_workers_are_done(tmp_path: Path) -> None:
    work, other = Work(), Work()
    work.held = lambda record: len(work.begun) > 4
    async with filled(tmp_path, 200, partitions=2) as local, member(local) as consumer:
        async with running(consumer, work, concurrency=4, order="none"):
            await work.until(lambda: len(work.begun) - len(work.over) == 4)
            async with member(local) as second, running(second, other, concurrency=4):
                await work.until(lambda: bool(second.assignment) or len(work.over) > 0)
                work.held = lambda record: False
                work.change()
                await work.until(lambda: len(work.over) + len(other.over) == 200)
                assert len(consumer.assignment) == len(second.assignment) == 1
    assert sorted([*work.places(), *other.places()]) == sorted({*work.places(), *other.places()}), (
        "nothing was received twice"
    )


async def test_a_rewind_drops_what_waits_and_reads_again(tmp_path: Path) -> None:
    work = Work()
    async with filled(tmp_path, 60) as local, member(local) as consumer:
        async with (
            running(consumer, work, concurrency=4),
            Admin(transport=local.transport) as admin,
        ):
            await work.until(lambda: len(work.over) == 60)
            await consumer.commit()
            await admin.reset_offsets("g", ResetTarget.earliest(), execute=True)
            await work.until(lambda: len(work.over) == 120)
            await consumer.commit()
    by_key: dict[bytes | None, list[int]] = {}
    for record in work.over[60:]:
        by_key.setdefault(record.key, []).append(record.offset)
    assert all(offsets == sorted(offsets) for offsets in by_key.values())
