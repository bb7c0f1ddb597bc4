"""The listener: health, errors on the wire, deadlines, clients that go away or send nonsense."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from harness.dispatchers import dispatcher
from harness.manual_clock import ManualClock
from harness.raw_call import RawCaller
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.model.errors import AddressInUse, InvalidConfig, LogdError, UnknownTopic
from logd.rpc.rpc import RequestContext, Rpc, ServerStream, StreamRpc, UnaryRpc
from logd.system.background_tasks import BackgroundTasks
from logd.system.grpc_transport import GrpcTransport, error_from_rpc
from logd_proto.v1 import cluster_pb2

UNARY = "/logd.v1.Test/Unary"
STREAM = "/logd.v1.Test/Stream"
FLOOD = "/logd.v1.Test/Flood"


@dataclass
class Service:
    """Two calls that do what a test tells them."""

    error: Exception | None = None
    contexts: list[RequestContext] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    waits: bool = False

    async def unary(self, context: RequestContext, request: Any) -> Any:
        self.contexts.append(context)
        await self._wait()
        if self.error is not None:
            raise self.error
        return cluster_pb2.GetClusterInfoResponse(cluster_id="c")

    async def stream(self, context: RequestContext, stream: ServerStream) -> None:
        self.contexts.append(context)
        await self._wait()
        while (message := await stream.receive()) is not None:
            if self.error is not None:
                raise self.error
            await stream.send(bytes(message))

    async def flood(self, context: RequestContext, stream: ServerStream) -> None:
        """More than a client takes that does not read."""
        self.entered.set()
        try:
            while True:
                await stream.send(bytes(1 << 20))
        finally:
            self.gone.set()

    async def _wait(self) -> None:
        self.entered.set()
        if self.waits:
            try:
                await asyncio.sleep(3600)
            finally:
                self.gone.set()


@dataclass
class Listening:
    """A server on a port of its own, and a client's way to it."""

    service: Service
    server: GrpcServer
    clock: ManualClock
    address: str
    transport: GrpcTransport

    async def unary(self, request: bytes = b"", timeout_ms: int = 5000) -> bytes:
        return await self.transport.unary(self.address, UNARY, request, timeout_ms)


@pytest_asyncio.fixture
async def listening() -> AsyncIterator[Listening]:
    service, clock = Service(), ManualClock()
    request_type = cluster_pb2.Broker
    rpcs: list[Rpc] = [
        UnaryRpc(UNARY, request_type, service.unary, "describe", lambda r: "cluster"),
        StreamRpc(STREAM, service.stream, "read"),
        StreamRpc(FLOOD, service.flood, "read"),
    ]
    server = GrpcServer(dispatcher(rpcs), clock, BackgroundTasks(clock))
    port = await server.start("127.0.0.1:0")
    transport = GrpcTransport("the-client")
    yield Listening(service, server, clock, f"127.0.0.1:{port}", transport)
    await transport.close()
    await server.stop(0)


async def test_who_asks_from_where_until_when(listening: Listening) -> None:
    listening.clock.advance(1000)
    await listening.unary(timeout_ms=20_000)
    async with grpc.aio.insecure_channel(listening.address) as channel:
        await channel.unary_unary(UNARY)(b"")
    first, second = listening.service.contexts
    assert (first.principal, first.client_id, first.listener) == (
        "anonymous",
        "the-client",
        "public",
    )
    assert first.peer.startswith("ipv4:127.0.0.1:")
    assert first.deadline_ms is not None and 15_000 < first.deadline_ms <= 21_100  # gRPC rounds
    assert (second.client_id, second.deadline_ms) == ("", None)


@pytest.mark.parametrize("text", ["gone", "\U0001f4a5" * 5000, "x" * 100_000])
async def test_typed_errors_arrive_typed_whatever_they_say(listening: Listening, text: str) -> None:
    listening.service.error = UnknownTopic(text, topic=text, hint=text, more=text)
    with pytest.raises(UnknownTopic) as raised:
        await listening.unary()
    assert text.startswith(raised.value.message) and raised.value.details["topic"]
    stream = await listening.transport.stream(listening.address, STREAM)
    await stream.send(b"x")
    with pytest.raises(UnknownTopic):
        await stream.receive()


async def test_a_fault_of_ours_is_logged_and_told_without_its_inside(
    listening: Listening,
) -> None:
    listening.service.error = ZeroDivisionError("a secret")
    with capture_logs() as logs:
        with pytest.raises(LogdError) as raised:
            await listening.unary()
        stream = await listening.transport.stream(listening.address, STREAM)
        await stream.send(b"x")
        with pytest.raises(LogdError):
            await stream.receive()
    assert "secret" not in raised.value.message and "ZeroDivisionError" in raised.value.message
    assert [log["method"] for log in logs] == [UNARY, STREAM]


async def test_garbage_is_a_typed_error(listening: Listening) -> None:
    with pytest.raises(InvalidConfig):
        await listening.unary(b"\xff\xff\xff\xff")
    with pytest.raises(InvalidConfig):
        await listening.unary(bytes(5 << 20))
    assert listening.service.contexts == []


async def test_a_client_that_goes_away_cancels_its_call(listening: Listening) -> None:
    listening.service.waits = True
    with capture_logs() as logs:
        call = asyncio.ensure_future(listening.unary())
        await listening.service.entered.wait()
        call.cancel()
        await asyncio.wait_for(listening.service.gone.wait(), 30)
        listening.service.entered.clear()
        listening.service.gone.clear()
        stream = await listening.transport.stream(listening.address, STREAM)
        await asyncio.wait_for(listening.service.entered.wait(), 30)
        await stream.close()
        await asyncio.wait_for(listening.service.gone.wait(), 30)
    assert logs == []


async def test_a_client_that_vanishes_while_it_is_sent_to_is_no_error(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        for _ in range(10):
            listening.service.entered.clear()
            listening.service.gone.clear()
            with RawCaller(listening.address) as caller:
                caller.call(FLOOD, None)
                await asyncio.wait_for(listening.service.entered.wait(), 20)
                caller.reset()
            await asyncio.wait_for(listening.service.gone.wait(), 20)
        await listening.unary()
    assert logs == [] and caplog.records == []


async def test_a_path_that_is_no_text_does_not_close_the_port(listening: Listening) -> None:
    """It ends grpc's own loop: the port is opened again, and calls that are open go on."""
    stream = await listening.transport.stream(listening.address, STREAM)
    await stream.send(b"before")
    assert await stream.receive() == b"before"
    with capture_logs() as logs:
        for _ in range(3):
            at = len(logs)
            with RawCaller(listening.address) as caller:
                caller.call("/x", b"", {b":path": b"/\xff"})
                async with asyncio.timeout(20):
                    while len(logs) == at:
                        await asyncio.sleep(0.001)
            async with asyncio.timeout(20):
                while True:
                    try:
                        async with grpc.aio.insecure_channel(listening.address) as channel:
                            await channel.unary_unary(UNARY)(b"", wait_for_ready=True)
                            break
                    except grpc.aio.AioRpcError:
                        await asyncio.sleep(0.01)
    assert len(logs) == 3 and all("opened again" in log["event"] for log in logs)
    await stream.send(b"after")
    assert await stream.receive() == b"after"
    await stream.close()


async def test_a_deadline_that_has_passed_cancels_the_call(listening: Listening) -> None:
    listening.service.waits = True
    with pytest.raises(LogdError):
        await listening.unary(timeout_ms=50)
    await asyncio.wait_for(listening.service.gone.wait(), 30)


async def test_a_stream_without_messages_ends(listening: Listening) -> None:
    async with grpc.aio.insecure_channel(listening.address) as channel:
        call = channel.stream_stream(STREAM)()
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK


async def test_health_of_all_and_of_each_service(listening: Listening) -> None:
    async with grpc.aio.insecure_channel(listening.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def status(service: str) -> int:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            found: int = answer.status
            return found

        for serving in (False, True, False):
            listening.server.set_serving(serving)
            expected = 1 if serving else 2
            assert [await status(s) for s in ("", "logd.v1.Test")] == [expected, expected]


async def test_a_port_that_is_taken(listening: Listening) -> None:
    clock = ManualClock()
    second = GrpcServer(dispatcher([]), clock, BackgroundTasks(clock))
    with pytest.raises(AddressInUse) as raised:
        await second.start(listening.address)
    assert raised.value.details["address"] == listening.address
    await second.stop(0)


async def test_unknown_methods(listening: Listening) -> None:
    async with grpc.aio.insecure_channel(listening.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary("/logd.v1.Test/Nothing")(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert isinstance(error_from_rpc(raised.value, listening.address, "Nothing"), LogdError)
