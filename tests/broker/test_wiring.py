"""What a restart keeps, and what keeps a broker from being built."""

from pathlib import Path

import pytest

from harness.door_bench import DoorBench, door_bench
from harness.faulty_file_system import FaultyFileSystem
from logd.broker.config import BrokerConfig
from logd.broker.real_seams import real_seams
from logd.broker.wiring import open_broker
from logd.model.errors import DataDirectoryLocked, InvalidConfig
from logd_partitions.sync.sync_queue import SyncQueue
from logd_proto.v1 import cluster_pb2, common_pb2, data_pb2, groups_pb2, topics_pb2

ORDERS = common_pb2.TopicRef(name="orders")


async def committed(bench: DoorBench) -> list[tuple[int, int]]:
    request = groups_pb2.FetchOffsetsRequest(group="billing")
    found = (await bench.call("GroupService/FetchOffsets", request)).offsets
    return [(offset.partition, offset.offset) for offset in found]


async def test_a_restart_keeps_everything_and_leads_under_a_higher_epoch(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        made = await bench.topic("orders", 2, retention_ms="1d")
        (receipt,) = await bench.produce("orders", b"a", partition=1)
        commit = groups_pb2.CommitOffsetsRequest(group="billing", topic=ORDERS)
        commit.offsets.add(partition=1, offset=1)
        await bench.call("GroupService/CommitOffsets", commit)
        cluster = await bench.call(
            "ClusterService/GetClusterInfo", cluster_pb2.GetClusterInfoRequest()
        )
        producer = await bench.call("DataService/InitProducer", data_pb2.InitProducerRequest())
    async with door_bench(tmp_path) as bench:
        request = topics_pb2.DescribeTopicRequest(topic=ORDERS)
        assert (await bench.call("TopicService/DescribeTopic", request)).topic == made
        (result,) = await bench.fetch("orders", (1, 0))
        assert [r.value for r in result.records] == [b"a"]
        assert result.leader_epoch == receipt.leader_epoch + 1
        (again,) = await bench.produce("orders", b"b", partition=1)
        assert (again.offset, again.leader_epoch) == (1, result.leader_epoch)
        assert await committed(bench) == [(1, 1)]
        info = cluster_pb2.GetClusterInfoRequest()
        now = await bench.call("ClusterService/GetClusterInfo", info)
        assert now.cluster_id == cluster.cluster_id
        other = await bench.call("DataService/InitProducer", data_pb2.InitProducerRequest())
        assert other.producer_id > producer.producer_id
        health = cluster_pb2.GetClusterHealthRequest()
        assert (await bench.call("ClusterService/GetClusterHealth", health)).problems == []


async def test_a_second_broker_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders")
        config = BrokerConfig(data_dir=str(tmp_path / "data"))
        with pytest.raises(DataDirectoryLocked):
            await open_broker(config, real_seams())
        await bench.produce("orders", b"a")
    broker = await open_broker(config, real_seams())
    await broker.close()


async def test_another_brokers_directory_is_refused_and_stays_usable(tmp_path: Path) -> None:
    async with door_bench(tmp_path):
        pass
    with pytest.raises(InvalidConfig):
        await open_broker(BrokerConfig(data_dir=str(tmp_path / "data"), broker_id=7), real_seams())
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders")


async def test_storage_problems_are_in_cluster_health(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    async with door_bench(tmp_path, fs) as bench:
        await bench.topic("orders")
        directory = bench.data_service._partitions._directory
        directory.mark_failed(OSError("the disk is dying"))
        health = await bench.call(
            "ClusterService/GetClusterHealth", cluster_pb2.GetClusterHealthRequest()
        )
        assert health.status == "failed"
        assert [p.reason for p in health.problems] == ["LOG_READ_ONLY"]
        (receipt,) = await bench.produce("orders", b"a")
        assert receipt.error.reason == "LOG_READ_ONLY"


@pytest.mark.ends_background
async def test_work_in_the_background_that_ends_unexpectedly_is_in_cluster_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the broker's own parts: a fault in what syncs tells, and fails what waits for it."""
    async with door_bench(tmp_path) as bench:
        await bench.topic("orders")

        async def stumble(queue: SyncQueue[object]) -> None:
            raise ZeroDivisionError("a fault of ours")

        monkeypatch.setattr(SyncQueue, "_run_round", stumble)
        (receipt,) = await bench.produce("orders", b"a")
        assert receipt.error.reason == "SYNC_FAILED"
        health = await bench.call(
            "ClusterService/GetClusterHealth", cluster_pb2.GetClusterHealthRequest()
        )
        assert health.status == "failed"
        told = {problem.reason: problem for problem in health.problems}
        assert told.keys() == {"LOG_READ_ONLY", "SYNC_FAILED", "BACKGROUND_TASK_FAILED"}
        assert told["BACKGROUND_TASK_FAILED"].resource == "rounds of syncs"
        assert "a fault of ours" in told["BACKGROUND_TASK_FAILED"].message
