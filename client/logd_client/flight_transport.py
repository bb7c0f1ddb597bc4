"""Streams through the Arrow Flight door of brokers that offer one, and all else through gRPC.

Imported only where pyarrow is installed. Both ways carry the same messages, so nothing above can
tell them apart.
"""

import asyncio
import threading
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
from google.protobuf.message import DecodeError

from logd.flight.flight_exchange import SCHEMA, FlightExchange
from logd.model.errors import (
    BrokerUnreachable,
    CorruptBatch,
    LogdError,
    RequestTimeout,
)
from logd.model.seams import Transport, TransportStream
from logd.wire.proto_errors import from_proto_error
from logd_client.diagnostics import logger
from logd_proto.v1 import cluster_pb2, common_pb2

OPEN_TIMEOUT_MS = 5_000
"""A door that does not answer for so long is passed over."""
THREADS = "logd-flight"
"""What the names of an exchange's threads begin with."""
_GET_CLUSTER_INFO = "/logd.v1.ClusterService/GetClusterInfo"
_SESSION = "/logd.v1.GroupService/Session"
"""Carries no batches, so it gains nothing by this door, and a thread less is waiting."""


class FlightTransport:
    """Implements `Transport` over another one, which makes all calls and, where there is no Flight
    door or it does not open, the streams too."""

    def __init__(self, calls: Transport, client_id: str) -> None:
        self._calls = calls
        self._client_id = client_id

    async def unary(self, address: str, method: str, request: bytes, timeout_ms: int) -> bytes:
        return await self._calls.unary(address, method, request, timeout_ms)

    async def stream(self, address: str, method: str) -> TransportStream:
        if method == _SESSION:
            return await self._calls.stream(address, method)
        request = cluster_pb2.GetClusterInfoRequest().SerializeToString()
        answer = await self._calls.unary(address, _GET_CLUSTER_INFO, request, OPEN_TIMEOUT_MS)
        info = cluster_pb2.GetClusterInfoResponse.FromString(answer)
        door = _door_of(info, address)
        if door:
            try:
                return await _Opening(door, method, self._client_id, info.cluster_id).opened()
            except LogdError as error:
                logger.info("flight_door_passed_over", address=door, error=error.message)
        return await self._calls.stream(address, method)

    async def close(self) -> None:
        await self._calls.close()


def _door_of(info: cluster_pb2.GetClusterInfoResponse, address: str) -> str:
    """The Flight address of the broker at `address`, which may be known by another."""
    for broker in info.brokers:
        if broker.address == address or len(info.brokers) == 1:
            return str(broker.flight_address)
    return ""


class _Opening:
    """An exchange that is being opened, in the thread that will read it."""

    def __init__(self, door: str, method: str, client_id: str, cluster_id: str) -> None:
        self._door = door
        self._method = method
        self._headers = [
            (b"logd-client-id", client_id.encode()),
            (b"logd-cluster-id", cluster_id.encode()),
        ]
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[FlightExchange] = self._loop.create_future()
        self._given_up = False
        self._reader: Any = None

    async def opened(self) -> FlightExchange:
        """Raises BrokerUnreachable, RequestTimeout, and what the door refuses it with."""
        try:
            threading.Thread(target=self._run, name=f"{THREADS}-read", daemon=True).start()
        except RuntimeError as error:  # at the interpreter's exit, or at a limit of threads
            raise BrokerUnreachable(f"no thread for the Flight door: {error}") from None
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_MS / 1000):
                return await self._opened
        except TimeoutError:
            self._give_up()
            raise RequestTimeout(f"the Flight door at {self._door} does not answer") from None
        except asyncio.CancelledError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Nobody will have the exchange, even if it is open by now."""
        self._given_up = True
        if self._reader is not None:
            self._reader.cancel()

    def _run(self) -> None:
        try:
            with flight.connect(f"grpc://{self._door}", generic_options=_options()) as client:
                descriptor = flight.FlightDescriptor.for_command(self._method.encode())
                options = flight.FlightCallOptions(headers=self._headers)
                writer, self._reader = client.do_exchange(descriptor, options)
                if self._given_up:  # before there was anything to cancel
                    self._reader.cancel()
                try:
                    writer.begin(SCHEMA)
                    _ = self._reader.schema  # comes once the door has let us in
                    self._exchange(writer)
                finally:
                    _close(writer)
        except flight.FlightError as error:
            raw = error.extra_info
            self._tell(_parse_error(raw) if raw else BrokerUnreachable(str(error)))
        except Exception as error:  # of any kind: else the caller waits for nothing
            self._tell(BrokerUnreachable(f"the Flight door at {self._door}: {error}"))

    def _exchange(self, writer: Any) -> None:
        exchange = FlightExchange(self._loop, self._reader, writer, _parse_error)
        writing = threading.Thread(target=exchange.write_all, name=f"{THREADS}-write", daemon=True)
        writing.start()
        self._tell(exchange)
        exchange.read_all()
        exchange.finish_soon()
        writing.join()

    def _tell(self, outcome: FlightExchange | LogdError) -> None:
        def tell() -> None:
            if self._opened.done():
                return
            if isinstance(outcome, LogdError):
                self._opened.set_exception(outcome)
            else:
                self._opened.set_result(outcome)

        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop is closed
            self._give_up()


def _close(writer: Any) -> None:
    """Says to the door that no more comes. Left to Arrow, a refusal is printed on stderr."""
    try:
        writer.close()
    except (pa.ArrowException, OSError):
        pass  # the reader says why


def _options() -> list[tuple[str, int]]:
    return [
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        # Nothing can cancel the wait for a connection: it must end by itself.
        ("grpc.min_reconnect_backoff_ms", OPEN_TIMEOUT_MS),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.experimental.tcp_read_chunk_size", 1 << 20),
        ("grpc.experimental.tcp_min_read_chunk_size", 1 << 20),
        ("grpc.experimental.tcp_max_read_chunk_size", 4 << 20),
    ]


def _parse_error(raw: bytes) -> LogdError:
    try:
        error = common_pb2.Error.FromString(raw)
    except DecodeError:
        return CorruptBatch("what ended the exchange is no logd.v1.Error")
    return from_proto_error(error)
