"""Both indexes of a segment, made while its batches are walked."""

from logd.model.ids import Offset
from logd.model.record_batch import HEADER_BYTES, stored_header
from logd.model.seams import File
from logd_partitions.core.offset_index import OffsetIndex
from logd_partitions.core.time_index import TimeIndex
from logd_partitions.segment.segment_scan import ScannedBatch


class GrowingIndexes:
    """They tell of all before `position`, where the batch at `offset` should begin."""

    __slots__ = ("index", "offset", "position", "time_index", "timed")

    def __init__(self, base_offset: Offset) -> None:
        """Of nothing, at the segment's beginning."""
        self.index = OffsetIndex(base_offset)
        self.time_index = TimeIndex()
        self.position = 0
        self.offset = base_offset
        self.timed = Offset(base_offset - 1)
        """The time index begins with the batches up to this offset."""

    @staticmethod
    def resumed(
        file: File, index: OffsetIndex, time_index: TimeIndex, known: Offset
    ) -> "GrowingIndexes":
        """From the last place at or below `known` that both tell of, and that is what they say; at
        the beginning if there is none. Blocking. Raises OSError."""
        growing = GrowingIndexes(index.base_offset)
        timed = time_index.last_at(known)
        if timed is None:
            return growing
        offset, position = index.floor(timed)
        header = stored_header(file.pread(HEADER_BYTES, position))
        if header is not None and header.base_offset == offset:
            growing.index, growing.time_index = (
                index.up_to(offset),
                time_index.up_to(timed, position),
            )
            growing.position, growing.offset, growing.timed = position, offset, timed
        return growing

    def add(self, batch: ScannedBatch) -> None:
        """Take in the next batch."""
        header = batch.header
        self.index.add(header.base_offset, batch.position)
        if header.base_offset > self.timed:
            self.time_index.add_batch(header, batch.position)
        self.position = batch.position + header.batch_length
        self.offset = header.next_offset
