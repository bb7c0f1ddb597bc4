"""The gRPC listener: serves tables of calls, health v1 and reflection on grpc.aio.

Memory bound: at most CONNECTIONS_MAX * STREAMS_PER_CONNECTION_MAX calls, each with one message of
at most MESSAGE_BYTES_MAX in flight towards the handler; flow control holds the rest in the clients.
In practice a client has a few streams, and a message is about 1 MiB.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2_grpc
from grpc_status import rpc_status

from logd.broker.doors.bind_error import bind_error
from logd.broker.doors.grpc_door.grpc_listener import GrpcListener
from logd.broker.doors.grpc_door.health_service import HealthService
from logd.broker.doors.grpc_door.reflection_service import add_reflection
from logd.broker.doors.grpc_door.rpc import Rpc, StreamRpc, UnaryRpc
from logd.broker.ports import Authorizer, RequestContext
from logd.model.errors import InvalidConfig, LogdError
from logd.model.seams import Clock
from logd.system.background_tasks import BackgroundTasks
from logd.wire.proto_errors import to_status

logger = structlog.get_logger()

MESSAGE_BYTES_MAX = 80 << 20
"""Above the largest batch a topic may take (64 MiB), so that the broker's own check answers."""
STREAMS_PER_CONNECTION_MAX = 1000
CONNECTIONS_MAX = 10_000

_OPTIONS = [
    ("grpc.so_reuseport", 0),  # 1 would let a second broker share the port in silence
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.experimental.tcp_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_min_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_max_read_chunk_size", 4 << 20),
]


class _GrpcServerStream:
    """Implements `rpc.ServerStream` on a grpc.aio context."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def receive(self) -> bytes | None:
        with _ends_with_its_client():
            message = await self._context.read()
        return None if message is grpc.aio.EOF else message

    async def send(self, message: bytes) -> None:
        with _ends_with_its_client():
            await self._context.write(message)


@contextmanager
def _ends_with_its_client() -> Iterator[None]:
    """What grpc cannot send any more, since the client has gone, ends the call as one that was
    cancelled: nobody is left to be told, and nothing is wrong here."""
    try:
        yield
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError(str(error)) from None


class GrpcServer:
    """One listener."""

    def __init__(
        self,
        authorizer: Authorizer,
        clock: Clock,
        tasks: BackgroundTasks,
        listener: str = "public",
    ) -> None:
        self._authorizer = authorizer
        self._clock = clock
        self._listener = listener
        self._handlers: dict[str, Any] = {}
        self._port = GrpcListener(self._make_server, tasks)
        self._health = HealthService()
        self._services: list[str] = []

    async def start(self, address: str, rpcs: Iterable[Rpc]) -> int:
        """Bind and serve; returns the port. Health says NOT_SERVING until `set_serving`."""
        self._handlers = {rpc.method: self._handler_of(rpc) for rpc in rpcs}
        self._services = sorted({method.split("/")[1] for method in self._handlers})
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

    def _handler_of(self, rpc: Rpc) -> Any:
        if isinstance(rpc, StreamRpc):
            return grpc.stream_stream_rpc_method_handler(self._stream(rpc))
        return grpc.unary_unary_rpc_method_handler(self._unary(rpc))

    def _unary(self, rpc: UnaryRpc[Any]) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(message: bytes, grpc_context: Any) -> bytes:
            try:
                context = self._context_of(grpc_context)
                rpc.check_size(message)
                try:
                    request = rpc.request_type.FromString(message)
                except DecodeError as error:
                    raise InvalidConfig(
                        f"the request is no {rpc.request_type.DESCRIPTOR.name}: {error}"
                    ) from None
                response = await rpc.answer(self._authorizer, context, request)
                return response.SerializeToString()
            except grpc.aio.AbortError:
                raise
            except LogdError as error:
                await self._abort(grpc_context, error)
            except Exception as error:
                await self._unexpected(grpc_context, rpc.method, error)
            raise AssertionError("abort raises")

        return handle

    def _stream(self, rpc: StreamRpc) -> Callable[[Any, Any], Awaitable[None]]:
        async def handle(_: Any, grpc_context: Any) -> None:
            context = self._context_of(grpc_context)
            try:
                await rpc.handler(context, _GrpcServerStream(grpc_context))
            except grpc.aio.AbortError:
                raise
            except LogdError as error:
                await self._abort(grpc_context, error)
            except Exception as error:
                if not grpc_context.done():  # else the client has gone: nothing to tell, nobody
                    await self._unexpected(grpc_context, rpc.method, error)

        return handle

    async def _abort(self, grpc_context: Any, error: LogdError) -> None:
        status = rpc_status.to_status(to_status(error))
        with _ends_with_its_client():
            await grpc_context.abort(status.code, status.details, status.trailing_metadata)

    async def _unexpected(self, grpc_context: Any, method: str, error: Exception) -> None:
        """A fault of ours: logged with its traceback, told to the client without one."""
        logger.error("a request failed unexpectedly", method=method, exc_info=error)
        await self._abort(
            grpc_context, LogdError(f"the broker failed unexpectedly: {type(error).__name__}")
        )

    def _context_of(self, grpc_context: Any) -> RequestContext:
        client_id = ""
        for key, value in grpc_context.invocation_metadata() or ():
            if key == "logd-client-id":
                client_id = value
        left_s = grpc_context.time_remaining()
        deadline_ms = None
        if left_s is not None:
            deadline_ms = self._clock.monotonic_ms() + int(left_s * 1000)
        return RequestContext(
            "anonymous", client_id, grpc_context.peer(), self._listener, deadline_ms
        )


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The table of calls, as grpc asks for it."""

    def __init__(self, handlers: dict[str, Any]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)
