"""The asyncio shell under both producers: moves batches from the accumulator to the broker."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any

from logd.model.errors import BrokerUnreachable, ClientClosed, LogdError, UnknownTopic
from logd.model.ids import ProducerEpoch, ProducerId
from logd.model.record_batch import Codec
from logd.model.seams import TransportStream
from logd_client.batch_compressor import BatchCompressor
from logd_client.broker_connection import RETRY_BACKOFF_MAX_MS, BrokerConnection
from logd_client.client_config import ProducerConfig
from logd_client.core.accumulator import Accumulator, AccumulatorLimits
from logd_client.core.backoff import Backoff
from logd_client.core.outcomes import with_outcome
from logd_client.core.partition_lane import PartitionLane
from logd_client.core.producer_actions import BreakStream, GetIdentity, RefreshTopic, Settled
from logd_client.core.producer_batch import ProducerBatch
from logd_client.core.producer_session import ProducerSession, SessionLimits
from logd_client.core.rerouting import reroute
from logd_client.core.topic_lanes import TopicLanes
from logd_client.diagnostics import logger
from logd_client.produce_request import (
    ACKS,
    MESSAGE_BYTES,
    OutgoingEntry,
    pack_produce_request,
    unpack_produce_response,
)
from logd_proto.v1 import data_pb2

TICK_MS_MAX = 500
"""How often batches are looked at for their delivery time-out, at least; it is kept to an eighth of
that time-out."""

FAILED_BATCHES_KEPT_MAX = 100
"""Failed batches that the next flush may have to tell of; each is also logged."""

THROTTLE_MS_MAX = 30_000
"""No broker may ask for a longer pause than this."""


class ProducerSender:
    """Sends what the accumulator holds, on one event loop, and mends the stream when it breaks.

    `lock` guards the accumulator where records are added in other threads; `wake` is how such an
    addition is announced (any thread may call it). `on_room` is called on the loop whenever buffer
    space came free or all is over. `topics` may be read by the adding side; only the loop changes
    it.
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
        self.topics: dict[str, TopicLanes] = {}
        self._lock = lock
        self._on_room = on_room
        self._random = connection.random
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
        self._metadata_timeout_ms = min(config.max_block_ms, config.request_timeout_ms)
        self._backoff = self._new_backoff()
        self._stream: TransportStream | None = None
        self._address = connection.address
        self._resume_ms = 0
        self._flushes: dict[asyncio.Future[None], set[ProducerBatch]] = {}
        self._failed: list[ProducerBatch] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._run())
        self._spawn(self._tick())

    async def lanes(self, topic: str) -> TopicLanes:
        """The topic's lanes; asks for its metadata the first time. Raises UnknownTopic."""
        if topic not in self.topics:
            metadata = await self.connection.topic(
                topic, refresh=True, timeout_ms=self._metadata_timeout_ms
            )
            if topic not in self.topics:
                turn = int(self._random.uniform(0, metadata.partitions))
                self.topics[topic] = TopicLanes(
                    topic, metadata.routing, self.accumulator, self._make_lane, turn
                )
        return self.topics[topic]

    async def flush(self) -> None:
        """Send what was added so far without lingering, and wait until each outcome is known.

        Raises the first failure since the last flush that no handle has told.
        """
        with self._lock:
            batches = self.accumulator.drain_all()
        self._enqueue(batches)
        self._perform()
        pending = {batch for batch in self.session.unsettled if batch.outcome is None}
        if pending:
            flushed = asyncio.get_running_loop().create_future()
            self._flushes[flushed] = pending
            self._wake.set()
            try:
                await flushed
            finally:
                self._flushes.pop(flushed, None)
        self._raise_untold()

    def _raise_untold(self) -> None:
        failed, self._failed = self._failed, []
        for batch in failed:
            if not batch.told and isinstance(batch.outcome, LogdError):
                batch.told = True
                raise with_outcome(batch.outcome, unknown=batch.outcome.outcome_unknown)

    async def close(self) -> None:
        """Stop. What has no outcome yet fails with ClientClosed."""
        with self._lock:
            self.session.enqueue(self.accumulator.drain_all())
        self.session.fail_all(self.session.fatal or ClientClosed("the producer was closed"))
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

    def _make_lane(self, topic: TopicLanes, partition: int) -> PartitionLane:
        return PartitionLane(topic, partition, self._new_backoff())

    def _new_backoff(self) -> Backoff:
        return Backoff(self.config.retry_backoff_ms, RETRY_BACKOFF_MAX_MS, self._random)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("producer_failed", error=repr(error), exc_info=error)
            self.session.fail_all(LogdError(f"the producer failed: {error!r}"))
            self._perform()

    # The writing side

    def _enqueue(self, batches: Sequence[ProducerBatch]) -> None:
        self._compressor.begin(batches)
        self.session.enqueue(batches)

    def _compressed(self, batch: ProducerBatch) -> None:
        self.session.compressed(batch)
        self._wake.set()

    async def _run(self) -> None:
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
        self._spawn(self._read(self._stream, self._address))

    async def _send(
        self, stream: TransportStream, entries: list[tuple[ProducerBatch, bytes]]
    ) -> None:
        outgoing = [
            OutgoingEntry(
                correlation_id=batch.correlation_id,
                topic_id=batch.lane.topic.routing.topic_id,
                partition=batch.lane.partition,
                partitioning_epoch=batch.lane.topic.routing.partitioning_epoch,
                batch=encoded,
            )
            for batch, encoded in entries
        ]
        timeout_ms = min(self.config.request_timeout_ms, self.config.delivery_timeout_ms)
        message = pack_produce_request(outgoing, ACKS[self.config.acks], timeout_ms)
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
        self.connection.mark_broken(self._address)
        if stream is not None:
            self._stream = None
            self._spawn(stream.close())
        now_ms = self._clock.monotonic_ms()
        self._resume_ms = now_ms + self._backoff.next_ms()
        in_flight = self.session.in_flight
        self.session.stream_broken(now_ms)
        logger.info("produce_stream_broken", error=str(error), batches_in_flight=in_flight)
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
                    self._spawn(self._identify(raised))
                case RefreshTopic(topic):
                    self._spawn(self._refresh(topic))
                case BreakStream(why):
                    self._broken(self._stream, BrokerUnreachable(why))
        if room:
            self._on_room()

    def _complete(self, batch: ProducerBatch) -> None:
        with self._lock:
            self.accumulator.release(batch)
        if isinstance(batch.outcome, LogdError):
            where = f"{batch.lane.topic.name}:{batch.lane.partition}"
            what = f"{batch.outcome.reason}: {batch.outcome.message}"
            logger.warning("records_failed", where=where, records=batch.record_count, error=what)
            if len(self._failed) < FAILED_BATCHES_KEPT_MAX:
                self._failed.append(batch)
        if not batch.future.done():
            batch.future.set_result(None)
        for flushed, pending in self._flushes.items():
            pending.discard(batch)
            if not pending and not flushed.done():
                flushed.set_result(None)

    async def _identify(self, raised: tuple[ProducerId, ProducerEpoch] | None) -> None:
        request = data_pb2.InitProducerRequest()
        if raised is not None:
            request.producer_id, request.producer_epoch = raised
        answer = await self._persist(
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
        metadata = await self._persist(self.connection.topic, topic.name, refresh=True)
        now_ms = self._clock.monotonic_ms()
        if isinstance(metadata, LogdError):
            self._drop(topic, metadata)
        else:
            with self._lock:
                self.session.enqueue(self.accumulator.drain(now_ms))
                lost = reroute(topic, metadata.routing, self.accumulator)
            self.session.topic_refreshed(topic, lost, now_ms)
        self._perform()
        self._wake.set()

    def _drop(self, topic: TopicLanes, error: LogdError) -> None:
        """The topic is gone: the next send() to it asks for its metadata again."""
        if isinstance(error, UnknownTopic):
            self.topics.pop(topic.name, None)
        with self._lock:
            self.session.enqueue(self.accumulator.drain_all())
        self.session.topic_failed(topic, error)

    async def _persist(
        self, ask: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, **named: Any
    ) -> Any:
        """Ask until there is an answer or a refusal for good; who waits for it is bounded by the
        delivery time-out."""
        while True:
            try:
                return await ask(*arguments, **named)
            except LogdError as error:
                if not error.retriable:
                    return error
                logger.info("producer_retries", error=str(error))

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
