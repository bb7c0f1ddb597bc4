"""What is not in a listener's set of services is not there, whatever the broker can do."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from harness.dispatchers import dispatcher
from harness.manual_clock import ManualClock
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.model.errors import UnsupportedVersion
from logd.rpc.calls import CALLS
from logd.rpc.listener import FLIGHT, PUBLIC, Listener
from logd.rpc.rpc import RequestContext, Rpc, ServerStream, StreamRpc, UnaryRpc
from logd.system.background_tasks import BackgroundTasks
from logd.system.grpc_transport import GrpcTransport
from logd_proto.v1 import cluster_pb2

INTERNAL = Listener("internal", frozenset({"logd.internal.v1.ReplicaService"}))
INFO = "/logd.v1.ClusterService/GetClusterInfo"
FORWARD = "/logd.internal.v1.ReplicaService/Forward"
FOLLOW = "/logd.internal.v1.ReplicaService/Follow"
LISTENERS = {listener.name: listener for listener in (PUBLIC, INTERNAL)}


async def _info(context: RequestContext, request: Any) -> cluster_pb2.GetClusterInfoResponse:
    return cluster_pb2.GetClusterInfoResponse(cluster_id=context.listener)


async def _follow(context: RequestContext, stream: ServerStream) -> None:
    await stream.send(context.listener.encode())


RPCS: list[Rpc] = [
    UnaryRpc(INFO, cluster_pb2.GetClusterInfoRequest, _info, "describe", lambda _: "cluster"),
    UnaryRpc(FORWARD, cluster_pb2.GetClusterInfoRequest, _info, "alter", lambda _: "cluster"),
    StreamRpc(FOLLOW, _follow, "read"),
]
"""All that this broker can do: every listener is given it whole."""


@pytest_asyncio.fixture
async def addresses() -> AsyncIterator[dict[str, str]]:
    """Of a public and an internal listener of one broker."""
    clock, servers, found = ManualClock(), [], {}
    for listener in LISTENERS.values():
        server = GrpcServer(dispatcher(RPCS, listener), clock, BackgroundTasks(clock))
        found[listener.name] = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        server.set_serving(True)
        servers.append(server)
    yield found
    for server in servers:
        await server.stop(0)


@pytest.mark.parametrize(
    ("listener", "theirs", "not_theirs"),
    [("public", INFO, FORWARD), ("internal", FORWARD, INFO)],
)
async def test_a_call_of_another_listener_is_unimplemented(
    addresses: dict[str, str], listener: str, theirs: str, not_theirs: str
) -> None:
    async with grpc.aio.insecure_channel(addresses[listener]) as channel:
        raw = await channel.unary_unary(theirs)(b"")
        answer = cluster_pb2.GetClusterInfoResponse.FromString(raw)
        assert answer.cluster_id == listener, "handlers are told through which it came"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(not_theirs)(b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_stream_of_another_listener_is_unimplemented(addresses: dict[str, str]) -> None:
    async with grpc.aio.insecure_channel(addresses["internal"]) as channel:
        assert await channel.stream_stream(FOLLOW)().read() == b"internal"
    async with grpc.aio.insecure_channel(addresses["public"]) as channel:
        assert await channel.stream_stream(FOLLOW)().code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_sdk_is_told_so_by_type(addresses: dict[str, str]) -> None:
    transport = GrpcTransport("test")
    with pytest.raises(UnsupportedVersion, match="Forward"):
        await transport.unary(addresses["public"], FORWARD, b"", 5_000)
    stream = await transport.stream(addresses["public"], FOLLOW)
    with pytest.raises(UnsupportedVersion, match="Follow"):
        await stream.receive()
    await stream.close()
    await transport.close()


@pytest.mark.parametrize("listener", LISTENERS)
async def test_health_and_reflection_tell_of_its_services_alone(
    addresses: dict[str, str], listener: str
) -> None:
    async with grpc.aio.insecure_channel(addresses[listener]) as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = (await reflection.read()).list_services_response.service
        services = {each.name for each in listed if each.name.startswith("logd.")}
        expected = {"public": "logd.v1.ClusterService", "internal": next(iter(INTERNAL.services))}
        assert services == {expected[listener]}
        health = health_pb2_grpc.HealthStub(channel)
        for name, service in expected.items():
            request = health_pb2.HealthCheckRequest(service=service)
            if name == listener:
                assert (await health.Check(request)).status == 1
                continue
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await health.Check(request)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_public_listeners_have_the_public_api_and_nothing_else() -> None:
    assert {method for method in CALLS if PUBLIC.has(method)} == set(CALLS)
    for listener in (PUBLIC, FLIGHT):
        assert all(service.startswith("logd.v1.") for service in listener.services)
    assert PUBLIC.services == {method[1:].rpartition("/")[0] for method in CALLS}
    assert FLIGHT.services < PUBLIC.services
