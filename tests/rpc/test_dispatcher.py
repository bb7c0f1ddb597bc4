"""Odd calls, each through every way into a broker: all give the same typed error.

So what the simulator and the tests' own transport show of ACLs, bounds and faults is what a client
in a network sees.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.dispatchers import dispatcher
from harness.local_broker import LocalBroker, local_broker
from harness.local_transport import LocalTransport
from logd.broker.doors.flight_door.flight_server import FlightServer
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.flight.flight_exchange import FlightExchange
from logd.model.errors import (
    AclDenied,
    CorruptBatch,
    InvalidConfig,
    LogdError,
    UnknownTopic,
    UnsupportedVersion,
)
from logd.model.seams import Transport
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.listener import FLIGHT, PUBLIC, Listener
from logd.rpc.rpc import REQUEST_BYTES_MAX, RequestContext, Rpc, StreamRpc, UnaryRpc
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_network import SimulatedNetwork
from logd.sim.simulated_process import SimulatedProcess
from logd.sim.trace import Trace
from logd.sim.virtual_loop import VirtualLoop
from logd.system.background_tasks import BackgroundTasks
from logd.system.grpc_transport import GrpcTransport
from logd.wire.field_counts import FIELDS_PER_MESSAGE_MAX
from logd.wire.proto_errors import MESSAGE_BYTES_MAX
from logd_client.admin import Admin
from logd_client.flight_transport import FlightTransport
from logd_proto.v1 import cluster_pb2, common_pb2, data_pb2, topics_pb2

SECRET = "secret"
"""The topic that nobody may do anything with."""
HIDDEN, HIDDEN_STREAM = "/logd.internal.v1.Replicas/Call", "/logd.internal.v1.Replicas/Stream"
DESCRIBE = "/logd.v1.TopicService/DescribeTopic"
PRODUCE = "/logd.v1.DataService/Produce"
BROKEN, BROKEN_STREAM = "/logd.v1.DataService/Broken", "/logd.v1.DataService/BrokenStream"
PRODUCE_STREAM = "/logd.v1.DataService/ProduceStream"
FETCH_STREAM = "/logd.v1.DataService/FetchStream"
TIMEOUT_MS = 20_000


class KeepsASecret:
    """Implements `Authorizer`."""

    def authorize(self, context: RequestContext, operation: str, resource: str) -> None:
        if resource == f"topic:{SECRET}":
            raise AclDenied("this is a secret", operation=operation, resource=resource)


@dataclass(frozen=True)
class Odd:
    """A call, or a stream's first message, and what it is refused with. None: whatever is said."""

    method: str
    message: bytes
    error: type[LogdError]
    says: str | None
    details: dict[str, str] | None = None


def describe(name: str) -> bytes:
    request = topics_pb2.DescribeTopicRequest(topic=common_pb2.TopicRef(name=name))
    return request.SerializeToString()


TOO_LARGE = bytes(REQUEST_BYTES_MAX + 1)
SIZES = {"size": str(len(TOO_LARGE)), "limit": str(REQUEST_BYTES_MAX)}
SAYS_SIZE = f"the request has {len(TOO_LARGE)} bytes, but at most {REQUEST_BYTES_MAX} are allowed"
SAYS_FAULT = "UNKNOWN: the broker failed unexpectedly: ZeroDivisionError"
DENIED = {"operation": "describe", "resource": f"topic:{SECRET}"}

CALLS = {
    "no such call": Odd("/logd.v1.TopicService/No", b"", UnsupportedVersion, None),
    "no such service": Odd("/logd.v9.Nothing/Call", b"", UnsupportedVersion, None),
    "no path": Odd("/", b"", UnsupportedVersion, None),
    "of another listener": Odd(HIDDEN, b"", UnsupportedVersion, None),
    "not to be parsed": Odd(DESCRIBE, b"\xff\xff", InvalidConfig, None),
    "too large": Odd(DESCRIBE, TOO_LARGE, InvalidConfig, SAYS_SIZE, SIZES),
    "too many records": Odd(
        PRODUCE,
        b"\x1a\x00" * (FIELDS_PER_MESSAGE_MAX + 1),
        InvalidConfig,
        None,
        {"limit": str(FIELDS_PER_MESSAGE_MAX)},
    ),
    "not allowed": Odd(DESCRIBE, describe(SECRET), AclDenied, "this is a secret", DENIED),
    "refused by its handler": Odd(DESCRIBE, describe("unheard-of"), UnknownTopic, None),
    "refused at length": Odd(DESCRIBE, describe("x" * 9999), UnknownTopic, None),
    "a fault of ours": Odd(BROKEN, b"", LogdError, SAYS_FAULT, {}),
}
STREAMS = {
    "no such stream": Odd("/logd.v1.DataService/No", b"", UnsupportedVersion, None),
    "of another listener": Odd(HIDDEN_STREAM, b"", UnsupportedVersion, None),
    "not to be parsed": Odd(FETCH_STREAM, b"\xff\xff", InvalidConfig, None),
    "too large": Odd(FETCH_STREAM, TOO_LARGE, InvalidConfig, SAYS_SIZE, SIZES),
    "no entries": Odd(PRODUCE_STREAM, b"\xff\xff", CorruptBatch, None),
    "a fault of ours": Odd(BROKEN_STREAM, b"", LogdError, SAYS_FAULT, {}),
}


async def never(context: RequestContext, asked: Any) -> Any:
    raise AssertionError("this listener has no such call")


async def broken(context: RequestContext, asked: Any) -> Any:
    raise ZeroDivisionError("an inside that no client is told")


ODD_RPCS: list[Rpc] = [
    UnaryRpc(BROKEN, cluster_pb2.GetClusterInfoRequest, broken, "read", lambda _: "cluster"),
    StreamRpc(BROKEN_STREAM, broken, "read"),
    UnaryRpc(HIDDEN, cluster_pb2.GetClusterInfoRequest, never, "alter", lambda _: "cluster"),
    StreamRpc(HIDDEN_STREAM, never, "alter"),
]


Serve = Callable[[LocalBroker, AsyncExitStack], Awaitable[tuple[Transport, str, str]]]


def dispatcher_of(local: LocalBroker, listener: Listener) -> Dispatcher:
    """Of a broker's calls, with two that are broken, and what is another listener's."""
    rpcs = [*local.transport.dispatcher.rpcs.values(), *ODD_RPCS]
    return dispatcher(rpcs, listener, KeepsASecret())


async def over_grpc(local: LocalBroker, stack: AsyncExitStack) -> tuple[Transport, str, str]:
    tasks = BackgroundTasks(local.clock)
    server = GrpcServer(dispatcher_of(local, PUBLIC), local.clock, tasks)
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    stack.push_async_callback(server.stop, 0)
    transport = GrpcTransport("odd")
    stack.push_async_callback(transport.close)
    return transport, address, ""


async def over_flight(local: LocalBroker, stack: AsyncExitStack) -> tuple[Transport, str, str]:
    calls, address, _ = await over_grpc(local, stack)
    door = FlightServer(dispatcher_of(local, FLIGHT), local.broker.cluster_id)
    flight_address = f"127.0.0.1:{door.start('127.0.0.1:0')}"
    stack.push_async_callback(door.stop, 10)
    return FlightTransport(calls, "odd"), address, flight_address


async def simulated(local: LocalBroker, stack: AsyncExitStack) -> tuple[Transport, str, str]:
    network = SimulatedNetwork(SeededRandom(1), Trace(asyncio.get_running_loop().time))
    server = SimulatedProcess("server")
    network.serve(server, dispatcher_of(local, PUBLIC))
    stack.callback(server.bury)
    stack.callback(server.die)
    return network, "broker:1", ""


async def in_process(local: LocalBroker, stack: AsyncExitStack) -> tuple[Transport, str, str]:
    return LocalTransport(dispatcher_of(local, PUBLIC)), "local:1", ""


WAYS: dict[str, Serve] = {
    "gRPC": over_grpc,
    "Flight": over_flight,
    "simulated": simulated,
    "local": in_process,
}


@asynccontextmanager
async def opened(way: str, directory: Path) -> AsyncIterator[tuple[Transport, str, LocalBroker]]:
    async with AsyncExitStack() as stack:
        made: list[tuple[Transport, str]] = []

        async def serve(local: LocalBroker) -> tuple[str, str]:
            transport, address, flight_address = await WAYS[way](local, stack)
            made.append((transport, address))
            return address, flight_address

        async with local_broker(directory, serve=serve) as local:
            yield *made[0], local
            await stack.aclose()


def run(way: str, scenario: Awaitable[None]) -> None:
    if way == "simulated":
        loop = VirtualLoop()
        loop.run_until_complete(scenario)
        loop.close()
        assert loop.failures == []
    else:
        asyncio.run(asyncio.wait_for(scenario, 30))


def check(odd: Odd, refused: LogdError) -> None:
    assert type(refused) is odd.error, repr(refused)
    assert len(refused.message) <= MESSAGE_BYTES_MAX, "as an error is that has travelled"
    if odd.says is not None:
        assert refused.message == odd.says
    if odd.details is not None:
        assert refused.details.items() >= odd.details.items()


def check_faults(odd: Odd, transport: Transport) -> None:
    """Simulator and tests see that a broker is broken, though clients are told little."""
    expected = [repr(ZeroDivisionError("an inside that no client is told"))]
    if isinstance(transport, SimulatedNetwork):
        assert transport.failures == (expected if odd.error is LogdError else [])
    if isinstance(transport, LocalTransport):
        assert list(map(repr, transport.faults)) == (expected if odd.error is LogdError else [])


@pytest.mark.parametrize("way", [way for way in WAYS if way != "Flight"])  # it has no calls
@pytest.mark.parametrize("name", CALLS)
def test_an_odd_call_gives_the_same_error_everywhere(tmp_path: Path, way: str, name: str) -> None:
    odd = CALLS[name]

    async def scenario() -> None:
        async with opened(way, tmp_path) as (transport, address, _):
            with pytest.raises(LogdError) as refused:
                await transport.unary(address, odd.method, odd.message, TIMEOUT_MS)
            check(odd, refused.value)
            check_faults(odd, transport)

    run(way, scenario())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STREAMS)
def test_an_odd_stream_gives_the_same_error_everywhere(tmp_path: Path, way: str, name: str) -> None:
    odd = STREAMS[name]

    async def scenario() -> None:
        async with opened(way, tmp_path) as (transport, address, _):
            stream = await transport.stream(address, odd.method)
            with pytest.raises(LogdError) as refused:
                await stream.send(odd.message)
                await stream.receive()
            check(odd, refused.value)
            check_faults(odd, transport)
            await stream.close()

    run(way, scenario())


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_is_refused_entry_by_entry(tmp_path: Path, way: str) -> None:
    async def scenario() -> None:
        async with opened(way, tmp_path) as (transport, address, local):
            rpcs = local.transport.dispatcher.rpcs
            service: Any = inspect.unwrap(rpcs[FETCH_STREAM].handler)
            service.__self__._authorizer = KeepsASecret()
            async with Admin(transport=local.transport) as admin:
                topic = await admin.create_topic(SECRET)
            stream = await transport.stream(address, FETCH_STREAM)
            assert isinstance(stream, FlightExchange) is (way == "Flight")
            position = data_pb2.FetchPartition(topic_id=topic.topic_id)
            request = data_pb2.FetchStreamRequest(partitions=[position])
            await stream.send(request.SerializeToString())
            raw = bytes(await stream.receive() or b"")
            (result,) = data_pb2.FetchStreamResponse.FromString(raw).results
            assert (result.error.reason, result.error.message) == ("ACL_DENIED", "this is a secret")
            assert dict(result.error.details) == DENIED | {"operation": "read"}
            await stream.close()

    run(way, scenario())
