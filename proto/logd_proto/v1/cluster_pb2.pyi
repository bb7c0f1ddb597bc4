from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetClusterInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Broker(_message.Message):
    __slots__ = ("broker_id", "address", "rack", "pid", "flight_address", "started_ms", "version")
    BROKER_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    RACK_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    FLIGHT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    broker_id: int
    address: str
    rack: str
    pid: int
    flight_address: str
    started_ms: int
    version: str
    def __init__(self, broker_id: _Optional[int] = ..., address: _Optional[str] = ..., rack: _Optional[str] = ..., pid: _Optional[int] = ..., flight_address: _Optional[str] = ..., started_ms: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...

class GetClusterInfoResponse(_message.Message):
    __slots__ = ("cluster_id", "brokers", "controller", "features", "metadata", "topics", "partitions")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    BROKERS_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    brokers: _containers.RepeatedCompositeFieldContainer[Broker]
    controller: int
    features: _containers.RepeatedScalarFieldContainer[str]
    metadata: str
    topics: int
    partitions: int
    def __init__(self, cluster_id: _Optional[str] = ..., brokers: _Optional[_Iterable[_Union[Broker, _Mapping]]] = ..., controller: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., metadata: _Optional[str] = ..., topics: _Optional[int] = ..., partitions: _Optional[int] = ...) -> None: ...

class GetClusterHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthProblem(_message.Message):
    __slots__ = ("severity", "reason", "resource", "message", "since_ms")
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    severity: str
    reason: str
    resource: str
    message: str
    since_ms: int
    def __init__(self, severity: _Optional[str] = ..., reason: _Optional[str] = ..., resource: _Optional[str] = ..., message: _Optional[str] = ..., since_ms: _Optional[int] = ...) -> None: ...

class GetClusterHealthResponse(_message.Message):
    __slots__ = ("status", "problems")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    status: str
    problems: _containers.RepeatedCompositeFieldContainer[HealthProblem]
    def __init__(self, status: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[HealthProblem, _Mapping]]] = ...) -> None: ...

class ListConnectionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Connection(_message.Message):
    __slots__ = ("client_id", "peer", "does", "since_ms")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    DOES_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    peer: str
    does: str
    since_ms: int
    def __init__(self, client_id: _Optional[str] = ..., peer: _Optional[str] = ..., does: _Optional[str] = ..., since_ms: _Optional[int] = ...) -> None: ...

class ListConnectionsResponse(_message.Message):
    __slots__ = ("connections",)
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    connections: _containers.RepeatedCompositeFieldContainer[Connection]
    def __init__(self, connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ...) -> None: ...
