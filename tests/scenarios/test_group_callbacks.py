"""Callbacks of members that raise, commit, seek and close, and commits beside them."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.group_readers import (
    PARTITIONS,
    WAIT_S,
    Cutter,
    Readers,
    broker_with_topic,
    make,
    send,
)
from logd.model.errors import ClientClosed, FencedMember, UnknownPartition
from logd_client import Admin, Consumer
from logd_consumer_groups.core.membership import BROKEN_SESSION_MS

pytestmark = pytest.mark.slow

MANUAL: dict[str, Any] = {"enable_auto_commit": False}
Names = list[tuple[str, int]]


Scene = tuple[Cutter, Readers, Consumer]


@asynccontextmanager
async def one_that_has_read(tmp_path: Path, **given: Any) -> AsyncIterator[Scene]:
    """A member with these settings, which has read 10 records of each partition."""
    async with broker_with_topic(tmp_path) as (local, _, _):
        await send(local, 10)
        cutter = Cutter(local)
        async with make(cutter, **given) as consumer, Readers() as readers:
            readers.read("a", consumer)
            await readers.are_given(range(10))
            yield cutter, readers, consumer


async def test_on_revoked_that_raises_holds_up_nothing(tmp_path: Path) -> None:
    """The next read raises it."""
    told: list[Names] = []

    def on_revoked(partitions: Names) -> None:
        told.append(partitions)
        if len(told) == 1:
            raise ZeroDivisionError("of the application")

    async with one_that_has_read(tmp_path, on_revoked=on_revoked) as (broker, readers, a):
        await readers.stop("a")
        async with make(broker) as b:
            with pytest.raises(ZeroDivisionError):
                await read_on(a)
            await share(readers, a, b)
            assert sorted(told[0]) == sorted(b.assignment), "it is given up all the same"
            await send(broker.local, 5)
            await readers.are_given(range(15))
            assert all(readers.offsets(p, "b") == [*range(10, 15)] for _, p in told[0])


async def test_on_revoked_commits_for_who_comes_next(tmp_path: Path) -> None:
    """Below what was received, so that the next one shows which commit counts."""
    taken: list[bool] = []

    async def commit(partitions: Names) -> None:
        taken.append(await a.commit(dict.fromkeys(partitions, 7)))

    async with one_that_has_read(tmp_path, on_revoked=commit, **MANUAL) as (broker, readers, a):
        async with make(broker, **MANUAL) as b:
            moved = await share(readers, a, b)
            await send(broker.local, 5)
            await readers.are_given(*again_from(7, moved, 15))
            assert all(readers.offsets(p, "b") == [*range(7, 15)] for p in moved)
            assert taken == [True]


async def test_a_commit_that_comes_after_what_it_would_commit_was_given_up_says_so(
    tmp_path: Path,
) -> None:
    """It waits for its turn, and who gives up waited before. Found by seeds 293 and 853."""
    revoked = asyncio.Event()

    def on_revoked(partitions: Names) -> None:
        revoked.set()

    async with one_that_has_read(tmp_path, on_revoked=on_revoked, **MANUAL) as (broker, readers, a):
        await readers.stop("a")
        broker.may_commit.clear()
        before = broker.commits
        first = asyncio.create_task(a.commit())
        while broker.commits == before:
            await asyncio.sleep(0)
        await send(broker.local, 1)
        while len(await a.poll(20)) == 0:
            pass
        async with make(broker, **MANUAL) as b:
            async with asyncio.timeout(WAIT_S):
                while not revoked.is_set():
                    await a.poll(20)
            second = asyncio.create_task(a.commit())
            await asyncio.sleep(0)
            broker.may_commit.set()
            assert await first
            with pytest.raises(FencedMember, match="does not have t:"):
                await second
            await share(readers, a, b)


async def test_on_assigned_seeks_before_the_first_record(tmp_path: Path) -> None:
    may_seek = asyncio.Event()

    async def on_assigned(partitions: Names) -> None:
        await may_seek.wait()
        for topic, partition in partitions:
            b.seek(topic, partition, 3)

    async with one_that_has_read(tmp_path) as (broker, readers, a):
        async with make(broker, on_assigned=on_assigned) as b:
            await readers.until(lambda: len(b.assignment) == 2)
            await send(broker.local, 1)
            assert [await b.poll(20) for _ in range(3)] == [[]] * 3
            may_seek.set()
            await readers.are_given(*again_from(3, await share(readers, a, b), 11))


async def test_on_assigned_closes_and_others_read_on(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def on_assigned(partitions: Names) -> None:
        await b.close()
        closed.set()

    async with one_that_has_read(tmp_path) as (broker, readers, a):
        # had it to wait for itself, it would be for so long
        patient = {"on_revoked": lambda _: None, "revocation_timeout_ms": 600_000}
        b = make(broker, on_assigned=on_assigned, **patient)
        with pytest.raises(ClientClosed):
            await read_on(b)
        await asyncio.wait_for(closed.wait(), WAIT_S)
        await readers.until(lambda: len(a.assignment) == PARTITIONS)
        async with Admin(transport=broker) as admin:
            (found,) = (await admin.describe_group("g")).consumers
        assert found.consumer_id == a.health().member_id
        await send(broker.local, 5)
        await readers.are_given(range(15))


async def test_who_comes_back_to_find_its_partitions_with_another_has_lost_them(
    tmp_path: Path,
) -> None:
    """It had no time to give them up, so it is not told to."""
    told: list[tuple[str, Names]] = []

    def note(what: str) -> Any:
        def callback(partitions: Names) -> None:
            told.append((what, sorted(partitions)))

        return callback

    callbacks = {"on_revoked": note("revoked"), "on_lost": note("lost")}
    async with one_that_has_read(tmp_path, **callbacks, **MANUAL) as (broker, readers, a):
        await broker.cut()
        broker.local.clock.advance(BROKEN_SESSION_MS)
        async with make(broker.local.transport, **MANUAL) as b:
            assert len(b.assignment) == PARTITIONS
            everything = sorted(b.assignment)
            broker.may_join.set()
            await readers.until(lambda: bool(told))
            assert told == [("lost", everything)]
            await share(readers, a, b)
            assert [what for what, _ in told] == ["lost"]


@pytest.mark.parametrize("error", [UnknownPartition, FencedMember])
async def test_on_lost_may_do_nothing_any_more(tmp_path: Path, error: type[Exception]) -> None:
    """One whose session was away for too long, and that learns of it by a commit."""
    lost: list[Names] = []
    may_give_up = asyncio.Event()

    async def on_lost(partitions: Names) -> None:
        for topic, partition in partitions:
            with pytest.raises(error):
                if error is UnknownPartition:
                    a.seek(topic, partition, 0)
                await a.commit({(topic, partition): 10})
        assert await a.commit(), "of nothing"
        lost.append(partitions)
        readers.progress.set()

    async with one_that_has_read(tmp_path, on_lost=on_lost, **MANUAL) as (broker, readers, a):
        await readers.stop("a")
        await broker.cut()
        broker.local.clock.advance(BROKEN_SESSION_MS)
        async with make(
            broker.local.transport, on_revoked=lambda _: may_give_up.wait(), **MANUAL
        ) as b:
            assert len(b.assignment) == PARTITIONS
            with pytest.raises(FencedMember):
                await a.commit()
            broker.may_join.set()
            await readers.until(lambda: bool(lost))
            assert [sorted(each) for each in lost] == [sorted(b.assignment)]
            async with Admin(transport=broker) as admin:
                assert not any(each.offset for each in await admin.fetch_offsets("g"))
            may_give_up.set()
            await share(readers, a, b)
            await send(broker.local, 5)
            await readers.are_given([*range(10), *range(15)])  # again, by who has it now


async def read_on(consumer: Consumer) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            await consumer.poll(20)


async def share(readers: Readers, a: Consumer, b: Consumer) -> list[int]:
    """Both read, until each has two partitions: those of `b`."""
    readers.read("a", a)
    readers.read("b", b)
    await readers.until(lambda: len(a.assignment) == len(b.assignment) == 2)
    return [number for _, number in b.assignment]


def again_from(start: int, moved: Collection[int], end: int) -> list[list[int]]:
    """What is given of each partition where those that moved were read from there once more."""
    again = [*range(10), *range(start, end)]
    return [again if number in moved else [*range(end)] for number in range(PARTITIONS)]
