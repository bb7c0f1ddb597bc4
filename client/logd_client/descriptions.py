"""What Admin answers and is asked with: plain frozen dataclasses, free of protobuf and grpc.

Times are ms since 1970 UTC, sizes are bytes, offsets named `*_end`, `next_*` or `high_watermark`
are exclusive. Where a call covers many partitions, each entry has an `error` of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from logd.model.checked_values import (
    INT64_MIN,
    check_int,
    check_partition,
    check_text,
    duration_to_ms,
    time_to_ms,
)
from logd.model.cluster import BrokerDescription, HealthProblem, TopicSize
from logd.model.errors import InvalidConfig, LogdError
from logd.model.group import CommittedOffset, GroupSummary
from logd.model.group_replay import ReplayStatus
from logd.model.offset_spec import OffsetAt

ResetTo = Literal[OffsetAt, "current", "duration", "record_duration", "shift", "group", "plan"]


@dataclass(frozen=True, slots=True)
class ResetTarget:
    """Where a group shall go on reading. Made by the class methods.

    Times are as in OffsetSpec: datetimes with a time zone or ms since 1970 UTC, of the append or,
    where it says so, the records' own.
    """

    to: ResetTo
    value: int = 0
    group: str = ""
    offsets: tuple[tuple[str, int, int], ...] = ()

    def __post_init__(self) -> None:
        """Raises InvalidConfig for what is no target."""
        if self.to not in get_args(ResetTo):
            raise InvalidConfig(f"'{self.to}' is nothing to reset to", field="to")
        object.__setattr__(self, "value", check_int(self.to, self.value, INT64_MIN))
        check_text("group", self.group)
        offsets = tuple(
            (check_text("topic", topic), check_partition(number), check_int("offset", at, 0))
            for topic, number, at in self.offsets
        )
        object.__setattr__(self, "offsets", offsets)

    @classmethod
    def earliest(cls) -> "ResetTarget":
        """The start of each log."""
        return cls("earliest")

    @classmethod
    def latest(cls) -> "ResetTarget":
        """The high watermark of each partition."""
        return cls("latest")

    @classmethod
    def current(cls) -> "ResetTarget":
        """Where the group is; commits positions that it had not committed."""
        return cls("current")

    @classmethod
    def at_offset(cls, offset: int) -> "ResetTarget":
        """This offset in each partition, moved into the log where it lies outside."""
        return cls("offset", offset)

    @classmethod
    def at_time(cls, time: datetime | int) -> "ResetTarget":
        """The first record appended at or after this time."""
        return cls("append_time", time_to_ms("time", time))

    @classmethod
    def at_record_time(cls, time: datetime | int) -> "ResetTarget":
        """The first record whose own timestamp is at or after this time."""
        return cls("record_time", time_to_ms("time", time))

    @classmethod
    def by_duration(cls, duration: timedelta | int) -> "ResetTarget":
        """The first record appended since this long (in ms) before the broker's now."""
        return cls("duration", duration_to_ms("duration", duration))

    @classmethod
    def by_record_duration(cls, duration: timedelta | int) -> "ResetTarget":
        """The first record whose own timestamp is at most this old."""
        return cls("record_duration", duration_to_ms("duration", duration))

    @classmethod
    def shift_by(cls, records: int) -> "ResetTarget":
        """So many offsets forward; negative: back."""
        return cls("shift", records)

    @classmethod
    def to_group(cls, group: str) -> "ResetTarget":
        """Where another group is."""
        return cls("group", group=group)

    @classmethod
    def plan(cls, offsets: Sequence[tuple[str, int, int]]) -> "ResetTarget":
        """Exactly these (topic, partition, offset)."""
        return cls("plan", offsets=tuple(offsets))


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """A partition in its topic's metadata: the key hashes [hash_lo, hash_hi) it takes, and where
    it lives. `sealed`: takes no new records. `parents`: the partitions it was split from;
    `split_at`: the offset of its parent below which its keys' earlier records stand."""

    partition: int
    hash_lo: int
    hash_hi: int
    sealed: bool
    parents: tuple[int, ...]
    leader: int
    replicas: tuple[int, ...]
    split_at: int | None = None


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic. `topic_id` is 16 bytes, empty where it was only validated. `size` None: not asked
    for."""

    name: str
    topic_id: bytes
    partitions: tuple[PartitionInfo, ...]
    config: Mapping[str, str]
    partitioning_epoch: int
    internal: bool
    created_ms: int
    replication_factor: int
    size: TopicSize | None = None


@dataclass(frozen=True, slots=True)
class PartitionDescription:
    """The state of one partition; `error` says what is wrong with it."""

    topic: str
    topic_id: bytes
    partition: int
    leader: int
    leader_epoch: int
    isr: tuple[int, ...]
    log_start_offset: int
    high_watermark: int
    log_end_offset: int
    synced_end_offset: int
    size_bytes: int
    segments: int
    error: LogdError | None = None


@dataclass(frozen=True, slots=True)
class DeletedRecords:
    """A partition after truncate_topic: where its log starts, and how many records went."""

    partition: int
    log_start_offset: int
    records: int
    error: LogdError | None = None


@dataclass(frozen=True, slots=True)
class CommitOutcome:
    """What became of one partition's commit; `error` None: it is kept."""

    topic: str
    partition: int
    error: LogdError | None = None


@dataclass(frozen=True, slots=True)
class GroupConsumer:
    """A member, or (`member` False) one that names its partitions itself and was seen of late.

    Partitions are by topic: those it has, of these those that it is `giving_up`, and those that it
    is `waiting_for` while others have them. A member is `connected` while its session stands;
    `stalled_ms`: for so long its application has not come back from a record.
    """

    consumer_id: str
    peer: str
    seen_ms: int
    partitions: Mapping[str, tuple[int, ...]]
    member: bool
    instance_id: str
    client_id: str
    topics: tuple[str, ...]
    pattern: str
    assignor: str
    giving_up: Mapping[str, tuple[int, ...]]
    waiting_for: Mapping[str, tuple[int, ...]]
    connected: bool
    stalled_ms: int


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group in full. `rewind_epoch` -1: it was never rewound. `replay`: a fork's."""

    group: GroupSummary
    offsets: tuple[CommittedOffset, ...]
    consumers: tuple[GroupConsumer, ...]
    rewind_epoch: int
    coordinator_partition: int
    replay: ReplayStatus | None = None


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """The cluster. `metadata` is sqlite or etcd; counts leave internal topics out."""

    cluster_id: str
    brokers: tuple[BrokerDescription, ...]
    controller: int
    features: tuple[str, ...]
    metadata: str
    topics: int
    partitions: int


@dataclass(frozen=True, slots=True)
class ClusterHealth:
    """`status` is healthy, degraded or failed."""

    status: str
    problems: tuple[HealthProblem, ...]
