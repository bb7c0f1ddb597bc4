"""Bytes of a group's parts that no writer makes, and what the parts take."""

import struct

import pytest

from logd.model.errors import StoredDataCorrupt
from logd.model.group import Attempts, DoneRange, RewindEpoch
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import (
    GroupImage,
    Position,
    RewindBody,
    RewindEntry,
    RewindEvent,
)
from logd_consumer_groups.core.offset_records import VALUE_VERSION
from logd_consumer_groups.core.struct_reader import StructReader

WHERE = TopicPartition(TopicId(b"t" * 16), PartitionId(3))


def image(kind: int, start: int, end: int, flags: int) -> bytes:
    """Of a group with one event of one entry."""
    return b"".join(
        (
            struct.pack("<H1sqII", 1, b"g", 4, 0, 1),
            struct.pack("<qB", 4, kind),
            struct.pack("<qqHHI", 5, -1, 0, 0, 1),
            struct.pack("<16sIqqqB", *WHERE, start, end, 64, flags),
        )
    )


def unpacked(raw: bytes) -> GroupImage:
    return GroupImage.unpack(StructReader(raw), 1)


def test_an_event_at_its_bounds_is_read() -> None:
    entry = RewindEntry(WHERE, None, Offset(0), 64, True)
    event = RewindEvent(RewindEpoch(4), "COMMIT", RewindBody(5, "", "", (entry,)))
    assert unpacked(image(3, -1, 0, 1)) == GroupImage("g", RewindEpoch(4), (), (event,))


@pytest.mark.parametrize(
    "damaged",
    [(0, -1, 0, 1), (4, -1, 0, 1), (1, -2, 0, 1), (1, 0, -2, 1), (1, 0, 0, 2)],
    ids=["kind 0", "kind 4", "from", "to", "flags"],
)
def test_an_event_out_of_bounds_is_corrupt(damaged: tuple[int, int, int, int]) -> None:
    with pytest.raises(StoredDataCorrupt):
        unpacked(image(*damaged))


@pytest.mark.parametrize("metadata", ["", "n" * 300, "né" * 99, "\N{GRINNING FACE}" * 50])
@pytest.mark.parametrize("ranges", [0, 7])
def test_a_position_takes_no_more_than_it_says(metadata: str, ranges: int) -> None:
    """Nor much less, but for text that is not ASCII."""
    done = tuple(DoneRange(n, n + 1) for n in range(ranges))
    tried = tuple(Attempts(n, 1) for n in range(ranges))
    position = Position(Offset(1), 2, 3, metadata=metadata, done_ranges=done, attempts=tried)
    taken = 20 + len(position.pack(VALUE_VERSION))
    assert taken <= position.size_bytes
    assert position.size_bytes == taken or not metadata.isascii()
