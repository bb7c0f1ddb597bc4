"""A Transport that calls a broker in this process: no sockets, no gRPC."""

import asyncio
from collections.abc import Callable

from logd.model.errors import BrokerUnreachable, LogdError
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.rpc import RequestContext
from logd.wire.proto_errors import from_proto_error, to_proto_error

CONTEXT = RequestContext("anonymous", "local", "local", "public", None)


class LocalStream:
    """Implements `TransportStream`; `rpc.ServerStream` is its other side."""

    def __init__(
        self, dispatcher: Dispatcher, method: str, note: Callable[[LogdError], None]
    ) -> None:
        self._note = note
        self._to_server: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._to_client: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._server = asyncio.ensure_future(self._serve(dispatcher, method))

    async def _serve(self, dispatcher: Dispatcher, method: str) -> None:
        try:
            side = _ServerSide(self._to_server, self._to_client)
            await dispatcher.stream(CONTEXT, method, side)
        except LogdError as error:
            self._note(error)
            raise
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
        if isinstance(error, LogdError):
            raise from_proto_error(to_proto_error(error)) from error

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
    """Implements `logd.model.seams.Transport` for the one broker whose calls it is given.

    `faults`: what was wrong with the broker itself, which clients are told without its inside.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.faults: list[BaseException] = []

    async def unary(
        self,
        address: str,
        method: str,
        request: bytes,
        timeout_ms: int = 0,
        context: RequestContext = CONTEXT,
    ) -> bytes:
        try:
            return await self.dispatcher.unary(context, method, request)
        except LogdError as error:
            self._note(error)
            raise from_proto_error(to_proto_error(error)) from error

    async def stream(self, address: str, method: str) -> LocalStream:
        return LocalStream(self.dispatcher, method, self._note)

    async def close(self) -> None:
        return None

    def _note(self, error: LogdError) -> None:
        if type(error) is LogdError:
            self.faults.append(error.__cause__ or error)
