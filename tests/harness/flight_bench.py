"""A Flight door in this process with streams of a test's own, and the SDK's transport to it."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from harness.dispatchers import dispatcher
from logd.broker.doors.flight_door.flight_server import FlightServer
from logd.flight.flight_exchange import FlightExchange
from logd.model.errors import UnknownTopic
from logd.model.seams import TransportStream
from logd.rpc.rpc import RequestContext, ServerStream, StreamRpc
from logd_client.flight_transport import THREADS, FlightTransport
from logd_proto.v1 import cluster_pb2

CLUSTER = "here"
ADDRESS = "127.0.0.1:9600"
ECHO, REFUSE, POUR = (
    "/logd.v1.DataService/Echo",
    "/logd.v1.DataService/Refuse",
    "/logd.v1.DataService/Pour",
)
JOIN_S = 10


class GrpcStream:
    """What the transport falls back to."""

    async def send(self, message: bytes) -> None: ...

    async def receive(self) -> bytes | None:
        return None

    async def close(self) -> None: ...


class GrpcCalls:
    """Implements `Transport`: says where the Flight door is, and opens a GrpcStream."""

    def __init__(self, flight_address: str, cluster_id: str = CLUSTER) -> None:
        self.info = cluster_pb2.GetClusterInfoResponse(cluster_id=cluster_id)
        self.info.brokers.add(address=ADDRESS, flight_address=flight_address)

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        return self.info.SerializeToString()

    async def stream(self, address: str, method: str) -> TransportStream:
        return GrpcStream()

    async def close(self) -> None: ...


class FlightBench:
    """`address` of the door; how many streams it is `serving`, and with which `contexts`."""

    def __init__(self) -> None:
        self.contexts: list[RequestContext] = []
        self.serving = 0
        served = [(ECHO, self._echo), (REFUSE, self._refuse), (POUR, self._pour)]
        rpcs = [StreamRpc(method, handler, "read") for method, handler in served]
        self.server = FlightServer(dispatcher(rpcs, "flight"), CLUSTER)
        self.address = f"127.0.0.1:{self.server.start('127.0.0.1:0')}"

    async def open(self, method: str) -> FlightExchange:
        stream = await self.stream(method)
        assert isinstance(stream, FlightExchange)
        return stream

    async def stream(self, method: str) -> FlightExchange | GrpcStream:
        transport = FlightTransport(GrpcCalls(self.address), "tester")
        return cast(FlightExchange | GrpcStream, await transport.stream(ADDRESS, method))

    async def idle(self) -> None:
        """Until no stream is served any more."""
        async with asyncio.timeout(JOIN_S):
            while self.serving:
                await asyncio.sleep(0)

    async def _echo(self, context: RequestContext, stream: ServerStream) -> None:
        self.contexts.append(context)
        self.serving += 1
        try:
            while (message := await stream.receive()) is not None:
                await stream.send(bytes(message))
        finally:
            self.serving -= 1

    async def _refuse(self, context: RequestContext, stream: ServerStream) -> None:
        await stream.send(b"at first")
        raise UnknownTopic("no topic is called so", topic="so")

    async def _pour(self, context: RequestContext, stream: ServerStream) -> None:
        """Sends as much as it can, and takes nothing."""
        self.serving += 1
        try:
            while True:
                await stream.send(bytes(1 << 20))
        finally:
            self.serving -= 1


def flight_threads() -> list[threading.Thread]:
    """Of the SDK's ends of exchanges."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]


def join_flight_threads() -> None:
    for thread in flight_threads():
        thread.join(JOIN_S)
        assert not thread.is_alive(), f"{thread.name} leaks"


@asynccontextmanager
async def flight_bench() -> AsyncIterator[FlightBench]:
    bench = FlightBench()
    try:
        yield bench
    finally:
        await bench.server.stop(JOIN_S)
