"""What a stream's client may do on which topics, asked once for each."""

from logd.broker.doors.grpc_door.topic_refs import to_topic_id
from logd.model.ids import TopicId
from logd.rpc.resources import TopicNames, topic_of_id
from logd.rpc.rpc import Authorizer, RequestContext

REMEMBERED_MAX = 20_000
"""Past it all are asked about anew: a client may name ids that no topic has, without end."""


class AuthorizedTopics:
    """Of one stream and one operation."""

    def __init__(
        self, authorizer: Authorizer, topics: TopicNames, context: RequestContext, operation: str
    ) -> None:
        self._authorizer = authorizer
        self._topics = topics
        self._context = context
        self._operation = operation
        self._authorized: set[bytes] = set()

    def check(self, raw: bytes) -> TopicId:
        """The id. Raises InconsistentTopicId, AclDenied."""
        topic_id = to_topic_id(raw)
        if topic_id not in self._authorized:
            resource = topic_of_id(self._topics, topic_id)
            self._authorizer.authorize(self._context, self._operation, resource)
            if len(self._authorized) >= REMEMBERED_MAX:
                self._authorized.clear()
            self._authorized.add(topic_id)
        return topic_id
