"""Distinct types for the numbers and identities of the log."""

from typing import NamedTuple, NewType

Offset = NewType("Offset", int)
LeaderEpoch = NewType("LeaderEpoch", int)
BrokerId = NewType("BrokerId", int)
PartitionId = NewType("PartitionId", int)
MemberEpoch = NewType("MemberEpoch", int)
ProducerId = NewType("ProducerId", int)
ProducerEpoch = NewType("ProducerEpoch", int)

TopicId = NewType("TopicId", bytes)
"""16 random bytes, given once at creation and never reused."""

TOPIC_ID_BYTES = 16
NO_PRODUCER = ProducerId(-1)
NO_LEADER_EPOCH = LeaderEpoch(-1)


class TopicPartition(NamedTuple):
    """One partition of one topic, by identity."""

    topic_id: TopicId
    partition: PartitionId

    def __str__(self) -> str:
        return f"{self.topic_id.hex()}:{self.partition}"
