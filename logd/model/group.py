"""Consumer groups as handlers, coordinator and SDK see them: offsets, consumers, lag, rewinds.

Offsets are always the next offset to read. Times are ms since 1970 UTC unless named otherwise.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, NewType

from logd.model.errors import LogdError
from logd.model.group_replay import ReplayStatus
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition

RewindEpoch = NewType("RewindEpoch", int)
"""The place, in the group's partition of __consumer_offsets, of its latest reset or undo, as
`group_session.group_epoch` makes it; of a record written before groups had members, its offset."""

NEVER_REWOUND = RewindEpoch(-1)
OFFSETS_TOPIC = "__consumer_offsets"
OFFSETS_PARTITIONS = 16
"""Partitions of the internal topic; a group's is `mmh3(name) % 16`. Never changed once written."""

METADATA_BYTES_MAX = 4096
DONE_RANGES_MAX = 1000
ATTEMPTS_MAX = 1000
"""Ranges done beyond a committed offset; at the bound the SDK stops fetching that partition."""

SESSION_TIMEOUT_MS = 10_000
REVOCATION_TIMEOUT_MS = 30_000
"""What a member has who does not say."""

OFFSETS_PER_COMMIT_MAX = 10_000
CONSUMER_SEEN_MS = 30_000
"""A consumer counts as running so long after its latest commit or fetch of offsets."""


class DoneRange(NamedTuple):
    """Records [start, end) are done although they lie beyond the committed offset."""

    start: int
    end: int


class Attempts(NamedTuple):
    """The record at `offset` was tried `times` times, and failed: it is to be tried again."""

    offset: int
    times: int


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who commits or fetches offsets. An empty id only looks: it takes no partition."""

    consumer_id: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class OffsetCommit:
    """How far one partition was read. `leader_epoch` is that of the record before `offset`."""

    topic_partition: TopicPartition
    offset: Offset
    leader_epoch: LeaderEpoch | None = None
    metadata: str = ""
    done_ranges: tuple[DoneRange, ...] = ()
    attempts: tuple[Attempts, ...] = ()


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """A commit. It is refused whole where `rewind_epoch` is not the group's (None: only where the
    group was never rewound), else partition by partition. `leaving`: the consumer ends and takes no
    partition any more, whatever becomes of the commit. `member_epoch` is the highest that a member
    was told; None: who commits is no member, and may commit only what no member has."""

    group: str
    commits: tuple[OffsetCommit, ...]
    rewind_epoch: RewindEpoch | None = None
    allow_rewind: bool = False
    consumer: Consumer = Consumer()
    validate_only: bool = False
    leaving: bool = False
    member_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class CommitAnswer:
    """One result a commit, in order; None is success. `also_consumed_by` is "" if nobody."""

    results: tuple[LogdError | None, ...]
    rewind_epoch: RewindEpoch
    also_consumed_by: str


@dataclass(frozen=True, slots=True)
class TopicSelection:
    """Some partitions of a topic; none named: all of them."""

    topic_id: TopicId
    partitions: tuple[PartitionId, ...] = ()


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """How far a group has read. `topic` is empty where the topic is gone; `offset` is the next to
    read, None where nothing is committed; `done_ranges` are records done beyond it."""

    topic: str
    topic_id: TopicId
    partition: PartitionId
    offset: Offset | None
    leader_epoch: LeaderEpoch | None = None
    metadata: str = ""
    committed_ms: int = 0
    done_ranges: tuple[DoneRange, ...] = ()
    attempts: tuple[Attempts, ...] = ()

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic_id, self.partition)


@dataclass(frozen=True, slots=True)
class GroupOffsets:
    offsets: tuple[CommittedOffset, ...]
    rewind_epoch: RewindEpoch
    also_consumed_by: str


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """`state` is ACTIVE while a consumer was seen in the last 30 s, else EMPTY. `committed_ms` 0:
    nothing was committed yet."""

    group: str
    state: str
    topics: tuple[str, ...]
    committed_ms: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a member wants: topics by name, and all whose name `pattern` matches (""; none)."""

    topics: tuple[str, ...] = ()
    pattern: str = ""
    assignor: str = "uniform"
    rack: str = ""
    session_timeout_ms: int = SESSION_TIMEOUT_MS
    revocation_timeout_ms: int = REVOCATION_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class GroupConsumer:
    """A member, or a consumer that is none and was seen of late. A member is `connected` while its
    session stands; `giving_up` it has still, `waiting_for` others have. `stalled_ms`: for so long
    its application has not come back from a record."""

    consumer_id: str
    peer: str
    seen_ms: int
    partitions: tuple[TopicPartition, ...]
    member: bool = False
    instance_id: str = ""
    client_id: str = ""
    subscription: Subscription | None = None
    giving_up: tuple[TopicPartition, ...] = ()
    waiting_for: tuple[TopicPartition, ...] = ()
    connected: bool = False
    stalled_ms: int = 0


@dataclass(frozen=True, slots=True)
class GroupDescription:
    summary: GroupSummary
    offsets: tuple[CommittedOffset, ...]
    consumers: tuple[GroupConsumer, ...]
    rewind_epoch: RewindEpoch
    coordinator_partition: PartitionId
    replay: ReplayStatus | None = None


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The offsets a consumer may stand at: log_start_offset to high_watermark, both included."""

    log_start_offset: Offset
    high_watermark: Offset

    def clamp(self, offset: int) -> Offset:
        """The nearest offset that the log holds."""
        return Offset(max(self.log_start_offset, min(offset, self.high_watermark)))


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """What a group has yet to read in one partition, and why.

    `lag_bytes` is approximate to one index interval. `lag_seconds` is the age of the next unread
    record by append time. `rate` is records/s committed over the last minute, `catch_up_seconds`
    the time to catch up at that rate against what arrives; None: not known, or never.
    `records_lost` are below the log's start, and were not read. `consumer_id` has it; "": nobody.
    """

    topic: str
    partition: PartitionId
    committed: Offset | None
    high_watermark: Offset
    log_start_offset: Offset
    lag_records: int
    lag_bytes: int
    lag_seconds: float
    rate: float | None
    catch_up_seconds: float | None
    reason: str
    records_lost: int = 0
    consumer_id: str = ""


@dataclass(frozen=True, slots=True)
class ToEarliest:
    """The log start offset."""


@dataclass(frozen=True, slots=True)
class ToLatest:
    """The high watermark."""


@dataclass(frozen=True, slots=True)
class ToCurrent:
    """Where the group is; where it has committed nothing, the high watermark."""


@dataclass(frozen=True, slots=True)
class ToOffset:
    offset: int


@dataclass(frozen=True, slots=True)
class ToTime:
    """The first record at or after this instant; the high watermark if there is none."""

    time_ms: int
    by_record_time: bool = False


@dataclass(frozen=True, slots=True)
class ByDuration:
    """The first record of the last `duration_ms`."""

    duration_ms: int
    by_record_time: bool = False


@dataclass(frozen=True, slots=True)
class ShiftBy:
    """The committed offset (or the high watermark) plus so many records."""

    records: int


@dataclass(frozen=True, slots=True)
class ToGroup:
    """Where another group is."""

    group: str


@dataclass(frozen=True, slots=True)
class PlannedOffset:
    """One line of a plan. `topic_id` None: there is no topic of this name."""

    topic: str
    topic_id: TopicId | None
    partition: PartitionId
    offset: int


@dataclass(frozen=True, slots=True)
class ToPlan:
    """Exact positions."""

    offsets: tuple[PlannedOffset, ...]


ResetTarget = (
    ToEarliest | ToLatest | ToCurrent | ToOffset | ToTime | ByDuration | ShiftBy | ToGroup | ToPlan
)


@dataclass(frozen=True, slots=True)
class PlannedReset:
    """One partition of a rewind.

    `topic` is its id in hex where it is gone, `topic_id` None where none has such a name.
    `from_offset` and `to_offset` None: nothing committed before, after. `replay_records` is
    negative where records are stepped over; `clamped`: the place asked for lay outside the log;
    `skipped` says why the partition is left as it is, and is empty where it is reset.
    """

    topic: str
    topic_id: TopicId | None
    partition: PartitionId
    from_offset: Offset | None
    to_offset: Offset | None
    replay_records: int = 0
    replay_bytes: int = 0
    clamped: bool = False
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """A rewind or its undo, planned or carried out. `at_ms` is the instant that a time or duration
    was taken as. `creates_group`: there was no such group."""

    partitions: tuple[PlannedReset, ...]
    rewind_epoch: RewindEpoch
    at_ms: int | None
    executed: bool
    creates_group: bool = False


ResetKind = Literal["RESET", "UNDO", "COMMIT"]


@dataclass(frozen=True, slots=True)
class ResetEvent:
    """One entry of a group's history. A COMMIT (one that went back) has its time's rewind epoch."""

    rewind_epoch: RewindEpoch
    at_ms: int
    kind: ResetKind
    description: str
    actor: str
    partitions: tuple[PlannedReset, ...]
