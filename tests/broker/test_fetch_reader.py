"""What a fetch gives, how it waits, and by what it is woken."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from harness.faulty_file_system import FaultyFile
from harness.host_bench import HostBench, at, host_bench, offsets_of
from logd.broker.core.purgatory import WaitingFetch
from logd.broker.ports import Fetched, FetchInterrupt
from logd.model.errors import (
    FencedLeaderEpoch,
    OffsetOutOfRange,
    UnknownLeaderEpoch,
    UnknownPartition,
    UnknownTopic,
)
from logd.model.ids import Offset, PartitionId, TopicPartition

MINUTE_MS = 60_000
SEGMENT = {"segment_bytes": "1MiB"}


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[HostBench]:
    async with host_bench(tmp_path) as bench:
        yield bench


@pytest.fixture
def wakes(monkeypatch: pytest.MonkeyPatch) -> list[WaitingFetch]:
    """Every fetch that waited, once for each time that it did."""
    waits: list[WaitingFetch] = []
    original = WaitingFetch.__init__

    def count(self: WaitingFetch, *arguments: object) -> None:
        waits.append(self)
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(WaitingFetch, "__init__", count)
    return waits


async def filled(bench: HostBench, partitions: int = 1, batches: int = 3) -> list[TopicPartition]:
    """A topic with so many batches of about 1 KiB in each partition."""
    wheres = await bench.topic("orders", partitions, **SEGMENT)
    for where in wheres:
        for _ in range(batches):
            await bench.produce(where, bytes(1000))
    return wheres


async def test_at_least_one_batch_and_then_what_fits(bench: HostBench) -> None:
    (where,) = await filled(bench)
    (found,) = await bench.fetch(at(where, max_bytes=1))
    assert offsets_of(found) == [0] and found.next_offset == 1
    (found,) = await bench.fetch(at(where, max_bytes=2500))
    assert offsets_of(found) == [0, 1]
    (found,) = await bench.fetch(at(where), max_bytes=1)
    assert offsets_of(found) == [0], "the bound of the whole also lets one batch through"
    (found,) = await bench.fetch(at(where, 1))
    assert offsets_of(found) == [1, 2]


async def test_many_partitions_share_the_bound_and_the_first_come_first(bench: HostBench) -> None:
    a, b, c = await filled(bench, 3)
    found = await bench.fetch([at(a), at(b), at(c)], max_bytes=4500)
    assert [(f.topic_partition, len(offsets_of(f))) for f in found] == [(a, 3), (b, 1)]
    found = await bench.fetch([at(c), at(b, 1), at(a, 3)], max_bytes=4500)
    assert [(f.topic_partition, len(offsets_of(f))) for f in found] == [(c, 3), (b, 1)]


async def test_a_batch_larger_than_the_bound_starves_nobody(bench: HostBench) -> None:
    small, large = await bench.topic("orders", 2, **SEGMENT)
    await bench.produce(small, b"a")
    await bench.produce(large, bytes(100_000))
    positions = [at(small), at(large)]
    (found,) = await bench.fetch(positions, max_bytes=1000)
    assert found.topic_partition == small
    (found,) = await bench.fetch([at(large), at(small, 1)], max_bytes=1000)
    assert found.topic_partition == large and found.next_offset == 1


async def test_nothing_new_has_no_entry(bench: HostBench) -> None:
    a, b = await filled(bench, 2)
    found = await bench.fetch([at(a, 3), at(b)])
    assert [f.topic_partition for f in found] == [b]
    assert await bench.fetch([]) == []


async def test_offsets_outside_the_log(bench: HostBench) -> None:
    (where,) = await filled(bench)
    for offset in (-1, -(1 << 63), 4, (1 << 63) - 1):
        (found,) = await bench.fetch(at(where, offset), min_bytes=1, max_wait_ms=MINUTE_MS)
        assert isinstance(found.error, OffsetOutOfRange)
        assert found.error.details["high_watermark"] == "3"
        assert (found.log_start_offset, found.high_watermark) == (0, 3)
    await bench.host.advance_log_start(where, Offset(2))
    (found,) = await bench.fetch(at(where, 1))
    assert isinstance(found.error, OffsetOutOfRange)
    assert found.error.details["log_start_offset"] == "2"


async def test_leader_epochs(bench: HostBench) -> None:
    (where,) = await filled(bench)
    for asked, reason in ((0, FencedLeaderEpoch), (2, UnknownLeaderEpoch), (1, None)):
        (found,) = await bench.fetch(at(where, leader_epoch=asked))
        assert type(found.error) is (reason or type(None))


async def test_one_error_hides_no_data(bench: HostBench) -> None:
    (where,) = await filled(bench)
    nowhere = TopicPartition(where.topic_id, PartitionId(9))
    unknown = where._replace(topic_id=type(where.topic_id)(bytes(16)))
    found = await bench.fetch(
        [at(nowhere), at(where), at(unknown)], min_bytes=1 << 20, max_wait_ms=MINUTE_MS
    )
    assert [type(f.error) for f in found] == [UnknownPartition, type(None), UnknownTopic]
    assert offsets_of(found[1]) == [0, 1, 2]


async def waiting(
    bench: HostBench, *positions: object, **wait: int
) -> "asyncio.Task[list[Fetched]]":
    """A fetch that waits now."""
    before = len(bench.host.purgatory)
    wait = {"min_bytes": 1, "max_wait_ms": MINUTE_MS, **wait}
    task = asyncio.ensure_future(bench.fetch(list(positions), **wait))  # type: ignore[arg-type]
    await bench.turns()
    assert len(bench.host.purgatory) == before + 1 and not task.done()
    return task


async def test_it_wakes_when_the_bytes_are_committed_not_when_they_are_written(
    bench: HostBench,
) -> None:
    (where,) = await filled(bench)
    task = await waiting(bench, at(where, 3))
    bench.flush.gate.clear()
    bench.append(where, b"new")
    await bench.turns()
    assert not task.done()
    bench.flush.gate.set()
    (found,) = await task
    assert offsets_of(found) == [3]


async def test_min_bytes_over_several_partitions(
    bench: HostBench, wakes: list[WaitingFetch]
) -> None:
    a, b = await filled(bench, 2)
    task = await waiting(bench, at(a, 2), at(b, 3), min_bytes=3200)
    await bench.produce(b, bytes(1000))
    await bench.turns()
    assert not task.done()
    await bench.produce(a, bytes(1000))
    found = await task
    assert [offsets_of(f) for f in found] == [[2, 3], [3]]
    assert len(wakes) == 1, "woken once, when there was enough"


async def test_min_bytes_beyond_what_an_answer_may_hold_does_not_wait_in_vain(
    bench: HostBench,
) -> None:
    (where,) = await filled(bench, batches=5)
    for position, max_bytes in ((at(where), 2500), (at(where, max_bytes=2500), 1 << 20)):
        (found,) = await bench.fetch(
            position, min_bytes=1 << 30, max_bytes=max_bytes, max_wait_ms=MINUTE_MS
        )
        assert offsets_of(found) == [0, 1]


async def test_the_end_of_a_segment_is_no_reason_to_wait(bench: HostBench) -> None:
    (where,) = await filled(bench)
    (await bench.host.hosted(where)).log.roll()
    await bench.produce(where, bytes(5000))
    (found,) = await bench.fetch(at(where, 2), min_bytes=4000, max_wait_ms=MINUTE_MS)
    assert offsets_of(found) == [2], "what follows in the next segment comes with the next fetch"


async def test_time_up_gives_what_there_is(bench: HostBench) -> None:
    (where,) = await filled(bench)
    (found,) = await bench.fetch(at(where), min_bytes=1 << 20, max_wait_ms=1)
    assert offsets_of(found) == [0, 1, 2]
    assert await bench.fetch(at(where, 3), min_bytes=1, max_wait_ms=1) == []
    assert len(bench.host.purgatory) == 0


async def test_an_interrupt_answers_at_once_and_for_good(bench: HostBench) -> None:
    (where,) = await filled(bench)
    interrupt = FetchInterrupt()
    task = asyncio.ensure_future(
        bench.fetch(at(where), interrupt, min_bytes=1 << 20, max_wait_ms=MINUTE_MS)
    )
    await bench.turns()
    interrupt.fire()
    (found,) = await task
    assert offsets_of(found) == [0, 1, 2]
    assert await bench.fetch(at(where, 3), interrupt, min_bytes=1, max_wait_ms=MINUTE_MS) == []


async def test_a_client_that_goes_away_leaves_nothing(bench: HostBench) -> None:
    (where,) = await filled(bench)
    task = await waiting(bench, at(where, 3))
    task.cancel()
    await bench.turns()
    assert task.cancelled() and len(bench.host.purgatory) == 0


async def test_the_drain_answers_who_waits_and_who_comes(bench: HostBench) -> None:
    (where,) = await filled(bench)
    task = await waiting(bench, at(where, 2), min_bytes=1 << 20)
    await bench.host.drain()
    (found,) = await task
    assert offsets_of(found) == [2]
    assert await bench.fetch(at(where, 3), min_bytes=1, max_wait_ms=MINUTE_MS) == []


async def test_a_start_that_moves_past_a_waiting_position(bench: HostBench) -> None:
    (where,) = await filled(bench)
    task = await waiting(bench, at(where, 1), min_bytes=1 << 20)
    await bench.host.advance_log_start(where, Offset(3))
    (found,) = await task
    assert isinstance(found.error, OffsetOutOfRange)


async def test_thousands_wait_and_only_those_with_news_wake(
    bench: HostBench, wakes: list[WaitingFetch]
) -> None:
    wheres = await filled(bench, 50, batches=1)
    tasks = [
        asyncio.ensure_future(
            bench.fetch(at(wheres[n % 50], 1), min_bytes=1, max_wait_ms=MINUTE_MS)
        )
        for n in range(5000)
    ]
    await bench.turns()
    assert len(bench.host.purgatory) == len(wakes) == 5000
    await bench.produce(wheres[7], b"news")
    await bench.turns()
    assert sum(task.done() for task in tasks) == 100
    assert len(bench.host.purgatory) == 4900 and len(wakes) == 5000, "nobody looked in vain"
    await bench.host.drain()
    assert sum(bool(found) for found in await asyncio.gather(*tasks)) == 100


async def cold(bench: HostBench, where: TopicPartition) -> None:
    """Make all that stands in the partition so far a matter of the disk."""
    (await bench.host.hosted(where)).log.roll()
    await bench.produce(where, b"the active segment")
    (await bench.host.hosted(where)).log.roll()
    await bench.produce(where, b"the active segment")


async def test_cold_reads_in_their_pool_or_from_the_page_cache(
    bench: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (where,) = await filled(bench)
    await cold(bench, where)
    (found,) = await bench.fetch(at(where, 1))
    assert offsets_of(found) == [1, 2] and bench.cold_read.runs == 0
    not_cached(monkeypatch)
    (found,) = await bench.fetch(at(where, 1))
    assert offsets_of(found) == [1, 2] and bench.cold_read.runs == 1


async def test_cold_batches_beyond_the_bound_are_left_for_the_next_fetch(
    bench: HostBench,
) -> None:
    wheres = await bench.topic("orders", 20, **SEGMENT)
    for where in wheres:
        await bench.produce(where, bytes(50_000))
        await cold(bench, where)
    found = await bench.fetch([at(where, max_bytes=1) for where in wheres], max_bytes=120_000)
    assert [offsets_of(f) for f in found] == [[0], [0]]


async def test_a_topic_deleted_under_a_cold_read_is_gone_not_damaged(
    bench: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (where,) = await filled(bench)
    await cold(bench, where)
    not_cached(monkeypatch)
    bench.cold_read.gate.clear()
    task = asyncio.ensure_future(bench.fetch(at(where)))
    await bench.turns()
    assert bench.cold_read.waiting == 1
    await bench.catalog.delete(where.topic_id)
    bench.cold_read.gate.set()
    (found,) = await task
    assert isinstance(found.error, UnknownTopic)


def not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaultyFile, "pread_cached", lambda *_: None)


async def test_hot_reads_outlive_the_cold_ones_of_the_same_answer(
    bench: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = await filled(bench, 2)
    await cold(bench, old)
    not_cached(monkeypatch)
    bench.cold_read.gate.clear()
    task = asyncio.ensure_future(bench.fetch([at(new), at(old)]))
    await bench.turns()
    (await bench.host.hosted(new)).log.roll()  # while the cold read is under way
    await bench.produce(new, b"x")
    bench.cold_read.gate.set()
    found = await task
    assert [(f.topic_partition, offsets_of(f)) for f in found] == [
        (new, [0, 1, 2]),
        (old, [0, 1, 2]),
    ]
