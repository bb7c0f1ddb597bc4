from logd_proto.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Partition(_message.Message):
    __slots__ = ("partition", "hash_lo", "hash_hi", "sealed", "parents", "leader", "replicas", "split_at")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    HASH_LO_FIELD_NUMBER: _ClassVar[int]
    HASH_HI_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_AT_FIELD_NUMBER: _ClassVar[int]
    partition: int
    hash_lo: int
    hash_hi: int
    sealed: bool
    parents: _containers.RepeatedScalarFieldContainer[int]
    leader: int
    replicas: _containers.RepeatedScalarFieldContainer[int]
    split_at: int
    def __init__(self, partition: _Optional[int] = ..., hash_lo: _Optional[int] = ..., hash_hi: _Optional[int] = ..., sealed: bool = ..., parents: _Optional[_Iterable[int]] = ..., leader: _Optional[int] = ..., replicas: _Optional[_Iterable[int]] = ..., split_at: _Optional[int] = ...) -> None: ...

class Topic(_message.Message):
    __slots__ = ("name", "topic_id", "partitions", "config", "partitioning_epoch", "internal", "created_ms", "replication_factor")
    class ConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    PARTITIONING_EPOCH_FIELD_NUMBER: _ClassVar[int]
    INTERNAL_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    topic_id: bytes
    partitions: _containers.RepeatedCompositeFieldContainer[Partition]
    config: _containers.ScalarMap[str, str]
    partitioning_epoch: int
    internal: bool
    created_ms: int
    replication_factor: int
    def __init__(self, name: _Optional[str] = ..., topic_id: _Optional[bytes] = ..., partitions: _Optional[_Iterable[_Union[Partition, _Mapping]]] = ..., config: _Optional[_Mapping[str, str]] = ..., partitioning_epoch: _Optional[int] = ..., internal: bool = ..., created_ms: _Optional[int] = ..., replication_factor: _Optional[int] = ...) -> None: ...

class CreateTopicRequest(_message.Message):
    __slots__ = ("name", "partitions", "replication_factor", "config", "validate_only")
    class ConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    partitions: int
    replication_factor: int
    config: _containers.ScalarMap[str, str]
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., partitions: _Optional[int] = ..., replication_factor: _Optional[int] = ..., config: _Optional[_Mapping[str, str]] = ..., validate_only: bool = ...) -> None: ...

class CreateTopicResponse(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ...) -> None: ...

class ListTopicsRequest(_message.Message):
    __slots__ = ("include_internal", "with_sizes")
    INCLUDE_INTERNAL_FIELD_NUMBER: _ClassVar[int]
    WITH_SIZES_FIELD_NUMBER: _ClassVar[int]
    include_internal: bool
    with_sizes: bool
    def __init__(self, include_internal: bool = ..., with_sizes: bool = ...) -> None: ...

class TopicSize(_message.Message):
    __slots__ = ("records", "size_bytes", "append_rate")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    APPEND_RATE_FIELD_NUMBER: _ClassVar[int]
    records: int
    size_bytes: int
    append_rate: float
    def __init__(self, records: _Optional[int] = ..., size_bytes: _Optional[int] = ..., append_rate: _Optional[float] = ...) -> None: ...

class ListTopicsResponse(_message.Message):
    __slots__ = ("topics", "sizes")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[Topic]
    sizes: _containers.RepeatedCompositeFieldContainer[TopicSize]
    def __init__(self, topics: _Optional[_Iterable[_Union[Topic, _Mapping]]] = ..., sizes: _Optional[_Iterable[_Union[TopicSize, _Mapping]]] = ...) -> None: ...

class DescribeTopicRequest(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ...) -> None: ...

class DescribeTopicResponse(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ...) -> None: ...

class AlterTopicRequest(_message.Message):
    __slots__ = ("topic", "config", "validate_only")
    class ConfigEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    config: _containers.ScalarMap[str, str]
    validate_only: bool
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., config: _Optional[_Mapping[str, str]] = ..., validate_only: bool = ...) -> None: ...

class AlterTopicResponse(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ...) -> None: ...

class AddPartitionsRequest(_message.Message):
    __slots__ = ("topic", "total", "validate_only")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    total: int
    validate_only: bool
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., total: _Optional[int] = ..., validate_only: bool = ...) -> None: ...

class AddPartitionsResponse(_message.Message):
    __slots__ = ("topic", "moved_key_share")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    MOVED_KEY_SHARE_FIELD_NUMBER: _ClassVar[int]
    topic: Topic
    moved_key_share: float
    def __init__(self, topic: _Optional[_Union[Topic, _Mapping]] = ..., moved_key_share: _Optional[float] = ...) -> None: ...

class DeleteTopicRequest(_message.Message):
    __slots__ = ("topic", "validate_only")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    validate_only: bool
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., validate_only: bool = ...) -> None: ...

class DeleteTopicResponse(_message.Message):
    __slots__ = ("topic_id",)
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    def __init__(self, topic_id: _Optional[bytes] = ...) -> None: ...

class TruncateBefore(_message.Message):
    __slots__ = ("partition", "before")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    before: _common_pb2.OffsetSpec
    def __init__(self, partition: _Optional[int] = ..., before: _Optional[_Union[_common_pb2.OffsetSpec, _Mapping]] = ...) -> None: ...

class DeleteRecordsRequest(_message.Message):
    __slots__ = ("topic", "partitions", "validate_only")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    partitions: _containers.RepeatedCompositeFieldContainer[TruncateBefore]
    validate_only: bool
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., partitions: _Optional[_Iterable[_Union[TruncateBefore, _Mapping]]] = ..., validate_only: bool = ...) -> None: ...

class DeleteRecordsResult(_message.Message):
    __slots__ = ("partition", "log_start_offset", "records", "error")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    partition: int
    log_start_offset: int
    records: int
    error: _common_pb2.Error
    def __init__(self, partition: _Optional[int] = ..., log_start_offset: _Optional[int] = ..., records: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class DeleteRecordsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DeleteRecordsResult]
    def __init__(self, results: _Optional[_Iterable[_Union[DeleteRecordsResult, _Mapping]]] = ...) -> None: ...

class DescribePartitionsRequest(_message.Message):
    __slots__ = ("topic", "partitions")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    partitions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., partitions: _Optional[_Iterable[int]] = ...) -> None: ...

class PartitionState(_message.Message):
    __slots__ = ("topic", "topic_id", "partition", "leader", "leader_epoch", "isr", "log_start_offset", "high_watermark", "log_end_offset", "synced_end_offset", "size_bytes", "segments", "error")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ISR_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    LOG_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    SYNCED_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    topic: str
    topic_id: bytes
    partition: int
    leader: int
    leader_epoch: int
    isr: _containers.RepeatedScalarFieldContainer[int]
    log_start_offset: int
    high_watermark: int
    log_end_offset: int
    synced_end_offset: int
    size_bytes: int
    segments: int
    error: _common_pb2.Error
    def __init__(self, topic: _Optional[str] = ..., topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., leader: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., isr: _Optional[_Iterable[int]] = ..., log_start_offset: _Optional[int] = ..., high_watermark: _Optional[int] = ..., log_end_offset: _Optional[int] = ..., synced_end_offset: _Optional[int] = ..., size_bytes: _Optional[int] = ..., segments: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class DescribePartitionsResponse(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionState]
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionState, _Mapping]]] = ...) -> None: ...
