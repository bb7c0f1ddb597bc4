"""The asynchronous producer.

How it works: `send` adds a record to the open batch of its partition (`OpenBatch`, found by
`TopicLanes`), in this thread and without waiting, and gives a handle: batch and index. A batch that
is full, or has lingered for linger_ms, is closed (`Accumulator`) and given to `ProducerSession`: it
numbers each partition's batches, and says what to send, what an answer means and what to do where
none comes. Nothing of that touches the world. `ProducerSender` does: one task takes what is ready,
encodes it and writes it to a stream; another reads the answers. With the answer the batch has its
outcome, its future wakes all who await a handle of it, and its bytes of buffer_memory are free.

Time passes between three parties on one loop, and none may starve the others:
- who sends waits (`_put`) only while the buffer is full, and is woken whenever bytes come free;
- a full batch makes who sends give the loop one turn (`owes_turn`), so that the sender can run;
- the sender sleeps until there is something to send, or a batch or retry is due.

Most records take the shortest way of an OpenBatch, room ahead: in `send` and `send_nowait`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import repeat
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from logd.model.batch_encoder import Headers
from logd.model.errors import BufferFull, LogdError, RecordTooLarge
from logd.model.seams import Clock, Random, Transport
from logd_client.broker_connection import BrokerConnection
from logd_client.client_config import (
    START_TIMEOUT_MS,
    ProducerConfig,
    ProducerSettings,
    parse_settings,
)
from logd_client.core.accumulator import Accumulator
from logd_client.core.open_batch import NOT_OPEN
from logd_client.core.topic_lanes import Lengths, TopicLanes
from logd_client.producer_sender import ProducerSender
from logd_client.record_handle import RecordHandle, RecordHandles, RecordPlaces
from logd_client.send_errors import (
    NOT_KNOWN_TO_BE_TAKEN,
    buffer_full,
    check_columns,
    check_sizes,
    to_be_asked,
    with_added,
)
from logd_client.shared_future import SharedFuture
from logd_client.short_traceback import short_traceback
from logd_client.use_guard import UseGuard
from logd_proto.v1 import cluster_pb2

T = TypeVar("T")

MANY_STEP = 1_000
"""send_many() with keys lets others run after so many records."""


class Producer:
    """Writes records: `async with Producer(bootstrap_servers="127.0.0.1:9600") as producer`.

    `await send()` puts a record into the buffer, and waits only while that is full; the handle it
    gives can be awaited for the receipt. Records are batched per partition, numbered, sent and sent
    again until acknowledged or until delivery_timeout_ms: each is written once, and those of one
    partition in the order of their send(). Settings: ProducerConfig. For tasks of one event loop;
    raises ClientClosed, UsedAfterFork and UsedInAnotherLoop from every method, the last one of
    records that fill an open batch when they are awaited.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str | Sequence[str] | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
        **settings: Unpack[ProducerSettings],
    ) -> None:
        named = {"bootstrap_servers": bootstrap_servers, **settings}
        self.config = parse_settings(ProducerConfig, named)
        self._connection = BrokerConnection(
            self.config.bootstrap_servers,
            client_id=self.config.client_id,
            request_timeout_ms=self.config.request_timeout_ms,
            retry_backoff_ms=self.config.retry_backoff_ms,
            transport=transport,
            clock=clock,
            random=random,
        )
        self._guard = UseGuard("Producer", self._forget)
        self._sender: ProducerSender | None = None
        self._topics: dict[str, TopicLanes] = {}
        self._waiters: dict[asyncio.Future[None], None] = {}

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close(flush=False)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        with contextlib.suppress(*(() if kind is None else (LogdError,))):  # the first error counts
            await self.close(flush=not interrupted)

    def _forget(self) -> None:
        """In a forked child: no batch there will be sent, so none takes a record."""
        self._topics = {}

    @short_traceback
    async def start(self) -> None:
        """Learn now whether a broker answers; `async with` does it. Without it the first send()
        does, which waits longer. Records that were sent outlast a broker's absence.

        Raises BrokerUnreachable, or RequestTimeout where one is silent, after START_TIMEOUT_MS or
        request_timeout_ms.
        """
        self._guard.check_on_loop()
        await find_broker(self._connection, self.config)

    @property
    def in_flight(self) -> int:
        """Batches that await their acknowledgement."""
        return self._sender.session.in_flight if self._sender else 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes of buffer_memory taken by records without an outcome."""
        return self._sender.accumulator.buffered_bytes if self._sender else 0

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        partition: int | None = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordHandle:
        """Add one record, and give its handle: `receipt = await handle`.

        A value of None is a tombstone. `partition` overrides the key's; without either, partitions
        take turns. `timestamp_ms`: ms since 1970 UTC, by default now. Raises UnknownTopic,
        UnknownPartition, RecordTooLarge, BufferFull after max_block_ms, ProducerFenced, and
        TypeError for what is not bytes.
        """
        plain = key is None and partition is None and headers is None and timestamp_ms is None
        lanes: TopicLanes | None
        try:
            lanes = self._topics[topic]
            open_batch = lanes.ahead
        except KeyError:
            lanes, open_batch = None, NOT_OPEN
        if plain and type(value) is bytes:
            values = open_batch.values
            if len(values) < open_batch.ahead_end and len(value) <= open_batch.ahead_value_bytes:
                values.append(value)
                return RecordHandle(open_batch.batch, len(values) - 1)
        if lanes is None or not self._guard.usable:
            lanes = await self._lanes(topic)
        try:
            if plain:
                added = lanes.add_plain(value)
            else:
                added = lanes.add(value, key, partition, headers, timestamp_ms)
        except NOT_KNOWN_TO_BE_TAKEN:
            added = None
        if added is None:
            record = (value, key, partition, headers, timestamp_ms)
            added = await self._put(topic, TopicLanes.add, *record)
        handle = RecordHandle(added.batch, len(added.values) - 1)
        if lanes.accumulator.owes_turn:
            await _give_turn(lanes.accumulator)
        return handle

    def send_nowait(self, topic: str, value: bytes | None, key: bytes | None = None) -> None:
        """Add one record without waiting and without a handle: the cheapest call a record.

        Raises BufferFull where send() would wait: the buffer is full, a full batch waits for the
        event loop's turn, the topic is not known yet, or the record is larger than it took when it
        was last asked for. Then `await send()`. A record that fails
        later is told by flush(), close() and the diagnostics. Records of one batch may share a
        timestamp, a few ms old.
        """
        if key is None and type(value) is bytes:
            try:
                open_batch = self._topics[topic].ahead
            except KeyError:
                open_batch = NOT_OPEN
            values = open_batch.values
            if len(values) < open_batch.ahead_end and len(value) <= open_batch.ahead_value_bytes:
                values.append(value)
                return
        self._send_nowait(topic, value, key)

    def _send_nowait(self, topic: str, value: bytes | None, key: bytes | None) -> None:
        """What the fast way does not take."""
        self._guard.check_on_loop()
        self._check_fatal()
        lanes = self._topics.get(topic)
        if lanes is None:
            raise BufferFull(f"topic '{topic}' is not known yet: await send()", topic=topic)
        if lanes.accumulator.owes_turn:
            asyncio.get_running_loop().call_soon(lanes.accumulator.turn_given)
            raise BufferFull("full batches wait for the event loop's turn: await send()")
        try:
            added = lanes.add_plain(value) if key is None else lanes.add(value, key)
        except RecordTooLarge as error:
            raise to_be_asked(error) from None
        if added is None:
            raise buffer_full(self.config, self.buffered_bytes)

    async def send_many(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None = None,
        *,
        partition: int | None = None,
        timestamps_ms: Sequence[int] | None = None,
    ) -> RecordHandles:
        """Add many records at once: as send() of each in order, at a fraction of the cost.

        Gives their handles; `await` it for all receipts. Waits, at most max_block_ms each time,
        whenever the buffer is full. An error's details say how many were `added`, and its attribute
        `added` has their handles; records of a type or size that send() would refuse are refused
        before any is, by their `index`.
        """
        has_nulls = check_columns(values, keys, timestamps_ms)
        await self._lanes(topic)
        places = RecordPlaces()
        plain = keys is None and timestamps_ms is None and not has_nulls
        try:
            lengths = await self._put(topic, check_sizes, values, keys, has_nulls)
            if plain:
                await self._add_plain(topic, values, lengths, partition, places)  # type: ignore[arg-type]
            else:
                await self._add_each(topic, values, keys, partition, timestamps_ms, places)
        except LogdError as error:
            error.added = RecordHandles(places)
            raise with_added(error, len(places)) from None
        return RecordHandles(places)

    @short_traceback
    async def flush(self) -> None:
        """Send everything now, and wait until the outcome of every record is known.

        Bounded by delivery_timeout_ms. Raises the first failure since the last flush that no
        handle has raised or shown: a record whose handle nobody keeps is not lost in silence.
        """
        self._guard.check_on_loop()
        if self._sender is not None:
            await self._sender.flush()

    @short_traceback
    async def close(self, *, flush: bool = True) -> None:
        """Flush, which may raise, and give everything back. Safe to call twice.

        Without `flush`, records that have no outcome yet fail with ClientClosed.
        """
        if not self._guard.usable:
            return
        self._guard.check_loop()
        try:
            if flush and self._sender is not None:
                await self._sender.flush()
        finally:
            self._guard.close()
            if self._sender is not None:
                await self._sender.close()
            await self._connection.close()

    @short_traceback
    async def _lanes(self, topic: str) -> TopicLanes:
        """Where a topic is used first: starts the sender, and asks for the topic's metadata."""
        self._guard.check_on_loop()
        if self._sender is None:
            self._sender = ProducerSender(
                self.config,
                self._connection,
                make_future=self._new_future,
                on_room=self._on_room,
            )
            self._topics = self._sender.topics.known
        self._check_fatal()
        return await self._sender.topics.lanes(topic)

    def _new_future(self) -> SharedFuture:
        """Of a batch that is opened: what the fastest way in does not check is checked here."""
        self._guard.check_loop()
        return SharedFuture(self._guard.check_loop)

    def _check_fatal(self) -> None:
        if self._sender is not None and self._sender.session.fatal is not None:
            raise self._sender.session.fatal

    def _on_room(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    @short_traceback
    async def _put(self, topic: str, add: Callable[..., T | None], *what: Any) -> T:
        """`add(lanes, *what)`, at once or when the buffer has room; what the topic is
        not known to take, once more when its metadata is read anew. Raises BufferFull,
        RecordTooLarge and UnknownPartition."""
        until = asyncio.get_running_loop().time() + self.config.max_block_ms / 1000
        lanes = self._topics.get(topic) or await self._lanes(topic)
        is_fresh = False
        while True:
            try:
                added = add(lanes, *what)
            except NOT_KNOWN_TO_BE_TAKEN:
                if is_fresh or self._sender is None:
                    raise
                await self._sender.topics.reread(topic)
                is_fresh = True
            else:
                if added is not None:
                    return added
                await self._wait_for_room(until)
            lanes = await self._lanes(topic)

    async def _wait_for_room(self, until: float) -> None:
        """At most until this time of the loop; then raises BufferFull."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout_at(until):
                await waiter
        except TimeoutError:
            raise buffer_full(self.config, self.buffered_bytes) from None
        finally:
            self._waiters.pop(waiter, None)

    async def _add_plain(
        self,
        topic: str,
        values: Sequence[bytes],
        lengths: Lengths,
        partition: int | None,
        places: RecordPlaces,
    ) -> None:
        accumulator = (await self._lanes(topic)).accumulator
        while (at := len(places)) < len(values):
            what = (values, lengths, at, partition)
            places.extend(await self._put(topic, TopicLanes.add_many, *what))
            if accumulator.owes_turn:
                await _give_turn(accumulator)

    async def _add_each(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        partition: int | None,
        timestamps_ms: Sequence[int] | None,
        places: RecordPlaces,
    ) -> None:
        columns = (keys or repeat(None), timestamps_ms or repeat(None))
        lanes = await self._lanes(topic)
        for at, (value, key, timestamp_ms) in enumerate(zip(values, *columns, strict=False)):
            record = (value, key, partition, None, timestamp_ms)
            try:
                added = lanes.add(*record)
            except NOT_KNOWN_TO_BE_TAKEN:
                added = None
            if added is None:
                added = await self._put(topic, TopicLanes.add, *record)
                lanes = await self._lanes(topic)
            places.add(added)
            if lanes.accumulator.owes_turn or at % MANY_STEP == MANY_STEP - 1:
                await _give_turn(lanes.accumulator)
                lanes = await self._lanes(topic)


async def _give_turn(accumulator: Accumulator) -> None:
    """One turn a batch: the sender may have to wait for the broker."""
    accumulator.turn_given()
    await asyncio.sleep(0)


async def find_broker(connection: BrokerConnection, config: ProducerConfig) -> None:
    """The work of start()."""
    await connection.call(
        "ClusterService/GetClusterInfo",
        cluster_pb2.GetClusterInfoRequest(),
        cluster_pb2.GetClusterInfoResponse,
        timeout_ms=min(START_TIMEOUT_MS, config.request_timeout_ms),
    )
