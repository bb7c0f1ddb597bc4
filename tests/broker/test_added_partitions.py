from pathlib import Path

import pytest
import pytest_asyncio

from harness.host_bench import HostBench, host_bench
from logd.model.errors import LeaderNotAvailable, StoredDataCorrupt
from logd.model.ids import Offset, PartitionId, TopicPartition


@pytest_asyncio.fixture
async def bench(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with host_bench(tmp_path) as bench:
        yield bench


async def test_a_partition_that_was_added_begins_where_its_parent_ended(bench: HostBench) -> None:
    (parent,) = await bench.topic("orders")
    await bench.host.open(parent)
    for value in (b"a", b"b", b"c"):
        bench.append(parent, value)
    await bench.turns()
    grown, _ = await bench.catalog.add_partitions(parent.topic_id, 2)
    assert grown.partitions[1].split_at == 3


async def test_a_partition_takes_no_record_before_it_is_known_where_it_begins(
    bench: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (parent,) = await bench.topic("orders")
    child = TopicPartition(parent.topic_id, PartitionId(1))

    async def no_end(topic_partition: TopicPartition) -> Offset:
        raise StoredDataCorrupt("the parent's log does not open")

    with monkeypatch.context() as patched:
        patched.setattr(bench.host, "log_end", no_end)
        await bench.catalog.add_partitions(parent.topic_id, 2)
        with pytest.raises(LeaderNotAvailable, match="was split from partition 0"):
            await bench.host.open(child)
    await bench.host.open(parent)
    bench.append(parent, b"a")
    await bench.turns()
    await bench.host.open(child)
    assert bench.catalog.by_id(parent.topic_id).partitions[1].split_at == 1
