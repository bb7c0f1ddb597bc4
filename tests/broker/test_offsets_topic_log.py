"""The coordinator's log on the partition host."""

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from harness.faulty_file_system import Fault
from harness.host_bench import HostBench, host_bench
from logd.broker.offsets_topic_log import OFFSETS_TOPIC_CONFIG, OffsetsTopicLog
from logd.model.errors import LogReadOnly, SyncFailed
from logd.model.group import OFFSETS_TOPIC
from logd.model.ids import Offset, PartitionId

EPOCH = 1
P0 = PartitionId(0)


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[HostBench]:
    async with host_bench(tmp_path) as bench:
        yield bench


@pytest_asyncio.fixture
async def log(bench: HostBench) -> OffsetsTopicLog:
    topic = await bench.catalog.create(OFFSETS_TOPIC, 2, OFFSETS_TOPIC_CONFIG, internal=True)
    log = OffsetsTopicLog(bench.host, topic.topic_id, bench.clock)
    assert [record async for record in log.read(P0, Offset(0))] == []  # which opens it
    return log


async def read(log: OffsetsTopicLog, offset: int = 0) -> list[tuple[int, int, bytes, bytes | None]]:
    return [record async for record in log.read(P0, Offset(offset))]


async def test_what_is_appended_is_read_tombstones_too(log: OffsetsTopicLog) -> None:
    first = log.append(P0, [(b"a", b"1"), (b"b", None)])
    second = log.append(P0, [(b"a", b"2")])
    assert (first.base_offset, second.base_offset) == (0, 2)
    await first.committed
    await second.committed
    assert await read(log) == [
        (0, EPOCH, b"a", b"1"),
        (1, EPOCH, b"b", None),
        (2, EPOCH, b"a", b"2"),
    ]
    assert await read(log, 1) == [(1, EPOCH, b"b", None), (2, EPOCH, b"a", b"2")]
    assert await read(log, 3) == []


async def test_a_read_waits_for_what_was_appended_before_it(
    log: OffsetsTopicLog, bench: HostBench
) -> None:
    bench.flush.gate.clear()
    appended = log.append(P0, [(b"a", b"1")])
    reading = asyncio.ensure_future(read(log))
    await bench.turns()
    assert not reading.done()
    bench.flush.gate.set()
    assert await reading == [(0, EPOCH, b"a", b"1")]
    await appended.committed


async def test_trim_starts_the_log_at_exactly_the_offset(
    log: OffsetsTopicLog, bench: HostBench
) -> None:
    for number in range(5):
        await log.append(P0, [(b"a", b"%d" % number), (b"b", b"x")]).committed
    size_bytes = log.size_bytes(P0)
    await log.advance_log_start(P0, Offset(5))
    assert [record[0] for record in await read(log)] == [5, 6, 7, 8, 9]
    assert 0 < log.size_bytes(P0) <= size_bytes
    after = log.append(P0, [(b"c", b"y")])
    assert after.base_offset == 10
    await after.committed


async def test_long_logs_are_read_in_parts(log: OffsetsTopicLog) -> None:
    for _ in range(5):
        await log.append(P0, [(b"k", bytes(400_000))]).committed
    assert [record[0] for record in await read(log)] == [0, 1, 2, 3, 4]


async def test_a_failed_sync_is_raised_to_who_waits(log: OffsetsTopicLog, bench: HostBench) -> None:
    await log.append(P0, [(b"a", b"1")]).committed
    bench.fs.faults.append(Fault("datasync", ".log", errno.EIO))
    appended = log.append(P0, [(b"a", b"2")])
    with pytest.raises(SyncFailed):
        await appended.committed
    with pytest.raises(LogReadOnly):
        log.append(P0, [(b"a", b"3")])
    assert await read(log) == [(0, EPOCH, b"a", b"1")], "only what is committed"
