"""The synchronous consumer: the same names without await."""

from collections.abc import Iterator, Sequence
from typing import Self, Unpack

from logd.model.errors import ReplayEnded
from logd.model.seams import Transport
from logd_client import consumer, parallel_records
from logd_client.client_config import ConsumerConfig, ConsumerSettings
from logd_client.core.record_window import Order
from logd_client.rebalance_callbacks import Callback
from logd_client.record import Record
from logd_client.record_batch import RecordBatch
from logd_client.sync.blocking_client import BlockingClient, blocking, on_loop
from logd_client.sync.callback_thread import in_a_thread
from logd_client.sync.parallel_records import ParallelRecords


class Consumer(BlockingClient[consumer.Consumer]):
    """Reads topics: `with Consumer("orders", group_id="billing") as consumer`, then one of

        for record in consumer: ...
        for batch in consumer.batches(): ...
        records = consumer.poll(timeout_ms=1000)

    As `logd_client.Consumer`. Fetches and interval commits go on in the loop thread meanwhile;
    batches cross over whole, and records are made in the caller's thread. One thread reads.
    Callbacks are plain functions, called in threads of their own, and may call the consumer.
    """

    def __init__(
        self,
        *topics: str,
        bootstrap_servers: str | Sequence[str] | None = None,
        transport: Transport | None = None,
        on_assigned: Callback | None = None,
        on_revoked: Callback | None = None,
        on_lost: Callback | None = None,
        **settings: Unpack[ConsumerSettings],
    ) -> None:
        client = consumer.Consumer(
            *topics,
            bootstrap_servers=bootstrap_servers,
            transport=transport,
            on_assigned=in_a_thread("on_assigned", on_assigned),
            on_revoked=in_a_thread("on_revoked", on_revoked),
            on_lost=in_a_thread("on_lost", on_lost),
            **settings,
        )
        super().__init__(client)

    def __enter__(self) -> Self:
        try:
            self.run(self._client.__aenter__())
        except BaseException:
            self.close()
            raise
        return self

    def __iter__(self) -> Iterator[Record]:
        while True:
            try:
                cursor = self.run(self._client.next_cursor())
            except ReplayEnded:
                return
            while (chunk := cursor.next_chunk()) is not None:
                yield from chunk

    def batches(self) -> Iterator[RecordBatch]:
        """Whole batches as they are stored, the first trimmed to the position. Without end, but
        for a replay's."""
        while True:
            try:
                batch = self.run(self._client.next_batch())
            except ReplayEnded:
                return
            yield batch

    def records(
        self,
        *,
        concurrency: int = 1,
        order: Order = "key",
        max_attempts: int | None = None,
        retry_delay_ms: int = 1_000,
        hold_order: bool = True,
    ) -> ParallelRecords:
        """Records for several threads at once: either

            consumer.records(concurrency=32, order="key").for_each(handle)

        or, in each of up to `concurrency` threads, `for record in records`, within `with
        consumer.records(...) as records`. As `logd_client.Consumer.records`.
        """

        async def make() -> parallel_records.ParallelRecords:
            return self._client.records(
                concurrency=concurrency,
                order=order,
                max_attempts=max_attempts,
                retry_delay_ms=retry_delay_ms,
                hold_order=hold_order,
            )

        return ParallelRecords(self.run(make()), self.run)

    @property
    def config(self) -> ConsumerConfig:
        """The settings."""
        return self._client.config

    @property
    def assignment(self) -> list[tuple[str, int]]:
        """(topic, partition) that are read, once the consumer has started."""
        return self._client.assignment

    start = blocking(consumer.Consumer.start)
    poll = blocking(consumer.Consumer.poll)
    lag = blocking(consumer.Consumer.lag)
    commit = blocking(consumer.Consumer.commit)
    read_arrow = blocking(consumer.Consumer.read_arrow)
    committed = blocking(consumer.Consumer.committed)
    seek = on_loop(consumer.Consumer.seek)
    position = on_loop(consumer.Consumer.position)
    health = on_loop(consumer.Consumer.health)
    pause = on_loop(consumer.Consumer.pause)
    resume = on_loop(consumer.Consumer.resume)
