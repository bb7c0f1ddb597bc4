"""The table of calls: all that can be asked of a broker, and what the Authorizer is asked first."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from logd.model.seams import Buffer
from logd.rpc.resources import TopicNames, topic, topic_or_all
from logd.rpc.rpc import Rpc, StreamRpc, UnaryRpc, check_request_bytes
from logd.wire.field_counts import check_plain_request
from logd_proto.v1 import cluster_pb2, data_pb2, groups_pb2, topics_pb2

Resource = str | Callable[[TopicNames, Any], str]
"""What a request is about: a function of it, or a text that its fields are put into."""
CLUSTER = "cluster"
GROUP = "group:{0.group}"
SESSION = "group:{0.session.group}"
NEW_TOPIC = "topic:{0.name}"


class Call(NamedTuple):
    """One row. `resource` is None for streams, which ask for the topic of each entry."""

    method: str
    request_type: type[Message]
    response_type: type[Message]
    operation: str
    resource: Resource | None
    check_size: Callable[[Buffer], None] = check_request_bytes


def _calls(file: Any, service_name: str, **asked: tuple[Any, ...]) -> dict[str, Call]:
    """Operation, resource and check of size, where it is another, of each call of a service; its
    types are the proto's."""
    service = file.DESCRIPTOR.services_by_name[service_name]
    assert set(asked) == set(service.methods_by_name), f"the calls of {service.full_name}"
    rows: dict[str, Call] = {}
    for name, row in asked.items():
        described, method = service.methods_by_name[name], f"/{service.full_name}/{name}"
        types = GetMessageClass(described.input_type), GetMessageClass(described.output_type)
        rows[method] = Call(method, *types, *row)
        assert described.client_streaming == (rows[method].resource is None)
    return rows


CALLS: Mapping[str, Call] = {
    **_calls(
        data_pb2,
        "DataService",
        ProduceStream=("write", None),
        FetchStream=("read", None),
        Produce=("write", topic, check_plain_request),
        Fetch=("read", topic),
        ListOffsets=("describe", topic),
        InitProducer=("write", CLUSTER),
    ),
    **_calls(
        topics_pb2,
        "TopicService",
        CreateTopic=("create", NEW_TOPIC),
        ListTopics=("describe", CLUSTER),
        DescribeTopic=("describe", topic),
        AlterTopic=("alter", topic),
        AddPartitions=("alter", topic),
        DeleteTopic=("delete", topic),
        DeleteRecords=("delete", topic),
        DescribePartitions=("describe", topic_or_all),
    ),
    **_calls(
        groups_pb2,
        "GroupService",
        Session=("read", None),
        Heartbeat=("read", SESSION),
        CommitOffsets=("read", GROUP),
        FetchOffsets=("read", GROUP),
        ListGroups=("describe", CLUSTER),
        DescribeGroup=("describe", GROUP),
        DescribeLag=("describe", GROUP),
        DeleteGroup=("delete", GROUP),
        ResetOffsets=("alter", GROUP),
        UndoReset=("alter", GROUP),
        ListResets=("describe", GROUP),
        ForkGroup=("alter", GROUP),
    ),
    **_calls(
        cluster_pb2,
        "ClusterService",
        GetClusterInfo=("describe", CLUSTER),
        GetClusterHealth=("describe", CLUSTER),
        ListConnections=("describe", CLUSTER),
    ),
}
"""By their full paths."""


def bound(service: object, topics: TopicNames) -> list[Rpc]:
    """The calls of the service that has the name of this object's class. Their handlers are its
    methods, named as the calls are, as Python writes names."""
    path = f"/logd.v1.{type(service).__name__}/"
    rpcs: list[Rpc] = []
    for method, call in CALLS.items():
        if not method.startswith(path):
            continue
        handler, about = getattr(service, handler_name(method)), call.resource
        if about is None:
            rpcs.append(StreamRpc(method, handler, call.operation))
            continue
        resource = about.format if isinstance(about, str) else partial(about, topics)
        asked = call.operation, resource, call.check_size
        rpcs.append(UnaryRpc(method, call.request_type, handler, *asked))
    return rpcs


def handler_name(method: str) -> str:
    """'/logd.v1.DataService/ListOffsets' -> 'list_offsets'."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", method.rpartition("/")[2]).lower()
