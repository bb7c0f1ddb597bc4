"""The bytes of __consumer_offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import LogdError, StoredDataCorrupt, UnsupportedVersion
from logd.model.group import DoneRange, RewindEpoch
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import (
    GroupImage,
    Position,
    RewindBody,
    RewindEntry,
    RewindEvent,
)
from logd_consumer_groups.core.offset_records import (
    CommitRecord,
    GroupTombstone,
    OffsetRecord,
    RecordType,
    RewindRecord,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    unpack_record,
)

WHERE = TopicPartition(TopicId(bytes(range(16))), PartitionId(3))
POSITION = Position(Offset(7), 1000, 900, 2, "né", (DoneRange(9, 12),))
BODY = RewindBody(5, "to earliest", "ann", (RewindEntry(WHERE, None, Offset(1), 64, True),))

_WHERE = "000102030405060708090a0b0c0d0e0f03000000"
_POSITION = (
    "0700000000000000"
    "02000000"
    "e803000000000000"
    "8403000000000000"
    "0300"
    "0100"
    "6ec3a9"
    "0900000000000000"
    "0c00000000000000"
)
_ENTRY = _WHERE + "ffffffffffffffff0100000000000000400000000000000001"
_EVENT = (
    "0500000000000000"
    "ffffffffffffffff"
    "0b00" + b"to earliest".hex() + "0300" + b"ann".hex() + "01000000" + _ENTRY
)

GOLDEN: list[tuple[OffsetRecord, str, str | None]] = [
    (
        CommitRecord("g1", WHERE, POSITION, True, "c"),
        "010102006731" + _WHERE,
        "01" + _POSITION + "01010063",
    ),
    (GroupTombstone("g1"), "010202006731", None),
    (
        RewindRecord("g1", "RESET", RewindEpoch(-1), BODY),
        "010302006731ffffffffffffffff",
        "01" + _EVENT,
    ),
    (
        RewindRecord("g1", "UNDO", RewindEpoch(4), BODY),
        "0104020067310400000000000000",
        "01" + _EVENT,
    ),
    (SnapshotBegin(9), "0105", "010900000000000000"),
    (
        SnapshotChunk(
            Offset(8),
            1,
            (
                GroupImage(
                    "g1",
                    RewindEpoch(4),
                    ((WHERE, POSITION),),
                    (RewindEvent(RewindEpoch(4), "UNDO", BODY),),
                ),
            ),
        ),
        "0106080000000000000001000000",
        "01"
        "01000000"
        "02006731"
        "0400000000000000"
        "01000000" + _WHERE + _POSITION + "01000000"
        "0400000000000000"
        "02" + _EVENT,
    ),
    (
        SnapshotEnd(Offset(8), 2, 3, 0xDEADBEEF),
        "01070800000000000000",
        "010200000003000000efbeadde",
    ),
]


@pytest.mark.parametrize(("record", "key", "value"), GOLDEN, ids=lambda v: type(v).__name__)
def test_golden_bytes(record: OffsetRecord, key: str, value: str | None) -> None:
    raw = (bytes.fromhex(key), None if value is None else bytes.fromhex(value))
    assert record.pack() == raw
    assert unpack_record(*raw) == record


offsets = st.integers(0, 2**63 - 1).map(Offset)
times = st.integers(-(2**63), 2**63 - 1)
names = st.text("abcé.", min_size=1, max_size=8)
wheres = st.builds(
    TopicPartition,
    st.binary(min_size=16, max_size=16).map(TopicId),
    st.integers(0, 2**32 - 1).map(PartitionId),
)
positions = st.builds(
    Position,
    offsets,
    times,
    times,
    st.integers(-1, 2**31 - 1),
    st.text(max_size=10),
    st.lists(st.builds(DoneRange, offsets, offsets), max_size=3).map(tuple),
)
entries = st.builds(
    RewindEntry, wheres, st.none() | offsets, st.none() | offsets, offsets, st.booleans()
)
bodies = st.builds(
    RewindBody, times, names, names, st.lists(entries, max_size=3).map(tuple), st.just(-1)
)
kinds = st.sampled_from(["RESET", "UNDO", "COMMIT"])
images = st.builds(
    GroupImage,
    names,
    st.integers(-1, 2**63 - 1),
    st.lists(st.tuples(wheres, positions), max_size=3).map(tuple),
    st.lists(st.builds(RewindEvent, offsets, kinds, bodies), max_size=3).map(tuple),
)
counts = st.integers(0, 2**32 - 1)
records: st.SearchStrategy[OffsetRecord] = st.one_of(
    st.builds(CommitRecord, names, wheres, positions, st.booleans(), names),
    st.builds(GroupTombstone, names),
    st.builds(RewindRecord, names, st.sampled_from(["RESET", "UNDO"]), offsets, bodies),
    st.builds(SnapshotBegin, times),
    st.builds(SnapshotChunk, offsets, counts, st.lists(images, max_size=3).map(tuple)),
    st.builds(SnapshotEnd, offsets, counts, counts, counts),
)


@given(records)
def test_what_was_packed_is_unpacked(record: OffsetRecord) -> None:
    assert unpack_record(*record.pack()) == record


@given(st.binary(max_size=80), st.none() | st.binary(max_size=200))
def test_any_bytes_give_a_record_or_a_typed_error(key: bytes, value: bytes | None) -> None:
    try:
        record = unpack_record(b"\x01" + key, value)
    except LogdError:
        return
    assert record.pack() == (b"\x01" + key, value)


@given(records, st.data())
def test_damaged_bytes_give_a_record_or_a_typed_error(
    record: OffsetRecord, data: st.DataObject
) -> None:
    key, value = record.pack()
    damaged = bytearray(value if value else key)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    raw = (key, bytes(damaged)) if value else (bytes(damaged), None)
    try:
        assert unpack_record(*raw).pack() == raw
    except LogdError:
        pass


@given(records, st.integers(1, 30))
def test_cut_bytes_are_refused(record: OffsetRecord, cut: int) -> None:
    key, value = record.pack()
    with pytest.raises(StoredDataCorrupt):
        unpack_record(key[: max(2, len(key) - cut)], value) if value is None else unpack_record(
            key, value[: max(1, len(value) - cut)]
        )


def test_a_count_beyond_the_bytes_is_refused_before_anything_is_read() -> None:
    key, _ = SnapshotChunk(Offset(0), 0, ()).pack()
    with pytest.raises(StoredDataCorrupt):
        unpack_record(key, b"\x01\xff\xff\xff\xff")


@pytest.mark.parametrize(
    "record_type", [0, 8, 99, RecordType.SHARE_ACQUIRED, RecordType.SHARE_DELIVERY_COUNT]
)
def test_types_that_are_reserved_or_unknown_are_refused(record_type: int) -> None:
    with pytest.raises(UnsupportedVersion, match=f"type {int(record_type)}"):
        unpack_record(bytes((1, record_type)), b"\x01")


def test_newer_versions_are_refused() -> None:
    key, value = SnapshotBegin(0).pack()
    with pytest.raises(UnsupportedVersion, match="key of version 2"):
        unpack_record(b"\x02" + key[1:], value)
    with pytest.raises(UnsupportedVersion, match="value of version 2"):
        unpack_record(key, b"\x02" + value[1:])
