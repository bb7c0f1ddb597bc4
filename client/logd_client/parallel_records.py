"""Reading with several workers at once, in asyncio."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from logd_client.core.consumer_positions import ConsumerPositions
from logd_client.core.record_window import Delivery, RecordWindow
from logd_client.record import Record

Handler = Callable[[Record], Awaitable[object]]


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
        concurrency: int,
    ) -> None:
        """`read` gives what it is given, called again and again, as soon as that is something;
        `wake` makes all that wait in it call again."""
        self._read = read
        self._wake = wake
        self._positions = positions
        self._window = window
        self.concurrency = concurrency
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

    def __aiter__(self) -> AsyncIterator[Record]:
        """For one worker: each takes an iterator of its own."""
        return WorkerRecords(self)

    async def for_each(self, handle: Handler) -> None:
        """Await `handle(record)` for each record, so many at once, without end.

        The first exception ends it and is raised; records whose handling was not over then are
        received again by the next read.
        """
        workers = [asyncio.create_task(self._work(handle)) for _ in range(self.concurrency)]
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
            await handle(record)

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
        found = await self._read(self._take_or_end)
        return None if isinstance(found, Ended) else found

    def finish(self, delivery: Delivery) -> None:
        """Its worker has come back."""
        self._window.finish(delivery)

    def _take_or_end(self) -> Delivery | Ended | None:
        window = self._window
        if self.ended:
            return Ended()
        if not window.has_ready or window.is_low:
            while (room := window.room) > 0 and (found := self._positions.take(room)) is not None:
                window.add(*found)
        delivery = window.take()
        if delivery is not None and window.has_ready:  # for those that found nothing before
            self._wake()
        return delivery


class WorkerRecords(AsyncIterator[Record]):
    """One worker's records. It is done with each when it asks for the next."""

    def __init__(self, records: ParallelRecords) -> None:
        self._records = records
        self._in_hand: Delivery | None = None

    async def __anext__(self) -> Record:
        record = await self.next()
        if record is None:
            raise StopAsyncIteration
        return record

    async def next(self) -> Record | None:
        """None: reading has ended."""
        before, self._in_hand = self._in_hand, None
        if before is not None:
            self._records.finish(before)
        self._in_hand = await self._records.next_delivery()
        return None if self._in_hand is None else self._in_hand.record
