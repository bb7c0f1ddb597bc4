"""What becomes of sealed segments: indexes and manifest are saved, and in the end they expire."""

from collections.abc import Iterator, Sequence

from logd.model.ids import Offset, TopicPartition
from logd.model.topic_config import TopicConfig
from logd_partitions.atomic_file import write_atomically
from logd_partitions.core.retention import NEVER_EXPIRES, SealedSegment, expired_count
from logd_partitions.core.time_index import NO_TIME
from logd_partitions.leader_epochs import LeaderEpochs
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.segment_list import SegmentList
from logd_partitions.segment.segment_manifest import make_manifest


class SegmentMaintenance:
    """Of one log, under its maintenance lock; all of it blocks and may raise OSError."""

    def __init__(
        self,
        storage: PartitionStorage,
        topic_partition: TopicPartition,
        segments: SegmentList,
        epochs: LeaderEpochs,
    ) -> None:
        self._storage = storage
        self._topic_partition = topic_partition
        self._segments = segments
        self._epochs = epochs

    def finish_sealed(self, synced_end: Offset) -> Iterator[LogSegment]:
        """Save indexes and manifests of segments that were sealed, and synced, since: those that
        the log may mark so, one after the other."""
        for segment in self._segments:
            following = self._segments.following(segment.base_offset)
            if segment.saved or following is None or following > synced_end:
                continue
            segment.save_indexes()
            manifest = make_manifest(segment, self._topic_partition, self._epochs.entries)
            write_atomically(self._storage.fs, segment.companion("manifest"), manifest.to_bytes())
            yield segment

    def new_start(
        self,
        segments: Sequence[LogSegment],
        active: LogSegment | None,
        log_end: Offset,
        high_watermark: Offset,
        config: TopicConfig,
        now_ms: int | None,
    ) -> Offset | None:
        """Where the log should start by its retention; None: as it does. `segments`, which of them
        is `active` and the ends are of one moment: the log may roll meanwhile."""
        sealed = [segment for segment in segments if segment is not active]
        bases = [segment.base_offset for segment in segments]
        ends = [*bases[1:], log_end][: len(sealed)]
        size_bytes = sum(segment.size for segment in segments)
        retained = map(_retained, sealed, ends)
        count = expired_count(retained, size_bytes, high_watermark, config, now_ms)
        return ends[count - 1] if count else None


def _retained(segment: LogSegment, next_base_offset: Offset) -> SealedSegment:
    """A segment whose batches can't be read is kept: people should see it first."""
    last_append_ms = segment.time_index().last_append_ms
    if last_append_ms == NO_TIME and segment.size:
        last_append_ms = NEVER_EXPIRES
    return SealedSegment(segment.size, next_base_offset, last_append_ms)
