"""Finds the topic that a request names, by id or by name."""

from logd.broker.ports import Topics
from logd.model.errors import InconsistentTopicId, InvalidConfig
from logd.model.ids import TOPIC_ID_BYTES, TopicId
from logd.model.offset_spec import OffsetSpec
from logd.model.topic import Topic
from logd_proto.v1 import common_pb2


def to_topic_id(raw: bytes) -> TopicId:
    """Raises InconsistentTopicId where it is no id."""
    if len(raw) != TOPIC_ID_BYTES:
        raise InconsistentTopicId(
            f"a topic id has {TOPIC_ID_BYTES} bytes, this one {len(raw)}", field="topic_id"
        )
    return TopicId(raw)


def resolve_topic(topics: Topics, ref: common_pb2.TopicRef) -> Topic:
    """Raises UnknownTopic, InconsistentTopicId, InvalidConfig (neither name nor id)."""
    if not ref.topic_id:
        if not ref.name:
            raise InvalidConfig("the request names no topic", field="topic")
        return topics.by_name(ref.name)
    topic = topics.by_id(to_topic_id(ref.topic_id))
    if ref.name and ref.name != topic.name:
        raise InconsistentTopicId(
            f"this id is that of topic '{topic.name}', not of '{ref.name}'", field="topic"
        )
    return topic


def to_offset_spec(spec: common_pb2.OffsetSpec) -> OffsetSpec:
    """Raises InvalidConfig where none is set."""
    match spec.WhichOneof("spec"):
        case "earliest":
            return OffsetSpec("earliest")
        case "latest":
            return OffsetSpec("latest")
        case "offset":
            return OffsetSpec("offset", spec.offset)
        case "append_time_ms":
            return OffsetSpec("append_time", spec.append_time_ms)
        case "record_time_ms":
            return OffsetSpec("record_time", spec.record_time_ms)
        case _:
            raise InvalidConfig("say earliest, latest, an offset or a time", field="spec")
