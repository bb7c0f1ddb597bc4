"""The Arrow Flight listener: the streams of `logd.v1` in exchanges.

An exchange's descriptor is the command `/logd.v1.DataService/ProduceStream` or `.../FetchStream`;
the messages in it are those of the other door, as `logd.flight.flight_exchange` carries them. So
both doors have one implementation.

Memory bound: EXCHANGES_MAX exchanges, each with two threads and a few messages. pyarrow bounds
neither connections nor the size of a message before it is here: the door is for clients one trusts.
"""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import pyarrow.flight as flight
import structlog

from logd.broker.doors.grpc_door.proto_errors import to_proto_error
from logd.broker.doors.grpc_door.rpc import Rpc, StreamRpc
from logd.broker.ports import RequestContext
from logd.flight.flight_exchange import SCHEMA, FlightExchange
from logd.model.errors import (
    BrokerDraining,
    InvalidConfig,
    LogdError,
    Overloaded,
    UnsupportedVersion,
)

logger = structlog.get_logger()

EXCHANGES_MAX = 256
"""What is refused here, the SDK does through gRPC."""
CLIENT_ID_HEADER = "logd-client-id"
CLUSTER_ID_HEADER = "logd-cluster-id"
LISTENER = "flight"


class FlightServer:
    """One listener. `start` and `stop` are the loop's; exchanges come in threads of pyarrow's."""

    def __init__(self) -> None:
        self._rpcs: dict[bytes, StreamRpc] = {}
        self._server: _Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, address: str, rpcs: Iterable[Rpc], cluster_id: str) -> int:
        """Bind and serve; returns the port. Raises InvalidConfig.

        A client that says it wants another cluster is refused: the address that it was given led
        it elsewhere, as that of a broker behind a tunnel may.
        """
        self._rpcs = {rpc.method.encode(): rpc for rpc in rpcs if isinstance(rpc, StreamRpc)}
        try:
            self._server = _Listener(
                f"grpc://{address}",
                self._rpcs,
                cluster_id,
                asyncio.get_running_loop(),
                self._tasks,
            )
        except (flight.FlightError, OSError) as error:
            raise InvalidConfig(
                f"cannot listen on {address} for Flight: {error}",
                field="flight_listen",
                address=address,
            ) from error
        port: int = self._server.port
        return port

    async def stop(self, grace_s: float) -> None:
        """End every exchange, and wait at most `grace_s` for their clients to take notice."""
        server, self._server = self._server, None
        if server is None:
            return
        for task in list(self._tasks):
            task.cancel()
        stopped = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            server.shutdown()
            loop.call_soon_threadsafe(stopped.set_result, None)

        threading.Thread(target=shut_down, name="flight-stop", daemon=True).start()
        await asyncio.wait([stopped], timeout=grace_s)


class _Headers(flight.ServerMiddleware):  # type: ignore[misc]
    def __init__(self, client_id: str, cluster_id: str) -> None:
        super().__init__()
        self.client_id = client_id
        self.cluster_id = cluster_id


class _ReadHeaders(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def start_call(self, info: Any, headers: dict[str, list[str]]) -> _Headers:
        client_id, cluster_id = (
            next(iter(headers.get(name, ())), "") for name in (CLIENT_ID_HEADER, CLUSTER_ID_HEADER)
        )
        return _Headers(client_id, cluster_id)


class _Listener(flight.FlightServerBase):  # type: ignore[misc]
    """What pyarrow calls."""

    def __init__(
        self,
        location: str,
        rpcs: dict[bytes, StreamRpc],
        cluster_id: str,
        loop: asyncio.AbstractEventLoop,
        tasks: "set[asyncio.Task[None]]",
    ) -> None:
        self._rpcs = rpcs
        self._cluster_id = cluster_id
        self._loop = loop
        self._tasks = tasks
        self._exchanges = threading.Semaphore(EXCHANGES_MAX)
        super().__init__(location, middleware={"headers": _ReadHeaders()})

    def do_exchange(self, call: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        rpc = self._rpcs.get(descriptor.command or b"")
        if rpc is None:
            raise _refusal(UnsupportedVersion(f"no exchange is called {descriptor.command!r}"))
        wanted = call.get_middleware("headers").cluster_id
        if wanted not in ("", self._cluster_id):
            raise _refusal(
                InvalidConfig(f"this is cluster {self._cluster_id}, not {wanted}", field="cluster")
            )
        if not self._exchanges.acquire(blocking=False):
            raise _refusal(
                Overloaded(f"{EXCHANGES_MAX} exchanges are open already", limit="exchanges_max")
            )
        try:
            self._exchange(rpc, _context_of(call), reader, writer)
        finally:
            self._exchanges.release()

    def _exchange(self, rpc: StreamRpc, context: RequestContext, reader: Any, writer: Any) -> None:
        writer.begin(SCHEMA)
        exchange = FlightExchange(self._loop, reader, writer)
        writing = threading.Thread(target=exchange.write_all, name="flight-write", daemon=True)
        writing.start()
        serving = _Serving(rpc, context, exchange, self._tasks)
        self._loop.call_soon_threadsafe(serving.start)
        exchange.read_all()
        self._loop.call_soon_threadsafe(serving.client_done)
        writing.join()


class _Serving:
    """One exchange on the loop."""

    def __init__(
        self,
        rpc: StreamRpc,
        context: RequestContext,
        exchange: FlightExchange,
        tasks: "set[asyncio.Task[None]]",
    ) -> None:
        self._rpc = rpc
        self._context = context
        self._exchange = exchange
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        handling = self._rpc.handler(self._context, self._exchange)
        self._task = asyncio.ensure_future(handling)
        self._tasks.add(self._task)
        self._task.add_done_callback(self._ended)

    def client_done(self) -> None:
        """A client that has broken off waits for no answer."""
        if self._exchange.error is not None and self._task is not None:
            self._task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Also of a task that was cancelled before it began."""
        self._tasks.discard(task)
        error = self._error_of(task)
        self._exchange.finish(to_proto_error(error).SerializeToString() if error else b"")

    def _error_of(self, task: "asyncio.Task[None]") -> LogdError | None:
        if task.cancelled():
            return self._exchange.error or BrokerDraining("the broker is shutting down")
        raised = task.exception()
        if raised is None or isinstance(raised, LogdError):
            return raised
        logger.error("a request failed unexpectedly", method=self._rpc.method, exc_info=raised)
        return LogdError(f"the broker failed unexpectedly: {type(raised).__name__}")


def _context_of(call: Any) -> RequestContext:
    client_id: str = call.get_middleware("headers").client_id
    return RequestContext("anonymous", client_id, call.peer(), LISTENER, None)


def _refusal(error: LogdError) -> Exception:
    """What pyarrow sends before an exchange has begun; the reason stands in its extra info."""
    refused: Exception = flight.FlightUnavailableError(
        error.message, to_proto_error(error).SerializeToString()
    )
    return refused
