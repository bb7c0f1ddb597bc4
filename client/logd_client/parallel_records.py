"""Reading with several workers at once, in asyncio."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from logd.model.checked_values import check_int
from logd.model.errors import InvalidConfig, ReplayEnded
from logd.model.seams import Clock
from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.record_window import WINDOW_RECORDS_MAX, Delivery, RecordWindow
from logd_client.diagnostics import logger
from logd_client.work_record import Park, Retry, WorkRecord

Handler = Callable[[WorkRecord], Awaitable[object]]
RETRY_DELAY_MS_MAX = 300_000


class Workers(NamedTuple):
    """How many, and what they do with a record that fails: `Consumer.records` tells."""

    concurrency: int
    max_attempts: int | None
    retry_delay_ms: int
    hold_order: bool


class Failures(Protocol):
    """What becomes of records that fail."""

    clock: Clock

    async def park(self, record: WorkRecord, verdict: Park) -> None:
        """Put it aside. Raises what kept it from that."""
        ...

    def attempted(self) -> None:
        """A record is to be tried again: that it was tried is to outlast this process."""
        ...


class Ended:
    """Instead of a record: nothing is handed out any more."""


Take = Callable[[], Delivery | Ended | None]


class ParallelRecords:
    """The records of a consumer, for `concurrency` workers: `Consumer.records` tells how."""

    def __init__(
        self,
        read: Callable[[Take], Coroutine[Any, Any, Delivery | Ended]],
        wake: Callable[[], None],
        positions: ConsumerPositions,
        window: RecordWindow,
        workers: Workers,
        failures: Failures,
    ) -> None:
        """`read` gives what it is given, called again and again, as soon as that is something;
        `wake` makes all that wait in it call again."""
        self._read = read
        self._wake = wake
        self._positions = positions
        self._window = window
        self.workers = workers
        self._failures = failures
        self.ended = False
        self._given_back = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def __aiter__(self) -> AsyncIterator[WorkRecord]:
        """For one worker: each takes an iterator of its own."""
        return WorkerRecords(self)

    async def for_each(self, handle: Handler) -> None:
        """Await `handle(record)` for each record, so many at once, without end.

        What `handle` raises makes the record be tried again, and parked in the end, where there is
        a `max_attempts`. Else the first exception ends it and is raised; records whose handling was
        not over then are received again by the next read.
        """
        count = self.workers.concurrency
        workers = [asyncio.create_task(self._work(handle)) for _ in range(count)]
        try:
            over, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self.end()
        for worker in over:
            worker.result()

    async def _work(self, handle: Handler) -> None:
        async for record in self:
            try:
                await handle(record)
            except Exception as error:
                if self.workers.max_attempts is None:
                    raise
                self.failed(record, error)

    def failed(self, record: WorkRecord, error: Exception) -> None:
        """Let it be tried again, or parked where it was tried often enough."""
        workers, attempt = self.workers, record.attempt
        if workers.max_attempts is not None and attempt >= workers.max_attempts:
            record.park(error)
            return
        delay_ms = min(RETRY_DELAY_MS_MAX, workers.retry_delay_ms << min(attempt - 1, 30))
        logger.warning(
            "record_failed",
            record=f"{record.topic}:{record.partition}:{record.offset}",
            attempt=attempt,
            again_in_s=delay_ms / 1000,
            error=repr(error),
        )
        record.retry(delay_ms / 1000, hold_order=workers.hold_order)

    def stop(self) -> None:
        """Hand out nothing more; what is in hand may still be done."""
        if not self.ended:
            self.ended = True
            self._wake()

    def end(self) -> None:
        """Hand out nothing more, and let the next read begin with what is not done."""
        self.stop()
        if not self._given_back:
            self._given_back = True
            self._positions.give_back()

    async def next_delivery(self) -> Delivery | None:
        """None: it has ended."""
        try:
            found = await self._read(self._take_or_end)
        except ReplayEnded:
            return None
        return None if isinstance(found, Ended) else found

    async def finish(self, delivery: Delivery, record: WorkRecord) -> None:
        """Its worker has come back. Raises what keeps it from being parked."""
        verdict, failures = delivery.verdict, self._failures
        if isinstance(verdict, Retry):
            self._window.retry(delivery, verdict, failures.clock.monotonic_ms())
            delay_s = (verdict.delay_ms + 1) / 1000  # not a moment before it is due
            asyncio.get_running_loop().call_later(delay_s, self._wake)
            failures.attempted()
            return
        if isinstance(verdict, Park):
            await failures.park(record, verdict)
        self._window.finish(delivery)

    def _take_or_end(self) -> Delivery | Ended | None:
        window = self._window
        if self.ended:
            return Ended()
        if not window.has_ready or window.is_low:
            while (room := window.room) > 0 and (found := self._positions.take(room)) is not None:
                window.add(*found)
        delivery = window.take(self._failures.clock.monotonic_ms())
        if delivery is not None and window.has_ready:  # for those that found nothing before
            self._wake()
        return delivery


class WorkerRecords(AsyncIterator[WorkRecord]):
    """One worker's records. It is done with each when it asks for the next."""

    def __init__(self, records: ParallelRecords) -> None:
        self._records = records
        self._in_hand: tuple[Delivery, WorkRecord] | None = None

    async def __anext__(self) -> WorkRecord:
        record = await self.next()
        if record is None:
            raise StopAsyncIteration
        return record

    async def next(self) -> WorkRecord | None:
        """None: reading has ended."""
        if self._in_hand is not None:
            await self._records.finish(*self._in_hand)
            self._in_hand = None
        delivery = await self._records.next_delivery()
        if delivery is None:
            return None
        record = delivery.work()
        self._in_hand = delivery, record
        return record


def checked_workers(
    concurrency: int,
    order: str,
    max_attempts: int | None,
    retry_delay_ms: int,
    hold_order: bool,
) -> Workers:
    """Raises InvalidConfig."""
    if order not in ("key", "partition", "none"):
        raise InvalidConfig(f"order is 'key', 'partition' or 'none', not {order!r}", field="order")
    return Workers(
        check_int("concurrency", concurrency, 1, WINDOW_RECORDS_MAX),
        None if max_attempts is None else check_int("max_attempts", max_attempts, 1),
        check_int("retry_delay_ms", retry_delay_ms, 0, RETRY_DELAY_MS_MAX),
        hold_order,
    )
