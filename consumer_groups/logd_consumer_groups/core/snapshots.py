"""When a partition of __consumer_offsets is written anew as a snapshot, and in what pieces."""

from collections import deque

from logd.model.ids import Offset
from logd_consumer_groups.core.group_image import GroupImage
from logd_consumer_groups.core.offset_records import SnapshotChunk
from logd_consumer_groups.core.shard_state import ShardState

LOG_BYTES_MIN = 4 << 20
LOG_TO_STATE_RATIO = 4
"""A snapshot is due where the log holds more than this many times the live state, and more than
LOG_BYTES_MIN: writing one costs at most a third of what was appended since the one before."""

CHUNK_BYTES_MAX = 512 << 10
"""A group stands whole in one chunk; one that is larger than this has a chunk to itself."""


def snapshot_is_due(log_bytes: int, state_bytes: int) -> bool:
    return log_bytes > max(LOG_BYTES_MIN, LOG_TO_STATE_RATIO * state_bytes)


class SnapshotWriter:
    """Gives the chunks of one snapshot. Records of other kinds may be appended between them.

    A group is copied when its chunk is made, so what is appended after the chunk comes after it in
    the log too. Groups that are created later need no copy: their records lie behind the begin.
    """

    def __init__(self, state: ShardState, begin_offset: Offset) -> None:
        self._state = state
        self._begin_offset = begin_offset
        self._names = deque(sorted(state.groups))
        self._index = 0

    def next_chunk(self) -> SnapshotChunk | None:
        """The next chunk, of the state as it is now; None after the last. To be appended before
        anything else is."""
        images: list[GroupImage] = []
        size = 0
        while self._names:
            group = self._state.groups.get(self._names[0])
            if group is not None:
                if images and size + group.state_bytes > CHUNK_BYTES_MAX:
                    break
                images.append(group.image())
                size += group.state_bytes
            self._names.popleft()
        if not images:
            return None
        self._index += 1
        return SnapshotChunk(self._begin_offset, self._index - 1, tuple(images))
