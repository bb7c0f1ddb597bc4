"""A partition that was added is opened once it is known where its keys were before."""

from logd.broker.ports import Topics
from logd.model.errors import LeaderNotAvailable
from logd.model.ids import PartitionId
from logd.model.topic import SPLIT_UNSETTLED, Topic


async def with_beginning(topics: Topics, topic: Topic, partition: PartitionId) -> Topic:
    """The topic, whose `split_at` of the partition is known. Raises LeaderNotAvailable where its
    parent cannot be asked, UnknownPartition."""
    if topic.partition(partition).split_at != SPLIT_UNSETTLED:
        return topic
    topic = await topics.settle_splits(topic.topic_id)
    spec = topic.partition(partition)
    if spec.split_at != SPLIT_UNSETTLED:
        return topic
    parent = spec.parents[0]
    raise LeaderNotAvailable(
        f"partition {partition} of '{topic.name}' was split from partition {parent}, whose log end "
        "cannot be told now; it takes no records before",
        topic=topic.name,
        partition=parent,
    )
