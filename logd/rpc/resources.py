"""Topics as the Authorizer is asked about them: by name, whichever way a request names them."""

from typing import Any, Protocol

from logd.model.errors import UnknownTopic
from logd.model.ids import TopicId
from logd.model.topic import Topic


class TopicNames(Protocol):
    """Finds a topic's name."""

    def by_id(self, topic_id: TopicId) -> Topic:
        """Raises UnknownTopic."""
        ...


def topic(topics: TopicNames, request: Any) -> str:
    """The one that a request is about."""
    ref = request.topic
    return topic_of_id(topics, TopicId(ref.topic_id)) if ref.topic_id else f"topic:{ref.name}"


def topic_or_all(topics: TopicNames, request: Any) -> str:
    """As `topic`, where one is named."""
    return topic(topics, request) if request.HasField("topic") else "cluster"


def topic_of_id(topics: TopicNames, topic_id: TopicId) -> str:
    """By its name; an id that no topic has stands for itself."""
    try:
        return f"topic:{topics.by_id(topic_id).name}"
    except UnknownTopic:
        return f"topic:{topic_id.hex()}"
