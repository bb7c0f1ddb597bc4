"""What a follower takes from its leader: whole batches as they were stamped, and named gaps.

A follower judges no sequences and stamps nothing: what the leader appended has happened. What it
does check is that these are the bytes the leader stored, and that they follow on what is here.
"""

from collections.abc import Iterable
from typing import NamedTuple

from logd.model.errors import CorruptBatch, FencedLeaderEpoch
from logd.model.ids import LeaderEpoch, Offset
from logd.model.record_batch import BatchHeader, body_crc, split_batches
from logd.model.seams import Buffer
from logd_partitions.core.time_index import record_time_ms
from logd_partitions.segment.log_segment import AppendedBatch


class Gap(NamedTuple):
    """Offsets [start, end) of which the leader has nothing: they were lost, or compacted away."""

    start: Offset
    end: Offset


class StoredBatch(NamedTuple):
    """A batch as it stands in the leader's log; `gap`: what is missing before it."""

    header: BatchHeader
    data: memoryview
    gap: Gap | None

    @property
    def noted(self) -> AppendedBatch:
        header = self.header
        record_ms = record_time_ms(header)
        append_ms = header.append_timestamp_ms
        return AppendedBatch(header.base_offset, header.next_offset, append_ms, record_ms)


def check_stored(
    batches: Buffer,
    gaps: Iterable[Gap],
    log_end: Offset,
    leader_epoch: LeaderEpoch,
    *,
    is_empty: bool,
) -> tuple[list[StoredBatch], Gap | None]:
    """The batches, each where the one before it ends or where a gap does, and the gap behind the
    last. The log ends at `log_end`, in `leader_epoch`. One that `is_empty` may begin within its
    first batch: its start was moved there.

    Raises CorruptBatch, FencedLeaderEpoch.
    """
    missing = {gap.start: gap for gap in gaps if gap.end > gap.start}
    checked: list[StoredBatch] = []
    expected, epoch = log_end, leader_epoch
    for header, data in split_batches(batches):
        gap = None
        if header.base_offset != expected:
            gap = missing.get(expected)
            begins_within = is_empty and not checked and header.base_offset < expected
            follows = gap is not None and gap.end == header.base_offset
            if not follows and not (begins_within and expected < header.next_offset):
                raise CorruptBatch(
                    f"the leader sent the batch at offset {header.base_offset} where the one at "
                    f"{expected} should be, and named no gap",
                    expected=expected,
                    got=header.base_offset,
                )
        if header.leader_epoch < epoch:
            raise FencedLeaderEpoch(
                f"the batch at offset {header.base_offset} has leader epoch {header.leader_epoch}, "
                f"but {epoch} has begun before it",
                current_epoch=epoch,
            )
        if header.body_crc != (crc := body_crc(data)):
            raise CorruptBatch(
                f"the batch at offset {header.base_offset} does not match its body_crc",
                expected=header.body_crc,
                got=crc,
            )
        checked.append(StoredBatch(header, data, gap))
        expected, epoch = header.next_offset, header.leader_epoch
    return checked, missing.get(expected)
