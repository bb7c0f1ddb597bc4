"""Which partition a small file says it belongs to, so that one in the wrong place is told.

20 bytes in `leader-epochs` and `producers.snapshot`, under their checksums: 16s topic_id, i32
partition. Files of a logd that did not write them name nobody.
"""

import struct

from logd.model.ids import PartitionId, TopicId, TopicPartition

OWNER = struct.Struct("<16si")

NamedOwner = TopicPartition | None


def read_owner(data: bytes, at: int) -> tuple[TopicPartition, int]:
    """The owner that stands at `at`, and where it ends. Raises struct.error."""
    topic_id, partition = OWNER.unpack_from(data, at)
    return TopicPartition(TopicId(topic_id), PartitionId(partition)), at + OWNER.size


def is_foreign(named: NamedOwner, owner: TopicPartition) -> bool:
    """Whether the file names another."""
    return named is not None and named != owner
