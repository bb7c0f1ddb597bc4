"""What a topic becomes when partitions are added: which takes whose keys, and from where on.

The records of a key stand in order within a partition, and a split moves half of a partition's keys
to a new one. So that a group reads them in order all the same, each new partition keeps `split_at`:
its parent's log end once the parent takes no more records under the old partitioning. Who has read
the parent so far may begin with the child.

That end is known only after the split is in the metadata, so it is noted in two steps: the split
with SPLIT_UNSETTLED, then, in a second write, the ends. A child is not opened in between, hence
empty. Where the second write is lost, whoever opens the child next makes up for it; a later end is
right as well, since it only makes a group wait longer.
"""

from collections.abc import Mapping
from dataclasses import replace

from logd.model.ids import Offset, PartitionId
from logd.model.key_ranges import halve_widest
from logd.model.topic import SPLIT_UNSETTLED, PartitionSpec, Topic


def split(topic: Topic, total: int) -> tuple[Topic, float]:
    """The topic with `total` partitions, and the share of keys (0 to 1) that move."""
    halved = halve_widest([spec.key_range for spec in topic.partitions], total)
    old = topic.partitions
    partitions = tuple(
        replace(old[number], key_range=key_range)
        if number < len(old)
        else PartitionSpec(
            key_range,
            parents=tuple(PartitionId(parent) for parent in halved.parents[number]),
            replicas=old[0].replicas,
            split_at=SPLIT_UNSETTLED,
        )
        for number, key_range in enumerate(halved.ranges)
    )
    epoch = topic.partitioning_epoch + 1
    return replace(topic, partitions=partitions, partitioning_epoch=epoch), halved.moved_share


def parents_to_ask(topic: Topic) -> list[PartitionId]:
    """Those whose log ends unsettled splits wait for. A parent that is unsettled itself is not
    among them: it is empty."""
    specs = topic.partitions
    parents = {spec.parents[0] for spec in specs if spec.split_at == SPLIT_UNSETTLED}
    return sorted(parent for parent in parents if specs[parent].split_at != SPLIT_UNSETTLED)


def settled(topic: Topic, ends: Mapping[PartitionId, Offset | None]) -> Topic:
    """The topic, its splits settled by the log ends of `parents_to_ask`; None: not known now."""

    def settle(spec: PartitionSpec) -> PartitionSpec:
        if spec.split_at != SPLIT_UNSETTLED:
            return spec
        end = ends.get(spec.parents[0], Offset(0))
        return spec if end is None else replace(spec, split_at=end)

    return replace(topic, partitions=tuple(map(settle, topic.partitions)))
