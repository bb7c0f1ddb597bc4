"""The way between clients and one broker: messages take time, connections break."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any

from logd.model.errors import BrokerUnreachable, LogdError, RequestTimeout
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.rpc import RequestContext
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_process import SimulatedProcess
from logd.sim.trace import Trace
from logd.wire.proto_errors import from_proto_error, to_proto_error

LATENCY_MAX_S = 0.002
_NOBODY = Context()
"""What is under way on the network belongs to no process."""


class Pipe:
    """One direction of a stream: messages arrive in order, each after a time of its own."""

    def __init__(self, random: SeededRandom) -> None:
        self.broken: LogdError | None = None
        self._random = random
        self._under_way: deque[bytes | LogdError | None] = deque()
        self._arrived: deque[bytes | LogdError | None] = deque()
        self._due_s = 0.0
        self._news = asyncio.Event()

    def send(self, message: bytes | LogdError | None) -> None:
        """None: the orderly end; an error ends it, too."""
        loop = asyncio.get_running_loop()
        self._due_s = max(self._due_s, loop.time() + self._random.uniform(0, LATENCY_MAX_S))
        self._under_way.append(message)
        loop.call_at(self._due_s, self._arrive, context=_NOBODY.copy())

    def cut(self, error: LogdError) -> None:
        """What is under way is lost, what has arrived can still be received."""
        self.broken = self.broken or error
        self._news.set()

    async def receive(self) -> bytes | None:
        while not self._arrived:
            if self.broken is not None:
                raise self.broken
            self._news.clear()
            await self._news.wait()
        message = self._arrived[0]
        if isinstance(message, LogdError):
            raise message
        if message is not None:  # an end stays
            self._arrived.popleft()
        return message

    def _arrive(self) -> None:
        if self.broken is None:
            self._arrived.append(self._under_way.popleft())
            self._news.set()


class SimulatedStream:
    """Implements `TransportStream`; `server_side` is what the handler is given."""

    def __init__(self, network: "SimulatedNetwork", random: SeededRandom) -> None:
        self.to_server = Pipe(random)
        self.to_client = Pipe(random)
        self.server_side = ServerSide(self.to_server, self.to_client)
        self.handler: asyncio.Task[None] | None = None
        self._network = network

    async def send(self, message: bytes) -> None:
        if self.to_server.broken is not None:
            raise self.to_server.broken
        self.to_server.send(message)

    async def receive(self) -> bytes | None:
        return await self.to_client.receive()

    async def close(self) -> None:
        self._network.end(self, BrokerUnreachable("the stream was closed"))

    def cut(self, error: LogdError) -> None:
        """Both sides find it broken; the handler is cancelled, as gRPC does."""
        self.to_client.cut(error)
        self.to_server.cut(error)
        if self.handler is not None:
            self.handler.cancel()


class ServerSide:
    """Implements `rpc.ServerStream`."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def receive(self) -> bytes | None:
        return await self._incoming.receive()

    async def send(self, message: bytes) -> None:
        self._outgoing.send(message)


class SimulatedNetwork:
    """Implements `logd.model.seams.Transport` for all clients of the one broker that is up.

    Clients get what they would get of a real listener: errors as they are after their travel.
    `loss`: the share of unary calls whose request or answer is lost. `failures`: faults of ours.
    """

    def __init__(self, random: SeededRandom, trace: Trace) -> None:
        self.loss = 0.0
        self.failures: list[str] = []
        self._random = random
        self._trace = trace
        self._server: tuple[SimulatedProcess, Dispatcher] | None = None
        self._streams: dict[SimulatedStream, None] = {}
        self._calls: dict[asyncio.Future[bytes], None] = {}

    def serve(self, process: SimulatedProcess, dispatcher: Dispatcher) -> None:
        """From now on `process` answers."""
        self._server = process, dispatcher

    def down(self) -> None:
        """Nobody answers any more; every connection breaks."""
        self._server = None
        self.cut()

    def cut(self) -> None:
        """Break every connection; new ones can be made."""
        error = BrokerUnreachable("the connection broke")
        for stream in list(self._streams):
            self.end(stream, error)
        for call in list(self._calls):
            if not call.done():
                call.set_exception(error)

    def end(self, stream: SimulatedStream, error: LogdError) -> None:
        if self._streams.pop(stream, self) is None:
            stream.cut(error)

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._calls[answer] = None
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._travel()
                if self._server is None or self._is_lost():
                    raise BrokerUnreachable(f"no answer from {address}")
                process, dispatcher = self._server
                self._trace.note("network", "call", method, len(request))
                answering = dispatcher.unary(_context(dispatcher, timeout_ms), method, request)
                process.spawn(self._answer(answering, answer))
                message = await answer
                await self._travel()
                if self._is_lost():
                    raise BrokerUnreachable(f"the answer of {address} was lost")
                return message
        except TimeoutError:
            raise RequestTimeout(f"{method} took over {timeout_ms} ms") from None
        finally:
            del self._calls[answer]
            answer.cancel()

    async def stream(self, address: str, method: str) -> SimulatedStream:
        stream = SimulatedStream(self, self._random)
        await self._travel()
        if self._server is None or self._is_lost():
            raise BrokerUnreachable(f"nobody listens at {address}")
        process, dispatcher = self._server
        self._trace.note("network", "stream", method)
        self._streams[stream] = None
        handling = dispatcher.stream(_context(dispatcher), method, stream.server_side)
        stream.handler = process.spawn(handling)
        stream.handler.add_done_callback(partial(self._handled, stream), context=_NOBODY.copy())
        return stream

    async def close(self) -> None:
        return None

    async def _travel(self) -> None:
        await asyncio.sleep(self._random.uniform(0, LATENCY_MAX_S))

    def _is_lost(self) -> bool:
        return bool(self.loss) and self._random.chance(self.loss)

    async def _answer(
        self, answering: Coroutine[Any, Any, bytes], answer: "asyncio.Future[bytes]"
    ) -> None:
        tell: Callable[[], None]
        try:
            tell = partial(answer.set_result, await answering)
        except LogdError as error:
            tell = partial(answer.set_exception, self._sent(error))
        if not answer.done():
            tell()

    def _handled(self, stream: SimulatedStream, handler: "asyncio.Task[None]") -> None:
        error: BaseException | None = BrokerUnreachable("the stream was cut")
        if not handler.cancelled():
            error = handler.exception()
        if isinstance(error, LogdError):
            self._streams.pop(stream, None)
            error = self._sent(error)
            stream.to_server.cut(error)
            stream.to_client.send(error)  # behind what was sent before
        elif error is None:
            stream.to_client.send(None)

    def _sent(self, error: LogdError) -> LogdError:
        """What a client gets of it."""
        if type(error) is LogdError:
            self.failures.append(repr(error.__cause__ or error))
        return from_proto_error(to_proto_error(error))


def _context(dispatcher: Dispatcher, timeout_ms: int | None = None) -> RequestContext:
    deadline_ms = None
    if timeout_ms is not None:
        deadline_ms = int(asyncio.get_running_loop().time() * 1000) + timeout_ms
    listener = dispatcher.listener.name
    return RequestContext("anonymous", "simulated", "simulated", listener, deadline_ms)
