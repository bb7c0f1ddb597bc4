"""What the doors need from the rest of the broker, as Protocols. `wiring.py` binds them.

Doors import this, `logd.rpc`, `logd.wire` and `logd.model` only. Every method runs on the broker's
loop; errors are LogdErrors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from logd.model.cluster import BrokerDescription, HealthProblem, TopicSize
from logd.model.errors import LogdError
from logd.model.group import (
    CommitAnswer,
    CommitRequest,
    Consumer,
    GroupDescription,
    GroupOffsets,
    GroupSummary,
    PartitionLag,
    ResetEvent,
    ResetPlan,
    ResetTarget,
    TopicSelection,
)
from logd.model.group_replay import Fork, ForkPlan
from logd.model.group_session import SessionAnswer, SessionMessage
from logd.model.ids import (
    NO_LEADER_EPOCH,
    LeaderEpoch,
    Offset,
    ProducerEpoch,
    ProducerId,
    TopicId,
    TopicPartition,
)
from logd.model.offset_spec import FoundOffset, OffsetSpec
from logd.model.seams import Buffer
from logd.model.topic import Topic

Acks = Literal["leader", "all"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an acknowledgement says. `base_offset` None: a duplicate too old to be remembered."""

    base_offset: Offset | None
    leader_epoch: LeaderEpoch
    append_timestamp_ms: int
    log_start_offset: Offset
    duplicate: bool
    replicas: int
    replicas_synced: int


@dataclass(frozen=True, slots=True)
class FetchPosition:
    """Where a reader stands in one partition. Bytes are a bound; one batch always fits."""

    topic_partition: TopicPartition
    offset: Offset
    leader_epoch: LeaderEpoch | None = None
    max_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one partition gave: whole batches as they are stored, or an error.

    `batches` may be a view that is valid only until the caller's next await.
    """

    topic_partition: TopicPartition
    high_watermark: Offset
    log_start_offset: Offset
    next_offset: Offset
    leader_epoch: LeaderEpoch
    batches: Buffer = b""
    error: LogdError | None = None

    @classmethod
    def refused(
        cls, topic_partition: TopicPartition, offset: Offset, error: LogdError
    ) -> "Fetched":
        """Where nothing is known of the partition but why."""
        none = Offset(-1)
        return cls(topic_partition, none, none, offset, NO_LEADER_EPOCH, error=error)


@dataclass(frozen=True, slots=True)
class FetchWait:
    """When to answer: at `min_bytes`, or after `max_wait_ms` with what there is."""

    min_bytes: int = 1
    max_bytes: int = 1 << 20
    max_wait_ms: int = 0


class FetchInterrupt:
    """Ends a fetch's wait from outside, for good: it answers at once with what there is."""

    __slots__ = ("fired", "on_fire")

    def __init__(self) -> None:
        self.fired = False
        self.on_fire: Callable[[], None] | None = None

    def fire(self) -> None:
        self.fired = True
        if self.on_fire is not None:
            self.on_fire()


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition as operators see it."""

    topic_partition: TopicPartition
    leader: int
    leader_epoch: LeaderEpoch
    isr: tuple[int, ...]
    log_start_offset: Offset
    high_watermark: Offset
    log_end_offset: Offset
    synced_end_offset: Offset
    size_bytes: int
    segments: int
    error: LogdError | None = None


class TopicSizes(Protocol):
    """Looks at many topics at once, and opens no log for it."""

    async def sizes(self, topics: Sequence[Topic]) -> Sequence[TopicSize]: ...


class Topics(Protocol):
    """Topic metadata. Reads are from memory; changes go through the metadata store."""

    def by_id(self, topic_id: TopicId) -> Topic:
        """Raises UnknownTopic."""
        ...

    def by_name(self, name: str) -> Topic:
        """Raises UnknownTopic, whose message has a 'did you mean'."""
        ...

    def find(self, name: str) -> Topic | None:
        """As `by_name`, without a hint."""
        ...

    def all(self) -> Sequence[Topic]:
        """Every topic that is ready, internal ones too, sorted by name: the same object while none
        changes."""
        ...

    async def create(
        self,
        name: str,
        partitions: int,
        config: Mapping[str, str],
        *,
        replication_factor: int = 0,
        internal: bool = False,
        validate_only: bool = False,
    ) -> Topic:
        """Raises TopicExists, InvalidName, InvalidConfig."""
        ...

    async def alter(
        self, topic_id: TopicId, config: Mapping[str, str], *, validate_only: bool = False
    ) -> Topic: ...

    async def add_partitions(
        self, topic_id: TopicId, total: int, *, validate_only: bool = False
    ) -> tuple[Topic, float]:
        """The topic, and the share of keys (0 to 1) that move to new partitions."""
        ...

    async def settle_splits(self, topic_id: TopicId) -> Topic:
        """Note where partitions that were added begin, as far as it is not noted yet."""
        ...

    async def delete(self, topic_id: TopicId, *, validate_only: bool = False) -> Topic:
        """Marks the topic deleting, removes its files, drops its key."""
        ...


class Partitions(Protocol):
    """The partitions this broker hosts."""

    def is_open(self, topic_partition: TopicPartition) -> bool:
        """Whether the log is ready for `append`."""
        ...

    async def open(self, topic_partition: TopicPartition) -> None:
        """Make the log ready for `append`. Raises UnknownTopic, UnknownPartition, disk errors."""
        ...

    def append(
        self,
        topic_partition: TopicPartition,
        batch: Buffer,
        done: Callable[[Receipt | LogdError], None],
        *,
        acks: Acks,
        timeout_ms: int,
        partitioning_epoch: int | None = None,
    ) -> None:
        """Append one encoded batch to an open log, at once: calls in order are appended in order.

        `done` is called exactly once, at once or later, when the acknowledgement is due or with
        what errors.md lists for Produce.
        """
        ...

    async def fetch(
        self, positions: Sequence[FetchPosition], wait: FetchWait, interrupt: FetchInterrupt
    ) -> Sequence[Fetched]:
        """Read all positions, waiting as asked or until `interrupt` fires.

        One entry for each position with data or an error. Await it directly, not through a task:
        views in the result hold only until the caller's next await.
        """
        ...

    async def find_offset(
        self, topic_partition: TopicPartition, spec: OffsetSpec
    ) -> FoundOffset: ...

    async def bytes_between(
        self, topic_partition: TopicPartition, start: Offset, end: Offset
    ) -> int:
        """Stored bytes of [start, end), by the index: approximate to one index interval."""
        ...

    async def delete_records(
        self, topic_partition: TopicPartition, before: OffsetSpec, *, validate_only: bool = False
    ) -> tuple[Offset, int]:
        """The new log start offset, and how many records went."""
        ...

    async def status(self, topic_partition: TopicPartition) -> PartitionStatus: ...


class ProducerIds(Protocol):
    """Identities of idempotent producers."""

    async def init_producer(
        self, producer_id: ProducerId | None, producer_epoch: ProducerEpoch
    ) -> tuple[ProducerId, ProducerEpoch]:
        """A new id with epoch 0, or the same id with its epoch raised; a new id too at
        the end of the epochs, and for what was never given out."""
        ...


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    cluster_id: str
    brokers: tuple[BrokerDescription, ...]
    controller: int
    features: tuple[str, ...]
    metadata: str


class Cluster(Protocol):
    """Who is in the cluster, and what is wrong with it."""

    def info(self) -> ClusterInfo: ...

    def problems(self) -> Sequence[HealthProblem]: ...


class MemberSession(Protocol):
    """One member's stream, as the coordinator knows it."""

    @property
    def left(self) -> bool:
        """It has said goodbye: its next answer is the last."""
        ...


class Groups(Protocol):
    """Members of consumer groups, their committed offsets and rewinds.

    Every method may raise CoordinatorLoading, NotCoordinator or InvalidName. What a method answers
    is committed to the log.
    """

    async def open_session(self, message: SessionMessage) -> MemberSession:
        """A member joins, or comes back. Raises InvalidConfig, Overloaded, UnknownMember,
        DuplicateInstance."""
        ...

    async def say(self, session: Any, message: SessionMessage) -> None:
        """What the member says next. Raises as `open_session`."""
        ...

    async def answer(self, session: Any) -> SessionAnswer:
        """What it is to be told next, once there is something. Raises what ends the session."""
        ...

    def close_session(self, session: Any) -> None:
        """The stream has ended. Unless it left, the member has a moment to come back."""
        ...

    async def heartbeat(self, message: SessionMessage, max_wait_ms: int) -> SessionAnswer:
        """One message and the next answer, at the latest after `max_wait_ms`."""
        ...

    async def commit_offsets(self, request: CommitRequest) -> CommitAnswer:
        """Raises GroupRewound for the whole; what refuses one partition stands in its result."""
        ...

    async def fetch_offsets(
        self, group: str, topics: Sequence[TopicSelection], consumer: Consumer
    ) -> GroupOffsets:
        """No topics: all that is committed. A consumer with an id takes these partitions."""
        ...

    async def list_groups(self) -> Sequence[GroupSummary]:
        """Sorted by name."""
        ...

    async def describe_group(self, group: str) -> GroupDescription:
        """Raises UnknownGroup, as do all below."""
        ...

    async def describe_lag(self, group: str) -> Sequence[PartitionLag]: ...

    async def delete_group(self, group: str, *, validate_only: bool = False) -> int:
        """How many committed offsets were forgotten. Raises GroupNotEmpty."""
        ...

    async def reset_offsets(
        self,
        group: str,
        target: ResetTarget,
        topics: Sequence[TopicSelection],
        *,
        actor: str,
        create: bool = False,
        validate_only: bool = False,
    ) -> ResetPlan:
        """Move a group, running or not, on all partitions at once. No topics: all committed.
        `create`: one that does not exist is made, where the partitions are named."""
        ...

    async def undo_reset(
        self, group: str, *, actor: str, validate_only: bool = False
    ) -> ResetPlan: ...

    async def fork_group(self, fork: Fork) -> ForkPlan:
        """Make a group that replays the past. Raises InvalidConfig, GroupExists."""
        ...

    async def list_resets(self, group: str) -> Sequence[ResetEvent]:
        """Latest first."""
        ...
