"""The bytes of __consumer_offsets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import LogdError, StoredDataCorrupt, UnsupportedVersion
from logd.model.group import Attempts, DoneRange, RewindEpoch, Subscription
from logd.model.group_replay import Replay
from logd.model.group_session import GroupEpoch
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd_consumer_groups.core.group_image import (
    GroupImage,
    Position,
    RewindBody,
    RewindEntry,
    RewindEvent,
)
from logd_consumer_groups.core.member_table import Member, MemberTable
from logd_consumer_groups.core.offset_records import (
    CommitRecord,
    GroupTombstone,
    MemberRecord,
    OffsetRecord,
    OwnerRecord,
    RecordType,
    ReplayRecord,
    RewindRecord,
    SnapshotBegin,
    SnapshotChunk,
    SnapshotEnd,
    TopicSeenRecord,
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

IMAGE = GroupImage(
    "g1",
    RewindEpoch(4),
    ((WHERE, POSITION),),
    (RewindEvent(RewindEpoch(4), "UNDO", BODY),),
)
_IMAGE = (
    "01000000"
    "02006731"
    "0400000000000000"
    "01000000" + _WHERE + _POSITION + "01000000"
    "0400000000000000"
    "02" + _EVENT
)
TRIED = replace(POSITION, attempts=(Attempts(9, 2), Attempts(11, 1)))
_ATTEMPTS = "0200" + "0900000000000000" + "02000000" + "0b00000000000000" + "01000000"
MEMBER = Member("m", Subscription(("a", "b"), "c.*", "range", "r", 5, 6), "i", "cl")
_MEMBER = "0100690200636c0300632e2a050072616e6765010072050000000600000002000000010061010062"
TABLE = MemberTable()
TABLE.replay_member("m", MEMBER, GroupEpoch(6))
TABLE.replay_owner(WHERE, "m", GroupEpoch(7))
TABLE.replay_seen(WHERE.topic_id, 4)
_TABLE = (
    "0700000000000000"
    "01000000"
    "01006d" + _MEMBER + "01000000" + _WHERE + "0700000000000000"
    "01006d"
    "01000000" + _WHERE[:32] + "04000000"
)
REPLAY = Replay("g0", 5, 9, 2.5, 7, {WHERE: Offset(12)})
_REPLAY = (
    "02006730"
    "0500000000000000"
    "0900000000000000"
    "0000000000000440"
    "0700000000000000"
    "01000000" + _WHERE + "0c00000000000000"
)

GOLDEN: list[tuple[OffsetRecord, str, str | None]] = [
    (
        CommitRecord("g1", WHERE, POSITION, True, "c", version=1),
        "010102006731" + _WHERE,
        "01" + _POSITION + "01010063",
    ),
    (
        CommitRecord("g1", WHERE, TRIED, True, "c"),
        "010102006731" + _WHERE,
        "02" + _POSITION + _ATTEMPTS + "01010063",
    ),
    (GroupTombstone("g1"), "010202006731", None),
    (
        RewindRecord("g1", "RESET", RewindEpoch(-1), BODY),
        "010302006731ffffffffffffffff",
        "02" + _EVENT,
    ),
    (
        RewindRecord("g1", "RESET", RewindEpoch(-1), BODY, version=1),
        "010302006731ffffffffffffffff",
        "01" + _EVENT,
    ),
    (
        RewindRecord("g1", "UNDO", RewindEpoch(4), BODY),
        "0104020067310400000000000000",
        "02" + _EVENT,
    ),
    (SnapshotBegin(9), "0105", "010900000000000000"),
    (
        SnapshotChunk(Offset(8), 1, (IMAGE,), version=1),
        "0106080000000000000001000000",
        "01" + _IMAGE,
    ),
    (
        SnapshotChunk(Offset(8), 1, (replace(IMAGE, offsets=((WHERE, TRIED),), table=TABLE),)),
        "0106080000000000000001000000",
        "02" + _IMAGE.replace(_POSITION, _POSITION + _ATTEMPTS) + _TABLE + "00",
    ),
    (
        SnapshotChunk(Offset(8), 1, (replace(IMAGE, table=TABLE, replay=REPLAY),)),
        "0106080000000000000001000000",
        "02" + _IMAGE.replace(_POSITION, _POSITION + "0000") + _TABLE + "01" + _REPLAY,
    ),
    (ReplayRecord("g1", REPLAY), "010b02006731", "01" + _REPLAY),
    (MemberRecord("g1", "m", MEMBER), "01080200673101006d", "01" + _MEMBER),
    (MemberRecord("g1", "m", None), "01080200673101006d", None),
    (OwnerRecord("g1", WHERE, "m"), "010902006731" + _WHERE, "0101006d"),
    (OwnerRecord("g1", WHERE, ""), "010902006731" + _WHERE, None),
    (
        TopicSeenRecord("g1", WHERE.topic_id, 4),
        "010a02006731" + _WHERE[:32],
        "0104000000",
    ),
    (TopicSeenRecord("g1", WHERE.topic_id, None), "010a02006731" + _WHERE[:32], None),
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
timeouts = st.integers(0, 2**32 - 1)
members = st.builds(
    Member,
    st.just("m"),
    st.builds(Subscription, st.lists(names).map(tuple), names, names, names, timeouts, timeouts),
    names,
    names,
)
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
    st.lists(st.builds(Attempts, offsets, timeouts), max_size=3).map(tuple),
)
entries = st.builds(
    RewindEntry, wheres, st.none() | offsets, st.none() | offsets, offsets, st.booleans()
)
bodies = st.builds(
    RewindBody, times, names, names, st.lists(entries, max_size=3).map(tuple), st.just(-1)
)
kinds = st.sampled_from(["RESET", "UNDO", "COMMIT"])
replays = st.builds(
    Replay,
    names,
    offsets,
    st.none() | offsets,
    st.floats(0, 1000),
    st.none() | offsets,
    st.dictionaries(wheres, offsets, max_size=3),
)
images = st.builds(
    GroupImage,
    names,
    st.integers(-1, 2**63 - 1),
    st.lists(st.tuples(wheres, positions), max_size=3).map(tuple),
    st.lists(st.builds(RewindEvent, offsets, kinds, bodies), max_size=3).map(tuple),
    replay=st.none() | replays,
)
counts = st.integers(0, 2**32 - 1)
records: st.SearchStrategy[OffsetRecord] = st.one_of(
    st.builds(CommitRecord, names, wheres, positions, st.booleans(), names),
    st.builds(GroupTombstone, names),
    st.builds(RewindRecord, names, st.sampled_from(["RESET", "UNDO"]), offsets, bodies),
    st.builds(SnapshotBegin, times),
    st.builds(SnapshotChunk, offsets, counts, st.lists(images, max_size=3).map(tuple)),
    st.builds(SnapshotEnd, offsets, counts, counts, counts),
    st.builds(MemberRecord, names, st.just("m"), st.none() | members),
    st.builds(OwnerRecord, names, wheres, st.just("") | names),
    st.builds(ReplayRecord, names, replays),
    st.builds(TopicSeenRecord, names, st.binary(min_size=16, max_size=16), st.none() | counts),
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
        read = unpack_record(*raw)
    except LogdError:
        return
    if isinstance(read, SnapshotChunk):  # of a table with an entry twice the last one counts
        assert unpack_record(*read.pack()) == read
    else:
        assert read.pack() == raw


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
    "record_type", [0, 12, 99, RecordType.SHARE_ACQUIRED, RecordType.SHARE_DELIVERY_COUNT]
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
    key, value = SnapshotChunk(Offset(0), 0, ()).pack()
    with pytest.raises(UnsupportedVersion, match="value of version 3; this logd knows 2"):
        unpack_record(key, b"\x03" + value[1:])
