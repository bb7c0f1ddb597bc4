"""Where a consumer stands in one partition."""

from collections import deque

from logd.model.errors import LogdError, OffsetOutOfRange
from logd.model.offset_spec import OffsetSpec
from logd.model.record_batch import stored_header
from logd_client.core.done_ranges import DoneRanges, Range
from logd_client.record_batch import RecordBatch

Beyond = tuple[DoneRanges, dict[int, int]]
"""`PartitionPosition.done_ranges` and `attempts`."""


class FetchedRegion:
    """Consecutive whole batches as they came, from byte `at` on not yet looked at."""

    __slots__ = ("at", "batches", "next_offset")

    def __init__(self, batches: memoryview, next_offset: int) -> None:
        self.batches = batches
        self.at = 0
        self.next_offset = next_offset
        """Where reading goes on after all of them."""


class PartitionPosition:
    """One partition of a consumer's assignment: plain state, changed by ConsumerPositions alone.

    `position` is the next offset that the application will receive, `done` the one after the last
    record that it has come back from, `fetch_offset` the next to ask the broker for: the buffered
    batches lie between. While `known` is False nothing is fetched or delivered; `lookup` says what
    the position shall be found by, None that whoever made it unknown will say.
    """

    __slots__ = (
        "attempts",
        "buffered",
        "buffered_bytes",
        "committed",
        "committed_attempts",
        "committed_ranges",
        "corrupt_at",
        "done",
        "done_ranges",
        "done_until",
        "end",
        "error",
        "fetch_offset",
        "has_enough",
        "held",
        "high_watermark",
        "in_hand",
        "in_session",
        "in_turn",
        "known",
        "leader_epoch",
        "leftovers",
        "log_start_offset",
        "lookup",
        "lost",
        "partition",
        "paused",
        "places",
        "position",
        "retry_at_ms",
        "sent_in",
        "taken",
        "topic",
        "topic_id",
        "withheld",
    )

    def __init__(self, topic: str, topic_id: bytes, partition: int) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.partition = partition
        self.position = 0
        self.done = 0
        self.done_until = 0
        """Before it all is done, since the application said so."""
        self.fetch_offset = 0
        self.known = False
        self.lookup: OffsetSpec | None = None
        self.paused = False
        self.withheld = False
        """Its group says so: it is not to be delivered yet, or not any more."""
        self.end: int | None = None
        """Its group replays the past: nothing is read from this offset on."""
        self.held = False
        """Of a replay: its next batch is not due yet."""
        self.has_enough = False
        """So much of it is buffered ahead of its time that no more is fetched for now."""
        self.error: LogdError | None = None
        """Raised to the application in this partition's turn, until it seeks."""
        self.retry_at_ms: int | None = None
        """Not fetched before this time, after an error that may pass."""
        self.leftovers: list[RecordBatch] = []
        """Begun, then put back: they come before `buffered`, the last one first."""
        self.buffered: deque[FetchedRegion] = deque()
        self.buffered_bytes = 0
        self.in_turn = False
        """Stands in the queue of partitions with something to deliver."""
        self.in_session = False
        """The broker's fetch session has it."""
        self.sent_in = 0
        """The request that told the broker what holds now; answers to earlier ones are stale. 0:
        none has."""
        self.corrupt_at = -1
        """A batch here did not match its checksum and was asked for again."""
        self.high_watermark: int | None = None
        self.log_start_offset = 0
        self.leader_epoch: int | None = None
        """Of the last records received."""
        self.lost = False
        """Of a member: somebody else has it; what was done since the last commit is done again."""
        self.done_ranges = DoneRanges()
        """What is done beyond `done`: it is not delivered again."""
        self.attempts: dict[int, int] = {}
        """Offset of a record that failed, and is to be tried again -> how often it was tried."""
        self.committed: int | None = None
        """What the coordinator is known to have."""
        self.committed_ranges: tuple[Range, ...] = ()
        """The same of `done_ranges`."""
        self.committed_attempts: tuple[tuple[int, int], ...] = ()
        """The same of `attempts`."""
        self.taken: int | None = None
        """Several workers process it: up to here it went to them, and what they are done with
        stands in `done_ranges`. None: it is read in order."""
        self.in_hand = 0
        """How many records the workers have."""
        self.places = 0
        """How often its position was set: what was received before counts no more."""

    @property
    def fetchable(self) -> bool:
        stopped = self.paused or self.withheld or self.has_enough
        if self.end is not None and self.fetch_offset >= self.end:
            return False
        return self.known and not stopped and self.error is None and self.retry_at_ms is None

    @property
    def fills_the_buffer(self) -> bool:
        """Whether what is buffered of it counts: not where it waits, for nobody can make room."""
        return not self.paused and not self.held

    @property
    def name(self) -> str:
        """TOPIC:PARTITION, for people."""
        return f"{self.topic}:{self.partition}"

    def next_append_ms(self) -> int | None:
        """When the next batch was appended; None: there is none that tells."""
        if self.leftovers:
            return self.leftovers[-1].append_timestamp_ms
        for region in self.buffered:
            if region.at < len(region.batches):
                header = stored_header(region.batches, region.at)
                return None if header is None else header.append_timestamp_ms
        return None

    def drop_buffers(self) -> None:
        self.leftovers.clear()
        self.buffered.clear()
        self.buffered_bytes = 0

    def move(self, offset: int) -> None:
        """Go on from `offset`, whatever was buffered or wrong."""
        self.drop_buffers()
        self.position = self.done = self.fetch_offset = offset
        self.done_until = 0
        self.done_ranges = DoneRanges()
        self.attempts = {}
        self._leave_workers()
        self.known, self.lookup = True, None
        self.error = None
        self.retry_at_ms = None
        self.corrupt_at = -1

    def acknowledge(self) -> None:
        """What it has handed out, or stepped over, is done; of workers what was stepped over."""
        if self.taken is None:
            self.done = self.position
        else:
            self.done_ranges.add(self.taken, self.position)
            self.taken = self.position
        self.join_done()

    def join_done(self) -> None:
        """What is done right behind `done` belongs to it."""
        if len(self.done_ranges):
            self.done = self.done_ranges.through(self.done)
            self.done_ranges.forget(min(self.done, self.position))

    @property
    def beyond(self) -> Beyond:
        """What is known of records beyond the position."""
        return self.done_ranges, self.attempts

    @beyond.setter
    def beyond(self, known: Beyond) -> None:
        self.done_ranges, self.attempts = known

    def attempts_from(self, offset: int) -> tuple[tuple[int, int], ...]:
        """As a commit of `offset` tells them."""
        return tuple(sorted(each for each in self.attempts.items() if each[0] >= offset))

    def has_news(self, done: int) -> bool:
        """Whether the coordinator knows less than a commit of `done` would tell."""
        if done != self.committed:
            return True
        ranges = self.done_ranges.beyond(done) if len(self.done_ranges) else ()
        attempts = self.attempts_from(done) if self.attempts else ()
        return (ranges, attempts) != (self.committed_ranges, self.committed_attempts)

    def to_workers(self, batch: RecordBatch, since: int) -> None:
        """These are the next that workers have, the first of them where all before `since` is done;
        what lies between is no record."""
        self.done_ranges.add(since if self.taken is None else self.taken, batch.base_offset)
        self.taken = self.position = batch.next_offset

    def lost_records(self, error: LogdError) -> int:
        """How many of the next records the log does not hold any more; 0: the error says nothing
        of that."""
        if not isinstance(error, OffsetOutOfRange):
            return 0
        return max(0, int(error.details.get("log_start_offset", 0)) - self.fetch_offset)

    def forget_position(self, lookup: OffsetSpec | None) -> None:
        """The position is no longer known; `lookup` says how it shall be found."""
        self.drop_buffers()
        self._leave_workers()
        self.known, self.lookup = False, lookup
        self.retry_at_ms = None

    def _leave_workers(self) -> None:
        self.places += 1
        self.taken, self.in_hand = None, 0
