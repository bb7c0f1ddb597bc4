"""Every call of every service is in the tables, and none is carried out without being allowed."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import pytest_asyncio

from harness.dispatchers import dispatcher
from harness.door_bench import DoorBench, door_bench
from harness.manual_clock import ManualClock
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.model.errors import AclDenied, InvalidConfig
from logd.rpc.calls import CALLS, handler_name
from logd.rpc.listener import PUBLIC
from logd.rpc.rpc import REQUEST_BYTES_MAX, RequestContext, StreamRpc, UnaryRpc
from logd.system.background_tasks import BackgroundTasks
from logd.system.grpc_transport import GrpcTransport
from logd_proto.v1 import cluster_pb2, common_pb2, data_pb2, groups_pb2, topics_pb2

SERVICES = [
    service
    for file in (cluster_pb2, data_pb2, groups_pb2, topics_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]
ASKED = {
    "DataService": {
        "ProduceStream": "write",
        "FetchStream": "read",
        "Produce": "write topic:orders",
        "Fetch": "read topic:orders",
        "ListOffsets": "describe topic:orders",
        "InitProducer": "write cluster",
    },
    "TopicService": {
        "CreateTopic": "create topic:orders",
        "ListTopics": "describe cluster",
        "DescribeTopic": "describe topic:orders",
        "AlterTopic": "alter topic:orders",
        "AddPartitions": "alter topic:orders",
        "DeleteTopic": "delete topic:orders",
        "DeleteRecords": "delete topic:orders",
        "DescribePartitions": "describe topic:orders",
    },
    "GroupService": {
        "Session": "read",
        "Heartbeat": "read group:billing",
        "CommitOffsets": "read group:billing",
        "FetchOffsets": "read group:billing",
        "ListGroups": "describe cluster",
        "DescribeGroup": "describe group:billing",
        "DescribeLag": "describe group:billing",
        "DeleteGroup": "delete group:billing",
        "ResetOffsets": "alter group:billing",
        "UndoReset": "alter group:billing",
        "ListResets": "describe group:billing",
        "ForkGroup": "alter group:billing",
    },
    "ClusterService": {
        "GetClusterInfo": "describe cluster",
        "GetClusterHealth": "describe cluster",
        "ListConnections": "describe cluster",
    },
}
"""What the Authorizer is asked for each call; streams ask for each topic of an entry."""


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[DoorBench]:
    async with door_bench(tmp_path) as bench:
        yield bench


def all_calls() -> set[str]:
    return {f"/{s.full_name}/{method.name}" for s in SERVICES for method in s.methods}


async def test_the_tables_hold_exactly_the_services_of_the_protos(bench: DoorBench) -> None:
    assert set(bench.rpcs) == all_calls()
    expected = {f"/logd.v1.{s}/{name}" for s, calls in ASKED.items() for name in calls}
    assert expected == all_calls()
    for service in SERVICES:
        for method in service.methods:
            rpc = bench.rpcs[f"/{service.full_name}/{method.name}"]
            assert isinstance(rpc, StreamRpc if method.client_streaming else UnaryRpc)
            if isinstance(rpc, UnaryRpc):
                assert rpc.request_type.DESCRIPTOR.full_name == method.input_type.full_name


def test_handlers_take_and_give_what_the_table_says(bench: DoorBench) -> None:
    """They are found by name: so nothing else holds their types to those of the calls."""
    for method, rpc in bench.rpcs.items():
        handler: Any = inspect.unwrap(rpc.handler)
        assert handler.__name__ == handler_name(method)
        hints = get_type_hints(handler)
        assert hints["context"] is RequestContext
        if isinstance(rpc, UnaryRpc):
            call = CALLS[method]
            assert (hints["request"], hints["return"]) == (call.request_type, call.response_type)


class Denying:
    """Refuses everything, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def authorize(self, context: RequestContext, operation: str, resource: str) -> None:
        self.asked.append((operation, resource))
        raise AclDenied(f"{context.principal} may not {operation} {resource}")


async def test_who_is_denied_gets_acl_denied_from_every_call(bench: DoorBench) -> None:
    topic = await bench.topic("orders")
    ref = common_pb2.TopicRef(topic_id=topic.topic_id)
    authorizer = Denying()
    clock = ManualClock()
    calls = dispatcher(bench.rpcs.values(), PUBLIC, authorizer)
    server = GrpcServer(calls, clock, BackgroundTasks(clock))
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    transport = GrpcTransport("test")
    try:
        for method, rpc in bench.rpcs.items():
            service, name = method.removeprefix("/logd.v1.").split("/")
            if not isinstance(rpc, UnaryRpc):
                continue
            request: Any = rpc.request_type()
            fields = request.DESCRIPTOR.fields_by_name
            if "topic" in fields:
                request.topic.CopyFrom(ref)
            if "group" in fields:
                request.group = "billing"
            if "session" in fields:
                request.session.group = "billing"
            if name == "CreateTopic":
                request.name = "orders"
            with pytest.raises(AclDenied):
                await transport.unary(address, method, request.SerializeToString(), 5000)
            operation, resource = authorizer.asked.pop()
            assert f"{operation} {resource}" == ASKED[service][name]
        assert authorizer.asked == []
    finally:
        await transport.close()
        await server.stop(0)


async def test_who_is_denied_is_so_on_streams_entry_by_entry(bench: DoorBench) -> None:
    topic = await bench.topic("orders")
    authorizer = bench.data_service._authorizer = Denying()
    produce = await bench.stream("DataService/ProduceStream")
    entry = data_pb2.ProduceEntry(topic_id=topic.topic_id, batch=bench.batch(b"a"))
    await produce.send(data_pb2.ProduceStreamRequest(entries=[entry]).SerializeToString())
    acks = data_pb2.ProduceStreamResponse.FromString(await produce.receive() or b"").acks
    fetch = await bench.stream("DataService/FetchStream")
    position = data_pb2.FetchPartition(topic_id=topic.topic_id)
    await fetch.send(data_pb2.FetchStreamRequest(partitions=[position]).SerializeToString())
    found = data_pb2.FetchStreamResponse.FromString(await fetch.receive() or b"").results
    assert [a.error.reason for a in acks] == [f.error.reason for f in found] == ["ACL_DENIED"]
    assert authorizer.asked == [("write", "topic:orders"), ("read", "topic:orders")]
    for stream in (produce, fetch):
        await stream.close()


async def test_requests_are_bounded_before_they_are_parsed(bench: DoorBench) -> None:
    for rpc in bench.rpcs.values():
        if isinstance(rpc, UnaryRpc):
            many_fields = b"\x1a\x00" * (REQUEST_BYTES_MAX // 2 + 1)
            with pytest.raises(InvalidConfig):
                rpc.check_size(many_fields)
            rpc.check_size(many_fields[:1000])
