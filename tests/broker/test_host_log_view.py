"""What the coordinator is told of topics and logs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from harness.host_bench import HostBench, host_bench
from logd.broker.host_log_view import HostLogView
from logd.model.errors import UnknownPartition, UnknownTopic
from logd.model.group import LogBounds
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.offset_spec import OffsetSpec


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[HostBench]:
    async with host_bench(tmp_path) as bench:
        yield bench


@pytest.fixture
def view(bench: HostBench) -> HostLogView:
    return HostLogView(bench.catalog, bench.host)


async def test_bounds_of_what_is_there_and_why_not_of_the_rest(
    bench: HostBench, view: HostLogView
) -> None:
    a, b = await bench.topic("orders", 2)
    await bench.produce(a, b"1", b"2")
    nowhere = TopicPartition(TopicId(bytes(16)), PartitionId(0))
    bounds = await view.bounds([a, b, nowhere, a._replace(partition=PartitionId(7))])
    assert bounds[a] == LogBounds(Offset(0), Offset(2))
    assert bounds[b] == LogBounds(Offset(0), Offset(0))
    assert isinstance(bounds[nowhere], UnknownTopic)
    assert isinstance(bounds[a._replace(partition=PartitionId(7))], UnknownPartition)
    assert [topic.name for topic in view.all()] == ["orders"]
    assert view.by_id(a.topic_id).name == "orders"


async def test_times_of_offsets_and_offsets_of_times(bench: HostBench, view: HostLogView) -> None:
    (where,) = await bench.topic("orders")
    start_ms = bench.clock.wall_ms()
    for _ in range(3):
        await bench.produce(where, b"1", b"2")
        bench.clock.advance(1000)
    times = [await view.append_time_ms(where, Offset(n)) for n in range(7)]
    assert times == [start_ms + 1000 * (n // 2) for n in range(6)] + [None]
    assert await view.append_time_ms(where, Offset(99)) is None
    assert await view.offset_at_time(where, start_ms + 1, by_record_time=True) == 2
    assert await view.offset_at_time(where, start_ms + 2001, by_record_time=False) == 6
    assert await view.bytes_between(where, Offset(0), Offset(6)) > 0
    assert await view.bytes_between(where, Offset(6), Offset(6)) == 0


async def test_an_offset_that_retention_has_passed_takes_the_first_that_is_left(
    bench: HostBench, view: HostLogView
) -> None:
    (where,) = await bench.topic("orders")
    for _ in range(3):
        await bench.produce(where, b"1")
        bench.clock.advance(1000)
    await bench.host.delete_records(where, OffsetSpec("offset", 2))
    assert await view.append_time_ms(where, Offset(0)) == bench.clock.wall_ms() - 1000


async def test_in_a_log_whose_records_are_all_gone_no_offset_has_a_time(
    bench: HostBench, view: HostLogView
) -> None:
    (where,) = await bench.topic("orders")
    await bench.produce(where, b"1")
    await bench.host.delete_records(where, OffsetSpec("latest"))
    assert await view.append_time_ms(where, Offset(0)) is None


async def test_a_damaged_offset_has_no_time(tmp_path: Path) -> None:
    """What a group has yet to read is told of a damaged log, too, whether it is read through the
    map of what this run wrote or from the file."""
    async with host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.produce(where, b"1")
        await bench.produce(where, b"2")
        (log,) = tmp_path.rglob("orders-0/*.log")
        with log.open("r+b") as file:
            file.seek(50)
            file.write(b"\xff")
        view = HostLogView(bench.catalog, bench.host)
        assert await view.append_time_ms(where, Offset(0)) is None
        now_ms = bench.clock.wall_ms()
        assert await view.append_time_ms(where, Offset(1)) == now_ms
    async with host_bench(tmp_path) as bench:
        view = HostLogView(bench.catalog, bench.host)
        assert await view.append_time_ms(where, Offset(0)) is None
        assert await view.append_time_ms(where, Offset(1)) == now_ms
