"""The topics of a producer: what they are, learnt when one is first sent to and when it changes."""

from contextlib import AbstractContextManager
from typing import Any

from logd.model.errors import LogdError, UnknownTopic
from logd_client.broker_connection import RETRY_BACKOFF_MAX_MS, BrokerConnection, persist
from logd_client.client_config import ProducerConfig
from logd_client.core.accumulator import Accumulator
from logd_client.core.backoff import Backoff
from logd_client.core.partition_lane import PartitionLane
from logd_client.core.producer_session import ProducerSession
from logd_client.core.rerouting import reroute
from logd_client.core.topic_lanes import TopicLanes


class ProducerTopics:
    """On the producer's event loop; `known` may be read by the adding side. `lock` guards the
    accumulator."""

    def __init__(
        self,
        config: ProducerConfig,
        connection: BrokerConnection,
        accumulator: Accumulator,
        session: ProducerSession,
        lock: AbstractContextManager[Any],
    ) -> None:
        self.known: dict[str, TopicLanes] = {}
        self._retry_backoff_ms = config.retry_backoff_ms
        self._timeout_ms = min(config.max_block_ms, config.request_timeout_ms)
        self._connection = connection
        self._accumulator = accumulator
        self._session = session
        self._lock = lock

    async def lanes(self, name: str) -> TopicLanes:
        """The topic's lanes; asks for its metadata the first time. Raises UnknownTopic."""
        if name not in self.known:
            metadata = await self._connection.topic(name, timeout_ms=self._timeout_ms)
            if name not in self.known:
                turn = int(self._connection.random.uniform(0, metadata.partitions))
                self.known[name] = TopicLanes(
                    name, metadata.routing, self._accumulator, self._make_lane, turn
                )
        return self.known[name]

    async def reread(self, name: str) -> None:
        """Learn how large a record the topic takes by now, and which partitions may be named; what
        else has changed of it is learnt when a batch is refused for it. Raises UnknownTopic."""
        topic = await self.lanes(name)
        metadata = await self._connection.topic(name, timeout_ms=self._timeout_ms)
        fresh, known = metadata.routing, topic.routing
        taken = known._replace(
            message_bytes_max=fresh.message_bytes_max,
            partitions=max(fresh.partitions, known.partitions),
        )
        with self._lock:
            topic.route(taken)

    def _make_lane(self, topic: TopicLanes, partition: int) -> PartitionLane:
        return PartitionLane(topic, partition, self.new_backoff())

    def new_backoff(self) -> Backoff:
        """The waits of one series of retries."""
        return Backoff(self._retry_backoff_ms, RETRY_BACKOFF_MAX_MS, self._connection.random)

    async def refresh(self, topic: TopicLanes) -> None:
        """Exchange the metadata of a topic none of whose batches is in flight."""
        metadata = await persist(self._connection.topic, topic.name)
        now_ms = self._connection.clock.monotonic_ms()
        if isinstance(metadata, LogdError):
            self._drop(topic, metadata)
            return
        with self._lock:
            self._session.enqueue(self._accumulator.drain(now_ms))
            lost = reroute(topic, metadata.routing, self._accumulator)
        self._session.topic_refreshed(topic, lost, now_ms)

    def _drop(self, topic: TopicLanes, error: LogdError) -> None:
        """The topic is gone: the next send() to it asks for its metadata again."""
        if isinstance(error, UnknownTopic):
            self.known.pop(topic.name, None)
        with self._lock:
            self._session.enqueue(self._accumulator.drain_all())
        self._session.topic_failed(topic, error)
