"""What the Authorizer is asked about, by name: topics, groups, the cluster."""

from typing import Any, Protocol

from logd.model.errors import UnknownTopic
from logd.model.ids import TopicId
from logd.model.topic import Topic


class TopicNames(Protocol):
    """Finds a topic's name."""

    def by_id(self, topic_id: TopicId) -> Topic:
        """Raises UnknownTopic."""
        ...


def cluster(topics: TopicNames, request: Any) -> str:
    """Of what no topic or group is concerned by, or all are."""
    return "cluster"


def group(topics: TopicNames, request: Any) -> str:
    """The group that a request names."""
    return f"group:{request.group}"


def new_topic(topics: TopicNames, request: Any) -> str:
    """One that is to be created."""
    return f"topic:{request.name}"


def topic(topics: TopicNames, request: Any) -> str:
    """The topic by its name, whichever way the request names it."""
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
