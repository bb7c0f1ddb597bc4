import asyncio
from collections.abc import Awaitable, Callable

import pytest

from harness.dispatchers import dispatcher
from logd.model.errors import BrokerUnreachable, RequestTimeout, UnknownTopic
from logd.rpc.rpc import RequestContext, Rpc, ServerStream, StreamRpc, UnaryRpc
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_network import SimulatedNetwork
from logd.sim.simulated_process import SimulatedProcess
from logd.sim.trace import Trace
from logd.sim.virtual_loop import VirtualLoop
from logd_proto.v1 import cluster_pb2

CALL, ECHO = "/Call", "/Echo"
REQUEST = cluster_pb2.GetClusterInfoRequest().SerializeToString()


async def call(_: RequestContext, request: object) -> cluster_pb2.GetClusterInfoResponse:
    await asyncio.sleep(1)
    return cluster_pb2.GetClusterInfoResponse(cluster_id="c")


async def refuse(_: RequestContext, request: object) -> cluster_pb2.GetClusterInfoResponse:
    raise UnknownTopic("no such topic")


async def echo(_: RequestContext, stream: ServerStream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(bytes(message))


def rpcs(handler: Callable[..., Awaitable[cluster_pb2.GetClusterInfoResponse]]) -> list[Rpc]:
    unary = UnaryRpc(CALL, cluster_pb2.GetClusterInfoRequest, handler, "describe", lambda _: "c")
    return [unary, StreamRpc(ECHO, echo, "write")]


def run(scenario: Callable[[SimulatedNetwork, SimulatedProcess], Awaitable[None]]) -> None:
    loop = VirtualLoop()

    async def main() -> None:
        network = SimulatedNetwork(SeededRandom(1), Trace(loop.time))
        server = SimulatedProcess("server")
        network.serve(server, dispatcher(rpcs(call)))
        await scenario(network, server)
        server.die()
        server.bury()

    loop.run_until_complete(main())
    loop.close()
    assert loop.failures == []


def test_answers_errors_and_time_outs() -> None:
    async def scenario(network: SimulatedNetwork, server: SimulatedProcess) -> None:
        answer = await network.unary("b:1", CALL, REQUEST, 2_000)
        assert cluster_pb2.GetClusterInfoResponse.FromString(answer).cluster_id == "c"
        with pytest.raises(RequestTimeout):
            await network.unary("b:1", CALL, REQUEST, 500)
        network.serve(server, dispatcher(rpcs(refuse)))
        with pytest.raises(UnknownTopic):
            await network.unary("b:1", CALL, REQUEST, 500)
        network.loss = 1.0
        with pytest.raises(BrokerUnreachable):
            await network.unary("b:1", CALL, REQUEST, 500)

    run(scenario)


def test_a_stream_keeps_its_order() -> None:
    async def scenario(network: SimulatedNetwork, _: SimulatedProcess) -> None:
        stream = await network.stream("b:1", ECHO)
        sent = [bytes([number]) for number in range(50)]
        for message in sent:
            await stream.send(bytes(message))
        assert [await stream.receive() for _ in sent] == sent
        await stream.close()

    run(scenario)


def test_a_dead_server_breaks_calls_and_streams() -> None:
    async def scenario(network: SimulatedNetwork, server: SimulatedProcess) -> None:
        stream = await network.stream("b:1", ECHO)
        waiting = asyncio.ensure_future(network.unary("b:1", CALL, REQUEST, 60_000))
        await asyncio.sleep(0.5)
        server.die()
        network.down()
        with pytest.raises(BrokerUnreachable):
            await waiting
        with pytest.raises(BrokerUnreachable):
            await stream.receive()
        with pytest.raises(BrokerUnreachable):
            await network.stream("b:1", ECHO)

    run(scenario)
