"""What to read for a fetch, decided without touching the disk."""

from typing import TYPE_CHECKING, NamedTuple

from logd.model.ids import Offset

if TYPE_CHECKING:
    from logd_partitions.segment.log_segment import LogSegment


class Hot(NamedTuple):
    """Bytes that this process appended lately, in the page cache: read through the map.

    `next_offset` is that of the last batch of the range.
    """

    segment: "LogSegment"
    position: int
    size_bytes: int
    next_offset: Offset


class Cold:
    """Batches from the one that holds `offset` on; where they stand is found by the read.

    `size_bytes` is a bound, and `next_offset` is `offset`, until the read sets them to what it got.
    """

    __slots__ = ("end_offset", "max_bytes", "next_offset", "offset", "segment", "size_bytes")

    def __init__(
        self, segment: "LogSegment", offset: Offset, max_bytes: int, end_offset: Offset
    ) -> None:
        self.segment = segment
        self.offset = offset
        self.max_bytes = max_bytes
        self.end_offset = end_offset
        self.size_bytes = min(max_bytes, segment.bytes_from(offset))
        self.next_offset = offset


ReadPlan = Hot | Cold
