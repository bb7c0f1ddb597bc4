"""A whole broker without listeners: draining and closing."""

import asyncio
from pathlib import Path

import pytest

from harness.door_bench import door_bench
from logd.model.errors import LogdError
from logd_proto.v1 import cluster_pb2, common_pb2, groups_pb2


async def test_it_says_where_it_listens_once_it_knows(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        bench.local.broker.announce("elsewhere:9")
        info = await bench.call(
            "ClusterService/GetClusterInfo", cluster_pb2.GetClusterInfoRequest()
        )
        assert [broker.address for broker in info.brokers] == ["elsewhere:9"]


async def test_a_drain_refuses_work_answers_waits_and_still_reads(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders", 2)
        await bench.produce("orders", b"a", partition=0)
        waiting = asyncio.ensure_future(
            bench.fetch("orders", (0, 1), min_bytes=1, max_wait_ms=60_000)
        )
        await asyncio.sleep(0.01)
        await bench.local.broker.drain()
        await bench.local.broker.drain()
        (result,) = await waiting
        assert (result.error.reason, result.high_watermark) == ("", 1)
        for partition in (0, 1):
            (receipt,) = await bench.produce("orders", b"b", partition=partition)
            assert receipt.error.reason == "BROKER_DRAINING"
        (result,) = await bench.fetch("orders", (0, 0))
        assert [r.value for r in result.records] == [b"a"]
        commit = groups_pb2.CommitOffsetsRequest(
            group="g", topic=common_pb2.TopicRef(name="orders")
        )
        commit.offsets.add(partition=0, offset=1)
        with pytest.raises(LogdError) as raised:
            await bench.call("GroupService/CommitOffsets", commit)
        assert raised.value.retriable


async def test_closing_twice(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        await bench.local.broker.close()
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders")
