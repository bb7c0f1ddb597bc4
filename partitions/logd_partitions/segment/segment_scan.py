"""Reads a segment batch by batch without trusting anything but checksums.

Recovery, the making of indexes, look-ups by time and the offline tools all read through here. After
bytes that are no batch the scan looks on, in steps of 8 bytes, for the next whole valid batch.
"""

from collections.abc import Iterator
from typing import NamedTuple

from crc32c import crc32c

from logd.model.ids import NO_LEADER_EPOCH, LeaderEpoch, Offset
from logd.model.record_batch import HEADER_BYTES, MAGIC, BatchHeader, stored_header
from logd.model.seams import File

WINDOW_BYTES = 1 << 20
HEADER_WINDOW_BYTES = 16 << 10
"""What one read fetches when only headers are wanted: batches larger than it are stepped over."""
_ALIGNMENT = 8
_MAGIC_AT = 4
_BODY_CRC_FROM = 48


class ScannedBatch(NamedTuple):
    position: int
    header: BatchHeader


class Damage(NamedTuple):
    """Bytes [position, end_position) hold no batch where one with `expected_offset` should be.

    `zeros`: they are all zero and reach to the end, so nothing was written there (or it was lost).
    `position == end_position`: nothing is missing there but offsets.
    """

    position: int
    end_position: int
    expected_offset: Offset
    zeros: bool


class SegmentScan:
    """One pass over the first `end` bytes of an open file. Blocking. Raises OSError."""

    def __init__(self, file: File, end: int, *, bodies: bool) -> None:
        """`bodies`: check them too, not the headers alone."""
        self._file = file
        self._end = end
        self._bodies = bodies
        self._window_bytes = WINDOW_BYTES if bodies else HEADER_WINDOW_BYTES
        self._window = b""
        self._window_at = 0

    def items(
        self, position: int, expected_offset: Offset, leader_epoch: LeaderEpoch = NO_LEADER_EPOCH
    ) -> Iterator[ScannedBatch | Damage]:
        """Every batch from `position` on, and the damage between them, in order.

        In sequence a batch has the offset that is expected, and its leader epoch does not fall.
        """
        expected, epoch = expected_offset, leader_epoch
        while position < self._end:
            header = self._batch_at(position, epoch, self._bodies)
            if header is not None and header.base_offset == expected:
                yield ScannedBatch(position, header)
                position += header.batch_length
                expected, epoch = header.next_offset, header.leader_epoch
                continue
            zeros = self._is_zero_from(position)
            found = self._end if zeros else self._look_on(position, expected, epoch)
            yield Damage(position, found, expected, zeros)
            position = found
            if found < self._end:
                expected = BatchHeader.unpack(self._bytes(found, HEADER_BYTES)).base_offset

    def _batch_at(self, position: int, epoch: LeaderEpoch, body: bool) -> BatchHeader | None:
        header = stored_header(self._bytes(position, HEADER_BYTES)[:HEADER_BYTES])
        if header is None or header.leader_epoch < epoch:
            return None
        if header.batch_length > self._end - position:
            return None
        if body and not self._body_matches(position, header):
            return None
        return header

    def _body_matches(self, position: int, header: BatchHeader) -> bool:
        batch = self._bytes(position, header.batch_length)[: header.batch_length]
        if len(batch) < header.batch_length:
            return False
        return int(crc32c(batch[_BODY_CRC_FROM:])) == header.body_crc

    def _look_on(self, position: int, expected: Offset, epoch: LeaderEpoch) -> int:
        """Position of the next whole valid batch not below `expected`, or the end."""
        at = position
        while at + HEADER_BYTES <= self._end:
            self._bytes(at, HEADER_BYTES)
            found = self._window.find(MAGIC, at - self._window_at + _MAGIC_AT)
            if found < 0:  # none is whole in the window; its last bytes may begin one
                rest = self._window_at + len(self._window) - (_MAGIC_AT + len(MAGIC) - 1)
                at = max(at + _ALIGNMENT, -(-rest // _ALIGNMENT) * _ALIGNMENT)
                continue
            candidate = self._window_at + found - _MAGIC_AT
            if candidate % _ALIGNMENT == 0:
                header = self._batch_at(candidate, epoch, body=True)
                if header is not None and header.base_offset >= expected:
                    return candidate
            at = (candidate // _ALIGNMENT + 1) * _ALIGNMENT
        return self._end

    def _is_zero_from(self, position: int) -> bool:
        while position < self._end:
            window = bytes(self._bytes(position, 1))
            if not window:
                return True  # somebody cut the file off meanwhile
            if window.count(0) < len(window):
                return False
            position += len(window)
        return True

    def _bytes(self, at: int, size: int) -> memoryview:
        """What the window holds from `at` on, at least `size` bytes but for the end."""
        size = min(size, self._end - at)
        start = at - self._window_at
        if start < 0 or start + size > len(self._window):
            read_bytes = min(max(size, self._window_bytes), self._end - at)
            self._window, self._window_at, start = self._file.pread(read_bytes, at), at, 0
        return memoryview(self._window)[start:]
