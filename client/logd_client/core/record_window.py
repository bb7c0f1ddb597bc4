"""The records that several workers process at once: who may be handed out, and what is done.

How it works: records wait in lanes, and of a lane one is in hand at a time, in the lane's order. A
lane is a key, a partition, or the record by itself, as the application asks. So one slow record
holds up its lane alone; the window is filled on from the log, and what is done beyond it is kept in
its partition's `done_ranges`, which go with the commit.

A record that is not done keeps two ranges apart, so a partition never has more ranges than the
window has records. What was received before a seek, a rewind or a revocation is stale: it is handed
out no more, and tells nothing of the partition when it is done.
"""

from collections import deque
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Literal

from logd.model.group import DONE_RANGES_MAX
from logd_client.core.partition_position import PartitionPosition
from logd_client.record import Record
from logd_client.record_batch import RecordBatch
from logd_client.work_record import Park, Retry, WorkRecord

Order = Literal["key", "partition", "none"]
WINDOW_RECORDS_MAX = DONE_RANGES_MAX


class Delivery:
    """A record on its way: `next_offset` is where its partition goes on after it."""

    __slots__ = (
        "at",
        "attempt",
        "lane",
        "next_offset",
        "places",
        "record",
        "size_bytes",
        "verdict",
    )

    def __init__(
        self, record: Record, at: PartitionPosition, next_offset: int, lane: Hashable | None
    ) -> None:
        self.record = record
        self.at = at
        self.places = at.places
        self.next_offset = next_offset
        self.lane = lane
        self.verdict: Retry | Park | None = None
        """What its worker says shall become of it; None: it is done."""
        self.attempt = 1
        self.size_bytes = len(record.value or b"") + len(record.key or b"")

    @property
    def is_stale(self) -> bool:
        return self.places != self.at.places or self.at.withheld

    def work(self) -> WorkRecord:
        """The record as its worker has it."""
        record = self.record
        self.attempt = self.at.attempts.get(record.offset, 0) + 1
        return WorkRecord(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp_ms,
            record.key,
            record.value,
            record.headers,
            self.attempt,
            self,
        )


class RecordWindow:
    """Of one consumer. It is filled while there is `room`, in records."""

    def __init__(self, order: Order, bytes_max: int) -> None:
        self._order = order
        self._bytes_max = bytes_max
        self._ready: deque[Delivery] = deque()
        self._lanes: dict[Hashable, deque[Delivery]] = {}
        """Those with a record that is ready or in hand, and what waits behind it."""
        self._delayed: list[tuple[int, int, Delivery]] = []
        """A heap of those to be tried again: when, and in which order."""
        self._retries = 0
        self._records = 0
        self._bytes = 0

    @property
    def room(self) -> int:
        return 0 if self._bytes >= self._bytes_max else WINDOW_RECORDS_MAX - self._records

    @property
    def is_low(self) -> bool:
        """Less than half full."""
        return 2 * self._records < WINDOW_RECORDS_MAX and 2 * self._bytes < self._bytes_max

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def add(self, at: PartitionPosition, batch: RecordBatch) -> None:
        records = list(batch)
        ends = [*batch.offsets[1:], batch.next_offset]
        for record, next_offset in zip(records, ends, strict=True):
            delivery = Delivery(record, at, next_offset, self._lane_of(record, at))
            self._records += 1
            self._bytes += delivery.size_bytes
            if delivery.lane is None:
                self._ready.append(delivery)
            elif (waiting := self._lanes.get(delivery.lane)) is not None:
                waiting.append(delivery)
            else:
                self._lanes[delivery.lane] = deque()
                self._ready.append(delivery)

    def take(self, now_ms: int) -> Delivery | None:
        """The next to be handed out; None: none is ready."""
        while self._delayed and self._delayed[0][0] <= now_ms:
            self._ready.appendleft(heappop(self._delayed)[2])
        paused: list[Delivery] = []
        found = None
        while self._ready and found is None:
            delivery = self._ready.popleft()
            if delivery.is_stale:
                self._gone(delivery)
            elif delivery.at.paused:
                paused.append(delivery)
            else:
                found = delivery
        self._ready.extendleft(reversed(paused))
        if found is not None:
            found.at.in_hand += 1
        return found

    def finish(self, delivery: Delivery) -> None:
        """The application is done with it."""
        at, offset = delivery.at, delivery.record.offset
        if delivery.places == at.places:
            at.in_hand -= 1
            at.attempts.pop(offset, None)
            at.done_ranges.add(offset, delivery.next_offset)
            at.join_done()
        self._gone(delivery)

    def retry(self, delivery: Delivery, retry: Retry, now_ms: int) -> None:
        """The application wants it once more."""
        at = delivery.at
        if delivery.places != at.places:
            self._gone(delivery)
            return
        at.in_hand -= 1
        at.attempts[delivery.record.offset] = delivery.attempt
        delivery.verdict = None
        if not retry.hold_order:
            self._leave_lane(delivery)
            delivery.lane = None
        self._retries += 1
        heappush(self._delayed, (now_ms + retry.delay_ms, self._retries, delivery))

    def _gone(self, delivery: Delivery) -> None:
        self._records -= 1
        self._bytes -= delivery.size_bytes
        self._leave_lane(delivery)

    def _leave_lane(self, delivery: Delivery) -> None:
        if delivery.lane is None:
            return
        waiting = self._lanes[delivery.lane]
        if waiting:
            self._ready.append(waiting.popleft())
        else:
            del self._lanes[delivery.lane]

    def _lane_of(self, record: Record, at: PartitionPosition) -> Hashable | None:
        if self._order == "partition":
            return at
        if self._order == "key" and record.key is not None:
            return at.topic_id, record.key
        return None
