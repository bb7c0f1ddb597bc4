"""A bounded range of a topic as an Arrow RecordBatchReader: what `Consumer.read_arrow` gives."""

import asyncio
import concurrent.futures
import contextlib
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from logd.model.checked_values import INT64_MIN, check_int, time_to_ms
from logd.model.errors import ClientClosed, LogdError, UnknownPartition
from logd.model.offset_spec import OffsetSpec
from logd.system.background_tasks import BackgroundTasks
from logd_client.broker_connection import BrokerConnection
from logd_client.client_config import ConsumerConfig
from logd_client.consumer_fetcher import ConsumerFetcher
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.partition_position import PartitionPosition
from logd_client.offset_lookup import OffsetLookup
from logd_client.record_batch import RecordBatch, import_arrow
from logd_client.use_guard import UseGuard

if TYPE_CHECKING:
    import pyarrow

ReplayBound = datetime | int | OffsetSpec | None

ALIVE_CHECK_S = 1.0
"""How soon a pull finds out that the consumer was closed and its loop ended meanwhile."""


class _Range(NamedTuple):
    at: PartitionPosition
    start: int
    end: int


class ArrowReplay:
    """Reads [since, until) of each partition, one after another, on a fetch stream of its own.

    Made and run on the consumer's event loop, but for `read`. It takes no part in the consumer's
    positions or group. What it holds in memory is bounded as a consumer's buffer is.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        config: ConsumerConfig,
        guard: UseGuard,
        background: BackgroundTasks,
    ) -> None:
        """`guard` and `background` are the consumer's."""
        self._connection = connection
        self._guard = guard
        self._background = background
        self._max_wait_ms = max(1, config.fetch_max_wait_ms)
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._positions = ConsumerPositions(
            auto_offset_reset="none",
            on_records_lost="raise",
            skip_undecodable=config.on_undecodable == "skip",
            buffer_bytes_max=config.fetch_max_bytes,
            max_wait_ms=config.fetch_max_wait_ms,
            retry_backoff_ms=config.retry_backoff_ms,
        )
        self._lookup = OffsetLookup(connection, self._positions)
        self._fetcher = ConsumerFetcher(connection, self._positions, config)
        self._ranges: list[_Range] = []
        self.task: asyncio.Task[None] | None = None
        """The fetcher's, while it runs; cancelled, the replay is over."""

    async def start(
        self, topic: str, since: ReplayBound, until: ReplayBound, partitions: Sequence[int] | None
    ) -> None:
        """Find where each partition begins and ends. Raises what `read_arrow` does."""
        first = _bound("since", since, OffsetSpec.earliest())
        last = _bound("until", until, OffsetSpec.latest())
        metadata = await self._connection.topic(topic)
        numbers: Sequence[int] = range(metadata.partitions)
        if partitions is not None:
            numbers = sorted({check_int("partition", each, INT64_MIN) for each in partitions})
        for number in numbers:
            if not 0 <= number < metadata.partitions:
                raise UnknownPartition(
                    f"topic '{topic}' has no partition {number}, "
                    f"only 0 to {metadata.partitions - 1}",
                    topic=topic,
                    partition=number,
                )
        assigned = [self._positions.assign(topic, metadata.topic_id, each) for each in numbers]
        self._positions.started = True
        if not assigned:
            return
        ends = await self._lookup.ask([(at, last) for at in assigned])
        starts = await self._lookup.ask([(at, first) for at in assigned])
        for at, start, end in zip(assigned, starts, ends, strict=True):
            for found in (start, end):
                if isinstance(found, LogdError):
                    raise found
            self._positions.pause(at.topic, at.partition)
            if start < end:  # type: ignore[operator]
                self._ranges.append(_Range(at, start, end))  # type: ignore[arg-type]
        if self._ranges:
            self.task = self._background.start("replay", self._fetcher.run(), self._fetcher.fail)

    def reader(self) -> "pyarrow.RecordBatchReader":
        """What pulls it, in any thread but the loop's, one at a time."""
        import pyarrow

        batches = self._batches()
        next(batches)  # from here on dropping it ends the replay
        return pyarrow.RecordBatchReader.from_batches(import_arrow().SCHEMA, batches)

    def _batches(self) -> Iterator[Any]:
        try:
            yield None
            for each in self._ranges:
                yield from self._range(each)
        finally:
            # Possibly a garbage collector's call, in any thread: it must not wait.
            if self.task is not None and self._guard.usable:
                with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the task
                    self._loop.call_soon_threadsafe(self.task.cancel)

    def _range(self, each: _Range) -> Iterator[Any]:
        position = each.start
        self._wait(self._begin(each))
        while position < each.end:
            batch, position = self._wait(self._next(each))
            if batch is None:
                continue
            arrow = batch.to_arrow()
            if position >= each.end:
                arrow = arrow[: bisect_left(batch.offsets, each.end)]
            if len(arrow):
                yield arrow

    def _wait(self, work: Any) -> Any:
        """Run one of the replay's coroutines on its loop."""
        try:
            self._guard.check()
            if threading.get_ident() == self._loop_thread:
                raise RuntimeError(
                    "this reader waits for the event loop that it was pulled on; pull it in "
                    "another thread: await asyncio.to_thread(reader.read_all)"
                )
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except BaseException:
            work.close()
            raise
        try:
            while True:
                try:
                    return future.result(ALIVE_CHECK_S)
                except concurrent.futures.CancelledError:
                    raise ClientClosed(
                        "the event loop that this reader waited for has ended"
                    ) from None
                except TimeoutError:
                    if future.done():
                        raise
                    self._guard.check()  # a loop that has ended answers nothing
        except BaseException:
            future.cancel()
            raise

    async def _begin(self, each: _Range) -> None:
        at = each.at
        self._positions.seek(at.topic, at.partition, each.start)
        self._positions.resume(at.topic, at.partition)
        self._fetcher.wake()

    async def _next(self, each: _Range) -> tuple[RecordBatch | None, int]:
        """The next batch, None for now if none came, and the position after it."""
        at = each.at
        batch = self._positions.next_batch()
        if batch is None and at.position < each.end:
            async with self._guard.waiting():
                await self._fetcher.arrival(self._max_wait_ms)
            batch = self._positions.next_batch()
        if at.position >= each.end:
            self._positions.pause(at.topic, at.partition)
            self._positions.seek(at.topic, at.partition, each.end)  # drops what lies behind it
        self._fetcher.wake()
        return batch, at.position


def _bound(name: str, bound: ReplayBound, default: OffsetSpec) -> OffsetSpec:
    if bound is None:
        return default
    return bound if isinstance(bound, OffsetSpec) else OffsetSpec.at_time(time_to_ms(name, bound))
