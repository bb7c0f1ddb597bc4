"""The asyncio shell under both producers: moves batches from the accumulator to the broker."""

import asyncio
import atexit
import os
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
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
from logd_client.core.producer_actions import BreakStream, GetIdentity, RefreshTopic, Settled
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.producer_session import ProducerSession, SessionLimits
from logd_client.core.topic_lanes import TopicLanes
from logd_client.diagnostics import logger
from logd_client.flush_waiters import FlushWaiters
from logd_client.produce_response import ACKS, MESSAGE_BYTES, unpack_produce_response
from logd_client.producer_topics import ProducerTopics
from logd_proto.v1 import data_pb2

TICK_MS_MAX = 500
"""How often batches are looked at for their delivery time-out, at least; it is kept to an eighth of
that time-out."""

THROTTLE_MS_MAX = 30_000
"""No broker may ask for a longer pause than this."""


class ProducerSender:
    """Sends what the accumulator holds, on one event loop, and mends the stream when it breaks.

    `lock` guards the accumulator where records are added in other threads; `wake` is how such an
    addition is announced (any thread may call it). `on_room` is called on the loop whenever buffer
    space came free or all is over.
    """

    def __init__(
        self,
        config: ProducerConfig,
        connection: BrokerConnection,
        *,
        lock: AbstractContextManager[Any],
        make_future: Callable[[], Any],
        on_room: Callable[[], None],
        notify: Callable[[Callable[[], None]], object],
    ) -> None:
        self.config = config
        self.connection = connection
        self._lock = lock
        self._on_room = on_room
        self._clock = connection.clock
        self._wake = asyncio.Event()
        self.accumulator = Accumulator(
            AccumulatorLimits(
                batch_size=config.batch_size,
                buffer_memory=config.buffer_memory,
                linger_ms=config.linger_ms,
                in_flight_max=config.max_in_flight_requests_per_connection,
            ),
            self._clock,
            make_future,
            lambda: notify(self._wake.set),
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
        self._compressor = BatchCompressor(codec, self._compressed)
        self.topics = ProducerTopics(config, connection, self.accumulator, self.session, lock)
        self._backoff = self.topics.new_backoff()
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
            batches = self.accumulator.drain_all()
        self._enqueue(batches)
        self._perform()
        pending = {batch for batch in self.session.unsettled if batch.outcome is None}
        if pending:
            self._wake.set()
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

    def _enqueue(self, batches: Sequence[ProducerBatch]) -> None:
        self._compressor.begin(batches)
        self.session.enqueue(batches)

    def _compressed(self, batch: ProducerBatch) -> None:
        self.session.compressed(batch)
        self._wake.set()

    async def _run(self) -> None:
        try:
            await self._send_all()
        except (asyncio.CancelledError, GeneratorExit):
            self.end("its event loop ended before the producer was closed")
            raise

    async def _send_all(self) -> None:
        while True:
            now_ms = self._clock.monotonic_ms()
            with self._lock:
                batches = self.accumulator.drain(now_ms)
                due_ms = self.accumulator.next_due_ms()
            self._enqueue(batches)
            self._perform()
            if now_ms >= self._resume_ms:
                if self._stream is None and self.session.unsettled:
                    await self._connect()
                entries = self.session.next_entries(now_ms, MESSAGE_BYTES)
                self._perform()
                if entries and self._stream is not None:
                    await self._send(self._stream, entries)
                    continue
            else:
                due_ms = self._resume_ms if due_ms is None else max(due_ms, self._resume_ms)
            await self._wait(due_ms)

    async def _wait(self, until_ms: int | None) -> None:
        """Until woken, or the time has come."""
        resume_ms = self.session.next_resume_ms()
        times = [t for t in (until_ms, resume_ms) if t is not None]
        timer = None
        if times:
            delay_ms = max(0, min(times) - self._clock.monotonic_ms())
            timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._wake.set)
        await self._wake.wait()
        self._wake.clear()
        if timer is not None:
            timer.cancel()
        if resume_ms is not None and resume_ms <= (now_ms := self._clock.monotonic_ms()):
            self.session.tick(now_ms)
            self._perform()

    async def _connect(self) -> None:
        self._address = self.connection.address
        try:
            self._stream = await self.connection.stream("DataService/ProduceStream")
        except LogdError as error:
            self._broken(None, error)
            return
        self.session.stream_opened()
        self._spawn("producer: read answers", self._read(self._stream, self._address))

    async def _send(
        self, stream: TransportStream, entries: list[tuple[ProducerBatch, bytes]]
    ) -> None:
        acks = ACKS[self.config.acks]
        timeout_ms = min(self.config.request_timeout_ms, self.config.delivery_timeout_ms)
        outgoing = [
            ProduceEntry(
                correlation_id=batch.correlation_id,
                topic_id=batch.lane.topic.routing.topic_id,
                partition=batch.lane.partition,
                partitioning_epoch=batch.lane.topic.routing.partitioning_epoch,
                acks=acks,
                timeout_ms=timeout_ms,
                batch=encoded,
            )
            for batch, encoded in entries
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

    # The reading side

    async def _read(self, stream: TransportStream, address: str) -> None:
        error: LogdError = BrokerUnreachable(f"the broker at {address} ended the produce stream")
        try:
            while (message := await stream.receive()) is not None:
                answers, throttle_ms = unpack_produce_response(message)
                now_ms = self._clock.monotonic_ms()
                for correlation_id, answer in answers:
                    self.session.answered(correlation_id, answer, now_ms)
                self._backoff.reset()
                self.connection.answered()
                if throttle_ms:
                    self._resume_ms = now_ms + min(throttle_ms, THROTTLE_MS_MAX)
                self._perform()
                self._wake.set()
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
        self._wake.set()

    # What the session asks for

    def _perform(self) -> None:
        """Carry out what the last events ask for."""
        room = False
        for action in self.session.take_actions():
            match action:
                case Settled(batch):
                    room = True
                    self._complete(batch)
                case GetIdentity(raised):
                    self._spawn("producer: ask for an identity", self._identify(raised))
                case RefreshTopic(topic):
                    self._spawn("producer: read a topic's metadata", self._refresh(topic))
                case BreakStream(why):
                    self._broken(self._stream, BrokerUnreachable(why))
        if room:
            self._on_room()

    def _complete(self, batch: ProducerBatch) -> None:
        with self._lock:
            self.accumulator.release(batch)
        if isinstance(batch.outcome, LogdError) and not self.ended:
            where = f"{batch.lane.topic.name}:{batch.lane.partition}"
            what = f"{batch.outcome.reason}: {batch.outcome.message}"
            logger.warning("records_failed", where=where, records=batch.record_count, error=what)
        if not batch.future.done():
            batch.future.set_result(None)
        self._flushes.settled(batch)

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
        self._wake.set()

    async def _refresh(self, topic: TopicLanes) -> None:
        await self.topics.refresh(topic)
        self._perform()
        self._wake.set()

    async def _tick(self) -> None:
        tick_ms = max(1, min(TICK_MS_MAX, self.config.delivery_timeout_ms // 8))
        while True:
            await asyncio.sleep(tick_ms / 1000)
            now_ms = self._clock.monotonic_ms()
            with self._lock:
                self.session.enqueue(self.accumulator.drain(now_ms))
                for batch in self.accumulator.overdue(now_ms - self.config.delivery_timeout_ms):
                    self.accumulator.close(batch)
                    self.session.enqueue([batch])
            self.session.tick(now_ms)
            self._perform()


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
