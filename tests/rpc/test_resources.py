"""What the Authorizer is asked about is what the request acts on."""

import pytest

from logd.model.errors import UnknownTopic
from logd.model.ids import TopicId
from logd.model.key_ranges import even_ranges
from logd.model.topic import PartitionSpec, Topic
from logd.model.topic_config import TopicConfig
from logd.rpc.resources import topic, topic_of_id, topic_or_all
from logd_proto.v1.common_pb2 import TopicRef
from logd_proto.v1.topics_pb2 import DescribePartitionsRequest

ORDERS = Topic(
    TopicId(b"o" * 16), "orders", tuple(map(PartitionSpec, even_ranges(1))), TopicConfig()
)


class OneTopic:
    """Implements `TopicNames`."""

    def by_id(self, topic_id: TopicId) -> Topic:
        if topic_id == ORDERS.topic_id:
            return ORDERS
        raise UnknownTopic("no such id")


@pytest.mark.parametrize(
    ("ref", "resource"),
    [
        (TopicRef(name="orders"), "topic:orders"),
        (TopicRef(topic_id=ORDERS.topic_id), "topic:orders"),
        (TopicRef(name="orders", topic_id=ORDERS.topic_id), "topic:orders"),
        (TopicRef(name="harmless", topic_id=ORDERS.topic_id), "topic:orders"),  # the id wins
        (TopicRef(name="other"), "topic:other"),
        (TopicRef(topic_id=b"x" * 16), "topic:" + "78" * 16),
        (TopicRef(topic_id=b"xx"), "topic:7878"),
        (TopicRef(), "topic:"),
    ],
)
def test_a_topic_by_its_name_however_it_was_named(ref: TopicRef, resource: str) -> None:
    request = DescribePartitionsRequest(topic=ref)
    assert topic(OneTopic(), request) == topic_or_all(OneTopic(), request) == resource
    if ref.topic_id:
        assert topic_of_id(OneTopic(), TopicId(ref.topic_id)) == resource


def test_no_topic_is_all() -> None:
    assert topic_or_all(OneTopic(), DescribePartitionsRequest()) == "cluster"
