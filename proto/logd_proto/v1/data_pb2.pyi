from logd_proto.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Acks(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACKS_UNSPECIFIED: _ClassVar[Acks]
    ACKS_LEADER: _ClassVar[Acks]
    ACKS_ALL: _ClassVar[Acks]

class Isolation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ISOLATION_UNSPECIFIED: _ClassVar[Isolation]
    ISOLATION_READ_UNCOMMITTED: _ClassVar[Isolation]
    ISOLATION_READ_COMMITTED: _ClassVar[Isolation]
ACKS_UNSPECIFIED: Acks
ACKS_LEADER: Acks
ACKS_ALL: Acks
ISOLATION_UNSPECIFIED: Isolation
ISOLATION_READ_UNCOMMITTED: Isolation
ISOLATION_READ_COMMITTED: Isolation

class ProduceEntry(_message.Message):
    __slots__ = ("correlation_id", "topic_id", "partition", "partitioning_epoch", "acks", "timeout_ms", "batch")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    PARTITIONING_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    topic_id: bytes
    partition: int
    partitioning_epoch: int
    acks: Acks
    timeout_ms: int
    batch: bytes
    def __init__(self, correlation_id: _Optional[int] = ..., topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., partitioning_epoch: _Optional[int] = ..., acks: _Optional[_Union[Acks, str]] = ..., timeout_ms: _Optional[int] = ..., batch: _Optional[bytes] = ...) -> None: ...

class ProduceStreamRequest(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ProduceEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ProduceEntry, _Mapping]]] = ...) -> None: ...

class ProduceAck(_message.Message):
    __slots__ = ("correlation_id", "base_offset", "leader_epoch", "append_timestamp_ms", "log_start_offset", "duplicate", "replicas", "replicas_synced", "error")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    APPEND_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_SYNCED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    base_offset: int
    leader_epoch: int
    append_timestamp_ms: int
    log_start_offset: int
    duplicate: bool
    replicas: int
    replicas_synced: int
    error: _common_pb2.Error
    def __init__(self, correlation_id: _Optional[int] = ..., base_offset: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., append_timestamp_ms: _Optional[int] = ..., log_start_offset: _Optional[int] = ..., duplicate: bool = ..., replicas: _Optional[int] = ..., replicas_synced: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class ProduceStreamResponse(_message.Message):
    __slots__ = ("acks", "throttle_ms")
    ACKS_FIELD_NUMBER: _ClassVar[int]
    THROTTLE_MS_FIELD_NUMBER: _ClassVar[int]
    acks: _containers.RepeatedCompositeFieldContainer[ProduceAck]
    throttle_ms: int
    def __init__(self, acks: _Optional[_Iterable[_Union[ProduceAck, _Mapping]]] = ..., throttle_ms: _Optional[int] = ...) -> None: ...

class PlainRecord(_message.Message):
    __slots__ = ("key", "value", "timestamp_ms", "headers")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    value: bytes
    timestamp_ms: int
    headers: _containers.RepeatedCompositeFieldContainer[_common_pb2.Header]
    def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., timestamp_ms: _Optional[int] = ..., headers: _Optional[_Iterable[_Union[_common_pb2.Header, _Mapping]]] = ...) -> None: ...

class ProduceRequest(_message.Message):
    __slots__ = ("topic", "partition", "records", "batch", "acks", "timeout_ms")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    partition: int
    records: _containers.RepeatedCompositeFieldContainer[PlainRecord]
    batch: bytes
    acks: Acks
    timeout_ms: int
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., partition: _Optional[int] = ..., records: _Optional[_Iterable[_Union[PlainRecord, _Mapping]]] = ..., batch: _Optional[bytes] = ..., acks: _Optional[_Union[Acks, str]] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class ProduceReceipt(_message.Message):
    __slots__ = ("partition", "offset", "leader_epoch", "append_timestamp_ms", "replicas", "replicas_synced", "duplicate", "error")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    APPEND_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_SYNCED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    leader_epoch: int
    append_timestamp_ms: int
    replicas: int
    replicas_synced: int
    duplicate: bool
    error: _common_pb2.Error
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., append_timestamp_ms: _Optional[int] = ..., replicas: _Optional[int] = ..., replicas_synced: _Optional[int] = ..., duplicate: bool = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class ProduceResponse(_message.Message):
    __slots__ = ("receipts", "throttle_ms")
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    THROTTLE_MS_FIELD_NUMBER: _ClassVar[int]
    receipts: _containers.RepeatedCompositeFieldContainer[ProduceReceipt]
    throttle_ms: int
    def __init__(self, receipts: _Optional[_Iterable[_Union[ProduceReceipt, _Mapping]]] = ..., throttle_ms: _Optional[int] = ...) -> None: ...

class FetchPartition(_message.Message):
    __slots__ = ("topic_id", "partition", "offset", "leader_epoch", "max_bytes")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    partition: int
    offset: int
    leader_epoch: int
    max_bytes: int
    def __init__(self, topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class ForgetPartition(_message.Message):
    __slots__ = ("topic_id", "partition")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    partition: int
    def __init__(self, topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ...) -> None: ...

class FetchStreamRequest(_message.Message):
    __slots__ = ("correlation_id", "partitions", "forget", "min_bytes", "max_bytes", "max_wait_ms", "isolation", "in_parts")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    FORGET_FIELD_NUMBER: _ClassVar[int]
    MIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    IN_PARTS_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    partitions: _containers.RepeatedCompositeFieldContainer[FetchPartition]
    forget: _containers.RepeatedCompositeFieldContainer[ForgetPartition]
    min_bytes: int
    max_bytes: int
    max_wait_ms: int
    isolation: Isolation
    in_parts: bool
    def __init__(self, correlation_id: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[FetchPartition, _Mapping]]] = ..., forget: _Optional[_Iterable[_Union[ForgetPartition, _Mapping]]] = ..., min_bytes: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_wait_ms: _Optional[int] = ..., isolation: _Optional[_Union[Isolation, str]] = ..., in_parts: bool = ...) -> None: ...

class FetchResult(_message.Message):
    __slots__ = ("topic_id", "partition", "high_watermark", "log_start_offset", "last_stable_offset", "next_offset", "leader_epoch", "preferred_replica", "error", "batches", "records")
    TOPIC_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_STABLE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_REPLICA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    topic_id: bytes
    partition: int
    high_watermark: int
    log_start_offset: int
    last_stable_offset: int
    next_offset: int
    leader_epoch: int
    preferred_replica: int
    error: _common_pb2.Error
    batches: bytes
    records: _containers.RepeatedCompositeFieldContainer[ConsumedRecord]
    def __init__(self, topic_id: _Optional[bytes] = ..., partition: _Optional[int] = ..., high_watermark: _Optional[int] = ..., log_start_offset: _Optional[int] = ..., last_stable_offset: _Optional[int] = ..., next_offset: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., preferred_replica: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ..., batches: _Optional[bytes] = ..., records: _Optional[_Iterable[_Union[ConsumedRecord, _Mapping]]] = ...) -> None: ...

class FetchStreamResponse(_message.Message):
    __slots__ = ("correlation_id", "throttle_ms", "results", "more")
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    THROTTLE_MS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    correlation_id: int
    throttle_ms: int
    results: _containers.RepeatedCompositeFieldContainer[FetchResult]
    more: bool
    def __init__(self, correlation_id: _Optional[int] = ..., throttle_ms: _Optional[int] = ..., results: _Optional[_Iterable[_Union[FetchResult, _Mapping]]] = ..., more: bool = ...) -> None: ...

class ConsumedRecord(_message.Message):
    __slots__ = ("offset", "timestamp_ms", "key", "value", "headers")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: _containers.RepeatedCompositeFieldContainer[_common_pb2.Header]
    def __init__(self, offset: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[_common_pb2.Header, _Mapping]]] = ...) -> None: ...

class FetchPosition(_message.Message):
    __slots__ = ("partition", "offset")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("topic", "positions", "min_bytes", "max_bytes", "max_wait_ms", "isolation", "encoded")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    MIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    positions: _containers.RepeatedCompositeFieldContainer[FetchPosition]
    min_bytes: int
    max_bytes: int
    max_wait_ms: int
    isolation: Isolation
    encoded: bool
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., positions: _Optional[_Iterable[_Union[FetchPosition, _Mapping]]] = ..., min_bytes: _Optional[int] = ..., max_bytes: _Optional[int] = ..., max_wait_ms: _Optional[int] = ..., isolation: _Optional[_Union[Isolation, str]] = ..., encoded: bool = ...) -> None: ...

class FetchResponse(_message.Message):
    __slots__ = ("results", "throttle_ms")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    THROTTLE_MS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[FetchResult]
    throttle_ms: int
    def __init__(self, results: _Optional[_Iterable[_Union[FetchResult, _Mapping]]] = ..., throttle_ms: _Optional[int] = ...) -> None: ...

class OffsetQuery(_message.Message):
    __slots__ = ("partition", "at")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    partition: int
    at: _common_pb2.OffsetSpec
    def __init__(self, partition: _Optional[int] = ..., at: _Optional[_Union[_common_pb2.OffsetSpec, _Mapping]] = ...) -> None: ...

class ListOffsetsRequest(_message.Message):
    __slots__ = ("topic", "queries")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    topic: _common_pb2.TopicRef
    queries: _containers.RepeatedCompositeFieldContainer[OffsetQuery]
    def __init__(self, topic: _Optional[_Union[_common_pb2.TopicRef, _Mapping]] = ..., queries: _Optional[_Iterable[_Union[OffsetQuery, _Mapping]]] = ...) -> None: ...

class OffsetAnswer(_message.Message):
    __slots__ = ("partition", "offset", "timestamp_ms", "leader_epoch", "error")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    timestamp_ms: int
    leader_epoch: int
    error: _common_pb2.Error
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., leader_epoch: _Optional[int] = ..., error: _Optional[_Union[_common_pb2.Error, _Mapping]] = ...) -> None: ...

class ListOffsetsResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[OffsetAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[OffsetAnswer, _Mapping]]] = ...) -> None: ...

class InitProducerRequest(_message.Message):
    __slots__ = ("producer_id", "producer_epoch")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    producer_id: int
    producer_epoch: int
    def __init__(self, producer_id: _Optional[int] = ..., producer_epoch: _Optional[int] = ...) -> None: ...

class InitProducerResponse(_message.Message):
    __slots__ = ("producer_id", "producer_epoch")
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    producer_id: int
    producer_epoch: int
    def __init__(self, producer_id: _Optional[int] = ..., producer_epoch: _Optional[int] = ...) -> None: ...
