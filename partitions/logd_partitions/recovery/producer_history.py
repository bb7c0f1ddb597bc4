"""What a partition remembered of producers when its log ended somewhere below its end now."""

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from logd.model.errors import StoredDataCorrupt
from logd.model.ids import Offset, TopicPartition
from logd_partitions.atomic_file import read_file
from logd_partitions.core.producer_state import SNAPSHOT_FILE, ProducerState
from logd_partitions.partition_storage import PartitionStorage
from logd_partitions.segment.log_segment import LogSegment
from logd_partitions.segment.segment_scan import Damage, SegmentScan


class Snapshot(NamedTuple):
    """Producers as of all batches below `offset`."""

    producers: ProducerState
    offset: Offset


def saved_snapshot(storage: PartitionStorage, owner: TopicPartition) -> Snapshot | None:
    """The one on disk, if it is whole. Blocking. Raises OSError, UnsupportedVersion."""
    with contextlib.suppress(FileNotFoundError, StoredDataCorrupt):
        data = read_file(storage.fs, storage.file_path(SNAPSHOT_FILE))
        return Snapshot(*ProducerState.from_bytes(data, owner))
    return None


def producers_until(
    storage: PartitionStorage,
    segments: Sequence[LogSegment],
    end: Offset,
    snapshots: Sequence[Snapshot | None],
) -> Snapshot:
    """Producers as of the batches below `end`, from the newest of `snapshots` that tells of no
    more, and the headers behind it. Blocking. Raises OSError."""
    first = segments[0].base_offset if segments else end
    usable = [each for each in snapshots if each is not None and first <= each.offset <= end]
    lost = not usable and first > 0
    start = Snapshot(ProducerState(), first)
    producers, known = max(usable, key=lambda each: each.offset, default=start)
    producers.given_out_from(storage.identities.first_id)
    ends = [*(segment.base_offset for segment in segments[1:]), end]
    for segment, following in zip(segments, ends, strict=False):
        if following <= known or segment.base_offset >= end:
            continue
        with segment.open() as file:
            scan = SegmentScan(file, segment.size, bodies=False)
            for item in scan.items(*_before(segment, known)):
                if isinstance(item, Damage):
                    lost = lost or not item.zeros
                    continue
                header = item.header
                if header.next_offset > end:
                    break
                if header.next_offset > known:
                    producers.record(header, header.base_offset, header.append_timestamp_ms)
                    known = header.next_offset
        known = max(known, min(following, end))
    if lost:
        producers.refuse_unknown_below = storage.identities.first_id
    return Snapshot(producers, known)


def _before(segment: LogSegment, known: Offset) -> tuple[int, Offset]:
    """A position to read from, and the offset that should stand there."""
    offset, position = segment.index().floor(known)
    with segment.open() as file:
        found = next(SegmentScan(file, segment.size, bodies=False).items(position, offset), None)
    if isinstance(found, Damage):  # the index led to where no batch is
        return 0, segment.base_offset
    return position, offset
