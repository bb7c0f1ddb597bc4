"""A topic as metadata has it, and the rule for names."""

import re
from dataclasses import dataclass
from enum import StrEnum

from logd.model.errors import InvalidName, UnknownPartition
from logd.model.ids import BrokerId, Offset, PartitionId, TopicId
from logd.model.key_ranges import KeyRange
from logd.model.topic_config import TopicConfig

PARTITIONS_PER_TOPIC_MAX = 10_000
NAME_LENGTH_MAX = 249
PARKED_SUFFIX = ".parked"
"""Of the topic that takes the records of another which its consumers cannot."""
SPLIT_UNSETTLED = Offset(-1)


class TopicState(StrEnum):
    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class PartitionSpec:
    """One partition in the topic's metadata: the keys it takes and who holds it.

    `sealed` partitions take no new records; `parents` are the partitions it was split from.
    `split_at`: its keys' earlier records stand below this offset of its parent; None: it was never
    noted; SPLIT_UNSETTLED: it is not known yet, and the partition takes no records before it is.
    """

    key_range: KeyRange
    sealed: bool = False
    parents: tuple[PartitionId, ...] = ()
    replicas: tuple[BrokerId, ...] = (BrokerId(0),)
    split_at: Offset | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `partitions[i]` is partition i. `revision` is that of the metadata store."""

    topic_id: TopicId
    name: str
    partitions: tuple[PartitionSpec, ...]
    config: TopicConfig
    state: TopicState = TopicState.READY
    partitioning_epoch: int = 0
    internal: bool = False
    created_ms: int = 0
    revision: int = 0

    def partition(self, number: int) -> PartitionSpec:
        """Raises UnknownPartition."""
        if not 0 <= number < len(self.partitions):
            raise UnknownPartition(
                f"topic '{self.name}' has no partition {number}, "
                f"only 0 to {len(self.partitions) - 1}",
                topic=self.name,
                partition=number,
            )
        return self.partitions[number]


def check_name(name: str, what: str = "topic") -> None:
    """The rule for names of topics and groups. Raises InvalidName."""
    allowed = re.fullmatch(r"[A-Za-z0-9._-]+", name) and name not in (".", "..")
    if not allowed or len(name) > NAME_LENGTH_MAX:
        raise InvalidName(
            f"'{name[:60]}' is no {what} name: letters, digits, '.', '_' and '-', "
            f"at most {NAME_LENGTH_MAX}, and not '.' or '..'",
            field=what,
        )
