"""How many stored bytes a range of offsets has, by the indexes of its segments."""

import math
from collections.abc import Sequence

from logd.model.ids import Offset
from logd_partitions.segment.log_segment import HOT_BYTES_MAX, LogSegment


def bytes_between(
    segments: Sequence[LogSegment], start: Offset, end: Offset, log_end: Offset
) -> int:
    """About how many [start, end) has. `segments` are those from the one that holds `start` on.

    Within an interval of the index all records count as equally large, so that what is not empty
    has bytes. Blocking. Raises OSError.
    """
    total = 0
    ends = [*(segment.base_offset for segment in segments[1:]), log_end]
    for segment, following in zip(segments, ends, strict=True) if start < end else ():
        if segment.base_offset >= end:
            break
        first, last = 0, segment.size
        if segment.base_offset < start:
            first = int(_position(segment, following, start))
        if end < following:
            last = math.ceil(_position(segment, following, end))
        total += max(0, last - first)
    return total


def hot_bytes_between(segments: Sequence[LogSegment], start: Offset, end: Offset) -> int:
    """As `PartitionLog.hot_bytes_between`, whose lock is held."""
    total = 0
    for segment in segments:
        if segment.base_offset >= end:
            break
        try:
            total += _hot_position(segment, end, above=True)
            if segment.base_offset < start:
                total -= _hot_position(segment, start, above=False)
        except OSError:  # no map to be had
            total += segment.size
    return total


def _position(segment: LogSegment, following: Offset, offset: Offset) -> float:
    """About where `offset` stands in a segment that ends before `following`."""
    index = segment.index()
    below, position = index.floor(offset)
    above, position_above = index.above(offset) or (following, segment.size)
    return position + (position_above - position) * (offset - below) / (above - below)


def _hot_position(segment: LogSegment, offset: Offset, *, above: bool) -> int:
    """Where the batch at `offset` stands, or will stand; of what is not hot a place before it, or
    one behind it if `above`."""
    if segment.next_offset is not None and offset >= segment.next_offset:
        return segment.size
    index = segment.cached_index()
    if index is None:
        return segment.size if above else 0
    expected, position = index.floor(offset)
    hot = segment.hot_from is not None and (expected, position) >= segment.hot_from
    if hot and position >= segment.size - HOT_BYTES_MAX:
        view = segment.map()
        while expected < offset:
            stepped = segment.step(view, position, expected)
            if stepped is None:
                break
            position, expected = stepped
        else:
            return position
    return (index.above(offset) or (offset, segment.size))[1] if above else position
