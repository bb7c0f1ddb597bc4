"""The contract of `Transport` and its streams, over gRPC, over Flight, and in the simulator."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from harness.dispatchers import dispatcher
from logd.broker.doors.flight_door.flight_server import FlightServer
from logd.broker.doors.grpc_door.grpc_server import GrpcServer
from logd.flight.flight_exchange import FlightExchange
from logd.model.errors import LogdError, RequestTimeout, UnknownTopic
from logd.model.seams import Transport
from logd.rpc.rpc import RequestContext, Rpc, ServerStream, StreamRpc, UnaryRpc
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_network import SimulatedNetwork
from logd.sim.simulated_process import SimulatedProcess
from logd.sim.trace import Trace
from logd.sim.virtual_loop import VirtualLoop
from logd.system.background_tasks import BackgroundTasks
from logd.system.grpc_transport import GrpcTransport
from logd.system.system_clock import SystemClock
from logd_client.flight_transport import FlightTransport
from logd_proto.v1 import cluster_pb2

INFO = "/logd.v1.ClusterService/GetClusterInfo"
ECHO, COUNT, REFUSE, HOLD = "/test/Echo", "/test/Count", "/test/Refuse", "/test/Hold"
REQUEST = cluster_pb2.GetClusterInfoRequest().SerializeToString()
TIMEOUT_MS = 10_000


class Served:
    """The server's side: `held` is how many HOLD streams are open, `info` what INFO answers."""

    def __init__(self) -> None:
        self.held = 0
        self.info = cluster_pb2.GetClusterInfoResponse(cluster_id="here")
        self.answer_s = 0.0

    def rpcs(self) -> list[Rpc]:
        streams = {ECHO: self._echo, COUNT: self._count, REFUSE: self._refuse, HOLD: self._hold}
        info = UnaryRpc(
            INFO, cluster_pb2.GetClusterInfoRequest, self._info, "describe", lambda _: "cluster"
        )
        return [info, *(StreamRpc(method, each, "read") for method, each in streams.items())]

    async def _info(
        self, context: RequestContext, request: cluster_pb2.GetClusterInfoRequest
    ) -> cluster_pb2.GetClusterInfoResponse:
        await asyncio.sleep(self.answer_s)
        return self.info

    async def _echo(self, context: RequestContext, stream: ServerStream) -> None:
        while (message := await stream.receive()) is not None:
            await stream.send(bytes(message))

    async def _count(self, context: RequestContext, stream: ServerStream) -> None:
        for number in range(20):
            await stream.send(b"%d" % number)

    async def _refuse(self, context: RequestContext, stream: ServerStream) -> None:
        await stream.send(b"at first")
        raise UnknownTopic("no topic is called so", topic="so")

    async def _hold(self, context: RequestContext, stream: ServerStream) -> None:
        self.held += 1
        try:
            await stream.send(b"held")
            await stream.receive()
        finally:
            self.held -= 1


Bench = Callable[[], AbstractAsyncContextManager[tuple[Transport, str, Served]]]


@asynccontextmanager
async def over_grpc() -> AsyncIterator[tuple[Transport, str, Served]]:
    served = Served()
    clock = SystemClock()
    server = GrpcServer(dispatcher(served.rpcs()), clock, BackgroundTasks(clock))
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    transport = GrpcTransport("tester")
    try:
        yield transport, address, served
    finally:
        await transport.close()
        await server.stop(1)


@asynccontextmanager
async def over_flight() -> AsyncIterator[tuple[Transport, str, Served]]:
    async with over_grpc() as (calls, address, served):
        door = FlightServer(dispatcher(served.rpcs(), "flight"), served.info.cluster_id)
        port = door.start("127.0.0.1:0")
        served.info.brokers.add(address=address, flight_address=f"127.0.0.1:{port}")
        transport = FlightTransport(calls, "tester")
        probe = await transport.stream(address, ECHO)
        assert isinstance(probe, FlightExchange), "the streams go through the Flight door"
        await probe.close()
        try:
            yield transport, address, served
        finally:
            await door.stop(10)


@asynccontextmanager
async def simulated() -> AsyncIterator[tuple[Transport, str, Served]]:
    served, server = Served(), SimulatedProcess("server")
    network = SimulatedNetwork(SeededRandom(1), Trace(asyncio.get_running_loop().time))
    network.serve(server, dispatcher(served.rpcs()))
    yield network, "broker:1", served
    server.die()
    server.bury()


Check = Callable[[Transport, str, Served], Awaitable[None]]


@pytest.fixture(params=[over_grpc, over_flight, simulated])
def run(request: pytest.FixtureRequest) -> Callable[[Check], None]:
    """Runs a check against the implementation, on the loop that it needs."""
    bench: Bench = request.param

    async def main(check: Check) -> None:
        async with bench() as (transport, address, served):
            await check(transport, address, served)

    def run(check: Check) -> None:
        if bench is simulated:
            loop = VirtualLoop()
            loop.run_until_complete(main(check))
            loop.close()
            assert loop.failures == []
        else:
            asyncio.run(asyncio.wait_for(main(check), 30))

    return run


def test_messages_of_any_size_come_back_in_order(run: Callable[[Check], None]) -> None:
    messages = [b"", b"a", b"b" * 100, b"c" * (5 << 20), b"d"]

    async def check(transport: Transport, address: str, served: Served) -> None:
        stream = await transport.stream(address, ECHO)
        for message in messages:
            await stream.send(message)
        assert [bytes(await stream.receive() or b"") for _ in messages] == messages
        await stream.close()

    run(check)


def test_an_orderly_end_comes_after_all_messages(run: Callable[[Check], None]) -> None:
    async def check(transport: Transport, address: str, served: Served) -> None:
        stream = await transport.stream(address, COUNT)
        seen = []
        while (message := await stream.receive()) is not None:
            seen.append(int(bytes(message)))
        assert seen == list(range(20))
        assert await stream.receive() is None, "and stays"
        await stream.close()

    run(check)


def test_an_error_comes_typed_after_what_was_sent_before(run: Callable[[Check], None]) -> None:
    async def check(transport: Transport, address: str, served: Served) -> None:
        stream = await transport.stream(address, REFUSE)
        assert bytes(await stream.receive() or b"") == b"at first"
        with pytest.raises(UnknownTopic, match="no topic is called so") as refused:
            await stream.receive()
        assert refused.value.details == {"topic": "so"}
        with pytest.raises(LogdError):
            await stream.send(b"more")
        await stream.close()

    run(check)


def test_to_close_is_to_cancel_and_may_be_done_twice(run: Callable[[Check], None]) -> None:
    async def check(transport: Transport, address: str, served: Served) -> None:
        stream = await transport.stream(address, HOLD)
        assert bytes(await stream.receive() or b"") == b"held"
        assert served.held == 1
        await stream.close()
        await stream.close()
        while served.held:
            await asyncio.sleep(0.01)
        with pytest.raises(LogdError):
            await stream.send(b"more")

    run(check)


def test_streams_do_not_wait_for_each_other(run: Callable[[Check], None]) -> None:
    async def check(transport: Transport, address: str, served: Served) -> None:
        held = await transport.stream(address, HOLD)
        await held.receive()
        stream = await transport.stream(address, ECHO)
        await stream.send(b"through")
        assert bytes(await stream.receive() or b"") == b"through"
        await asyncio.gather(held.close(), stream.close())

    run(check)


def test_calls_answer_and_keep_their_deadline(run: Callable[[Check], None]) -> None:
    async def check(transport: Transport, address: str, served: Served) -> None:
        answer = await transport.unary(address, INFO, REQUEST, TIMEOUT_MS)
        assert cluster_pb2.GetClusterInfoResponse.FromString(answer) == served.info
        served.answer_s = 5
        with pytest.raises(RequestTimeout):
            await transport.unary(address, INFO, REQUEST, 50)

    run(check)


PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("variable", [*PROXIES, *map(str.upper, PROXIES)])
@pytest.mark.parametrize("bench", [over_grpc, over_flight])
async def test_no_web_proxy_is_asked(
    bench: Bench, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker is no web server; most shells of a company name a proxy for those."""
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, NOBODY)
    async with bench() as (transport, address, _):
        stream = await transport.stream(address, ECHO)
        await stream.send(b"through")
        assert bytes(await stream.receive() or b"") == b"through"
        await stream.close()
