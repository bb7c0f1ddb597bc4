"""Each topic is asked about once, and what is remembered of topics that are none is bounded."""

import pytest

from logd.broker.doors.grpc_door import authorized_topics
from logd.broker.doors.grpc_door.authorized_topics import AuthorizedTopics
from logd.model.errors import AclDenied, InconsistentTopicId, UnknownTopic
from logd.model.ids import TopicId
from logd.model.topic import Topic
from logd.rpc.rpc import RequestContext

CONTEXT = RequestContext("someone", "", "peer", "public", None)


class Authorizer:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def authorize(self, context: RequestContext, operation: str, resource: str) -> None:
        self.asked.append(f"{operation} {resource}")
        if resource.endswith("ff"):
            raise AclDenied("no", operation=operation, resource=resource)


class NoTopics:
    """As if every topic were gone."""

    def by_id(self, topic_id: TopicId) -> Topic:
        raise UnknownTopic("gone")


def topic_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_who_may_is_asked_once_who_may_not_each_time() -> None:
    authorizer = Authorizer()
    topics = AuthorizedTopics(authorizer, NoTopics(), CONTEXT, "read")
    for _ in range(2):
        assert topics.check(topic_id(1)) == topic_id(1)
        with pytest.raises(AclDenied):
            topics.check(topic_id(255))
        with pytest.raises(InconsistentTopicId):
            topics.check(b"short")
    assert [asked[-2:] for asked in authorizer.asked] == ["01", "ff", "ff"]


def test_ids_that_no_topic_has_are_not_remembered_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authorized_topics, "REMEMBERED_MAX", 5)
    topics = AuthorizedTopics(Authorizer(), NoTopics(), CONTEXT, "read")
    for number in range(23):
        topics.check(topic_id(number))
        assert len(topics._authorized) <= 5
