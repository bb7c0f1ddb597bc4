"""The asyncio shell under both producers: moves batches from the accumulator to the broker."""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from logd.model.errors import BrokerUnreachable, ClientClosed, LogdError
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.record_batch import Codec
from logd.model.seams import TransportStream
from logd.system.background_tasks import BackgroundTasks
from logd.wire.produce_request import ProduceEntry, write_produce_request
from logd_client.batch_compressor import BatchCompressor
from logd_client.broker_connection import BrokerConnection, persist
from logd_client.client_config import ProducerConfig
from logd_client.core.accumulator import Accumulator, AccumulatorLimits
from logd_client.core.outcomes import with_outcome
from logd_client.core.partition_lane import ClosedBatch
from logd_client.core.producer_actions import BreakStream, GetIdentity, RefreshTopic, Settled
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.producer_session import ProducerSession, SessionLimits
from logd_client.core.topic_lanes import TopicLanes
from logd_client.diagnostics import logger
from logd_client.flush_waiters import FlushWaiters
from logd_client.produce_response import ACKS, MESSAGE_BYTES, unpack_produce_response
from logd_client.producer_topics import ProducerTopics
from logd_client.sleeper import Sleeper
from logd_proto.v1 import data_pb2

TICK_MS_MAX = 500
"""How often batches are looked at for their delivery time-out, at least; it is kept to an eighth of
that time-out."""

THROTTLE_MS_MAX = 30_000
"""No broker may ask for a longer pause than this."""


class ProducerSender:
    """Sends what the accumulator holds, on one event loop, and mends the stream when it breaks.

    `lock` guards the accumulator where records are added in other threads (else it is one of its
    own, as nothing is cheaper), and `notify` then calls on the loop what it is given. `on_room` is
    called on the loop whenever buffer space came free, or all is over.
    """

    def __init__(
        self,
        config: ProducerConfig,
        connection: BrokerConnection,
        *,
        lock: AbstractContextManager[Any] | None = None,
        make_future: Callable[[], Any],
        on_room: Callable[[], None],
        notify: Callable[..., object] | None = None,
    ) -> None:
        self.config = config
        self.connection = connection
        self._lock = threading.Lock() if lock is None else lock
        self._on_room = on_room
        self._clock = connection.clock
        self._sleeper = Sleeper()
        self._wake = self._sleeper.wake
        self.accumulator = Accumulator(
            AccumulatorLimits(
                batch_size=config.batch_size,
                buffer_memory=config.buffer_memory,
                linger_ms=config.linger_ms,
                in_flight_max=config.max_in_flight_requests_per_connection,
            ),
            self._clock,
            make_future,
            self._sleeper.wake_in if notify is None else partial(notify, self._sleeper.wake_in),
        )
        codec = Codec[config.compression_type.upper()]
        self.session = ProducerSession(
            SessionLimits(
                delivery_timeout_ms=config.delivery_timeout_ms,
                request_timeout_ms=config.request_timeout_ms,
                in_flight_max=config.max_in_flight_requests_per_connection,
                idempotent=config.enable_idempotence,
                codec=codec,
            )
        )
        compresses = codec is not Codec.NONE
        self._compressor = BatchCompressor(codec, self._compressed) if compresses else None
        self.topics = ProducerTopics(config, connection, self.accumulator, self.session, self._lock)
        self._backoff = self.topics.new_backoff()
        self._acks = ACKS[config.acks]
        self._timeout_ms = min(config.request_timeout_ms, config.delivery_timeout_ms)
        self._stream: TransportStream | None = None
        self._address = connection.address
        self._resume_ms = 0
        self._flushes = FlushWaiters()
        self._failure: LogdError | None = None
        self.ended = False
        self._background = BackgroundTasks(self._clock, logger)
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn("producer: send", self._run())
        self._spawn("producer: look at the clock", self._tick())
        _senders.add(self)

    async def flush(self) -> None:
        """Send what was added so far without lingering, and wait until each outcome is known.

        Raises the first failure since the last flush that no handle has told; once a task of the
        producer has ended unexpectedly, always that.
        """
        self._raise_failure()
        with self._lock:
            closed = self.accumulator.drain_all()
        self._enqueue(closed)
        self._perform()
        pending = {batch for batch in self.session.unsettled if batch.outcome is None}
        if pending:
            self._wake()
            await self._flushes.wait(pending)
        self._raise_failure()
        self._flushes.raise_untold()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise with_outcome(self._failure, unknown=self._failure.outcome_unknown)

    def end(self, why: str) -> None:
        """Say how many records have no outcome, and now get none. Only the first call does."""
        if self.ended:
            return
        self.ended = True
        with self._lock:
            self.session.enqueue(self.accumulator.drain_all())
        batches = [batch for batch in self.session.unsettled if batch.outcome is None]
        if batches:
            records = sum(batch.record_count for batch in batches)
            sent = self.session.in_flight
            logger.warning(
                "records_failed", records=records, batches=len(batches), sent=sent, error=why
            )

    async def close(self, why: str = "the producer was closed") -> None:
        """Stop. What has no outcome yet fails with ClientClosed."""
        self.end(why)
        self.session.fail_all(self.session.fatal or ClientClosed(why))
        self._perform()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._compressor is not None:
            self._compressor.close()
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()
        await self.connection.close()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._background.start(name, work, self._fail)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, error: Exception) -> None:
        """A task ended unexpectedly: nothing more is sent, and from now on every call says so."""
        unknown = self.session.in_flight > 0
        failure = with_outcome(LogdError(f"the producer failed: {error!r}"), unknown=unknown)
        self._failure = self._failure or failure
        self.session.fail_all(self._failure)
        with self._lock:
            self.session.enqueue(self.accumulator.drain_all())
            self.topics.known.clear()  # so that no send() takes the short way past the check
        self._perform()

    # The writing side

    def _enqueue(self, closed: Sequence[ClosedBatch]) -> None:
        if self._compressor is not None:
            self._compressor.begin([batch for _, batch in closed])
        self.session.enqueue(closed)

    def _compressed(self, batch: ProducerBatch) -> None:
        self.session.compressed(batch)
        self._wake()

    async def _run(self) -> None:
        try:
            while True:
                now_ms = self._clock.monotonic_ms()
                with self._lock:
                    closed = self.accumulator.drain(now_ms)
                    due_ms = self.accumulator.next_due_ms()
                if closed:
                    self._enqueue(closed)
                if now_ms < self._resume_ms:
                    due_ms = self._resume_ms if due_ms is None else max(due_ms, self._resume_ms)
                    self._perform()
                elif await self._send(now_ms) and self.session.wants_turn:
                    continue
                resume_ms = self.session.next_resume_ms()
                await self._sleeper.sleep(self._delay_ms(due_ms, resume_ms))
                self._sleeper.woken()
                if resume_ms is not None and resume_ms <= self._clock.monotonic_ms():
                    self.session.tick(self._clock.monotonic_ms())
                    self._perform()
        except (asyncio.CancelledError, GeneratorExit):
            self.end("its event loop ended before the producer was closed")
            raise

    def _delay_ms(self, due_ms: int | None, resume_ms: int | None) -> int | None:
        """Until the first of both; None: neither is known."""
        if due_ms is None or (resume_ms is not None and resume_ms < due_ms):
            due_ms = resume_ms
        return None if due_ms is None else due_ms - self._clock.monotonic_ms()

    async def _connect(self) -> None:
        self._address = self.connection.address
        try:
            self._stream = await self.connection.stream("DataService/ProduceStream")
        except LogdError as error:
            self._broken(None, error)
            return
        self.session.stream_opened()
        self._spawn("producer: read answers", self._read(self._stream, self._address))

    async def _send(self, now_ms: int) -> bool:
        """One message, where there is something to send."""
        if self._stream is None and self.session.unsettled:
            self._perform()
            await self._connect()
        entries = self.session.next_entries(now_ms, MESSAGE_BYTES)
        self._perform()
        stream = self._stream
        if stream is None or not entries:
            return False
        outgoing = [
            ProduceEntry(
                correlation_id=batch.correlation_id,
                topic_id=lane.topic.routing.topic_id,
                partition=lane.partition,
                partitioning_epoch=lane.topic.routing.partitioning_epoch,
                acks=self._acks,
                timeout_ms=self._timeout_ms,
                batch=encoded,
            )
            for lane, batch, encoded in entries
        ]
        message = write_produce_request(outgoing)
        try:
            await stream.send(message)
        except LogdError as error:
            self._broken(stream, error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._broken(stream, BrokerUnreachable("the stream was closed under a send"))
        return True

    # The reading side

    async def _read(self, stream: TransportStream, address: str) -> None:
        error: LogdError = BrokerUnreachable(f"the broker at {address} ended the produce stream")
        try:
            while (message := await stream.receive()) is not None:
                answers, throttle_ms = unpack_produce_response(message)
                now_ms = self._clock.monotonic_ms()
                for correlation_id, answer in answers:
                    self.session.answered(correlation_id, answer, now_ms)
                if self._resume_ms:
                    self._backoff.reset()
                self.connection.answered()
                if throttle_ms:
                    self._resume_ms = now_ms + min(throttle_ms, THROTTLE_MS_MAX)
                self._perform()
                if self.session.wants_turn or self.accumulator.held:  # what may go on now
                    self._wake()
        except LogdError as received:
            error = received
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        if stream is self._stream:
            self._broken(stream, error)

    def _broken(self, stream: TransportStream | None, error: LogdError) -> None:
        """The stream is of no use, or does not open: go on with a new one after a wait."""
        if stream is not self._stream:
            return
        self.connection.failed(self._address, error)
        if stream is not None:
            self._stream = None
            self._spawn("producer: close a stream", stream.close())
        now_ms = self._clock.monotonic_ms()
        self._resume_ms = now_ms + self._backoff.next_ms()
        in_flight = self.session.in_flight
        unsent = isinstance(error, BrokerUnreachable) and error.unsent
        self.session.stream_broken(now_ms, unsent=unsent)
        logger.debug("produce_stream_broken", error=str(error), batches_in_flight=in_flight)
        self._perform()
        self._wake()

    # What the session asks for

    def _perform(self) -> None:
        """Carry out what the last events ask for."""
        if not self.session.actions:
            return
        settled: list[ProducerBatch] = []
        for action in self.session.take_actions():
            match action:
                case Settled(batch):
                    settled.append(batch)
                case GetIdentity(raised):
                    self._spawn("producer: ask for an identity", self._identify(raised))
                case RefreshTopic(topic):
                    self._spawn("producer: read a topic's metadata", self._refresh(topic))
                case BreakStream(why):
                    self._broken(self._stream, BrokerUnreachable(why))
        if settled:
            self._complete(settled)

    def _complete(self, batches: Sequence[ProducerBatch]) -> None:
        with self._lock:
            self.accumulator.release(batches)
        for batch in batches:
            if isinstance(batch.outcome, LogdError):
                self._flushes.failed(batch)
                if not self.ended:
                    where = f"{batch.topic}:{batch.partition}"
                    what = f"{batch.outcome.reason}: {batch.outcome.message}"
                    count = batch.record_count
                    logger.warning("records_failed", where=where, records=count, error=what)
            batch.future.set_result(None)
        self._flushes.settled(batches)
        self._on_room()

    async def _identify(self, raised: tuple[ProducerId, ProducerEpoch] | None) -> None:
        request = data_pb2.InitProducerRequest()
        if raised is not None:
            request.producer_id, request.producer_epoch = raised
        answer = await persist(
            self.connection.call,
            "DataService/InitProducer",
            request,
            data_pb2.InitProducerResponse,
        )
        if isinstance(answer, LogdError):
            self.session.identity_failed(answer)
        else:
            self.session.identity_given(
                ProducerId(answer.producer_id), ProducerEpoch(answer.producer_epoch)
            )
        self._perform()
        self._wake()

    async def _refresh(self, topic: TopicLanes) -> None:
        await self.topics.refresh(topic)
        self._perform()
        self._wake()

    async def _tick(self) -> None:
        tick_ms = max(1, min(TICK_MS_MAX, self.config.delivery_timeout_ms // 8))
        while True:
            await asyncio.sleep(tick_ms / 1000)
            now_ms = self._clock.monotonic_ms()
            with self._lock:
                self.session.enqueue(self.accumulator.drain(now_ms))
                overdue = self.accumulator.overdue(now_ms - self.config.delivery_timeout_ms)
                self.session.enqueue(overdue)
            self.session.tick(now_ms)
            self._perform()
            if self.session.wants_turn:
                self._wake()


_senders: "weakref.WeakSet[ProducerSender]" = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for sender in list(_senders):
        sender.end("the program ended before the producer was closed")


def _in_child() -> None:
    """The records of a forked child's copies are the parent's."""
    for sender in list(_senders):
        sender.ended = True
    _senders.clear()


os.register_at_fork(after_in_child=_in_child)
