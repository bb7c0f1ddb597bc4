"""read_arrow: bounds, order, end, errors, and who may pull."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from harness.local_broker import local_broker
from logd.model.errors import (
    ClientClosed,
    InvalidConfig,
    LogdError,
    MissingPackage,
    OffsetOutOfRange,
    StoredDataCorrupt,
    UnknownPartition,
    UnknownTopic,
    UsedAfterFork,
)
from logd.model.offset_spec import OffsetSpec
from logd.sync import Consumer as SyncConsumer
from logd_client.admin import Admin
from logd_client.consumer import Consumer
from logd_client.producer import Producer

pytest.importorskip("pyarrow")


@pytest.fixture
def broker() -> FakeFetchBroker:
    """Partitions 0 and 1 with offsets 0 to 11, in batches of 3, 4 and 5; 2 is empty."""
    broker = FakeFetchBroker()
    broker.create_topic("t", 3)
    broker.create_topic("other")
    for count in (3, 4, 5):
        for partition in (0, 1):
            broker.append("t", partition, [b"v"] * count)
    return broker


def make(broker: FakeFetchBroker, **settings: Any) -> SyncConsumer:
    quick = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **settings}
    return SyncConsumer("other", transport=broker, **quick)


def places(reader: Any) -> list[tuple[int, int]]:
    """(partition, offset) of all records, as they come."""
    table = reader.read_all()
    return list(zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True))


def test_everything_comes_by_partition_then_offset_and_ends(broker: FakeFetchBroker) -> None:
    with make(broker) as consumer:
        assert places(consumer.read_arrow("t")) == [(p, o) for p in (0, 1) for o in range(12)]
        assert consumer.read_arrow("t", partitions=[2]).read_all().num_rows == 0
        assert consumer.read_arrow("t", partitions=[]).read_all().num_rows == 0
        assert consumer.poll(0) == [] and consumer.assignment == [("other", 0)]


def test_offsets_bound_it_within_batches(broker: FakeFetchBroker) -> None:
    since, until = OffsetSpec.at_offset(1), OffsetSpec.at_offset(9)
    with make(broker) as consumer:
        assert places(consumer.read_arrow("t", since, until, [1, 1])) == [
            (1, offset) for offset in range(1, 9)
        ]
        assert places(consumer.read_arrow("t", until, since)) == []


def test_what_is_appended_after_the_call_is_not_read(broker: FakeFetchBroker) -> None:
    with make(broker) as consumer:
        reader = consumer.read_arrow("t", partitions=[0])
        broker.append("t", 0, [b"later"])
        assert places(reader)[-1] == (0, 11)


def test_a_gap_at_the_end_ends_it(broker: FakeFetchBroker) -> None:
    log = broker.topics["t"][2]
    log.append([b"a", b"b"])
    log.append([b"c"], gap=5)
    with make(broker) as consumer:
        until = OffsetSpec.at_offset(5)
        assert places(consumer.read_arrow("t", until=until, partitions=[2])) == [(2, 0), (2, 1)]


def test_a_batch_that_is_skipped_at_the_end_ends_it(broker: FakeFetchBroker) -> None:
    log = broker.topics["t"][2]
    log.append([b"a", b"b"])
    log.append([b"c"])
    log.errors[2] = StoredDataCorrupt("damaged", offset=2, next_offset=3)
    with make(broker, on_undecodable="skip") as consumer:
        assert places(consumer.read_arrow("t", partitions=[2])) == [(2, 0), (2, 1)]
    with make(broker) as consumer:
        reader = consumer.read_arrow("t", partitions=[2])
        assert reader.read_next_batch()["offset"].to_pylist() == [0, 1]
        with pytest.raises(StoredDataCorrupt, match="damaged"):
            reader.read_next_batch()


def test_retention_that_overtakes_it_is_no_silent_gap(broker: FakeFetchBroker) -> None:
    with make(broker) as consumer:
        reader = consumer.read_arrow("t")
        broker.topics["t"][0].start = 3
        with pytest.raises(OffsetOutOfRange):
            reader.read_all()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"topic": "nope"}, UnknownTopic),
        ({"topic": "t", "partitions": [3]}, UnknownPartition),
        ({"topic": "t", "partitions": [-1]}, UnknownPartition),
        ({"topic": "t", "since": datetime(2026, 1, 1)}, InvalidConfig),
        ({"topic": "t", "until": "yesterday"}, InvalidConfig),
        ({"topic": "t", "until": True}, InvalidConfig),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(
    broker: FakeFetchBroker, given: dict[str, Any], error: type[LogdError]
) -> None:
    with make(broker) as consumer, pytest.raises(error):
        consumer.read_arrow(**given)


def test_without_pyarrow_it_says_so(
    broker: FakeFetchBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with make(broker) as consumer, pytest.raises(MissingPackage, match="pyarrow"):
        consumer.read_arrow("t")


def test_a_reader_ends_with_its_consumer_or_when_it_is_dropped(broker: FakeFetchBroker) -> None:
    with make(broker) as consumer:
        running = len(consumer._client._tasks)
        dropped = consumer.read_arrow("t")
        assert dropped.read_next_batch().num_rows == 3
        kept = consumer.read_arrow("t")
        assert len(consumer._client._tasks) == running + 2
        del dropped
        gc.collect()
        while len(consumer._client._tasks) > running + 1:
            consumer.poll(1)  # the loop's turn: it is cancelled there
        assert len(consumer._client._tasks) == running + 1
    with pytest.raises(ClientClosed):
        kept.read_next_batch()


async def test_who_pulls_while_the_consumer_is_closed_is_told(broker: FakeFetchBroker) -> None:
    consumer = Consumer("other", transport=broker)
    reader = await consumer.read_arrow("t")
    broker.down = True
    broker.break_streams()
    pulling = asyncio.create_task(asyncio.to_thread(reader.read_all))
    await asyncio.sleep(0)
    await consumer.close()
    with pytest.raises(ClientClosed):
        await pulling


def test_a_forked_child_cannot_pull(broker: FakeFetchBroker) -> None:
    with make(broker) as consumer:
        reader = consumer.read_arrow("t")
        pid = os.fork()
        if pid == 0:
            try:
                reader.read_next_batch()
            except UsedAfterFork:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert len(places(reader)) == 24


async def test_the_asynchronous_face_pulls_in_another_thread(broker: FakeFetchBroker) -> None:
    async with Consumer("other", transport=broker, fetch_max_wait_ms=20) as consumer:
        reader = await consumer.read_arrow("t")
        with pytest.raises(RuntimeError, match="to_thread"):
            reader.read_next_batch()
        reader = await consumer.read_arrow("t")
        assert len(await asyncio.to_thread(places, reader)) == 24


DAY_MS = 86_400_000


@pytest.fixture
async def three_seconds(tmp_path: Path) -> AsyncIterator[tuple[Consumer, int]]:
    """A topic with a record appended at each of three seconds, a day after its own timestamp, and
    the first of these seconds in ms."""
    async with local_broker(tmp_path) as local:
        start_ms = local.clock.wall_ms()
        async with Admin(transport=local.transport) as admin:
            await admin.create_topic("t", partitions=1)
        async with Producer(transport=local.transport, linger_ms=0) as producer:
            for value in (b"0", b"1", b"2"):
                own_ms = local.clock.wall_ms() - DAY_MS
                await (await producer.send("t", value, timestamp_ms=own_ms))
                local.clock.advance(1_000)
        async with Consumer("t", transport=local.transport, fetch_max_wait_ms=20) as consumer:
            yield consumer, start_ms


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "expected"),
    [
        (None, None, [b"0", b"1", b"2"]),
        (1_000, None, [b"1", b"2"]),
        (1_001, None, [b"2"]),
        (0, 1_000, [b"0"]),
        (1_000, 2_000, [b"1"]),
        (1_000, 1_000, []),
        (0, 2_001, [b"0", b"1", b"2"]),
        (9_000, None, []),
    ],
)
async def test_since_is_inclusive_and_until_is_not(
    three_seconds: tuple[Consumer, int],
    since_ms: int | None,
    until_ms: int | None,
    expected: list[bytes],
) -> None:
    consumer, start_ms = three_seconds
    moment = datetime.fromtimestamp(start_ms // 1000, UTC)
    assert start_ms % 1000 == 0

    async def values(since: Any, until: Any) -> list[bytes]:
        reader = await consumer.read_arrow("t", since=since, until=until)
        found: list[bytes] = (await asyncio.to_thread(reader.read_all))["value"].to_pylist()
        return found

    ints = [None if ms is None else start_ms + ms for ms in (since_ms, until_ms)]
    times = [
        None if ms is None else moment + timedelta(milliseconds=ms) for ms in (since_ms, until_ms)
    ]
    within = [None if at is None else at - timedelta(microseconds=1) for at in times]
    assert await values(*ints) == await values(*times) == await values(*within) == expected
    by_own = [
        None if at is None else OffsetSpec.at_record_time(at - timedelta(milliseconds=DAY_MS))
        for at in times
    ]
    assert await values(*by_own) == expected
