"""Plain records into batches and out again."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logd.broker.doors.grpc_door.plain_records import (
    FETCHED_RECORDS_MAX,
    PlainRoom,
    decode_plain_records,
    encode_plain_records,
)
from logd.broker.ports import Fetched
from logd.model.batch_encoder import encode_batch
from logd.model.errors import CorruptBatch, InvalidTimestamp
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.record_batch import BatchHeader, Codec, LeaderFlag, stamp
from logd_proto.v1.common_pb2 import Header
from logd_proto.v1.data_pb2 import ConsumedRecord, PlainRecord

NOW_MS = 1_700_000_000_000
WHERE = TopicPartition(TopicId(bytes(16)), PartitionId(0))


def stored(batches: Sequence[bytes], *, base_offset: int = 0, leader_flags: int = 0) -> Fetched:
    """What a fetch gives of these produced batches."""
    parts, offset = [], base_offset
    for batch in batches:
        parts.append(
            stamp(
                batch,
                leader_epoch=1,
                base_offset=offset,
                append_timestamp_ms=NOW_MS + 5,
                synced_hint=0,
                leader_flags=leader_flags,
            )
            + batch[96:]
        )
        offset += BatchHeader.unpack(batch).record_count
    end = Offset(offset)
    return Fetched(WHERE, end, Offset(0), end, LeaderEpoch(1), b"".join(parts))


def as_plain(record: ConsumedRecord) -> PlainRecord:
    return PlainRecord(
        key=record.key if record.HasField("key") else None,
        value=record.value if record.HasField("value") else None,
        timestamp_ms=record.timestamp_ms,
        headers=record.headers,
    )


HEADERS = st.lists(
    st.builds(Header, name=st.text(max_size=5), value=st.none() | st.binary(max_size=5)),
    max_size=3,
)
RECORDS = st.builds(
    PlainRecord,
    key=st.none() | st.binary(max_size=8),
    value=st.none() | st.binary(max_size=30),
    timestamp_ms=st.integers(0, NOW_MS),
    headers=HEADERS,
)


@settings(max_examples=40)
@given(st.lists(RECORDS, min_size=1, max_size=8))
def test_what_goes_in_comes_out(records: list[PlainRecord]) -> None:
    read = decode_plain_records(
        stored([encode_plain_records(records, NOW_MS)]), 0, PlainRoom(1 << 20)
    )
    assert [as_plain(record) for record in read.records] == records
    assert [record.offset for record in read.records] == list(range(len(records)))
    assert (read.next_offset, read.error) == (len(records), None)


def test_a_record_without_a_time_takes_the_brokers() -> None:
    batch = encode_plain_records([PlainRecord(value=b"a")], NOW_MS)
    (record,) = decode_plain_records(stored([batch]), 0, PlainRoom(1)).records
    assert record.timestamp_ms == NOW_MS


def test_no_negative_times() -> None:
    with pytest.raises(InvalidTimestamp):
        encode_plain_records([PlainRecord(timestamp_ms=-1)], NOW_MS)


def test_the_batch_says_which_time_counts_not_the_topics_present_setting() -> None:
    batch = encode_plain_records([PlainRecord(value=b"a", timestamp_ms=7)], NOW_MS)
    for flags, expected_ms in ((0, 7), (int(LeaderFlag.APPEND_TIME), NOW_MS + 5)):
        (record,) = decode_plain_records(
            stored([batch], leader_flags=flags), 0, PlainRoom(1)
        ).records
        assert record.timestamp_ms == expected_ms


def values(*counts: int, **fields: Any) -> list[bytes]:
    return [encode_batch([b"v"] * count, timestamps_ms=NOW_MS, **fields) for count in counts]


def test_records_before_the_offset_are_left_out() -> None:
    read = decode_plain_records(stored(values(3, 3), base_offset=10), 12, PlainRoom(1 << 20))
    assert [record.offset for record in read.records] == [12, 13, 14, 15]
    assert read.next_offset == 16


def test_the_bound_holds_within_compressed_batches_and_nothing_is_skipped() -> None:
    records = [bytes(1000)] * 500
    batch = encode_batch(records, timestamps_ms=NOW_MS, codec=Codec.ZSTD)
    assert len(batch) < 2000
    fetched, offset, seen = stored([batch]), 0, 0
    while offset < 500:
        read = decode_plain_records(fetched, offset, PlainRoom(10_000))
        assert 0 < len(read.records) <= 11
        assert [r.offset for r in read.records] == list(range(offset, read.next_offset))
        offset, seen = read.next_offset, seen + len(read.records)
    assert seen == 500


def test_no_room_gives_nothing_and_stays() -> None:
    read = decode_plain_records(stored(values(3)), 1, PlainRoom(0))
    assert (read.records, read.next_offset, read.error) == ([], 1, None)


def test_a_damaged_batch_ends_the_records_before_it_and_says_where_to_go_on() -> None:
    fetched = stored(values(2, 3, 1))
    data = bytearray(fetched.batches)
    data[-140] ^= 1  # in the body of the second
    damaged = Fetched(WHERE, Offset(6), Offset(0), Offset(6), LeaderEpoch(1), bytes(data))
    read = decode_plain_records(damaged, 0, PlainRoom(1 << 20))
    assert len(read.records) == 2 and read.next_offset == 2
    assert isinstance(read.error, CorruptBatch) and read.error.details["next_offset"] == "5"
    assert decode_plain_records(damaged, 5, PlainRoom(1 << 20)).error is not None, (
        "the caller skips, not we"
    )


def test_nothing_fetched() -> None:
    read = decode_plain_records(stored([], base_offset=4), 4, PlainRoom(1 << 20))
    assert (read.records, read.next_offset, read.error) == ([], 4, None)


def test_so_many_records_make_an_answer_and_the_next_goes_on() -> None:
    batch = encode_batch([None] * (FETCHED_RECORDS_MAX + 5), timestamps_ms=NOW_MS)
    fetched = stored([batch, *values(3)])
    first = decode_plain_records(fetched, 0, PlainRoom(1 << 30))
    assert (len(first.records), first.next_offset) == (FETCHED_RECORDS_MAX,) * 2
    rest = decode_plain_records(fetched, first.next_offset, PlainRoom(1 << 30))
    assert (len(rest.records), rest.next_offset) == (8, FETCHED_RECORDS_MAX + 8)


def test_batches_that_grow_without_end_are_opened_one_an_answer() -> None:
    """32 MiB in 1 kB: what is small in bytes and in records may take seconds to uncompress."""
    batch = encode_batch([bytes(33 << 20), b"last"], timestamps_ms=NOW_MS, codec=Codec.ZSTD)
    assert len(batch) < 10_000
    fetched, room = stored([batch] * 3), PlainRoom(1 << 30)
    read = decode_plain_records(fetched, 1, room)
    assert ([r.offset for r in read.records], read.next_offset) == ([1], 2)
    read = decode_plain_records(fetched, 2, room)
    assert (read.records, read.next_offset) == ([], 2), "the room is shared by all positions"
