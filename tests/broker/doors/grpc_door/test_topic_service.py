"""Topics and partitions by their calls, on a whole broker."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness.door_bench import DoorBench, door_bench
from logd.model.errors import (
    AclDenied,
    InvalidConfig,
    InvalidName,
    LogdError,
    TopicExists,
    UnknownPartition,
    UnknownTopic,
)
from logd_proto.v1 import topics_pb2 as pb
from logd_proto.v1.common_pb2 import OffsetSpec, TopicRef

ORDERS = TopicRef(name="orders")
INTERNAL = TopicRef(name="__consumer_offsets")


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[DoorBench]:
    async with door_bench(tmp_path) as bench:
        yield bench


async def names(bench: DoorBench, **fields: bool) -> list[str]:
    found = await bench.call("TopicService/ListTopics", pb.ListTopicsRequest(**fields))
    return [topic.name for topic in found.topics]


async def describe(bench: DoorBench, ref: TopicRef = ORDERS) -> Any:
    request = pb.DescribeTopicRequest(topic=ref)
    return (await bench.call("TopicService/DescribeTopic", request)).topic


async def test_a_topic_with_all_that_producers_route_by(bench: DoorBench) -> None:
    made = await bench.topic("orders", 3, retention_ms="1d")
    assert await describe(bench) == made
    assert await describe(bench, TopicRef(topic_id=made.topic_id)) == made
    assert [p.partition for p in made.partitions] == [0, 1, 2]
    assert made.partitions[0].hash_lo == 0 and made.partitions[-1].hash_hi == 1 << 32
    assert all(a.hash_hi == b.hash_lo for a, b in pairwise(made.partitions))
    assert {tuple(p.replicas) for p in made.partitions} == {(0,)}
    assert (made.config["retention_ms"], made.replication_factor) == ("86400000", 1)
    assert (made.partitioning_epoch, made.internal) == (0, False)


async def test_a_dry_run_makes_nothing(bench: DoorBench) -> None:
    request = pb.CreateTopicRequest(name="orders", validate_only=True)
    topic = (await bench.call("TopicService/CreateTopic", request)).topic
    assert (topic.name, topic.topic_id, len(topic.partitions)) == ("orders", b"", 1)
    assert await names(bench) == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (pb.CreateTopicRequest(), InvalidName),
        (pb.CreateTopicRequest(name="../etc/passwd"), InvalidName),
        (pb.CreateTopicRequest(name="x" * 250), InvalidName),
        (pb.CreateTopicRequest(name="\U0001f4a5" * 3000), InvalidName),
        (pb.CreateTopicRequest(name="__mine"), InvalidName),
        (pb.CreateTopicRequest(name="a", partitions=(1 << 32) - 1), InvalidConfig),
        (pb.CreateTopicRequest(name="a", replication_factor=3), InvalidConfig),
        (pb.CreateTopicRequest(name="a", config={"retention": "1d"}), InvalidConfig),
        (pb.CreateTopicRequest(name="a", config={"retention_ms": "soon"}), InvalidConfig),
        (pb.CreateTopicRequest(name="orders"), TopicExists),
        (pb.CreateTopicRequest(name="Orders"), TopicExists),
    ],
)
async def test_what_makes_no_topic(
    bench: DoorBench, request_: pb.CreateTopicRequest, error: type[LogdError]
) -> None:
    await bench.topic("orders")
    for validate_only in (True, False):
        request_.validate_only = validate_only
        with pytest.raises(error):
            await bench.call("TopicService/CreateTopic", request_)
    assert await names(bench) == ["orders"]


async def test_internal_topics_are_listed_if_asked_for(bench: DoorBench) -> None:
    await bench.topic("b")
    await bench.topic("a")
    assert await names(bench) == ["a", "b"]
    assert await names(bench, include_internal=True) == ["__consumer_offsets", "a", "b"]


async def test_settings_change_and_a_dry_run_only_says_how(bench: DoorBench) -> None:
    await bench.topic("orders", retention_bytes="5GB")
    request = pb.AlterTopicRequest(topic=ORDERS, config={"retention_ms": "2h"})
    for validate_only, after in ((True, "604800000"), (False, "7200000")):
        request.validate_only = validate_only
        altered = (await bench.call("TopicService/AlterTopic", request)).topic
        assert altered.config["retention_ms"] == "7200000"
        assert (await describe(bench)).config["retention_ms"] == after
    assert (await describe(bench)).config["retention_bytes"] == "5000000000"


async def test_more_partitions(bench: DoorBench) -> None:
    await bench.topic("orders", 6)
    request = pb.AddPartitionsRequest(topic=ORDERS, total=8, validate_only=True)
    planned = await bench.call("TopicService/AddPartitions", request)
    assert len((await describe(bench)).partitions) == 6
    request.validate_only = False
    done = await bench.call("TopicService/AddPartitions", request)
    assert planned.moved_key_share == done.moved_key_share == pytest.approx(1 / 6)
    assert len((await describe(bench)).partitions) == 8
    assert (await describe(bench)).partitioning_epoch == 1
    (receipt,) = await bench.produce("orders", b"a", partition=7)
    assert receipt.offset == 0
    for total in (0, 8, 10_001, (1 << 32) - 1):
        with pytest.raises(InvalidConfig):
            await bench.call(
                "TopicService/AddPartitions", pb.AddPartitionsRequest(topic=ORDERS, total=total)
            )


async def test_a_deleted_topic_is_gone_with_its_records(bench: DoorBench) -> None:
    topic = await bench.topic("orders")
    await bench.produce("orders", b"a")
    request = pb.DeleteTopicRequest(topic=ORDERS, validate_only=True)
    assert (await bench.call("TopicService/DeleteTopic", request)).topic_id == topic.topic_id
    assert await names(bench) == ["orders"]
    await bench.delete("orders")
    with pytest.raises(UnknownTopic):
        await describe(bench)
    again = await bench.topic("orders")
    assert again.topic_id != topic.topic_id
    (result,) = await bench.fetch("orders", (0, 0))
    assert result.high_watermark == 0
    with pytest.raises(UnknownTopic):
        await describe(bench, TopicRef(topic_id=topic.topic_id))


async def test_records_before_an_offset_go_partition_by_partition(bench: DoorBench) -> None:
    await bench.topic("orders", 2)
    for partition in (0, 1):
        await bench.produce("orders", b"a", b"b", b"c", partition=partition)
    before = [
        pb.TruncateBefore(partition=0, before=OffsetSpec(offset=2)),
        pb.TruncateBefore(partition=1, before=OffsetSpec(latest=True)),
        pb.TruncateBefore(partition=9, before=OffsetSpec(latest=True)),
        pb.TruncateBefore(partition=0),
        pb.TruncateBefore(partition=1, before=OffsetSpec(offset=99)),
    ]
    for validate_only in (True, False):
        request = pb.DeleteRecordsRequest(
            topic=ORDERS, partitions=before, validate_only=validate_only
        )
        results = (await bench.call("TopicService/DeleteRecords", request)).results
        assert [(r.partition, r.log_start_offset, r.records) for r in results[:2]] == [
            (0, 2, 2),
            (1, 3, 3),
        ]
        assert [r.error.reason for r in results[2:]] == [
            "UNKNOWN_PARTITION",
            "INVALID_CONFIG",
            "OFFSET_OUT_OF_RANGE",
        ]
    found = await bench.fetch("orders", (0, 2), (1, 3))
    assert [r.log_start_offset for r in found] == [2, 3]


@pytest.mark.parametrize(
    ("method", "request_", "error"),
    [
        ("AlterTopic", pb.AlterTopicRequest(topic=INTERNAL), AclDenied),
        ("DeleteRecords", pb.DeleteRecordsRequest(topic=INTERNAL), AclDenied),
        ("DeleteTopic", pb.DeleteTopicRequest(topic=INTERNAL), InvalidConfig),
        ("AddPartitions", pb.AddPartitionsRequest(topic=INTERNAL, total=99), InvalidConfig),
    ],
)
async def test_what_logd_keeps_for_itself(
    bench: DoorBench, method: str, request_: Any, error: type[LogdError]
) -> None:
    with pytest.raises(error):
        await bench.call(f"TopicService/{method}", request_)


async def test_the_state_of_partitions(bench: DoorBench) -> None:
    topic = await bench.topic("orders", 100)
    await bench.topic("other")
    await bench.produce("orders", b"a", b"b", partition=70)
    request = pb.DescribePartitionsRequest(topic=ORDERS)
    states = (await bench.call("TopicService/DescribePartitions", request)).partitions
    assert [s.partition for s in states] == list(range(100))
    state = states[70]
    assert (state.topic, state.topic_id, state.leader, list(state.isr)) == (
        "orders",
        topic.topic_id,
        0,
        [0],
    )
    ends = (state.high_watermark, state.log_end_offset, state.synced_end_offset)
    assert ends == (2, 2, 2) and state.segments == 1 and state.size_bytes > 96
    request.partitions.extend([70, 3])
    some = (await bench.call("TopicService/DescribePartitions", request)).partitions
    assert [s.partition for s in some] == [70, 3]
    everything = await bench.call("TopicService/DescribePartitions", pb.DescribePartitionsRequest())
    assert len(everything.partitions) == 101
    with pytest.raises(UnknownPartition):
        request.partitions.append(100)
        await bench.call("TopicService/DescribePartitions", request)
