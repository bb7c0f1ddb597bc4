"""Keeps a FetchStream open and the consumer's buffer filled: the shell around ConsumerPositions."""

import asyncio
from typing import NamedTuple

from logd.model.errors import BrokerUnreachable, LogdError, RequestTimeout
from logd.model.seams import Clock, TransportStream
from logd.wire.fetch_response import read_fetch_response
from logd_client.broker_connection import RETRY_BACKOFF_MAX_MS, BrokerConnection
from logd_client.client_config import ConsumerConfig
from logd_client.core.backoff import Backoff
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.fetch_session import FetchPlan
from logd_client.diagnostics import logger
from logd_client.offset_lookup import OffsetLookup
from logd_proto.v1 import data_pb2

REQUEST_FIRST_BYTES = 64 << 10
"""After an answer of so much the next request goes out before the application sees it, so that the
broker need not wait until it is consumed. After a smaller one the application comes first."""


class FetchLimits(NamedTuple):
    """The bounds that stand in every request."""

    min_bytes: int
    max_bytes: int
    max_partition_bytes: int
    max_wait_ms: int
    isolation: data_pb2.Isolation


class ConsumerFetcher:
    """One task that reads answers, and within it one that sends requests.

    An answer only moves positions; its batches are looked at when the application takes them. A
    stream that breaks, or that leaves a request unanswered for `request_timeout_ms`, is replaced by
    one to the next broker, which is told all positions. Reads raise what is
    not retriable; it goes on trying then, too, so that a caller who reads again may still get on.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        positions: ConsumerPositions,
        config: ConsumerConfig,
    ) -> None:
        self._connection = connection
        self._clock: Clock = connection.clock
        self._positions = positions
        self._limits = FetchLimits(
            min_bytes=config.fetch_min_bytes,
            max_bytes=config.fetch_max_bytes,
            max_partition_bytes=config.max_partition_fetch_bytes,
            max_wait_ms=config.fetch_max_wait_ms,
            isolation=data_pb2.ISOLATION_READ_COMMITTED,
        )
        self._lookup = OffsetLookup(connection, positions)
        self._request_timeout_ms = config.request_timeout_ms
        self._backoff = Backoff(config.retry_backoff_ms, RETRY_BACKOFF_MAX_MS, connection.random)
        self._wake = asyncio.Event()
        self._asked = asyncio.Event()
        self._arrived = asyncio.Event()
        self._failure: BaseException | None = None
        self._told: Exception | None = None

    def wake(self) -> None:
        """Positions changed or room was made: a request may be due."""
        self._wake.set()

    def arrived(self) -> None:
        """Something waits for the application that no answer has brought just now."""
        self._arrived.set()

    def reassigned(self) -> None:
        """Partitions came or went: a request may be due, and a replay may be over by it."""
        self._wake.set()
        self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """Let the application's next wait raise this."""
        self._failure = error
        self._arrived.set()

    def tell(self, error: Exception) -> None:
        """Let the application's next read raise this, whatever answers come meanwhile. Of several
        the first."""
        if self._told is None:
            self._told = error
        self._arrived.set()

    def raise_told(self) -> None:
        """Raise what `tell` was given, once."""
        if self._told is not None:
            told, self._told = self._told, None
            raise told

    async def arrival(self, timeout_ms: int | None) -> None:
        """Wait until something has arrived since the last wait, at most `timeout_ms`.

        Raises what the application must know.
        """
        try:
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                await self._arrived.wait()
        except TimeoutError:
            return
        self._arrived.clear()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            address = self._connection.address
            try:
                stream = await self._connection.stream("DataService/FetchStream")
                try:
                    await self._use(stream)
                finally:
                    await stream.close()
            except LogdError as error:
                self._broken(address, error)
            await asyncio.sleep(self._backoff.next_ms() / 1000)

    def _broken(self, address: str, error: LogdError) -> None:
        logger.debug("fetch_stream_broken", address=address, error=error.message)
        self._connection.failed(address, error)
        if not error.retriable:
            self.fail(error)

    async def _use(self, stream: TransportStream) -> None:
        """Until the stream breaks, which raises."""
        self._positions.restart_session()
        self._asked.clear()
        sender = asyncio.create_task(self._send_requests(stream))
        sender.add_done_callback(lambda _: self._asked.set())
        try:
            while True:
                await self._asked.wait()
                if sender.done():
                    await sender
                await self._receive(stream)
                if not self._positions.session.outstanding:
                    self._asked.clear()
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send_requests(self, stream: TransportStream) -> None:
        session = self._positions.session
        while True:
            if await self._lookup.run():
                self._arrived.set()
            now_ms = self._clock.monotonic_ms()
            plan = self._positions.next_request(now_ms)
            if plan is not None:
                await stream.send(serialize_request(plan, self._limits))
                self._asked.set()
                continue
            due_ms = session.next_due_ms(now_ms)
            try:
                async with asyncio.timeout(None if due_ms is None else (due_ms - now_ms) / 1000):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def _receive(self, stream: TransportStream) -> None:
        bound_ms = self._limits.max_wait_ms + self._request_timeout_ms
        try:
            async with asyncio.timeout(bound_ms / 1000):
                message = await stream.receive()
        except TimeoutError:
            raise RequestTimeout(f"a fetch was not answered within {bound_ms} ms") from None
        if message is None:
            raise BrokerUnreachable("the broker ended the stream")
        answer = read_fetch_response(message)
        self._positions.accept(
            answer.correlation_id,
            answer.fetched,
            more=answer.more,
            throttle_ms=answer.throttle_ms,
            now_ms=self._clock.monotonic_ms(),
        )
        events = [self._arrived, self._wake] if answer.fetched else [self._wake]
        if len(message) >= REQUEST_FIRST_BYTES:
            events.reverse()
        for event in events:
            event.set()
        self._failure = None
        self._connection.answered()
        self._backoff.reset()


def serialize_request(plan: FetchPlan, limits: FetchLimits) -> bytes:
    """A FetchStreamRequest."""
    return data_pb2.FetchStreamRequest(
        correlation_id=plan.correlation_id,
        partitions=[
            data_pb2.FetchPartition(
                topic_id=each.topic_id,
                partition=each.partition,
                offset=each.offset,
                max_bytes=limits.max_partition_bytes,
            )
            for each in plan.upserts
        ],
        forget=[
            data_pb2.ForgetPartition(topic_id=topic_id, partition=partition)
            for topic_id, partition in plan.forgets
        ],
        min_bytes=limits.min_bytes,
        max_bytes=limits.max_bytes,
        max_wait_ms=limits.max_wait_ms,
        isolation=limits.isolation,
        in_parts=True,
    ).SerializeToString()
