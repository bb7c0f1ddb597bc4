"""The synchronous producer: the same names without await.

How it works: as the asynchronous one, of which it has all but the face (see
`logd_client/producer.py`). Two sides share the buffer, the `Accumulator`, under one lock:

- the adding side, in the threads that call `send`: a record goes into its partition's open batch,
  under the lock, which is all that most calls do. A batch that is full or begins to linger is
  announced (`notify`) to the other side;
- the sending side, `ProducerSender` on the event loop of a `LoopThread`, which all clients of a
  process share: it takes closed batches out under the lock, whole, and settles them.

A thread waits in three places, none of them holding the lock: for room (`_put`, a condition that
`_on_room` notifies), for an outcome (`wait_for`, the batch's concurrent future), and for the loop
(`LoopThread.run`: a topic's metadata, flush, close). What is still open as the program ends is
flushed by `_flush_all`, while the loop's thread, a daemon, still runs.
"""

import atexit
import concurrent.futures

# It cannot be imported any more once the program ends, and an encoder may want it in that flush
# (pyarrow imports pandas with the first column that it makes).
import concurrent.futures.thread
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from logd.model.batch_encoder import Headers
from logd.model.errors import BufferFull, LogdError, RecordTooLarge, RequestTimeout
from logd.model.seams import Transport
from logd.system.system_clock import SystemClock
from logd_client.broker_connection import BrokerConnection
from logd_client.client_config import ProducerConfig, ProducerSettings, parse_settings
from logd_client.core.open_batch import NOT_OPEN
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.topic_lanes import Added, TopicLanes
from logd_client.producer import find_broker
from logd_client.producer_sender import ProducerSender
from logd_client.record_handle import PendingRecord, RecordPlaces, RecordReceipt, receipt_of
from logd_client.send_errors import (
    NOT_KNOWN_TO_BE_TAKEN,
    buffer_full,
    check_columns,
    check_sizes,
    to_be_asked,
    with_added,
)
from logd_client.sync.loop_thread import STOP_TIMEOUT_S, LoopThread
from logd_client.use_guard import UseGuard

T = TypeVar("T")

EXIT_FLUSH_MS = 10_000
"""How long the end of a program may wait for the records of all producers that it left open."""

_open: dict[ProducerSender, LoopThread] = {}
"""Of this process. Held, since records that were sent outlive a Producer that nobody holds."""


class RecordHandle(PendingRecord):
    """`handle.result()` gives the RecordReceipt, or raises why the record was not acknowledged."""

    def result(self, timeout: float | None = None) -> RecordReceipt:
        """Wait until the outcome is known: `timeout` seconds, then RequestTimeout is raised and the
        record stays on its way. None: delivery_timeout_ms bounds it."""
        wait_for(self._batch, timeout)
        return receipt_of(self._batch, self._index)


class RecordHandles:
    """What send_many() gives: `result()` waits for all records, as RecordHandle's does for one."""

    __slots__ = ("_places",)

    def __init__(self, places: RecordPlaces) -> None:
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def result(self, timeout: float | None = None) -> list[RecordReceipt]:
        """All receipts, or the first failure. `timeout` seconds bound each batch's wait."""
        for batch in self._places.batches:
            wait_for(batch, timeout)
        return self._places.receipts()


class Producer:
    """Writes records: `with Producer(bootstrap_servers=...) as producer`. As the async one.

    send() adds to the buffer in the caller's thread and returns; batches cross over to the loop
    thread whole. Any number of threads may send. What is not closed when the program ends is
    flushed then, for 10 s at most (EXIT_FLUSH_MS); how many records that leaves is told on stderr.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str | Sequence[str] | None = None,
        transport: Transport | None = None,
        **settings: Unpack[ProducerSettings],
    ) -> None:
        named = {"bootstrap_servers": bootstrap_servers, **settings}
        self.config = parse_settings(ProducerConfig, named)
        self._guard = UseGuard("Producer", self._forget)
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._thread = LoopThread.acquire()
        try:
            self._sender = self._thread.run(self._start(transport))
        except BaseException:
            self._thread.release()
            raise
        _open[self._sender] = self._thread
        self._topics = self._sender.topics.known

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close(flush=False)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = kind is not None and not issubclass(kind, Exception)
        with contextlib.suppress(*(() if kind is None else (LogdError,))):  # the first error counts
            self.close(flush=not interrupted)

    def _forget(self) -> None:
        """In a forked child: no batch there will be sent, so none takes a record."""
        self._topics = {}

    def start(self) -> None:
        """Learn now whether a broker answers; `with` does it. As the async start()."""
        self._guard.check()
        self._thread.run(find_broker(self._sender.connection, self.config))

    @property
    def in_flight(self) -> int:
        """Batches that await their acknowledgement."""
        return self._sender.session.in_flight

    @property
    def buffered_bytes(self) -> int:
        """Bytes of buffer_memory taken by records without an outcome."""
        return self._sender.accumulator.buffered_bytes

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        partition: int | None = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordHandle:
        """Add one record, and give its handle: `receipt = handle.result()`. As the async send()."""
        lanes = self._topics.get(topic)
        if lanes is None or not self._guard.usable:
            lanes = self._lanes(topic)
        plain = key is None and partition is None and headers is None and timestamp_ms is None
        with self._lock:
            if plain and type(value) is bytes:
                open_batch = lanes.ahead
                values, value_bytes = open_batch.values, len(value)
                if (
                    len(values) < open_batch.ahead_end
                    and value_bytes <= open_batch.ahead_value_bytes
                ):
                    values.append(value)
                    return RecordHandle(open_batch.batch, len(values) - 1)
            try:
                if plain:
                    added_to = lanes.add_plain(value)
                else:
                    added_to = lanes.add(value, key, partition, headers, timestamp_ms)
            except NOT_KNOWN_TO_BE_TAKEN:
                added_to = None
            if added_to is not None:
                return RecordHandle(added_to.batch, len(added_to.values) - 1)
        record = (value, key, partition, headers, timestamp_ms)
        added = self._put(topic, _add_one, *record)
        return RecordHandle(added.batch, added.first)

    def send_nowait(self, topic: str, value: bytes | None, key: bytes | None = None) -> None:
        """Add one record without waiting and without a handle: as the async one. BufferFull where
        send() would wait: then call that."""
        with self._lock:
            if key is None and type(value) is bytes:
                try:
                    open_batch = self._topics[topic].ahead
                except KeyError:
                    open_batch = NOT_OPEN
                values, value_bytes = open_batch.values, len(value)
                if (
                    len(values) < open_batch.ahead_end
                    and value_bytes <= open_batch.ahead_value_bytes
                ):
                    values.append(value)
                    return
        self._send_nowait(topic, value, key)

    def _send_nowait(self, topic: str, value: bytes | None, key: bytes | None) -> None:
        """What the fast way does not take."""
        self._guard.check()
        if self._sender.session.fatal is not None:
            raise self._sender.session.fatal
        lanes = self._topics.get(topic)
        if lanes is None:
            raise BufferFull(f"topic '{topic}' is not known yet: use send()", topic=topic)
        try:
            with self._lock:
                added = lanes.add_plain(value) if key is None else lanes.add(value, key)
        except RecordTooLarge as error:
            raise to_be_asked(error) from None
        if added is None:
            raise buffer_full(self.config, self.buffered_bytes)

    def send_many(
        self,
        topic: str,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None = None,
        *,
        partition: int | None = None,
        timestamps_ms: Sequence[int] | None = None,
    ) -> RecordHandles:
        """Add many records at once. As the async send_many()."""
        has_nulls = check_columns(values, keys, timestamps_ms)
        self._lanes(topic)
        places = RecordPlaces()
        plain = keys is None and timestamps_ms is None and not has_nulls
        try:
            lengths = self._put(topic, check_sizes, values, keys, has_nulls)
            if plain:
                while (at := len(places)) < len(values):
                    what = (values, lengths, at, partition)
                    places.extend(self._put(topic, TopicLanes.add_many, *what))
            else:
                for at, value in enumerate(values):
                    key = None if keys is None else keys[at]
                    timestamp_ms = None if timestamps_ms is None else timestamps_ms[at]
                    record = (value, key, partition, None, timestamp_ms)
                    places.extend(self._put(topic, _add_one, *record))
        except LogdError as error:
            error.added = RecordHandles(places)
            raise with_added(error, len(places)) from None
        return RecordHandles(places)

    def flush(self, timeout: float | None = None) -> None:
        """Send everything now, and wait until the outcome of every record is known: `timeout`
        seconds, then RequestTimeout; None: delivery_timeout_ms bounds it. Raises the first failure
        since the last flush that no handle has raised or shown."""
        self._guard.check()
        self._thread.run(self._sender.flush(), timeout)

    def close(self, *, flush: bool = True) -> None:
        """Flush, which may raise, and give everything back. Safe to call twice.

        Without `flush`, records that have no outcome yet fail with ClientClosed.
        """
        if not self._guard.usable:
            return
        try:
            if flush:
                self._thread.run(self._sender.flush())
        finally:
            self._guard.close()
            _open.pop(self._sender, None)
            self._thread.run(self._sender.close())
            self._thread.release()

    async def _start(self, transport: Transport | None) -> ProducerSender:
        connection = BrokerConnection(
            self.config.bootstrap_servers,
            client_id=self.config.client_id,
            request_timeout_ms=self.config.request_timeout_ms,
            retry_backoff_ms=self.config.retry_backoff_ms,
            transport=transport,
        )
        return ProducerSender(
            self.config,
            connection,
            lock=self._lock,
            make_future=concurrent.futures.Future,
            on_room=self._on_room,
            notify=self._thread.loop.call_soon_threadsafe,
        )

    def _on_room(self) -> None:
        with self._room:
            self._room.notify_all()

    def _lanes(self, topic: str) -> TopicLanes:
        self._guard.check()
        if self._sender.session.fatal is not None:
            raise self._sender.session.fatal
        known = self._topics.get(topic)
        return self._thread.run(self._sender.topics.lanes(topic)) if known is None else known

    def _put(self, topic: str, add: Callable[..., T | None], *what: Any) -> T:
        """As the asynchronous one's."""
        clock, waited, is_fresh = self._sender.connection.clock, False, False
        until_ms = clock.monotonic_ms() + self.config.max_block_ms
        while True:
            lanes = self._lanes(topic)
            try:
                with self._room:
                    added = add(lanes, *what)
                    if added is not None:
                        return added
                    left_ms = until_ms - clock.monotonic_ms()
                    if left_ms <= 0 and waited:
                        raise buffer_full(self.config, self.buffered_bytes)
                    waited = True
                    self._room.wait(max(0, left_ms) / 1000)
            except NOT_KNOWN_TO_BE_TAKEN as error:
                if is_fresh:
                    raise error.with_traceback(None) from None
                self._thread.run(self._sender.topics.reread(topic))
                is_fresh = True


def _add_one(lanes: TopicLanes, *record: Any) -> Added | None:
    """One record, with its index taken under the lock."""
    added = lanes.add(*record)
    return None if added is None else Added(added.batch, len(added.values) - 1, 1)


def wait_for(batch: ProducerBatch, timeout: float | None) -> None:
    """Until the batch's outcome is known. Raises RequestTimeout."""
    try:
        batch.future.result(timeout)
    except concurrent.futures.TimeoutError:
        raise RequestTimeout(
            f"no acknowledgement for topic '{batch.topic}' partition {batch.partition} "
            f"within {timeout} s; the records are still on their way"
        ) from None


@atexit.register
def _flush_all() -> None:
    """The loop thread still runs: daemon threads stop only after this."""
    clock = SystemClock()
    until_ms = clock.monotonic_ms() + EXIT_FLUSH_MS
    while _open:
        sender, thread = _open.popitem()
        left_ms = max(0, until_ms - clock.monotonic_ms())
        with contextlib.suppress(LogdError):  # it is logged, as what is left now is
            thread.run(sender.flush(), left_ms / 1000)
        with contextlib.suppress(LogdError):
            why = "the program ended before the producer was closed"
            thread.run(sender.close(why), STOP_TIMEOUT_S)
        thread.release()


os.register_at_fork(after_in_child=_open.clear)
