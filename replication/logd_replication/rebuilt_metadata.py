"""Metadata made again from what data directories tell of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from logd.model.ids import BrokerId
from logd.model.seams import Put
from logd.model.topic import Topic
from logd_replication.metadata_schema import (
    CLUSTER_KEY,
    BrokerEpochValue,
    ClusterValue,
    TopicNameValue,
    broker_epoch_key,
    encode_topic,
    encode_value,
    topic_key,
    topic_name_key,
)

EPOCHS_LEAPT = 1_000
"""Starts without an append raise the broker's epoch and leave no trace on disk."""


@dataclass(frozen=True, slots=True)
class RebuiltMetadata:
    """`revision` is that of the store before `entries` are put into it, in one go."""

    entries: tuple[Put, ...]
    revision: int
    broker_epoch: int


def rebuild_metadata(
    cluster: ClusterValue,
    broker_id: BrokerId,
    topics: Sequence[Topic],
    *,
    highest_leader_epoch: int,
) -> RebuiltMetadata:
    """All that a store needs: the epoch lies well above what was seen, since none may come twice.

    Nothing of producer ids: the broker draws another secret for them, under which none that stands
    in a log is valid. `highest_leader_epoch` -1: none was seen.
    """
    epoch = highest_leader_epoch + EPOCHS_LEAPT
    entries = [
        Put(CLUSTER_KEY, encode_value(cluster)),
        Put(broker_epoch_key(broker_id), encode_value(BrokerEpochValue(epoch))),
    ]
    for topic in topics:
        name = encode_value(TopicNameValue(topic.topic_id.hex()))
        entries += [
            Put(topic_key(topic.topic_id), encode_topic(topic)),
            Put(topic_name_key(topic.name), name),
        ]
    revision = max((topic.revision for topic in topics), default=0)
    return RebuiltMetadata(tuple(entries), revision, epoch)
