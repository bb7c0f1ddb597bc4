"""Metadata made again from what data directories tell of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from logd.model.ids import BrokerId
from logd.model.seams import Put
from logd.model.topic import Topic
from logd_replication.metadata_schema import (
    CLUSTER_KEY,
    PRODUCER_IDS_KEY,
    BrokerEpochValue,
    ClusterValue,
    ProducerIdsValue,
    TopicNameValue,
    broker_epoch_key,
    encode_topic,
    encode_value,
    topic_key,
    topic_name_key,
)
from logd_replication.producer_id_blocks import PRODUCER_IDS_PER_BLOCK

EPOCHS_LEAPT = 1_000
"""Starts without an append raise the broker's epoch and leave no trace on disk."""
BLOCKS_LEAPT = 1_000
"""Producer ids that were given out and never used leave none either."""


@dataclass(frozen=True, slots=True)
class RebuiltMetadata:
    """`revision` is that of the store before `entries` are put into it, in one go."""

    entries: tuple[Put, ...]
    revision: int
    broker_epoch: int
    next_producer_id: int


def rebuild_metadata(
    cluster: ClusterValue,
    broker_id: BrokerId,
    topics: Sequence[Topic],
    *,
    highest_leader_epoch: int,
    highest_producer_id: int,
) -> RebuiltMetadata:
    """All that a store needs: numbers lie well above what was ever seen, since none may come twice.

    -1 as a highest number: none was seen.
    """
    epoch = highest_leader_epoch + EPOCHS_LEAPT
    block = highest_producer_id // PRODUCER_IDS_PER_BLOCK + BLOCKS_LEAPT
    next_id = block * PRODUCER_IDS_PER_BLOCK
    entries = [
        Put(CLUSTER_KEY, encode_value(cluster)),
        Put(broker_epoch_key(broker_id), encode_value(BrokerEpochValue(epoch))),
        Put(PRODUCER_IDS_KEY, encode_value(ProducerIdsValue(next_id))),
    ]
    for topic in topics:
        name = encode_value(TopicNameValue(topic.topic_id.hex()))
        entries += [
            Put(topic_key(topic.topic_id), encode_topic(topic)),
            Put(topic_name_key(topic.name), name),
        ]
    revision = max((topic.revision for topic in topics), default=0)
    return RebuiltMetadata(tuple(entries), revision, epoch, next_id)
