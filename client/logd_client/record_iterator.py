"""Reading by `async for`, or by `anext`: endless, but for a replay."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from logd.model.errors import ReplayEnded
from logd_client.core.record_cursor import RecordCursor
from logd_client.record import Record
from logd_client.record_batch import RecordBatch


class RecordIterator(AsyncIterator[Record]):
    """The records of one consumer. An `anext` that is cancelled, or that raises, takes none, and
    the next one goes on: so `asyncio.wait_for(anext(records), 1)` may be repeated.

    No generator: that would be over after the first of these.
    """

    __slots__ = ("_chunk", "_cursor", "_next_cursor")

    def __init__(self, next_cursor: Callable[[], Awaitable[RecordCursor]]) -> None:
        self._next_cursor = next_cursor
        self._cursor: RecordCursor | None = None
        self._chunk: Iterator[Record] = iter(())

    async def __anext__(self) -> Record:
        for record in self._chunk:
            return record
        while True:
            chunk = None if self._cursor is None else self._cursor.next_chunk()
            if chunk is None:
                try:
                    self._cursor = await self._next_cursor()
                except ReplayEnded:
                    raise StopAsyncIteration from None
                continue
            self._chunk = chunk
            for record in chunk:
                return record


class BatchIterator(AsyncIterator[RecordBatch]):
    """The batches of one consumer. As RecordIterator."""

    __slots__ = ("_next_batch",)

    def __init__(self, next_batch: Callable[[], Awaitable[RecordBatch]]) -> None:
        self._next_batch = next_batch

    async def __anext__(self) -> RecordBatch:
        try:
            return await self._next_batch()
        except ReplayEnded:
            raise StopAsyncIteration from None
