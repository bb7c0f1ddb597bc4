"""Listeners: which services each has. What is not in its set is UNIMPLEMENTED there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listener:
    """A named set of services (by their full names) that has an address of its own."""

    name: str
    services: frozenset[str]

    def has(self, method: str) -> bool:
        """Of a full path, such as '/logd.v1.DataService/Produce'."""
        return method[1:].rpartition("/")[0] in self.services


PUBLIC = Listener(
    "public",
    frozenset(
        {
            "logd.v1.ClusterService",
            "logd.v1.DataService",
            "logd.v1.GroupService",
            "logd.v1.TopicService",
        }
    ),
)
"""For clients, through gRPC. What brokers ask each other is never here."""
FLIGHT = Listener("flight", frozenset({"logd.v1.DataService", "logd.v1.TopicService"}))
"""For clients, through Arrow Flight: streams, and what its tables are made of."""
