"""The Arrow Flight listener: the streams of `logd.v1` in exchanges, and topics as tables.

An exchange's descriptor is the command `/logd.v1.DataService/ProduceStream` or `.../FetchStream`;
the messages in it are those of the other door, as `logd.flight.flight_exchange` carries them. So
both doors have one implementation. All else is for clients that know Flight alone: `arrow_tables`.

Memory bound: EXCHANGES_MAX calls, an exchange with two threads and a few messages, a table with one
thread and some MiB. pyarrow bounds neither connections nor the size of a message before it is here:
the door is for clients one trusts.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
from google.protobuf.message import Message

from logd.broker.doors.bind_error import bind_error
from logd.broker.doors.flight_door import arrow_tables
from logd.flight.flight_exchange import LOOP_LOOKED_AT_S, SCHEMA, THE_END, FlightExchange
from logd.model import arrow_batches
from logd.model.errors import (
    BrokerDraining,
    InvalidConfig,
    LogdError,
    Overloaded,
)
from logd.rpc.dispatcher import Dispatcher, unexpected
from logd.rpc.rpc import RequestContext
from logd.wire.proto_errors import to_proto_error

EXCHANGES_MAX = 256
"""And tables being read or written. What is refused here, the SDK does through gRPC."""
CLIENT_ID_HEADER = "logd-client-id"
CLUSTER_ID_HEADER = "logd-cluster-id"


class FlightServer:
    """One listener. `start` and `stop` are the loop's; exchanges come in threads of pyarrow's."""

    def __init__(self, dispatcher: Dispatcher, cluster_id: str) -> None:
        """A client that says it wants another cluster is refused: the address that it was given led
        it elsewhere, as that of a broker behind a tunnel may."""
        self._dispatcher = dispatcher
        self._cluster_id = cluster_id
        self._server: _Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, address: str) -> int:
        """Bind and serve; returns the port. Raises InvalidConfig."""
        try:
            self._server = _Listener(
                f"grpc://{address}", self._dispatcher, self._cluster_id, self._tasks
            )
        except (pa.ArrowException, OSError) as error:
            raise bind_error(address, "flight_listen") from error
        port: int = self._server.port
        return port

    async def stop(self, grace_s: float) -> None:
        """End every exchange, and wait at most `grace_s` for their clients to take notice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.draining = True
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
        dispatcher: Dispatcher,
        cluster_id: str,
        tasks: "set[asyncio.Task[None]]",
    ) -> None:
        self._dispatcher = dispatcher
        self._cluster_id = cluster_id
        self._loop = asyncio.get_running_loop()
        self._tasks = tasks
        self._places = threading.Semaphore(EXCHANGES_MAX)
        self.draining = False
        super().__init__(location, middleware={"headers": _ReadHeaders()})

    def do_exchange(self, call: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        with self._admitted(call):
            method = (descriptor.command or b"").decode(errors="replace")
            self._dispatcher.stream_rpc(method)  # refuses before anything has begun
            self._exchange(method, self._context_of(call), reader, writer)

    def list_flights(self, call: Any, criteria: bytes) -> list[Any]:
        with self._admitted(call):
            return list(arrow_tables.topics(self._asker(call)))

    def get_flight_info(self, call: Any, descriptor: Any) -> Any:
        with self._admitted(call):
            return arrow_tables.info(self._asker(call), _path_of(descriptor))

    def get_schema(self, call: Any, descriptor: Any) -> Any:
        with self._admitted(call):
            return flight.SchemaResult(
                arrow_tables.info(self._asker(call), _path_of(descriptor)).schema
            )

    def do_get(self, call: Any, ticket: Any) -> Any:
        batches = self._read(call, ticket.ticket)
        next(batches)  # refuses, or has its place, which it gives back even if nobody reads it
        return flight.GeneratorStream(arrow_batches.SCHEMA, batches)

    def _read(self, call: Any, ticket: bytes) -> Iterator[Any]:
        with self._admitted(call):
            parsed = arrow_tables.parse_ticket(ticket)
            yield None
            yield from arrow_tables.read(self._asker(call), parsed)

    def do_put(self, call: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        with self._admitted(call):
            path = _path_of(descriptor)
            if len(path) != 1:
                raise InvalidConfig("the path to write to is a topic's name", field="descriptor")
            batches = (chunk.data for chunk in reader if chunk.data is not None)
            for told in arrow_tables.write(self._asker(call), path[0], batches):
                writer.write(pa.py_buffer(told))

    @contextmanager
    def _admitted(self, call: Any) -> Iterator[None]:
        """A place among EXCHANGES_MAX. A LogdError in it is what the client is told."""
        try:
            wanted = call.get_middleware("headers").cluster_id
            if wanted not in ("", self._cluster_id):
                raise InvalidConfig(
                    f"this is cluster {self._cluster_id}, not {wanted}", field="cluster"
                )
            if not self._places.acquire(blocking=False):
                raise Overloaded(f"{EXCHANGES_MAX} calls are open already", limit="exchanges_max")
            try:
                yield
            finally:
                self._places.release()
        except LogdError as error:
            raise _refusal(error) from None
        except (pa.ArrowException, OSError):
            raise  # the client has gone
        except Exception as fault:
            raise _refusal(unexpected("Flight", fault)) from None

    def _asker(self, call: Any) -> arrow_tables.Call:
        return partial(self._ask, self._context_of(call))

    def _context_of(self, call: Any) -> RequestContext:
        client_id: str = call.get_middleware("headers").client_id
        listener = self._dispatcher.listener.name
        return RequestContext("anonymous", client_id, call.peer(), listener, None)

    def _ask(self, context: RequestContext, method: str, request: Message) -> Message:
        """The answer of one of the calls of `logd.v1`. Raises LogdErrors."""
        if self.draining:
            raise BrokerDraining("the broker is shutting down")
        answering = self._dispatcher.answer(context, method, request)
        try:
            future = asyncio.run_coroutine_threadsafe(answering, self._loop)
        except RuntimeError:  # the loop is closed
            answering.close()
            raise BrokerDraining("the broker is shutting down") from None
        while True:
            try:
                return future.result(LOOP_LOOKED_AT_S)
            except TimeoutError:
                if self._loop.is_closed():
                    raise BrokerDraining("the broker is shutting down") from None

    def _exchange(self, method: str, context: RequestContext, reader: Any, writer: Any) -> None:
        writer.begin(SCHEMA)
        exchange = FlightExchange(self._loop, reader, writer)
        writing = threading.Thread(target=exchange.write_all, name="flight-write", daemon=True)
        writing.start()
        handling = partial(self._dispatcher.stream, context, method, exchange)
        serving = _Serving(handling, exchange, self._tasks)
        self._loop.call_soon_threadsafe(serving.start)
        exchange.read_all()
        self._loop.call_soon_threadsafe(serving.client_done)
        writing.join()
        if exchange.error is not None and exchange.error.__cause__ is not None:
            raise exchange.error.__cause__  # a fault of ours: _admitted tells of it


class _Serving:
    """One exchange on the loop."""

    def __init__(
        self,
        handling: Callable[[], Coroutine[Any, Any, None]],
        exchange: FlightExchange,
        tasks: "set[asyncio.Task[None]]",
    ) -> None:
        self._handling = handling
        self._exchange = exchange
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._handling())
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
        self._exchange.finish(to_proto_error(error).SerializeToString() if error else THE_END)

    def _error_of(self, task: "asyncio.Task[None]") -> LogdError | None:
        if task.cancelled():
            return self._exchange.error or BrokerDraining("the broker is shutting down")
        raised = task.exception()
        assert raised is None or isinstance(raised, LogdError), "a Dispatcher's errors are typed"
        return raised


def _path_of(descriptor: Any) -> list[str]:
    """Raises InvalidConfig."""
    try:
        return [part.decode() for part in descriptor.path or ()]
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"the path is not UTF-8: {error}", field="descriptor") from None


def _refusal(error: LogdError) -> Exception:
    """What pyarrow sends where no exchange has begun; the reason stands in its extra info."""
    kind = flight.FlightUnavailableError if error.retriable else flight.FlightServerError
    refused: Exception = kind(error.message, to_proto_error(error).SerializeToString())
    return refused
