"""Topics and positions as requests name them."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from logd.broker.doors.grpc_door.topic_refs import (
    resolve_topic,
    to_offset_spec,
    to_topic_id,
)
from logd.broker.ports import Topics
from logd.model.errors import InconsistentTopicId, InvalidConfig, UnknownTopic
from logd.model.ids import TopicId
from logd.model.key_ranges import even_ranges
from logd.model.offset_spec import OffsetSpec
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd_proto.v1.common_pb2 import OffsetSpec as ProtoSpec
from logd_proto.v1.common_pb2 import TopicRef

ORDERS = Topic(
    TopicId(b"o" * 16), "orders", tuple(map(PartitionSpec, even_ranges(1))), TopicConfig()
)


@dataclass
class FakeTopics:
    """What a reference is resolved in."""

    known: list[Topic] = field(default_factory=lambda: [ORDERS])

    def by_id(self, topic_id: TopicId) -> Topic:
        for topic in self.known:
            if topic.topic_id == topic_id:
                return topic
        raise UnknownTopic("no such id")

    def by_name(self, name: str) -> Topic:
        for topic in self.known:
            if topic.name == name:
                return topic
        raise UnknownTopic("no such name")


TOPICS = cast(Topics, FakeTopics())


def test_a_topic_by_name_by_id_and_by_both() -> None:
    by_both = TopicRef(name="orders", topic_id=ORDERS.topic_id)
    for ref in (TopicRef(name="orders"), TopicRef(topic_id=ORDERS.topic_id), by_both):
        assert resolve_topic(TOPICS, ref) is ORDERS


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        (TopicRef(), InvalidConfig),
        (TopicRef(name="other"), UnknownTopic),
        (TopicRef(topic_id=b"x" * 16), UnknownTopic),
        (TopicRef(topic_id=b"x"), InconsistentTopicId),
        (TopicRef(topic_id=b"x" * 17), InconsistentTopicId),
        (TopicRef(name="other", topic_id=ORDERS.topic_id), InconsistentTopicId),
    ],
)
def test_what_names_no_topic(ref: TopicRef, error: type[Exception]) -> None:
    with pytest.raises(error):
        resolve_topic(TOPICS, ref)


def test_topic_ids_have_sixteen_bytes() -> None:
    assert to_topic_id(bytes(16)) == bytes(16)
    for raw in (b"", bytes(15), bytes(17)):
        with pytest.raises(InconsistentTopicId):
            to_topic_id(raw)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (ProtoSpec(earliest=True), OffsetSpec("earliest")),
        (ProtoSpec(earliest=False), OffsetSpec("earliest")),
        (ProtoSpec(latest=True), OffsetSpec("latest")),
        (ProtoSpec(offset=-3), OffsetSpec("offset", -3)),
        (ProtoSpec(append_time_ms=5), OffsetSpec("append_time", 5)),
        (ProtoSpec(record_time_ms=0), OffsetSpec("record_time", 0)),
    ],
)
def test_places_in_a_partition(spec: ProtoSpec, found: OffsetSpec) -> None:
    assert to_offset_spec(spec) == found


def test_no_place_is_refused() -> None:
    with pytest.raises(InvalidConfig):
        to_offset_spec(ProtoSpec())
