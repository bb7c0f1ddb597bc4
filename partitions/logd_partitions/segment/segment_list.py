"""The segments of one log, oldest first."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from logd.model.ids import Offset
from logd_partitions.segment.log_segment import LogSegment


class SegmentList:
    """Readable from any thread without a lock: a change replaces all at once.

    Changes are made under the log's lock.
    """

    __slots__ = ("_state",)

    def __init__(self, segments: Sequence[LogSegment] = ()) -> None:
        self._set(tuple(segments))

    def __len__(self) -> int:
        return len(self._state[0])

    def __iter__(self) -> Iterator[LogSegment]:
        return iter(self._state[0])

    @property
    def last(self) -> LogSegment | None:
        segments = self._state[0]
        return segments[-1] if segments else None

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._state[0])

    def holding(self, offset: Offset) -> LogSegment | None:
        """The segment that `offset` falls into; None below the first."""
        segments, bases = self._state
        at = bisect_right(bases, offset)
        return segments[at - 1] if at else None

    def from_offset(self, offset: Offset) -> tuple[LogSegment, ...]:
        """The segments from the one that holds `offset` on."""
        segments, bases = self._state
        return segments[max(0, bisect_right(bases, offset) - 1) :]

    def following(self, offset: Offset) -> Offset | None:
        """The base offset of the first segment that begins above `offset`."""
        _, bases = self._state
        at = bisect_right(bases, offset)
        return bases[at] if at < len(bases) else None

    def add(self, segment: LogSegment) -> None:
        self._set((*self._state[0], segment))

    def remove_before(self, offset: Offset) -> Sequence[LogSegment]:
        """Take out the segments that end at or below `offset`; the last one always stays."""
        segments, bases = self._state
        count = max(0, bisect_right(bases, offset) - 1)
        self._set(segments[count:])
        return segments[:count]

    def replace(self, gone: Sequence[LogSegment], by: Sequence[LogSegment]) -> None:
        """Put others in the place of neighbours, as truncation, repair and compaction do; none:
        they are taken out."""
        segments = self._state[0]
        at = segments.index(gone[0])
        assert segments[at : at + len(gone)] == tuple(gone), "neighbours are replaced"
        self._set((*segments[:at], *by, *segments[at + len(gone) :]))

    def _set(self, segments: tuple[LogSegment, ...]) -> None:
        self._state = segments, tuple(segment.base_offset for segment in segments)
