"""The producer's buffer: gives open batches room, and hands over those that are ready."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logd.model.errors import RecordTooLarge
from logd.model.seams import Clock
from logd_client.core.open_batch import (
    BATCH_OVERHEAD_BYTES,
    RECORD_OVERHEAD_BYTES,
    TIMESTAMP_STEP_MS,
    BufferMemory,
    OpenBatch,
)
from logd_client.core.partition_lane import ClosedBatch, PartitionLane
from logd_client.core.producer_batch import ProducerBatch

if TYPE_CHECKING:
    from logd_client.core.topic_lanes import TopicLanes


@dataclass(frozen=True, slots=True)
class AccumulatorLimits:
    """Bounds, in bytes and ms."""

    batch_size: int
    buffer_memory: int
    linger_ms: int
    in_flight_max: int


class Accumulator:
    """Holds every open batch of a producer, and what all unsettled ones take of `memory`.

    Adding and draining must not overlap: an async producer does both on its event loop's
    thread; the synchronous one adds in the caller's threads and drains in the loop's, each time
    under one lock. `notify` is called, perhaps under that lock, when a batch is full, begins to
    linger or has room ahead, with the ms after which to drain. `owes_turn`: a batch became full
    since the last `drain` or `turn_given`; who adds and never waits would else keep it from being
    sent. `held`: the open batches that have lingered long enough, but in lanes that are busy.
    """

    def __init__(
        self,
        limits: AccumulatorLimits,
        clock: Clock,
        make_future: Callable[[], Any],
        notify: Callable[[int], object],
    ) -> None:
        self.limits = limits
        self.memory = BufferMemory(limits.buffer_memory)
        self.wall_ms = clock.wall_ms
        self._monotonic_ms = clock.monotonic_ms
        self._make_future = make_future
        self._notify = notify
        self.owes_turn = False
        self.held: dict[PartitionLane, OpenBatch] = {}
        self._full: list[ClosedBatch] = []
        self._lingering: deque[tuple[PartitionLane, OpenBatch]] = deque()
        self._ahead: dict[OpenBatch, None] = {}

    @property
    def buffered_bytes(self) -> int:
        """What is held of buffer_memory."""
        return self.memory.used_bytes

    def make_room(
        self, lane: PartitionLane, size_bytes: int, wall_ms: int, *, rotates: bool = False
    ) -> OpenBatch | None:
        """An open batch with room for a record of this size; None: the buffer is full.

        It is of `lane`, or, where the record does not fit into the lane's batch and so ends it, and
        the record `rotates`, of the lane whose turn it then is. Raises RecordTooLarge.
        """
        topic = lane.topic
        if size_bytes > topic.record_bytes_max or size_bytes > self.memory.limit_bytes:
            raise self.too_large(topic, size_bytes)
        open_batch = lane.open
        if open_batch is not None and not open_batch.fits(size_bytes):
            self._full.append(lane.end_open())
            self.owes_turn = True
            self._notify(0)
            if rotates:
                return self.make_room(topic.free, size_bytes, wall_ms)
            open_batch = None
        if open_batch is None:
            if self.memory.used_bytes + size_bytes > self.memory.limit_bytes:
                return None
            open_batch = self._open(lane, wall_ms)
        return open_batch if open_batch.grant(size_bytes) else None

    def _open(self, lane: PartitionLane, wall_ms: int) -> OpenBatch:
        batch = self.new_batch(lane, self._monotonic_ms(), wall_ms)
        lane.open = batch
        self._lingering.append((lane, batch))
        if len(self._lingering) == 1:
            self._notify(self.limits.linger_ms)
        return batch

    def new_batch(self, lane: PartitionLane, opened_ms: int, stamp_ms: int) -> OpenBatch:
        """An empty batch for this lane; it is not its open one by that alone."""
        topic = lane.topic
        batch = ProducerBatch(topic.name, lane.partition, self._make_future(), opened_ms, stamp_ms)
        return OpenBatch(batch, self.memory, topic.batch_bytes_max)

    def begin_ahead(self, open_batch: OpenBatch) -> None:
        """Give it room ahead, until its values cannot share a time any more."""
        open_batch.begin_ahead(self._monotonic_ms() + TIMESTAMP_STEP_MS)
        self._ahead[open_batch] = None
        self._notify(TIMESTAMP_STEP_MS)

    def turn_given(self) -> None:
        """Who drains could run, or can now."""
        self.owes_turn = False

    def drain(self, now_ms: int) -> list[ClosedBatch]:
        """Batches that are ready to be sent: full, or lingering long enough in a lane that is not
        busy. `now_ms` is monotonic."""
        ready, self._full, self.owes_turn = self._full, [], False
        if self._ahead:
            self._end_ahead(now_ms)
        if self.held:
            ready += self._drain_held()
        lingering, due_ms = self._lingering, now_ms - self.limits.linger_ms
        while lingering and lingering[0][1].batch.opened_ms <= due_ms:
            lane, open_batch = lingering.popleft()
            if lane.open is not open_batch:
                continue
            if lane.is_busy(self.limits.in_flight_max):
                self.held[lane] = open_batch
            else:
                ready.append(lane.end_open())
        return ready

    def _end_ahead(self, now_ms: int) -> None:
        for open_batch in self._ahead:
            if open_batch.ahead_until_ms <= now_ms:
                open_batch.end_ahead()
        self._ahead = {each: None for each in self._ahead if each.ahead_end}

    def _drain_held(self) -> list[ClosedBatch]:
        held, self.held = self.held, {}
        ready = []
        for lane, open_batch in held.items():
            if lane.open is not open_batch:
                continue
            if lane.is_busy(self.limits.in_flight_max):
                self.held[lane] = open_batch
            else:
                ready.append(lane.end_open())
        return ready

    def drain_all(self) -> list[ClosedBatch]:
        """As `drain`, but every batch with a record in it."""
        ready, self._full, self.owes_turn = self._full, [], False
        ready += self._close(self._opened())
        self.held.clear()
        self._lingering.clear()
        return ready

    def overdue(self, opened_before_ms: int) -> list[ClosedBatch]:
        """Close those that were opened before this monotonic time."""
        return self._close(
            (lane, each) for lane, each in self._opened() if each.batch.opened_ms < opened_before_ms
        )

    def _opened(self) -> list[tuple[PartitionLane, OpenBatch]]:
        return [*self.held.items(), *self._lingering]

    def _close(self, opened: Iterable[tuple[PartitionLane, OpenBatch]]) -> list[ClosedBatch]:
        return [lane.end_open() for lane, open_batch in opened if lane.open is open_batch]

    def next_due_ms(self) -> int | None:
        """When the oldest lingering batch or room ahead is due; on the monotonic clock."""
        lingering = self._lingering
        while lingering and lingering[0][0].open is not lingering[0][1]:
            lingering.popleft()
        due_ms = None
        if lingering:
            due_ms = lingering[0][1].batch.opened_ms + self.limits.linger_ms
        for open_batch in self._ahead:
            if due_ms is None or open_batch.ahead_until_ms < due_ms:
                due_ms = open_batch.ahead_until_ms
        return due_ms

    def release(self, batches: Iterable[ProducerBatch]) -> None:
        """They are settled: their bytes are free again."""
        for batch in batches:
            self.memory.used_bytes -= batch.reserved_bytes
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
