"""Where a consumer stands in one partition."""

from collections import deque

from logd.model.errors import LogdError
from logd.model.offset_spec import OffsetSpec
from logd_client.record_batch import RecordBatch


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
        "buffered",
        "buffered_bytes",
        "committed",
        "corrupt_at",
        "done",
        "done_until",
        "error",
        "fetch_offset",
        "high_watermark",
        "in_session",
        "in_turn",
        "known",
        "leader_epoch",
        "leftover",
        "log_start_offset",
        "lookup",
        "lost",
        "partition",
        "paused",
        "position",
        "retry_at_ms",
        "sent_in",
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
        self.error: LogdError | None = None
        """Raised to the application in this partition's turn, until it seeks."""
        self.retry_at_ms: int | None = None
        """Not fetched before this time, after an error that may pass."""
        self.leftover: RecordBatch | None = None
        """Begun, then paused: comes before `buffered`."""
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
        self.committed: int | None = None
        """What the coordinator is known to have."""

    @property
    def fetchable(self) -> bool:
        stopped = self.paused or self.withheld
        return self.known and not stopped and self.error is None and self.retry_at_ms is None

    @property
    def name(self) -> str:
        """TOPIC:PARTITION, for people."""
        return f"{self.topic}:{self.partition}"

    def drop_buffers(self) -> None:
        self.leftover = None
        self.buffered.clear()
        self.buffered_bytes = 0

    def move(self, offset: int) -> None:
        """Go on from `offset`, whatever was buffered or wrong."""
        self.drop_buffers()
        self.position = self.done = self.fetch_offset = offset
        self.done_until = 0
        self.known, self.lookup = True, None
        self.error = None
        self.retry_at_ms = None
        self.corrupt_at = -1

    def forget_position(self, lookup: OffsetSpec | None) -> None:
        """The position is no longer known; `lookup` says how it shall be found."""
        self.drop_buffers()
        self.known, self.lookup = False, lookup
        self.retry_at_ms = None
