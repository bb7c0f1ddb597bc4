"""A gRPC listener: serves a Dispatcher's calls, health v1 and reflection on grpc.aio.

Memory bound: at most CONNECTIONS_MAX * STREAMS_PER_CONNECTION_MAX calls, each with one message of
at most MESSAGE_BYTES_MAX in flight towards the handler; flow control holds the rest in the clients.
In practice a client has a few streams, and a message is about 1 MiB.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_status import rpc_status

from logd.broker.doors.bind_error import bind_error
from logd.broker.doors.grpc_door.grpc_listener import GrpcListener
from logd.broker.doors.grpc_door.health_service import HealthService
from logd.broker.doors.grpc_door.reflection_service import add_reflection
from logd.model.errors import LogdError
from logd.model.seams import Clock
from logd.rpc.dispatcher import Dispatcher
from logd.rpc.rpc import RequestContext, StreamRpc
from logd.system.background_tasks import BackgroundTasks
from logd.wire.proto_errors import to_status

MESSAGE_BYTES_MAX = 80 << 20
"""Above the largest batch a topic may take (64 MiB), so that the broker's own check answers."""
STREAMS_PER_CONNECTION_MAX = 1000
CONNECTIONS_MAX = 10_000
PEER_LOST_MS = 9_000
"""A client whose machine or whole process stands still for so long is cut off, so that its streams
end: below a member's session time. One whose event loop is busy is not: gRPC answers for it."""

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # 1 would let a second broker share the port in silence
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", PEER_LOST_MS // 2),
    ("grpc.keepalive_timeout_ms", PEER_LOST_MS // 2),
    ("grpc.http2.ping_timeout_ms", PEER_LOST_MS // 2),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.experimental.tcp_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_min_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_max_read_chunk_size", 4 << 20),
]


class _GrpcServerStream:
    """Implements `rpc.ServerStream` on a grpc.aio context.

    What grpc cannot do any more, since the client has gone or the call has ended, ends whoever asks
    for it as cancelled: nobody is left to be told, and nothing is wrong here.
    """

    def __init__(self, context: Any) -> None:
        self._context = context

    async def receive(self) -> bytes | None:
        try:
            message = await self._context.read()
        except grpc.aio.BaseError as error:
            raise asyncio.CancelledError(str(error)) from None
        return None if message is grpc.aio.EOF else message

    async def send(self, message: bytes) -> None:
        try:
            await self._context.write(message)
        except grpc.aio.BaseError as error:
            raise asyncio.CancelledError(str(error)) from None


class GrpcServer:
    """One listener."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock, tasks: BackgroundTasks) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._handlers = {method: self._handler_of(method) for method in dispatcher.rpcs}
        self._services = sorted({method.split("/")[1] for method in self._handlers})
        self._port = GrpcListener(self._make_server, tasks)
        self._health = HealthService()

    async def start(self, address: str) -> int:
        """Bind and serve; returns the port. Health says NOT_SERVING until `set_serving`."""
        self.set_serving(False)
        try:
            return await self._port.start(address)
        except RuntimeError as error:
            raise bind_error(address, "listen") from error

    def _make_server(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((_Handlers(self._handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        add_reflection(server, [*self._services, health.SERVICE_NAME])
        return server

    def set_serving(self, serving: bool) -> None:
        for service in ("", *self._services):
            self._health.set_serving(service, serving)

    async def stop(self, grace_s: float) -> None:
        await self._port.stop(grace_s)

    def _handler_of(self, method: str) -> Any:
        if isinstance(self._dispatcher.rpcs[method], StreamRpc):
            return grpc.stream_stream_rpc_method_handler(self._stream(method))
        return grpc.unary_unary_rpc_method_handler(self._unary(method))

    def _unary(self, method: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(message: bytes, grpc_context: Any) -> bytes:
            context = self._context_of(grpc_context)
            try:
                return await self._dispatcher.unary(context, method, message)
            except LogdError as error:
                await _abort(grpc_context, error)
            raise AssertionError("abort raises")

        return handle

    def _stream(self, method: str) -> Callable[[Any, Any], Awaitable[None]]:
        async def handle(_: Any, grpc_context: Any) -> None:
            context = self._context_of(grpc_context)
            try:
                await self._dispatcher.stream(context, method, _GrpcServerStream(grpc_context))
            except LogdError as error:
                await _abort(grpc_context, error)

        return handle

    def _context_of(self, grpc_context: Any) -> RequestContext:
        client_id = ""
        for key, value in grpc_context.invocation_metadata() or ():
            if key == "logd-client-id":
                client_id = value
        left_s = grpc_context.time_remaining()
        deadline_ms = None
        if left_s is not None:
            deadline_ms = self._clock.monotonic_ms() + int(left_s * 1000)
        listener = self._dispatcher.listener.name
        return RequestContext("anonymous", client_id, grpc_context.peer(), listener, deadline_ms)


async def _abort(grpc_context: Any, error: LogdError) -> None:
    status = rpc_status.to_status(to_status(error))
    try:
        await grpc_context.abort(status.code, status.details, status.trailing_metadata)
    except grpc.aio.InternalError as gone:
        raise asyncio.CancelledError(str(gone)) from None


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The table of calls, as grpc asks for it."""

    def __init__(self, handlers: dict[str, Any]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> Any:
        """None makes grpc answer UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)
