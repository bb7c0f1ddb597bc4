"""Who is there and how it is, as its calls tell it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from harness.door_bench import DoorBench, door_bench
from harness.local_transport import CONTEXT
from logd.broker.doors.grpc_door.cluster_service import ClusterService
from logd.broker.ports import ClusterInfo, Topics
from logd.model.cluster import HealthProblem
from logd_proto.v1.cluster_pb2 import GetClusterHealthRequest, GetClusterInfoRequest


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[DoorBench]:
    async with door_bench(tmp_path) as bench:
        yield bench


async def test_the_cluster_of_one(bench: DoorBench) -> None:
    await bench.topic("a", 3)
    await bench.topic("b")
    info = await bench.call("ClusterService/GetClusterInfo", GetClusterInfoRequest())
    (broker,) = info.brokers
    assert (broker.broker_id, broker.address, info.controller) == (0, "local:1", 0)
    assert broker.started_ms == bench.clock.wall_ms() and broker.version and broker.pid
    assert (info.topics, info.partitions, info.metadata) == (2, 4, "sqlite")
    assert info.cluster_id and "plain_records" in info.features
    health = await bench.call("ClusterService/GetClusterHealth", GetClusterHealthRequest())
    assert (health.status, list(health.problems)) == ("healthy", [])


@dataclass
class FakeCluster:
    severities: Sequence[str] = field(default_factory=tuple)

    def info(self) -> ClusterInfo:
        return ClusterInfo("c", (), 0, (), "sqlite")

    def problems(self) -> Sequence[HealthProblem]:
        return [HealthProblem(s, "REASON", "orders:0", "what", 5) for s in self.severities]


@pytest.mark.parametrize(
    ("severities", "status"),
    [
        ((), "healthy"),
        (("warning",), "degraded"),
        (("warning", "error"), "failed"),
        (("error",), "failed"),
    ],
)
async def test_the_worst_problem_decides(severities: tuple[str, ...], status: str) -> None:
    service = ClusterService(FakeCluster(severities), cast(Topics, None), list)
    health: Any = await service.get_cluster_health(CONTEXT, GetClusterHealthRequest())
    assert health.status == status
    assert [p.severity for p in health.problems] == list(severities)
    for problem in health.problems:
        assert (problem.reason, problem.resource, problem.message, problem.since_ms) == (
            "REASON",
            "orders:0",
            "what",
            5,
        )
