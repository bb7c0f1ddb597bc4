from logd_proto.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Subscription(_message.Message):
    __slots__ = ("topics", "pattern", "assignor", "rack", "session_timeout_ms", "revocation_timeout_ms")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    ASSIGNOR_FIELD_NUMBER: _ClassVar[int]
    RACK_FIELD_NUMBER: _ClassVar[int]
    SESSION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REVOCATION_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedScalarFieldContainer[str]
    pattern: str
    assignor: str
    rack: str
    session_timeout_ms: int
    revocation_timeout_ms: int
    def __init__(self, topics: _Optional[_Iterable[str]] = ..., pattern: _Optional[str] = ..., assignor: _Optional[str] = ..., rack: _Optional[str] = ..., session_timeout_ms: _Optional[int] = ..., revocation_timeout_ms: _Optional[int] = ...) -> None: ...

class HeldPartition(_message.Message):
    __slots__ = ("topic_id", "partition", "paused", "stalled_ms", "reached", "problem", "finished")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    STALLED_MS_FIELD_NUMBER: _ClassVar[int]
    REACHED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    partition: int
    paused: bool
    stalled_ms: int
    reached: int
    problem: str
    finished: bool
    def __init__(self, topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., paused: bool = ..., stalled_ms: _Optional[int] = ..., reached: _Optional[int] = ..., problem: _Optional[str] = ..., finished: bool = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("group", "member_id", "instance_id", "subscription", "member_epoch", "held", "commits", "rewind_epoch", "leaving", "stalled")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    COMMITS_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    STALLED_FIELD_NUMBER: _ClassVar[int]
    group: str
    member_id: str
    instance_id: str
    subscription: Subscription
    member_epoch: int
    held: _containers.RepeatedCompositeFieldContainer[HeldPartition]
    commits: _containers.RepeatedCompositeFieldContainer[OffsetCommit]
    rewind_epoch: int
    leaving: bool
    stalled: bool
    def __init__(self, group: _Optional[str] = ..., member_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., subscription: _Optional[_Union[Subscription, _Mapping]] = ..., member_epoch: _Optional[int] = ..., held: _Optional[_Iterable[_Union[HeldPartition, _Mapping]]] = ..., commits: _Optional[_Iterable[_Union[OffsetCommit, _Mapping]]] = ..., rewind_epoch: _Optional[int] = ..., leaving: bool = ..., stalled: bool = ...) -> None: ...

class Attempts(_message.Message):
    __slots__ = ("offset", "times")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    offset: int
    times: int
    def __init__(self, offset: _Optional[int] = ..., times: _Optional[int] = ...) -> None: ...

class GrantPosition(_message.Message):
    __slots__ = ("offset", "leader_epoch", "done_ranges", "from_beginning", "attempts")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DONE_RANGES_FIELD_NUMBER: _ClassVar[int]
    FROM_BEGINNING_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    offset: int
    leader_epoch: int
    done_ranges: _containers.RepeatedCompositeFieldContainer[DoneRange]
    from_beginning: bool
    attempts: _containers.RepeatedCompositeFieldContainer[Attempts]
    def __init__(self, offset: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., done_ranges: _Optional[_Iterable[_Union[DoneRange, _Mapping]]] = ..., from_beginning: bool = ..., attempts: _Optional[_Iterable[_Union[Attempts, _Mapping]]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("topic_id", "topic", "partition", "assignment_epoch", "position", "report_at", "end")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REPORT_AT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    topic: str
    partition: int
    assignment_epoch: int
    position: GrantPosition
    report_at: int
    end: int
    def __init__(self, topic_id: _Optional[bytes] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., assignment_epoch: _Optional[int] = ..., position: _Optional[_Union[GrantPosition, _Mapping]] = ..., report_at: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("member_epoch", "rewind_epoch", "assigned", "warnings", "committed", "lost", "replay", "replay_over")
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    REPLAY_OVER_FIELD_NUMBER: _ClassVar[int]
    member_epoch: int
    rewind_epoch: int
    assigned: _containers.RepeatedCompositeFieldContainer[Grant]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    committed: _containers.RepeatedCompositeFieldContainer[OffsetCommitResult]
    lost: _containers.RepeatedCompositeFieldContainer[LostPartition]
    replay: ReplayPace
    replay_over: bool
    def __init__(self, member_epoch: _Optional[int] = ..., rewind_epoch: _Optional[int] = ..., assigned: _Optional[_Iterable[_Union[Grant, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., committed: _Optional[_Iterable[_Union[OffsetCommitResult, _Mapping]]] = ..., lost: _Optional[_Iterable[_Union[LostPartition, _Mapping]]] = ..., replay: _Optional[_Union[ReplayPace, _Mapping]] = ..., replay_over: bool = ...) -> None: ...

class ReplayPace(_message.Message):
    __slots__ = ("speed", "clock_ms")
    SPEED_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    speed: float
    clock_ms: int
    def __init__(self, speed: _Optional[float] = ..., clock_ms: _Optional[int] = ...) -> None: ...

class LostPartition(_message.Message):
    __slots__ = ("topic_id", "partition")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    partition: int
    def __init__(self, topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("session", "max_wait_ms")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    session: SessionRequest
    max_wait_ms: int
    def __init__(self, session: _Optional[_Union[SessionRequest, _Mapping]] = ..., max_wait_ms: _Optional[int] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: SessionResponse
    def __init__(self, session: _Optional[_Union[SessionResponse, _Mapping]] = ...) -> None: ...

class DoneRange(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class OffsetCommit(_message.Message):
    __slots__ = ("topic_id", "partition", "offset", "leader_epoch", "metadata", "done_ranges", "attempts")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    DONE_RANGES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    done_ranges: _containers.RepeatedCompositeFieldContainer[DoneRange]
    attempts: _containers.RepeatedCompositeFieldContainer[Attempts]
    def __init__(self, topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., metadata: _Optional[str] = ..., done_ranges: _Optional[_Iterable[_Union[DoneRange, _Mapping]]] = ..., attempts: _Optional[_Iterable[_Union[Attempts, _Mapping]]] = ...) -> None: ...

class CommitOffsetsRequest(_message.Message):
    __slots__ = ("group", "offsets", "rewind_epoch", "allow_rewind", "consumer_id", "topic", "validate_only", "leaving", "member_epoch")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ALLOW_REWIND_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    LEAVING_FIELD_NUMBER: _ClassVar[int]
    MEMBER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    group: str
    offsets: _containers.RepeatedCompositeFieldContainer[OffsetCommit]
    rewind_epoch: int
    allow_rewind: bool
    consumer_id: str
    topic: _common_pb2.TopicRef
    validate_only: bool
    leaving: bool
    member_epoch: int
    def __init__(self, group: _Optional[str] = ..., offsets: _Optional[_Iterable[_Union[OffsetCommit, _Mapping]]] = ..., rewind_epoch: _Optional[int] = ..., allow_rewind: bool = ..., consumer_id: _Optional[str] = ..., topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., validate_only: bool = ..., leaving: bool = ..., member_epoch: _Optional[int] = ...) -> None: ...

class OffsetCommitResult(_message.Message):
    __slots__ = ("topic_id", "partition", "error")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    partition: int
    error: _common_pb2.Error
    def __init__(self, topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class CommitOffsetsResponse(_message.Message):
    __slots__ = ("results", "rewind_epoch", "also_consumed_by")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ALSO_CONSUMED_BY_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[OffsetCommitResult]
    rewind_epoch: int
    also_consumed_by: str
    def __init__(self, results: _Optional[_Iterable[_Union[OffsetCommitResult, _Mapping]]] = ..., rewind_epoch: _Optional[int] = ..., also_consumed_by: _Optional[str] = ...) -> None: ...

class TopicPartitions(_message.Message):
    __slots__ = ("topic", "partitions")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    partitions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., partitions: _Optional[_Iterable[int]] = ...) -> None: ...

class FetchOffsetsRequest(_message.Message):
    __slots__ = ("group", "topics", "consumer_id")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    group: str
    topics: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    consumer_id: str
    def __init__(self, group: _Optional[str] = ..., topics: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., consumer_id: _Optional[str] = ...) -> None: ...

class CommittedOffset(_message.Message):
    __slots__ = ("topic_id", "topic", "partition", "offset", "leader_epoch", "metadata", "committed_ms", "done_ranges", "attempts")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_MS_FIELD_NUMBER: _ClassVar[int]
    DONE_RANGES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    committed_ms: int
    done_ranges: _containers.RepeatedCompositeFieldContainer[DoneRange]
    attempts: _containers.RepeatedCompositeFieldContainer[Attempts]
    def __init__(self, topic_id: _Optional[bytes] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., metadata: _Optional[str] = ..., committed_ms: _Optional[int] = ..., done_ranges: _Optional[_Iterable[_Union[DoneRange, _Mapping]]] = ..., attempts: _Optional[_Iterable[_Union[Attempts, _Mapping]]] = ...) -> None: ...

class FetchOffsetsResponse(_message.Message):
    __slots__ = ("offsets", "rewind_epoch", "also_consumed_by")
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ALSO_CONSUMED_BY_FIELD_NUMBER: _ClassVar[int]
    offsets: _containers.RepeatedCompositeFieldContainer[CommittedOffset]
    rewind_epoch: int
    also_consumed_by: str
    def __init__(self, offsets: _Optional[_Iterable[_Union[CommittedOffset, _Mapping]]] = ..., rewind_epoch: _Optional[int] = ..., also_consumed_by: _Optional[str] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GroupSummary(_message.Message):
    __slots__ = ("group", "state", "topics", "committed_ms", "consumers")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_MS_FIELD_NUMBER: _ClassVar[int]
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    group: str
    state: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    committed_ms: int
    consumers: int
    def __init__(self, group: _Optional[str] = ..., state: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., committed_ms: _Optional[int] = ..., consumers: _Optional[int] = ...) -> None: ...

class ListGroupsResponse(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[GroupSummary]
    def __init__(self, groups: _Optional[_Iterable[_Union[GroupSummary, _Mapping]]] = ...) -> None: ...

class DescribeGroupRequest(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: str
    def __init__(self, group: _Optional[str] = ...) -> None: ...

class GroupConsumer(_message.Message):
    __slots__ = ("consumer_id", "peer", "seen_ms", "partitions", "member", "instance_id", "client_id", "subscription", "giving_up", "waiting_for", "connected", "stalled_ms")
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    GIVING_UP_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    STALLED_MS_FIELD_NUMBER: _ClassVar[int]
    consumer_id: str
    peer: str
    seen_ms: int
    partitions: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    member: bool
    instance_id: str
    client_id: str
    subscription: Subscription
    giving_up: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    waiting_for: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    connected: bool
    stalled_ms: int
    def __init__(self, consumer_id: _Optional[str] = ..., peer: _Optional[str] = ..., seen_ms: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., member: bool = ..., instance_id: _Optional[str] = ..., client_id: _Optional[str] = ..., subscription: _Optional[_Union[Subscription, _Mapping]] = ..., giving_up: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., waiting_for: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., connected: bool = ..., stalled_ms: _Optional[int] = ...) -> None: ...

class DescribeGroupResponse(_message.Message):
    __slots__ = ("group", "offsets", "consumers", "rewind_epoch", "coordinator_partition", "replay")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    CONSUMERS_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_PARTITION_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    group: GroupSummary
    offsets: _containers.RepeatedCompositeFieldContainer[CommittedOffset]
    consumers: _containers.RepeatedCompositeFieldContainer[GroupConsumer]
    rewind_epoch: int
    coordinator_partition: int
    replay: Replay
    def __init__(self, group: _Optional[_Union[GroupSummary, _Mapping]] = ..., offsets: _Optional[_Iterable[_Union[CommittedOffset, _Mapping]]] = ..., consumers: _Optional[_Iterable[_Union[GroupConsumer, _Mapping]]] = ..., rewind_epoch: _Optional[int] = ..., coordinator_partition: _Optional[int] = ..., replay: _Optional[_Union[Replay, _Mapping]] = ...) -> None: ...

class Replay(_message.Message):
    __slots__ = ("source", "from_ms", "until_ms", "speed", "clock_ms")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MS_FIELD_NUMBER: _ClassVar[int]
    source: str
    from_ms: int
    until_ms: int
    speed: float
    clock_ms: int
    def __init__(self, source: _Optional[str] = ..., from_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., speed: _Optional[float] = ..., clock_ms: _Optional[int] = ...) -> None: ...

class ForkGroupRequest(_message.Message):
    __slots__ = ("group", "source", "at_ms", "until_ms", "speed", "validate_only", "actor")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    group: str
    source: str
    at_ms: int
    until_ms: int
    speed: float
    validate_only: bool
    actor: str
    def __init__(self, group: _Optional[str] = ..., source: _Optional[str] = ..., at_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., speed: _Optional[float] = ..., validate_only: bool = ..., actor: _Optional[str] = ...) -> None: ...

class ForkedPartition(_message.Message):
    __slots__ = ("topic", "topic_id", "partition", "start", "end", "records", "bytes")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    topic: str
    topic_id: bytes
    partition: int
    start: int
    end: int
    records: int
    bytes: int
    def __init__(self, topic: _Optional[str] = ..., topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., records: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class ForkGroupResponse(_message.Message):
    __slots__ = ("partitions", "from_ms")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    FROM_MS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[ForkedPartition]
    from_ms: int
    def __init__(self, partitions: _Optional[_Iterable[_Union[ForkedPartition, _Mapping]]] = ..., from_ms: _Optional[int] = ...) -> None: ...

class DescribeLagRequest(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: str
    def __init__(self, group: _Optional[str] = ...) -> None: ...

class PartitionLag(_message.Message):
    __slots__ = ("topic", "partition", "committed", "high_watermark", "log_start_offset", "lag_records", "lag_bytes", "lag_seconds", "rate", "catch_up_seconds", "reason", "records_lost", "consumer_id")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    LAG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAG_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    CATCH_UP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RECORDS_LOST_FIELD_NUMBER: _ClassVar[int]
    CONSUMER_ID_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    committed: int
    high_watermark: int
    log_start_offset: int
    lag_records: int
    lag_bytes: int
    lag_seconds: float
    rate: float
    catch_up_seconds: float
    reason: str
    records_lost: int
    consumer_id: str
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., committed: _Optional[int] = ..., high_watermark: _Optional[int] = ..., log_start_offset: _Optional[int] = ..., lag_records: _Optional[int] = ..., lag_bytes: _Optional[int] = ..., lag_seconds: _Optional[float] = ..., rate: _Optional[float] = ..., catch_up_seconds: _Optional[float] = ..., reason: _Optional[str] = ..., records_lost: _Optional[int] = ..., consumer_id: _Optional[str] = ...) -> None: ...

class DescribeLagResponse(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionLag]
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionLag, _Mapping]]] = ...) -> None: ...

class DeleteGroupRequest(_message.Message):
    __slots__ = ("group", "validate_only")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    group: str
    validate_only: bool
    def __init__(self, group: _Optional[str] = ..., validate_only: bool = ...) -> None: ...

class DeleteGroupResponse(_message.Message):
    __slots__ = ("offsets",)
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    offsets: int
    def __init__(self, offsets: _Optional[int] = ...) -> None: ...

class PlannedOffset(_message.Message):
    __slots__ = ("topic", "partition", "offset")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    partition: int
    offset: int
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class OffsetPlan(_message.Message):
    __slots__ = ("offsets",)
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    offsets: _containers.RepeatedCompositeFieldContainer[PlannedOffset]
    def __init__(self, offsets: _Optional[_Iterable[_Union[PlannedOffset, _Mapping]]] = ...) -> None: ...

class ResetOffsetsRequest(_message.Message):
    __slots__ = ("group", "topics", "position", "shift_by", "duration_ms", "record_duration_ms", "to_group", "plan", "current", "validate_only", "actor", "create")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SHIFT_BY_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    RECORD_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    TO_GROUP_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    group: str
    topics: _containers.RepeatedCompositeFieldContainer[TopicPartitions]
    position: _common_pb2.OffsetSpec
    shift_by: int
    duration_ms: int
    record_duration_ms: int
    to_group: str
    plan: OffsetPlan
    current: bool
    validate_only: bool
    actor: str
    create: bool
    def __init__(self, group: _Optional[str] = ..., topics: _Optional[_Iterable[_Union[TopicPartitions, _Mapping]]] = ..., position: _Optional[_Union[_common_pb2.OffsetSpec, _Mapping]] = ..., shift_by: _Optional[int] = ..., duration_ms: _Optional[int] = ..., record_duration_ms: _Optional[int] = ..., to_group: _Optional[str] = ..., plan: _Optional[_Union[OffsetPlan, _Mapping]] = ..., current: bool = ..., validate_only: bool = ..., actor: _Optional[str] = ..., create: bool = ...) -> None: ...

class PlannedReset(_message.Message):
    __slots__ = ("topic", "topic_id", "partition", "from_offset", "to_offset", "replay_records", "replay_bytes", "clamped", "skipped")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    FROM_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TO_OFFSET_FIELD_NUMBER: _ClassVar[int]
    REPLAY_RECORDS_FIELD_NUMBER: _ClassVar[int]
    REPLAY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLAMPED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    topic_id: bytes
    partition: int
    from_offset: int
    to_offset: int
    replay_records: int
    replay_bytes: int
    clamped: bool
    skipped: str
    def __init__(self, topic: _Optional[str] = ..., topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., from_offset: _Optional[int] = ..., to_offset: _Optional[int] = ..., replay_records: _Optional[int] = ..., replay_bytes: _Optional[int] = ..., clamped: bool = ..., skipped: _Optional[str] = ...) -> None: ...

class ResetOffsetsResponse(_message.Message):
    __slots__ = ("partitions", "rewind_epoch", "at_ms", "creates_group")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    CREATES_GROUP_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PlannedReset]
    rewind_epoch: int
    at_ms: int
    creates_group: bool
    def __init__(self, partitions: _Optional[_Iterable[_Union[PlannedReset, _Mapping]]] = ..., rewind_epoch: _Optional[int] = ..., at_ms: _Optional[int] = ..., creates_group: bool = ...) -> None: ...

class UndoResetRequest(_message.Message):
    __slots__ = ("group", "validate_only", "actor")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    group: str
    validate_only: bool
    actor: str
    def __init__(self, group: _Optional[str] = ..., validate_only: bool = ..., actor: _Optional[str] = ...) -> None: ...

class UndoResetResponse(_message.Message):
    __slots__ = ("partitions", "rewind_epoch")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PlannedReset]
    rewind_epoch: int
    def __init__(self, partitions: _Optional[_Iterable[_Union[PlannedReset, _Mapping]]] = ..., rewind_epoch: _Optional[int] = ...) -> None: ...

class ListResetsRequest(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: str
    def __init__(self, group: _Optional[str] = ...) -> None: ...

class ResetEvent(_message.Message):
    __slots__ = ("rewind_epoch", "at_ms", "kind", "description", "actor", "partitions")
    REWIND_EPOCH_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    rewind_epoch: int
    at_ms: int
    kind: str
    description: str
    actor: str
    partitions: _containers.RepeatedCompositeFieldContainer[PlannedReset]
    def __init__(self, rewind_epoch: _Optional[int] = ..., at_ms: _Optional[int] = ..., kind: _Optional[str] = ..., description: _Optional[str] = ..., actor: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[PlannedReset, _Mapping]]] = ...) -> None: ...

class ListResetsResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[ResetEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[ResetEvent, _Mapping]]] = ...) -> None: ...
