"""The real Transport: grpc.aio channels, one a broker address, serialized bytes in and out."""

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextvars import Context
from typing import Any, ClassVar

# gRPC reads it when it loads. Its fork handlers do not know grpc.aio's threads: every tenth fork of
# a process with a client died of a segmentation fault, whether or not the child wanted a client.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio
from grpc._cython import cygrpc

from logd.model.errors import (
    BrokerUnreachable,
    ClientClosed,
    LogdError,
    RequestTimeout,
    UnsupportedVersion,
    UsedAfterFork,
)
from logd.model.seams import TransportStream
from logd.wire.proto_errors import from_status

MESSAGE_BYTES_MAX = 80 << 20
"""Above the largest batch (64 MiB), so that the broker's own check answers first."""

CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.experimental.tcp_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_min_read_chunk_size", 1 << 20),
    ("grpc.experimental.tcp_max_read_chunk_size", 4 << 20),
]

LAST_EVENTS_TIMEOUT_S = 5.0
"""Bounds the wait for the last word on ended calls, which comes from within this process."""

NEVER_CONNECTED = "failed to connect to all addresses"
"""How gRPC's word on a call begins that was given no connection. Told in other words, its batches
would be in doubt: no harm, but for an order that cannot be kept after a time-out."""

_CONNECTION_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
)
"""What gRPC itself reports of a connection that broke; a fault of the broker has an ErrorInfo."""


def error_from_rpc(error: grpc.RpcError, address: str, method: str) -> LogdError:
    """The typed error of a failed call: its ErrorInfo where there is one, else by gRPC's code."""
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == "grpc-status-details-bin":
            told = from_status(value)
            if told is not None:
                return told
    code, what = error.code(), error.details() or ""
    call = method.rpartition("/")[2]
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return RequestTimeout(f"{call} was not answered by {address} in time", address=address)
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return UnsupportedVersion(f"the broker at {address} has no call {call} there")
    if code in _CONNECTION_CODES:
        unreachable = BrokerUnreachable(f"no broker answers at {address}: {what}", address=address)
        unreachable.unsent = what.startswith(NEVER_CONNECTED)
        return unreachable
    return LogdError(f"{call} failed at {address}: {code.name}: {what}", address=address)


class GrpcTransportStream:
    """Implements `TransportStream` on one bidirectional call.

    `untold`: what gRPC has yet to tell of reads and writes. It tells the end of each, also where
    its wait or, by `close`, its call was cancelled, and `GrpcTransport.close` awaits that.
    """

    def __init__(
        self, call: Any, address: str, method: str, untold: "set[asyncio.Future[Any]]"
    ) -> None:
        self._call = call
        self._where = (address, method)
        self._untold = untold

    async def send(self, message: bytes) -> None:
        try:
            await _UntilTold(self._call.write(message), self._untold)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, *self._where) from None
        except (asyncio.InvalidStateError, grpc.aio.UsageError):
            raise await self._ended() from None

    async def receive(self) -> bytes | None:
        try:
            message = await _UntilTold(self._call.read(), self._untold)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, *self._where) from None
        return None if message is grpc.aio.EOF else message

    async def _ended(self) -> LogdError:
        """Why nothing can be sent any more, as far as gRPC has told."""
        ended = BrokerUnreachable(f"the stream to {self._where[0]} has ended")
        if self._call.done():
            ended.unsent = (await self._call.details() or "").startswith(NEVER_CONNECTED)
        return ended

    async def close(self) -> None:
        if not self._call.done():
            self._call._cython_call.cancel("the stream was closed")


class _UntilTold:
    """Awaits a coroutine of grpc.aio. What gRPC is to tell it stands in `untold` until it is told,
    also where the wait is cancelled; the coroutine goes no further then.

    As asyncio.shield, but for no task and no turn of the loop: it is done for each message. It is
    itself what the task waits for in place of gRPC's future, which must not be cancelled: then the
    task alone wakes. So it has what a task asks of a future (see asyncio.isfuture), and no more.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_cancelled",
        "_context",
        "_event",
        "_untold",
        "_wake",
        "_work",
        "get_loop",
    )

    _event: "asyncio.Future[Any]"
    get_loop: Callable[[], asyncio.AbstractEventLoop]

    def __init__(self, work: Coroutine[Any, Any, Any], untold: "set[asyncio.Future[Any]]") -> None:
        self._work = work
        self._untold = untold
        self._cancelled = False

    def __await__(self) -> Generator[Any, Any, Any]:
        while True:
            try:
                self._event = event = self._work.send(None)
            except StopIteration as ended:
                return ended.value
            event._asyncio_future_blocking = False
            self._asyncio_future_blocking = True
            self.get_loop = event.get_loop
            self._untold.add(event)
            try:
                yield self
            except asyncio.CancelledError:
                if event.done() and not event.cancelled():  # told in the same turn of the loop
                    event.exception()  # nobody else will ask for it
                raise

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context) -> None:
        self._wake, self._context = wake, context
        self._event.add_done_callback(self._told, context=context)

    def cancel(self, msg: object = None) -> bool:
        if self._cancelled or self._event.done():
            return False
        self._cancelled = True
        self.get_loop().call_soon(self._wake, self, context=self._context)
        return True

    def result(self) -> None:
        """The coroutine asks the future itself."""
        if self._cancelled:
            raise asyncio.CancelledError

    def _told(self, event: "asyncio.Future[Any]") -> None:
        self._untold.discard(event)
        if not self._cancelled:
            self._wake(self)
        elif not event.cancelled():
            event.exception()  # nobody else will ask for it


class GrpcTransport:
    """Implements `Transport`. Channels connect on first use and mend themselves.

    Where a process has used gRPC, its forked children cannot: no call there would ever return, not
    even at its deadline. They get UsedAfterFork instead.
    """

    _used_by_pid: ClassVar[int | None] = None

    def __init__(self, client_id: str) -> None:
        self._metadata = (("logd-client-id", client_id),)
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._calls: dict[tuple[str, str, bool], Any] = {}
        self._untold: set[asyncio.Future[Any]] = set()

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        unary = self._multicallable(address, method, streaming=False)
        call = unary(request, timeout=timeout_ms / 1000, metadata=self._metadata)
        try:
            answer: bytes = await asyncio.shield(call)  # close() awaits the end of one given up
            return answer
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, address, method) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ClientClosed("this client was closed during a call") from None

    async def stream(self, address: str, method: str) -> TransportStream:
        call = self._multicallable(address, method, streaming=True)(metadata=self._metadata)
        return GrpcTransportStream(call, address, method, self._untold)

    async def close(self) -> None:
        """Returns once gRPC has told everything of every call: what it tells later, to a loop that
        is closed by then, would end as a traceback in whatever loop uses gRPC next."""
        channels, self._channels = list(self._channels.values()), {}
        self._calls.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_EVENTS_TIMEOUT_S):
                while to_come := {*_end_calls(channels), *self._untold}:
                    await asyncio.wait(to_come)
        for channel in channels:
            await channel.close()

    def _multicallable(self, address: str, method: str, *, streaming: bool) -> Any:
        key = (address, method, streaming)
        if key not in self._calls:
            if address not in self._channels:
                _check_not_forked()
                self._channels[address] = grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
            channel = self._channels[address]
            self._calls[key] = (channel.stream_stream if streaming else channel.unary_unary)(method)
        return self._calls[key]


_AWAITS_EVENTS = (
    "_AioCall._handle_status_once_received",
    "StreamStreamCall._prepare_rpc",
    "UnaryUnaryCall._invoke",
)
"""The tasks on a call of grpc.aio: each ends with an event, also after the call was cancelled."""


def _end_calls(channels: Iterable[grpc.aio.Channel]) -> Iterator[Any]:
    """Cancel what calls there are; the tasks on them that have not ended yet.

    grpc.aio shows nobody these tasks; but their coroutines refer to the call, through one object.
    """
    of_channel = [channel._channel for channel in channels]
    for task in asyncio.all_tasks():
        coroutine: Any = task.get_coro()
        if getattr(coroutine, "__qualname__", "") in _AWAITS_EVENTS:
            for call in gc.get_referents(*gc.get_referents(coroutine)):
                if isinstance(call, cygrpc._AioCall) and call._channel in of_channel:
                    if not call.done():
                        call.cancel("the client was closed")
                    yield task


def _check_not_forked() -> None:
    used_by, here = GrpcTransport._used_by_pid, os.getpid()
    if used_by not in (None, here):
        raise UsedAfterFork(
            f"process {here} was forked from one that had used a client, where gRPC cannot work: "
            "make the first client after the fork, or start processes by 'spawn'"
        )
    GrpcTransport._used_by_pid = here
