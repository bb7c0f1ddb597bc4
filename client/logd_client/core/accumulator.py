"""The producer's buffer: gives open batches room, and hands over those that are ready."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from logd.model.errors import RecordTooLarge
from logd.model.seams import Clock
from logd_client.core.partition_lane import PartitionLane
from logd_client.core.producer_batch import TIMESTAMP_STEP_MS, ProducerBatch

if TYPE_CHECKING:
    from logd_client.core.topic_lanes import OpenColumn, TopicLanes

RECORD_OVERHEAD_BYTES = 16
"""Counted for each record besides key and value: their ends and the timestamp. With it no batch of
BATCH_BYTES_LIMIT exceeds RECORDS_PER_BATCH_MAX."""

BATCH_OVERHEAD_BYTES = 512
"""Header, tags and pads of an encoded batch, at most."""

GRANT_BYTES_MIN = 4 << 10
"""A batch is granted room in steps that double from this: so a record costs one subtraction, a
batch few grants, and little-used partitions little of the buffer."""


@dataclass(frozen=True, slots=True)
class AccumulatorLimits:
    """Bounds, in bytes and ms."""

    batch_size: int
    buffer_memory: int
    linger_ms: int
    in_flight_max: int


class Accumulator:
    """Holds every open batch of a producer, and counts the bytes of all unsettled ones.

    Who adds and who drains must not overlap: an async producer does both on its event loop's
    thread; the synchronous one adds in the caller's threads and drains in the loop's, each time
    under one lock. `notify` is called, perhaps under that lock, when a batch is full or begins to
    linger. `full` holds batches that wait to be drained. `buffered_bytes` counts granted room, so
    it is at most twice what is held.
    """

    def __init__(
        self,
        limits: AccumulatorLimits,
        clock: Clock,
        make_future: Callable[[], Any],
        notify: Callable[[], object],
    ) -> None:
        self.limits = limits
        self.buffered_bytes = 0
        self.wall_ms = clock.wall_ms
        self._monotonic_ms = clock.monotonic_ms
        self._make_future = make_future
        self._notify = notify
        self.full: deque[ProducerBatch] = deque()
        self.filled = 0
        """Batches that were ever put into `full`."""
        self._lingering: deque[ProducerBatch] = deque()
        self._held: dict[ProducerBatch, None] = {}
        self.columns: dict[str, OpenColumn] = {}
        """By topic. Who appends to one tells nobody: `TopicLanes.end_plain` counts what came."""
        self._columns_until_ms: dict[TopicLanes, int] = {}

    def make_room(
        self, lane: PartitionLane, size_bytes: int, *, rotates: bool = False
    ) -> ProducerBatch | None:
        """An open batch with room for a record of this size; None: the buffer is full.

        It is of `lane`, or, where the record does not fit into the lane's batch and so ends it, and
        the record `rotates`, of the lane whose turn it then is. Raises RecordTooLarge.
        """
        if size_bytes > self.record_bytes_max(lane.topic):
            raise self.too_large(lane.topic, size_bytes)
        lane.topic.end_plain()
        if lane.open is not None and not self._fits(lane.open, size_bytes):
            self.full.append(lane.open)
            self.filled += 1
            self.close(lane.open)
            self._notify()
            if rotates:
                return self.make_room(lane.topic.free, size_bytes)
        if lane.open is None:
            if self.buffered_bytes + size_bytes > self.limits.buffer_memory:
                return None
            self._open(lane)
        batch = lane.open
        assert batch is not None
        return batch if self._grant(batch, size_bytes) else None

    def reserve(self, batch: ProducerBatch, wanted_bytes: int) -> None:
        """Grant an open batch as much of `wanted_bytes` as batch and buffer allow."""
        used = batch.reserved_bytes - batch.room_bytes
        reserved = min(used + wanted_bytes, batch.lane.topic.batch_bytes_max)
        more = min(reserved - batch.reserved_bytes, self.limits.buffer_memory - self.buffered_bytes)
        if more > 0:
            batch.reserved_bytes += more
            batch.room_bytes += more
            self.buffered_bytes += more

    def drain(self, now_ms: int) -> list[ProducerBatch]:
        """Batches that are ready to be sent: full, or lingering long enough in a lane that is not
        busy. `now_ms` is monotonic."""
        ready = list(self.full)
        self.full.clear()
        for batch in [b for b in self._held if b.lane.open is not b]:
            del self._held[batch]
        for topic, until_ms in list(self._columns_until_ms.items()):
            if until_ms <= now_ms:
                topic.end_plain()
        due_ms = now_ms - self.limits.linger_ms
        while self._lingering and (batch := self._lingering[0]).opened_ms <= due_ms:
            self._lingering.popleft()
            if batch.lane.open is batch:
                self._held[batch] = None
        for batch in list(self._held):
            if not batch.lane.is_busy(self.limits.in_flight_max):
                del self._held[batch]
                self.close(batch)
                ready.append(batch)
        return ready

    def drain_all(self) -> list[ProducerBatch]:
        """As `drain`, but every batch with a record in it."""
        ready = list(self.full)
        self.full.clear()
        for batch in [*self._held, *self._lingering]:
            if batch.lane.open is batch:
                self.close(batch)
                ready.append(batch)
        self._held.clear()
        self._lingering.clear()
        return ready

    def next_due_ms(self) -> int | None:
        """When the oldest lingering batch or open column is due; on the monotonic clock."""
        while self._lingering and self._lingering[0].lane.open is not self._lingering[0]:
            self._lingering.popleft()
        due = list(self._columns_until_ms.values())
        due += [batch.opened_ms + self.limits.linger_ms for batch in islice(self._lingering, 1)]
        return min(due, default=None)

    def open_column(self, topic: "TopicLanes", column: "OpenColumn") -> None:
        """Let values go straight into it, until they cannot share a time any more."""
        self.columns[topic.name] = column
        self._columns_until_ms[topic] = self._monotonic_ms() + TIMESTAMP_STEP_MS
        self._notify()

    def close_column(self, topic: "TopicLanes") -> None:
        """Nothing goes straight into the topic any more."""
        del self.columns[topic.name]
        del self._columns_until_ms[topic]

    def overdue(self, opened_before_ms: int) -> list[ProducerBatch]:
        """Open batches that were opened before this monotonic time."""
        return [
            batch
            for batch in [*self._held, *self._lingering]
            if batch.opened_ms < opened_before_ms and batch.lane.open is batch
        ]

    def new_batch(self, lane: PartitionLane, opened_ms: int, stamp_ms: int) -> ProducerBatch:
        """A batch for records that come from another batch: sealed by whoever fills it."""
        return ProducerBatch(lane, self._make_future(), opened_ms, stamp_ms)

    def close(self, batch: ProducerBatch) -> None:
        """End an open batch: whoever calls takes it. Room that it did not use is free again."""
        if batch.lane.topic.plain is batch:
            batch.lane.topic.end_plain()
        batch.lane.open = None
        batch.reserved_bytes -= batch.room_bytes
        self.buffered_bytes -= batch.room_bytes
        batch.room_bytes = 0
        batch.seal()
        batch.lane.topic.rotate(batch.lane)

    def release(self, batch: ProducerBatch) -> None:
        """A batch is settled: its bytes are free again."""
        self.buffered_bytes -= batch.reserved_bytes
        batch.reserved_bytes = 0

    def record_bytes_max(self, topic: "TopicLanes") -> int:
        """The largest record that the topic, as it is known, and this buffer take."""
        return min(topic.record_bytes_max, self.limits.buffer_memory)

    def too_large(
        self, topic: "TopicLanes", size_bytes: int, index: int | None = None
    ) -> RecordTooLarge:
        """The error of a record of this size, the one at `index` of several."""
        batch_bytes, limit = size_bytes + BATCH_OVERHEAD_BYTES, topic.routing.message_bytes_max
        if batch_bytes > limit:
            return RecordTooLarge(
                f"a record comes to {batch_bytes} bytes, with the "
                f"{BATCH_OVERHEAD_BYTES + RECORD_OVERHEAD_BYTES} that a batch may add, but topic "
                f"'{topic.name}' takes at most {limit} (message_bytes_max)",
                size=batch_bytes,
                limit=limit,
                index=index,
            )
        return RecordTooLarge(
            f"a record comes to {size_bytes} bytes, but this producer's buffer_memory is "
            f"{self.limits.buffer_memory}",
            size=size_bytes,
            limit=self.limits.buffer_memory,
            index=index,
        )

    def _fits(self, batch: ProducerBatch, size_bytes: int) -> bool:
        """Whether the batch may grow by so much; one record always fits into an empty batch."""
        used = batch.reserved_bytes - batch.room_bytes
        return used == 0 or used + size_bytes <= batch.lane.topic.batch_bytes_max

    def _open(self, lane: PartitionLane) -> None:
        batch = ProducerBatch(lane, self._make_future(), self._monotonic_ms(), self.wall_ms())
        lane.open = batch
        self._lingering.append(batch)
        if len(self._lingering) == 1:
            self._notify()

    def _grant(self, batch: ProducerBatch, size_bytes: int) -> bool:
        used = batch.reserved_bytes - batch.room_bytes
        least = used + size_bytes - batch.reserved_bytes
        free = self.limits.buffer_memory - self.buffered_bytes
        if least > free:
            return False
        doubled = max(batch.reserved_bytes * 2, GRANT_BYTES_MIN)
        wanted = min(doubled, batch.lane.topic.batch_bytes_max) - batch.reserved_bytes
        more = min(max(least, wanted, 0), free)
        batch.reserved_bytes += more
        batch.room_bytes += more
        self.buffered_bytes += more
        return True
