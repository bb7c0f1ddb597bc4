"""The batch that a partition's records are added to: how one gets in, and when it is closed.

A record gets in by one of three ways:

- `append`, one record of any kind, for which the caller has found room (`room_bytes`);
- `extend`, many values at once, with room found for all;
- room ahead: where the last records were nothing but values, `begin_ahead` takes room for as many
  again of that length, and until then values are appended to `values` without any call. The few
  lines that do so stand in `send` and `send_nowait` of both producers, since a call would cost a
  record more than all else there:

      values = open_batch.values
      if len(values) < open_batch.ahead_end and len(value) <= open_batch.ahead_value_bytes:
          values.append(value)

  Nobody counts what came so before `end_ahead`: at the next record that comes otherwise, when all
  that room is used, when the values cannot share a time any more, and when the batch is closed.

Room is granted out of the producer's `BufferMemory`, in steps that double. A batch is closed when a
record does not fit (`fits`), after linger_ms, when its delivery time is up, and by flush(), close()
and a topic that changes (`Accumulator`, `reroute`). What it did not use of its grant is free again
then; the rest when the batch is settled.
"""

from collections.abc import Sequence

from logd.model.batch_encoder import Headers
from logd_client.core.producer_batch import ProducerBatch

RECORD_OVERHEAD_BYTES = 16
"""Counted for each record besides key and value: their ends and the timestamp. With it no batch of
BATCH_BYTES_LIMIT exceeds RECORDS_PER_BATCH_MAX."""

BATCH_OVERHEAD_BYTES = 512
"""Header, tags and pads of an encoded batch, at most."""

GRANT_BYTES_MIN = 4 << 10
"""A batch is granted room in steps that double from this: so a record costs one subtraction, a
batch few grants, and little-used partitions little of the buffer."""

TIMESTAMP_STEP_MS = 5
"""Records without a time of their own share one while it is not older than this: a batch that
fills quickly then needs no column of timestamps."""

AHEAD_RECORDS_MIN = 8
"""A batch with fewer gets no room ahead: taking it costs as much as a few records."""


class BufferMemory:
    """What batches may hold together, and do, in bytes. Granted room counts as held, so it is at
    most twice what records take."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0


class OpenBatch:
    """Fills the columns of its `batch`, and accounts for them, until `close`.

    `values` is the batch's own column. Room ahead is for values at indexes below `ahead_end`, of at
    most `ahead_value_bytes`; an `ahead_end` of 0 means none. Times in ms, those of records wall,
    `ahead_until_ms` monotonic.
    """

    __slots__ = (
        "_ahead_from",
        "_ahead_room_bytes",
        "_bounded",
        "_longest",
        "_memory",
        "ahead_end",
        "ahead_until_ms",
        "ahead_value_bytes",
        "batch",
        "bytes_max",
        "reserved_bytes",
        "room_bytes",
        "values",
    )

    def __init__(self, batch: ProducerBatch, memory: BufferMemory, bytes_max: int) -> None:
        self.batch = batch
        self.values = batch.values
        self.bytes_max = bytes_max
        self.reserved_bytes = 0
        self.room_bytes = 0
        self.ahead_end = 0
        self.ahead_value_bytes = 0
        self.ahead_until_ms = 0
        self._memory = memory
        self._bounded = self._longest = 0  # so many first values are bytes, none longer

    # Room

    def fits(self, size_bytes: int) -> bool:
        """Whether it may grow by so much; one record always fits into an empty batch."""
        self.end_ahead()
        used = self.reserved_bytes - self.room_bytes
        return used == 0 or used + size_bytes <= self.bytes_max

    def grant(self, size_bytes: int) -> bool:
        """Make room for a record that fits, and some more. False: the buffer is full."""
        least = size_bytes - self.room_bytes
        free = self._memory.limit_bytes - self._memory.used_bytes
        if least > free:
            return False
        doubled = max(self.reserved_bytes * 2, GRANT_BYTES_MIN)
        wanted = min(doubled, self.bytes_max) - self.reserved_bytes
        self._take(min(max(least, wanted), free))
        return True

    def reserve(self, size_bytes: int) -> None:
        """Make as much of so much room as batch and buffer allow."""
        used = self.reserved_bytes - self.room_bytes
        more = min(used + size_bytes, self.bytes_max) - self.reserved_bytes
        self._take(min(more, self._memory.limit_bytes - self._memory.used_bytes))

    def force(self, size_bytes: int) -> None:
        """Make room for a record that the buffer holds already, in another batch."""
        self._take(size_bytes - self.room_bytes)

    def _take(self, more: int) -> None:
        if more > 0:
            self.reserved_bytes += more
            self.room_bytes += more
            self._memory.used_bytes += more

    # Records

    def append(
        self,
        size_bytes: int,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        time_ms: int,
        exact: bool,
    ) -> None:
        """Add a record, for which there is room. Unless its time is `exact`, it may share the one
        before it."""
        if self.ahead_end:
            self.end_ahead()
        self.room_bytes -= size_bytes
        batch, values = self.batch, self.values
        values.append(value)
        if batch.keys is not None:
            batch.keys.append(key)
        elif key is not None:
            batch.keys = [*[None] * (len(values) - 1), key]
        if batch.headers is not None:
            batch.headers.append(headers or ())
        elif headers:
            batch.headers = [*[()] * (len(values) - 1), headers]
        age_ms = time_ms - batch.times.times_ms[-1]
        if (exact and age_ms) or not 0 <= age_ms < TIMESTAMP_STEP_MS:
            batch.times.begin(len(values) - 1, time_ms)

    def extend(
        self, size_bytes: int, values: Sequence[bytes], value_bytes_max: int, now_ms: int
    ) -> None:
        """Add records of nothing but a value, none longer than `value_bytes_max`, for which there
        is room."""
        self.end_ahead()
        self.room_bytes -= size_bytes
        batch, count, before = self.batch, len(values), len(self.values)
        if not 0 <= now_ms - batch.times.times_ms[-1] < TIMESTAMP_STEP_MS:
            batch.times.begin(before, now_ms)
        self.values += values
        self._bound(before, count, value_bytes_max)
        if batch.keys is not None:
            batch.keys += [None] * count
        if batch.headers is not None:
            batch.headers += [()] * count

    def begin_ahead(self, until_ms: int) -> None:
        """Take room ahead for as much again as is there, of values like the last one; of a little
        larger ones too, where those so far are not all alike. Keeps to it until `end_ahead`, which
        whoever calls this sees to at `until_ms`."""
        count, value_bytes = len(self.values), len(self.values[-1] or b"")
        unbounded = self.values[self._bounded :]
        if len(unbounded) <= 2 * AHEAD_RECORDS_MIN and None not in unbounded:
            longest = max(map(len, unbounded), default=0)  # type: ignore[arg-type]
            self._bound(self._bounded, len(unbounded), longest)
        slack_bytes = 0 if value_bytes == self._longest else value_bytes >> 2
        record_bytes = value_bytes + slack_bytes + RECORD_OVERHEAD_BYTES
        self.reserve(max(self.reserved_bytes, GRANT_BYTES_MIN) - self.room_bytes)
        fitting = self.room_bytes // record_bytes
        self._ahead_from, self._ahead_room_bytes = count, fitting * record_bytes
        self.room_bytes -= self._ahead_room_bytes
        self.ahead_value_bytes = value_bytes + slack_bytes
        self.ahead_end = count + fitting
        self.ahead_until_ms = until_ms

    def end_ahead(self) -> None:
        """Count what came into the room ahead, if there is any, or guess it, never too low; and
        give back the room that it did not use."""
        if not self.ahead_end:
            return
        self.ahead_end = 0
        first, longest = self._ahead_from, self.ahead_value_bytes
        count = len(self.values) - first
        used_bytes = longest * count
        middle = self.values[first + count // 2] if count else None
        if middle is not None and len(middle) != longest:  # that guess would be far too high
            used_bytes = sum(map(len, self.values[first:]))  # type: ignore[arg-type]
        self._bound(first, count, longest)
        self.room_bytes += self._ahead_room_bytes - used_bytes - RECORD_OVERHEAD_BYTES * count

    def _bound(self, start: int, count: int, longest: int) -> None:
        """Values `start` to before `start + count` are bytes, none longer than this."""
        if start == self._bounded:
            self._bounded = start + count
            self._longest = max(self._longest, longest)

    # The end

    def close(self) -> ProducerBatch:
        """No more records: the batch, which holds no more of the buffer than they take."""
        if self.ahead_end:
            self.end_ahead()
        self._memory.used_bytes -= self.room_bytes
        batch, count = self.batch, len(self.values)
        batch.record_count = count
        batch.reserved_bytes = self.reserved_bytes - self.room_bytes
        batch.value_bytes_max = self._longest if self._bounded == count else None
        self.values = []
        return batch


NOT_OPEN = OpenBatch(ProducerBatch("", 0, None, 0, 0), BufferMemory(0), 0)
"""In the place of one that has room ahead: it has none."""
