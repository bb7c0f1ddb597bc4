"""Which partitions wait until a group is done with what their keys had before, in their parents.

A partition that was split off another takes over half of its keys; their earlier records stand in
the parent, below `split_at`. A group that reads both at once would get a key's records out of
order, so the child has no owner until the group has come so far in the parent: has committed it, or
its owner says so. That the parent waits itself is minded too. Once it has an owner a child waits no
more, unless the group is rewound to where the order would matter again.
"""

from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

from logd.model.ids import Offset, PartitionId, TopicPartition
from logd.model.topic import SPLIT_UNSETTLED, Topic


class SplitWait(NamedTuple):
    """`parent` is to be done below `at`; SPLIT_UNSETTLED: how far is not known yet."""

    parent: TopicPartition
    at: Offset


class SplitWaits:
    """Of one group. `waiting` holds the children that may not be granted now."""

    def __init__(self) -> None:
        self._splits: dict[TopicPartition, SplitWait] = {}
        self.waiting: dict[TopicPartition, SplitWait] = {}

    def topics_changed(self, topics: Iterable[Topic]) -> None:
        """All that the group subscribes to, as they are now."""
        self._splits = {
            TopicPartition(topic.topic_id, PartitionId(number)): SplitWait(
                TopicPartition(topic.topic_id, spec.parents[0]), spec.split_at
            )
            for topic in topics
            for number, spec in enumerate(topic.partitions)
            if spec.parents and spec.split_at is not None
        }

    def look(
        self,
        owned: Container[TopicPartition],
        done: Callable[[TopicPartition], Offset],
        *,
        rewound: bool = False,
    ) -> None:
        """Tell again who waits. `done`: where the group is in a partition, at least."""
        waiting: dict[TopicPartition, SplitWait] = {}
        for child, split in self._splits.items():  # a parent comes before its children
            may_go_on = child in owned and child not in self.waiting and not rewound
            if not may_go_on and (
                split.parent in waiting
                or split.at == SPLIT_UNSETTLED
                or done(split.parent) < split.at
            ):
                waiting[child] = split
        self.waiting = waiting

    def report_at(self, parent: TopicPartition) -> Offset | None:
        """Where in `parent` the next child begins that waits for it; None: none does."""
        ats = (wait.at for wait in self.waiting.values() if wait.parent == parent)
        return min((at for at in ats if at != SPLIT_UNSETTLED), default=None)
