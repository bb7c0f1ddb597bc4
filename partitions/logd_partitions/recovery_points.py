"""From where a start must read each partition: one file a data directory."""

from dataclasses import dataclass

from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition


@dataclass(frozen=True, slots=True)
class RecoveryPoint:
    """A partition is synced up to `next_offset` (exclusive), which is at `position` in a segment.

    `open`: more may have been written behind it, so a start scans on from here. Not open: the
    segment ends at `position`, and nothing needs to be read.
    """

    topic_id: TopicId
    partition: PartitionId
    segment_base_offset: Offset
    position: int
    next_offset: Offset
    log_start_offset: Offset
    open: bool

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic_id, self.partition)
