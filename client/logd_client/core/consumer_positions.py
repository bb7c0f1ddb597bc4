"""The consumer's state machine: what is assigned, where reading stands, what is fetched next.

Sans-IO: requests come out of `next_request`, the broker's answers go into `accept`, batches and
records come out towards the application. What the application does (seek, pause, resume) and a
rewind of its group may come between any two of these.

    application  <-  next_batch, current_cursor  <-  buffered regions  <-  accept  <-  broker
                                                                 next_request  ->  broker

One rule keeps each record delivered once and in order: what an answer says of a partition counts
only if the broker knew the partition's present `fetch_offset` when it made it: if nothing has
changed since request `sent_in`, and the answer is to that request or to a later one. What an answer
brings changes nothing there: the broker has moved the positions on by itself.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Literal

from logd.model.checked_values import INT64_MIN, check_int, check_text
from logd.model.errors import (
    LogdError,
    OffsetOutOfRange,
    StoredDataCorrupt,
    UnknownPartition,
    UnknownTopic,
)
from logd.model.offset_spec import OffsetSpec
from logd.wire.fetch_response import PartitionFetched
from logd_client.core.batch_reader import BatchReader, fail
from logd_client.core.delivery_turns import DeliveryTurns
from logd_client.core.fetch_session import FetchPlan, FetchSession
from logd_client.core.partition_position import Beyond, FetchedRegion, PartitionPosition
from logd_client.core.record_cursor import RecordCursor
from logd_client.diagnostics import logger
from logd_client.record_batch import RecordBatch

OffsetReset = Literal["earliest", "latest", "none"]
OnRecordsLost = Literal["go_on", "raise"]


class ConsumerPositions:
    """All partitions of one consumer. Called on its event loop only.

    `buffer_bytes_max`: no request goes out while so many bytes, without those of partitions that
    are paused or not due yet, wait for the application; the answers outstanding come on top.
    """

    def __init__(
        self,
        *,
        auto_offset_reset: OffsetReset,
        on_records_lost: OnRecordsLost,
        skip_undecodable: bool,
        buffer_bytes_max: int,
        max_wait_ms: int,
        retry_backoff_ms: int,
    ) -> None:
        self._reset = auto_offset_reset
        self._raises_lost = on_records_lost == "raise" or auto_offset_reset == "none"
        self._reader = BatchReader(skip_undecodable=skip_undecodable)
        self._buffer_bytes_max = buffer_bytes_max
        self._retry_backoff_ms = retry_backoff_ms
        self._by_name: dict[tuple[str, int], PartitionPosition] = {}
        self._by_id: dict[tuple[bytes, int], PartitionPosition] = {}
        self._early_seeks: dict[tuple[str, int], int] = {}
        self._early_pauses: dict[tuple[str, int], None] = {}
        self._handed: dict[PartitionPosition, None] = {}
        self._looking_up: dict[PartitionPosition, None] = {}
        self._cursor: RecordCursor | None = None
        self._cursor_at: PartitionPosition | None = None
        self.are_granted = False
        """They come and go by a group's session, which takes those away whose topic is deleted."""
        self.started = False
        """Until then seek and pause also take partitions that are not assigned yet."""
        self.session = FetchSession(max_wait_ms)
        self.turns = DeliveryTurns(self.session)

    def __iter__(self) -> Iterator[PartitionPosition]:
        return iter(list(self._by_id.values()))

    def find(self, topic_id: bytes, partition: int) -> PartitionPosition | None:
        """None: it is not assigned."""
        return self._by_id.get((topic_id, partition))

    def get(self, topic: str, partition: int) -> PartitionPosition:
        """Raises UnknownPartition, InvalidConfig."""
        at = self._by_name.get(_key(topic, partition))
        if at is None:
            why = "does not read it (any more)" if self.started else "has not started yet"
            raise UnknownPartition(
                f"no position of {topic}:{partition}: this consumer {why}",
                topic=topic,
                partition=partition,
            )
        return at

    # What the application asks for

    def assign(self, topic: str, topic_id: bytes, partition: int) -> PartitionPosition:
        """Take a partition, once. Its position is not known yet, unless it was sought before."""
        key = (topic, partition)
        if (known := self._by_id.get((topic_id, partition))) is not None:
            return known
        at = PartitionPosition(topic, topic_id, partition)
        self._by_name[key] = self._by_id[topic_id, partition] = at
        at.paused = key in self._early_pauses
        if key in self._early_seeks:
            self._move(at, self._early_seeks.pop(key))
        return at

    def unassign(self, at: PartitionPosition) -> None:
        """It is no longer read; what is buffered or on its way is dropped. Once more: nothing."""
        key = (at.topic_id, at.partition)
        if self._by_id.get(key) is not at:
            return
        self.withhold(at)
        at.forget_position(None)
        del self._by_id[key]
        if self._by_name.get((at.topic, at.partition)) is at:
            del self._by_name[at.topic, at.partition]
        self._handed.pop(at, None)
        self._looking_up.pop(at, None)
        self.turns.remove(at)

    def withhold(self, at: PartitionPosition) -> None:
        """Deliver nothing of it until `release`; buffers are dropped, the position stays."""
        if self._cursor_at is at:
            self._detach_cursor()
        self.turns.drop(at)
        at.drop_buffers()
        at.fetch_offset = at.position
        at.withheld = True
        self.session.touch(at)

    def release(self, at: PartitionPosition) -> None:
        """Deliver it, from its position on."""
        if at.withheld and self._by_id.get((at.topic_id, at.partition)) is at:
            at.withheld = False
            self.turns.queue(at)
            self.session.touch(at)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on from `offset`; what is buffered or on its way is dropped."""
        key, offset = _key(topic, partition), check_int("offset", offset, 0)
        if not self.started and key not in self._by_name:
            self._early_seeks[key] = offset
            return
        at = self.get(topic, partition)
        self._move(at, offset)

    def pause(self, topic: str, partition: int) -> None:
        """Deliver nothing of it until `resume`; what is buffered stays."""
        key = _key(topic, partition)
        if not self.started and key not in self._by_name:
            self._early_pauses[key] = None
            return
        at = self.get(topic, partition)
        if at.paused:
            return
        if self._cursor_at is at and self._cursor is not None:
            at.leftovers += self._cursor.rest()
            self._detach_cursor()
        self.turns.pause(at)

    def resume(self, topic: str, partition: int) -> None:
        """Deliver it again, from where it was paused."""
        key = _key(topic, partition)
        self._early_pauses.pop(key, None)
        if not self.started and key not in self._by_name:
            return
        at = self.get(topic, partition)
        if at.paused:
            self.turns.resume(at)

    # Positions that are found elsewhere

    def place(self, at: PartitionPosition, offset: int, beyond: Beyond | None = None) -> None:
        """The position that was looked up, and what is known beyond it; a seek in the meantime
        wins."""
        if not at.known:
            self._move(at, offset)
            at.beyond = beyond or at.beyond

    def place_by_reset(self, at: PartitionPosition, *, earliest: bool = False) -> None:
        """Nothing says where to start: auto_offset_reset does, or `earliest`."""
        if at.known:
            return
        if self._reset == "none" and not earliest:
            error = OffsetOutOfRange("no position to start from, and auto_offset_reset is 'none'")
            self._fail(at, error)
            return
        latest = self._reset == "latest" and not earliest
        at.lookup = OffsetSpec.latest() if latest else OffsetSpec.earliest()
        self._looking_up[at] = None

    def lookups(self) -> list[PartitionPosition]:
        """Those whose position shall be looked up in the log."""
        for at in list(self._looking_up):
            if at.lookup is None:  # placed, or sought in the meantime
                del self._looking_up[at]
        return list(self._looking_up)

    def lookup_failed(self, at: PartitionPosition, error: LogdError) -> None:
        """The look-up ended so; it is not repeated until the application seeks."""
        if at.lookup is not None:
            at.lookup = None
            self._fail(at, error)

    def forget_all(self) -> None:
        """The group was rewound: no position is known until `place`, buffers are dropped."""
        self._detach_cursor()
        for at in self:
            self.turns.drop(at)
            at.forget_position(None)
            self.session.touch(at)

    def end(self) -> None:
        """Nothing is delivered any more, not even what a loop has begun."""
        self._detach_cursor()
        self.turns.clear()

    # Requests and answers

    def next_request(self, now_ms: int) -> FetchPlan | None:
        """What to ask the broker now, or None. The caller sends it, in this order."""
        if self.turns.buffered_bytes >= self._buffer_bytes_max:
            return None
        return self.session.next_request(now_ms)

    def restart_session(self) -> None:
        """A new stream begins: nothing is outstanding, every position is told anew."""
        self.session.restart()
        for at in self:
            at.in_session = False
            self.session.touch(at)

    def accept(
        self,
        correlation_id: int,
        fetched: Sequence[PartitionFetched],
        *,
        more: bool,
        throttle_ms: int,
        now_ms: int,
    ) -> None:
        """The answer to one request, or with `more` a part of it that is not the last. What is
        stale in it is dropped."""
        for each in fetched:
            at = self._by_id.get((each.topic_id, each.partition))
            if at is None or not self.session.is_current(at, correlation_id):
                continue
            if each.error is not None:
                self._refused(at, each.error, now_ms)
                continue
            at.high_watermark = each.high_watermark
            at.log_start_offset = each.log_start_offset
            if len(each.batches):
                at.buffered.append(FetchedRegion(each.batches, each.next_offset))
                self.turns.fetched(at, len(each.batches))
            if each.next_offset > at.fetch_offset:
                self._fetch_from(at, each.next_offset)
                self.turns.stop_fetching_if_enough(at)
        self.session.answered(empty=not fetched, more=more, throttle_ms=throttle_ms, now_ms=now_ms)

    def _refused(self, at: PartitionPosition, error: LogdError, now_ms: int) -> None:
        undelivered = at.buffered or at.leftovers or self._cursor_at is at
        is_told = self.are_granted and isinstance(error, UnknownTopic)
        if error.retriable or undelivered or is_told:  # what is buffered is good: it goes out first
            self.session.retry_later(at, now_ms + self._retry_backoff_ms)
        elif 0 < (lost := at.lost_records(error)) and not self._raises_lost:
            log_start = at.fetch_offset + lost
            logger.warning("records_lost", partition=at.name, records=lost, goes_on_at=log_start)
            self._fetch_from(at, log_start)
            self.session.touch(at)
        elif isinstance(error, StoredDataCorrupt) and self._reader.skip_undecodable:
            logger.error("stored_data_skipped", partition=at.name, error=error.message)
            self._fetch_from(at, int(error.details["next_offset"]))
            self.session.touch(at)
        else:
            self._fail(at, error)

    # Delivery

    def acknowledge(self) -> None:
        """The application has come back for more, or commits: everything it received is done."""
        if self._cursor is not None and self._cursor_at is not None:
            if self._cursor.finished:
                self._detach_cursor()
            else:
                self._cursor.acknowledge()
        for at in self._handed:
            at.acknowledge()
        self._handed.clear()

    def next_batch(self) -> RecordBatch | None:
        """The next batch, whole, or what is left of one begun; None: nothing is buffered.

        Partitions take turns. Raises the error of a partition in its turn, each time anew, until
        the application seeks or pauses it.
        """
        self._put_cursor_back()
        found = self._take_turn()
        if found is None:
            return None
        at, batch = found
        at.position = batch.next_offset
        self._handed[at] = None
        return batch

    def take(self, count: int) -> tuple[PartitionPosition, RecordBatch] | None:
        """The next records for workers, at most so many of one batch; None: nothing is buffered.
        What they are done with they add to its `done_ranges`. Raises as `next_batch`."""
        self._put_cursor_back()
        found = self._take_turn()
        if found is None:
            return None
        at, batch = found
        if len(batch) > count:
            at.leftovers.append(batch.after(count))
            batch = batch.first(count)
            self.turns.queue(at)
        at.to_workers(batch, since=self.done(at))
        return at, batch

    def give_back(self) -> None:
        """Workers process it no more: what they are not done with is read again."""
        for at in self:
            if at.taken is not None:
                beyond = at.beyond
                self._move(at, self.done(at))
                at.beyond = beyond

    def current_cursor(self) -> RecordCursor | None:
        """The cursor with records left: of the batch begun, or of the next; None: none buffered.

        Raises as `next_batch`.
        """
        if self._cursor is not None:
            if not self._cursor.finished:
                return self._cursor
            self._detach_cursor()
        found = self._take_turn()
        if found is None:
            return None
        at, batch = found
        self._cursor_at, self._cursor = at, RecordCursor(batch, at.position)
        return self._cursor

    def position(self, at: PartitionPosition) -> int:
        """The next offset that the application will receive."""
        if self._cursor_at is at and self._cursor is not None:
            return self._cursor.received
        return at.position

    def committable(self) -> list[tuple[PartitionPosition, int]]:
        """Offsets of what is done, where the coordinator is not known to have them."""
        offsets = []
        for at in self:
            offset = self.done(at)
            if at.known and at.has_news(offset):
                offsets.append((at, offset))
        return offsets

    def done(self, at: PartitionPosition) -> int:
        """The application is done with everything before this offset."""
        current = self._cursor if self._cursor_at is at else None
        done = max(at.done if current is None else current.done, at.done_until)
        return at.done_ranges.through(done) if len(at.done_ranges) else done

    def in_hand(self, at: PartitionPosition) -> bool:
        """Whether the application has received something that it has not come back from."""
        if at.taken is not None:
            return at.in_hand > 0
        return at.known and self.position(at) > self.done(at)

    @property
    def is_over(self) -> bool:
        """The group replays the past, and of all that this member has the application is done with
        the end. Who has nothing may get something yet. To be asked when nothing is left to take."""
        self.acknowledge()
        return bool(self._by_id) and all(
            at.end is not None and at.known and not at.withheld and self.done(at) >= at.end
            for at in self._by_id.values()
        )

    # Inside

    def _take_turn(self) -> tuple[PartitionPosition, RecordBatch] | None:
        while (at := self.turns.next()) is not None:
            batch = self._read(at) if at.known else None
            if batch is not None and not self.turns.pace.is_due(batch.append_timestamp_ms):
                at.leftovers.append(batch)  # others before it were stepped over
                self.turns.queue(at)
            elif batch is not None:
                self.turns.queue(at)
                at.leader_epoch = batch.leader_epoch
                return at, batch
            elif at.error is not None:
                self.turns.queue(at)
                raise at.error
        return None

    def _read(self, at: PartitionPosition) -> RecordBatch | None:
        if at.end is not None and at.position >= at.end:  # whatever stands there is not looked at
            self.turns.drop(at)
            at.drop_buffers()
            return None
        bytes_before, fetch_offset_before = at.buffered_bytes, at.fetch_offset
        batch = self._reader.read(at)
        self.turns.read(at, bytes_before)
        if batch is not None and at.end is not None and batch.next_offset > at.end:
            batch = self._up_to(at, at.end, batch)
        if batch is None:
            self._handed[at] = None  # batches may have been stepped over
        if at.error is not None or at.fetch_offset != fetch_offset_before:
            self.session.touch(at)
        return batch

    def _up_to(self, at: PartitionPosition, end: int, batch: RecordBatch) -> RecordBatch | None:
        """What of a batch lies before the end of a replay; None: nothing."""
        self.turns.drop(at)
        at.drop_buffers()
        count = bisect_left(batch.offsets, end)
        if count == 0:
            at.position = max(at.position, end)
        return batch.first(count) if count else None

    def _put_cursor_back(self) -> None:
        cursor, at = self._cursor, self._cursor_at
        if cursor is not None and at is not None:
            at.leftovers += cursor.rest()
            self._detach_cursor()
            self.turns.queue_first(at)

    def _move(self, at: PartitionPosition, offset: int) -> None:
        if self._cursor_at is at:
            self._detach_cursor()
        self.turns.drop(at)
        at.move(offset)
        self.session.touch(at)

    def _fetch_from(self, at: PartitionPosition, offset: int) -> None:
        """Fetch on from `offset`; the position follows where nothing is left to deliver before."""
        at.fetch_offset = offset
        if not at.buffered and not at.leftovers and self._cursor_at is not at:
            if at.done == at.position:
                at.done = offset
            at.position = offset
            if at.taken is not None:
                self._handed[at] = None  # what workers step over is done, once they are

    def _fail(self, at: PartitionPosition, error: LogdError) -> None:
        fail(at, error)
        self.turns.queue(at)
        self.session.touch(at)

    def _detach_cursor(self) -> None:
        """The cursor hands out nothing more; the position is what it had handed out."""
        cursor, at = self._cursor, self._cursor_at
        self._cursor = self._cursor_at = None
        if cursor is not None and at is not None:
            at.position, at.done = cursor.received, cursor.done
            self._handed[at] = None
            cursor.cut()


def _key(topic: str, partition: int) -> tuple[str, int]:
    return check_text("topic", topic), check_int("partition", partition, INT64_MIN)
