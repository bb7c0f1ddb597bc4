"""A client's connection to the cluster: finds a broker, calls it, asks for metadata of topics."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from logd.model import addresses
from logd.model.binary_columns import ARROW_INSTALLED
from logd.model.checked_values import check_text
from logd.model.errors import BrokerUnreachable, InvalidConfig, LogdError, RequestTimeout
from logd.model.ids import TopicId
from logd.model.key_ranges import KeyRange, KeyRouter
from logd.model.seams import Clock, Random, Transport, TransportStream
from logd.model.topic_config import TopicConfig
from logd.system.grpc_transport import GrpcTransport
from logd.system.system_clock import SystemClock
from logd.system.system_random import SystemRandom
from logd_client.client_config import BOOTSTRAP_VARIABLE
from logd_client.core.backoff import Backoff
from logd_client.core.outage import Outage
from logd_client.core.topic_lanes import Routing
from logd_client.diagnostics import logger
from logd_client.short_traceback import short_traceback
from logd_client.use_guard import UseGuard
from logd_proto.v1 import cluster_pb2, common_pb2, topics_pb2

M = TypeVar("M", bound=Message)
T = TypeVar("T")

RETRY_BACKOFF_MAX_MS = 400
"""With gRPC's own wait (`GrpcTransport`) clients are back within a second of their broker."""


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    """What clients need of a topic. `partitions` is a count; `router` finds a key's partition.

    `open_partitions` are those that take new records (not sealed), in order.
    """

    name: str
    topic_id: TopicId
    partitions: int
    open_partitions: tuple[int, ...]
    router: KeyRouter
    partitioning_epoch: int
    config: dict[str, str]

    @property
    def routing(self) -> Routing:
        """What producers need of it."""
        limit = self.config.get("message_bytes_max")
        return Routing(
            topic_id=self.topic_id,
            router=self.router,
            open_partitions=self.open_partitions,
            partitions=self.partitions,
            partitioning_epoch=self.partitioning_epoch,
            message_bytes_max=TopicConfig().message_bytes_max if limit is None else int(limit),
        )


def parse_addresses(bootstrap_servers: str | Sequence[str]) -> tuple[str, ...]:
    """'host:port,host' or a sequence of such, as HOST:PORT each. Raises InvalidConfig."""
    try:
        found = addresses.parse_addresses(bootstrap_servers)
    except ValueError as error:
        raise InvalidConfig(
            f"bootstrap_servers (else {BOOTSTRAP_VARIABLE}): {error}", field="bootstrap_servers"
        ) from None
    if not found:
        raise InvalidConfig("bootstrap_servers is empty", field="bootstrap_servers")
    return tuple(map(str, found))


class BrokerConnection:
    """One client's way to the brokers, for tasks of one event loop.

    Addresses are used in the order given; one that fails gives way to the next. Every wait is
    bounded, and the error of a wait that ran out says what it waited for and which addresses were
    tried. Raises ClientClosed, UsedAfterFork and UsedInAnotherLoop from every method; `close` ends
    what waits in another, at once.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        client_id: str,
        request_timeout_ms: int = 30_000,
        retry_backoff_ms: int = 100,
        transport: Transport | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._addresses = parse_addresses(bootstrap_servers)
        self._at = 0
        self._request_timeout_ms = request_timeout_ms
        self._retry_backoff_ms = retry_backoff_ms
        self._transport: Transport = transport or _real_transport(client_id)
        self._answered = False
        self._outage = Outage()
        self._guard = UseGuard("client")
        self.clock: Clock = clock or SystemClock()
        self.random: Random = random or SystemRandom()

    @property
    def address(self) -> str:
        """The broker that is asked next, as HOST:PORT."""
        return self._addresses[self._at]

    def answered(self) -> None:
        """A broker has answered, be it by a refusal."""
        self._answered = True
        if self._outage.lasts:
            lasted_ms = self._outage.end(self.clock.monotonic_ms())
            if lasted_ms is not None:
                logger.warning("answered_again", after_s=lasted_ms // 1000, broker=self.address)

    def failed(self, address: str, error: LogdError) -> None:
        """A try at `address` came to nothing: if it is still the current one, go to the next.

        Warns now and then while none comes to anything: whoever waits then sees for what.
        """
        if address == self.address:
            self._at = (self._at + 1) % len(self._addresses)
            self._answered = False
        lasted_ms = self._outage.failed(self.clock.monotonic_ms())
        if lasted_ms is not None:
            tried = ",".join(self._addresses)
            logger.warning(
                "no_answer_yet", for_s=lasted_ms // 1000, tries=tried, error=error.message
            )

    @short_traceback
    async def call(
        self,
        method: str,
        request: Message,
        response_type: type[M],
        *,
        timeout_ms: int | None = None,
        unreachable_ms: int | None = None,
        retry: bool = True,
    ) -> M:
        """Make one call, such as 'TopicService/ListTopics', within `timeout_ms`, and within
        `unreachable_ms` while no broker can be reached.

        With `retry`, which only a call that is safe to repeat may have, retriable errors are tried
        again with backoff until the time is up. Without it the request is sent once, after a broker
        has been found to answer. Raises the typed error of the answer; BrokerUnreachable or
        RequestTimeout when the time is up.
        """
        budget_ms = self._request_timeout_ms if timeout_ms is None else timeout_ms
        if unreachable_ms is not None and not self._answered:
            budget_ms = min(budget_ms, unreachable_ms)
        deadline_ms = self.clock.monotonic_ms() + budget_ms
        async with self._guard.waiting():
            if retry:
                message = request.SerializeToString()
                answer = await self._repeat(method, message, deadline_ms, budget_ms, unreachable_ms)
                return response_type.FromString(answer)
            if not self._answered:
                await self._repeat("ClusterService/GetClusterInfo", _PROBE, deadline_ms, budget_ms)
            return response_type.FromString(await self._once(method, request, deadline_ms))

    @short_traceback
    async def topic(self, name: str, *, timeout_ms: int | None = None) -> TopicMetadata:
        """The topic's metadata as it is now; as `call`. Raises UnknownTopic."""
        ref = common_pb2.TopicRef(name=check_text("topic", name))
        request = topics_pb2.DescribeTopicRequest(topic=ref)
        answer = await self.call(
            "TopicService/DescribeTopic",
            request,
            topics_pb2.DescribeTopicResponse,
            timeout_ms=timeout_ms,
        )
        return _metadata(answer.topic)

    async def stream(self, method: str) -> TransportStream:
        """Open a stream to the current broker. It may prove broken only when it is used."""
        async with self._guard.waiting():
            return await self._transport.stream(self.address, f"/logd.v1.{method}")

    async def close(self) -> None:
        """Give the channels back. Safe to call twice; in a forked child it does nothing."""
        if self._guard.usable:
            self._guard.check_loop()
            self._guard.close()
            await self._transport.close()

    async def _once(self, method: str, request: Message, deadline_ms: int) -> bytes:
        address, left_ms = self.address, deadline_ms - self.clock.monotonic_ms()
        path = f"/logd.v1.{method}"
        try:
            return await self._transport.unary(
                address, path, request.SerializeToString(), max(1, left_ms)
            )
        except (BrokerUnreachable, RequestTimeout) as error:
            self.failed(address, error)
            raise

    async def _repeat(
        self,
        method: str,
        request: bytes,
        deadline_ms: int,
        budget_ms: int,
        unreachable_ms: int | None = None,
    ) -> bytes:
        backoff = Backoff(self._retry_backoff_ms, RETRY_BACKOFF_MAX_MS, self.random)
        failures: dict[str, LogdError] = {}
        while True:
            address, left_ms = self.address, deadline_ms - self.clock.monotonic_ms()
            try:
                answer = await self._transport.unary(
                    address, f"/logd.v1.{method}", request, max(1, left_ms)
                )
                self.answered()
                return answer
            except LogdError as error:
                if not error.retriable:
                    self.answered()
                    raise
                failures[address] = error
                self.failed(address, error)
                now_ms = self.clock.monotonic_ms()
                if unreachable_ms is not None and isinstance(error, BrokerUnreachable):
                    if now_ms + unreachable_ms < deadline_ms:
                        deadline_ms, budget_ms = now_ms + unreachable_ms, unreachable_ms
                    unreachable_ms = None
            wait_ms, left_ms = backoff.next_ms(), max(0, deadline_ms - now_ms)
            await asyncio.sleep(min(wait_ms, left_ms) / 1000)  # persist() would else spin
            if wait_ms >= left_ms:
                raise _gave_up(method, budget_ms, failures)


async def persist(
    ask: Callable[..., Coroutine[Any, Any, T]], *args: Any, **named: Any
) -> T | LogdError:
    """Ask until there is an answer, or a refusal for good, which is given: who waits for it is
    bounded by a time-out of its own."""
    while True:
        try:
            return await ask(*args, **named)
        except LogdError as error:
            if not error.retriable:
                return error
            logger.info("client_retries", error=str(error))


def _real_transport(client_id: str) -> Transport:
    """gRPC, and with pyarrow the Flight door for streams."""
    calls = GrpcTransport(client_id)
    if not ARROW_INSTALLED:
        return calls
    from logd_client.flight_transport import FlightTransport

    return FlightTransport(calls, client_id)


_PROBE = cluster_pb2.GetClusterInfoRequest().SerializeToString()


def _gave_up(method: str, budget_ms: int, failures: dict[str, LogdError]) -> LogdError:
    """The last failure's class, with what was waited for and what each address answered."""
    last = list(failures.values())[-1]
    call = method.rpartition("/")[2]
    tried = "; ".join(f"{address}: {error}" for address, error in failures.items())
    details = {**last.details, "addresses": ",".join(failures), "waited_for": call}
    make: Callable[..., LogdError] = type(last)
    return make(f"gave up on {call} after {budget_ms} ms; tried {tried}", **details)


def _metadata(topic: topics_pb2.Topic) -> TopicMetadata:
    ranges = [KeyRange(p.hash_lo, p.hash_hi) for p in topic.partitions]
    sealed = frozenset(p.partition for p in topic.partitions if p.sealed)
    return TopicMetadata(
        name=topic.name,
        topic_id=TopicId(topic.topic_id),
        partitions=len(ranges),
        open_partitions=tuple(p for p in range(len(ranges)) if p not in sealed),
        router=KeyRouter(ranges, sealed),
        partitioning_epoch=topic.partitioning_epoch,
        config=dict(topic.config),
    )
