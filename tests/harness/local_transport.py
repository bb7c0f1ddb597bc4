"""A Transport that calls a broker's handlers in this process: no sockets, no gRPC."""

import asyncio
from collections.abc import Iterable

from logd.broker.doors.grpc_door.rpc import Rpc, StreamRpc, UnaryRpc
from logd.broker.ports import RequestContext
from logd.model.errors import BrokerUnreachable

CONTEXT = RequestContext("anonymous", "local", "local", "public", None)


class LocalStream:
    """Implements `TransportStream`; `rpc.ServerStream` is its other side."""

    def __init__(self, rpc: StreamRpc) -> None:
        self._to_server: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._to_client: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._server = asyncio.ensure_future(self._serve(rpc))

    async def _serve(self, rpc: StreamRpc) -> None:
        try:
            await rpc.handler(CONTEXT, _ServerSide(self._to_server, self._to_client))
        finally:
            self._to_client.put_nowait(None)

    async def send(self, message: bytes) -> None:
        if self._server.done():
            self._raise_end()
        self._to_server.put_nowait(message)

    async def receive(self) -> bytes | None:
        message = await self._to_client.get()
        if message is None:
            self._raise_end()
        return message

    def _raise_end(self) -> None:
        if self._server.cancelled():
            raise BrokerUnreachable("the stream was cut")
        error = self._server.exception() if self._server.done() else None
        if error is not None:
            raise error

    async def finish_sending(self) -> None:
        self._to_server.put_nowait(None)

    async def close(self) -> None:
        self._server.cancel()
        await asyncio.wait([self._server])


class _ServerSide:
    def __init__(
        self, incoming: asyncio.Queue[bytes | None], outgoing: asyncio.Queue[bytes | None]
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def receive(self) -> bytes | None:
        return await self._incoming.get()

    async def send(self, message: bytes) -> None:
        self._outgoing.put_nowait(message)


class LocalTransport:
    """Implements `logd.model.seams.Transport` for the one broker whose calls it is given."""

    def __init__(self, rpcs: Iterable[Rpc]) -> None:
        self.rpcs = {rpc.method: rpc for rpc in rpcs}

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        rpc = self.rpcs[method]
        assert isinstance(rpc, UnaryRpc)
        response = await rpc.handler(CONTEXT, rpc.request_type.FromString(request))
        answer: bytes = response.SerializeToString()
        return answer

    async def stream(self, address: str, method: str) -> LocalStream:
        rpc = self.rpcs[method]
        assert isinstance(rpc, StreamRpc)
        return LocalStream(rpc)

    async def close(self) -> None:
        return None
