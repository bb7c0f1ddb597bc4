"""How far the application has come in the batch that it is receiving record by record."""

from collections.abc import Iterator
from itertools import islice
from operator import length_hint

from logd_client.record import Record
from logd_client.record_batch import RecordBatch

CHUNK_RECORDS = 256
"""Records made at once: few enough to stay in the processor's cache, enough that what is done per
chunk does not show."""


class RecordCursor:
    """Hands out the records of one batch and knows, at no cost per record, how many went out.

    A chunk is a list and its iterator: what the iterator has left says what was handed out. So a
    loop over `next_chunk()` runs without a call per record, in any thread, while commits read
    `received` and `done`. Records are done once `acknowledge` was called after them; while
    `looping`, also all but the one handed out last: a loop comes back from it by taking the next.
    """

    __slots__ = (
        "_acknowledged",
        "_offsets",
        "_source",
        "_start_offset",
        "_window",
        "batch",
        "looping",
    )

    def __init__(self, batch: RecordBatch, start_offset: int) -> None:
        """`start_offset` is the position before the first record."""
        self.batch = batch
        self.looping = False
        self._start_offset = start_offset
        self._offsets = batch.offsets
        self._source: Iterator[Record] = iter(batch)
        self._acknowledged = 0
        nothing: list[Record] = []
        self._window = (0, nothing, iter(nothing))

    @property
    def handed_out(self) -> int:
        """Records that the application has received."""
        before, chunk, left = self._window
        return before + len(chunk) - length_hint(left)

    @property
    def finished(self) -> bool:
        return self.handed_out == len(self._offsets)

    @property
    def received(self) -> int:
        """The offset after the last record handed out."""
        return self._offset_after(self.handed_out)

    @property
    def done(self) -> int:
        """The offset after the last record that the application has come back from."""
        come_back = self.handed_out - 1 if self.looping else 0
        return self._offset_after(max(self._acknowledged, come_back))

    def acknowledge(self) -> None:
        """The application has come back from everything that was handed out."""
        self._acknowledged = self.handed_out

    def next_chunk(self) -> Iterator[Record] | None:
        """Of what is left, an iterator over some, or None. What an abandoned one has left first."""
        before, chunk, left = self._window
        if length_hint(left):
            return left
        made = list(islice(self._source, CHUNK_RECORDS))
        self._window = (before + len(chunk), made, iter(made))
        return self._window[2] if made else None

    def take(self, count: int) -> list[Record]:
        """Up to `count` records."""
        taken = list(islice(self._window[2], count))
        if len(taken) < count:
            made = list(islice(self._source, count - len(taken)))
            before, chunk, _ = self._window
            nothing: list[Record] = []
            self._window = (before + len(chunk) + len(made), nothing, iter(nothing))
            taken += made
        return taken

    def rest(self) -> list[RecordBatch]:
        """What was not handed out, as a batch, if there is any."""
        count = self.handed_out
        return [] if count == len(self._offsets) else [self.batch.after(count)]

    def cut(self) -> None:
        """Hand out nothing more: a loop over the current chunk ends. Read all else before."""
        _, chunk, _ = self._window
        self._source = iter(())
        chunk.clear()

    def _offset_after(self, count: int) -> int:
        if count == len(self._offsets):
            return self.batch.next_offset
        return self._offsets[count - 1] + 1 if count else self._start_offset
