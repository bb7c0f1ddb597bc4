"""The bytes of a fork's replay in records and images.

All integers are little-endian; `text` is a u16 length and UTF-8.

    replay     source text, from_ms i64, until_ms i64 (-1: none), speed f64, began_ms i64 (-1: not
               begun), end count u32, ends: each topic_id 16 bytes, partition u32, end i64
"""

import math
import struct

from logd.model.errors import StoredDataCorrupt
from logd.model.group_replay import Replay
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.struct_reader import StructReader, packed_text

_HEAD = struct.Struct("<qqdqI")
_END = struct.Struct("<16sIq")


def replay_bytes(replay: Replay) -> int:
    """Its share of an image; text counts as four bytes a character."""
    return _HEAD.size + 4 * len(replay.source) + _END.size * len(replay.ends)


def pack_replay(replay: Replay) -> bytes:
    head = _HEAD.pack(
        replay.from_ms,
        -1 if replay.until_ms is None else replay.until_ms,
        replay.speed,
        -1 if replay.began_ms is None else replay.began_ms,
        len(replay.ends),
    )
    ends = (_END.pack(*where, end) for where, end in sorted(replay.ends.items()))
    return b"".join((packed_text(replay.source), head, *ends))


def unpack_replay(reader: StructReader) -> Replay:
    """Raises StoredDataCorrupt."""
    source = reader.text()
    from_ms, until_ms, speed, began_ms, count = reader.unpack(_HEAD)
    if not math.isfinite(speed) or speed < 0:
        raise StoredDataCorrupt("a replay in __consumer_offsets has a speed that is none")
    ends = {
        TopicPartition(TopicId(topic_id), PartitionId(partition)): Offset(end)
        for topic_id, partition, end in reader.unpack_many(_END, count)
    }
    if len(ends) != count or list(ends) != sorted(ends):
        raise StoredDataCorrupt("a replay in __consumer_offsets has ends out of order")
    return Replay(
        source,
        from_ms,
        None if until_ms == -1 else until_ms,
        speed,
        None if began_ms == -1 else began_ms,
        ends,
    )
