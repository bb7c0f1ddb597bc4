"""RecordBatch: columns and records, whole and trimmed, with and without each column."""

from collections.abc import Sequence
from itertools import product

import pytest

from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.record_batch import Codec, LeaderFlag, stamp
from logd_client.record import Record
from logd_client.record_batch import Headers, RecordBatch

VALUES = [b"a", None, b"", b"dd"]
KEYS = [b"k", None, b"kk", b""]
TIMES = [30, 10, 20, 40]
HEADERS: list[list[tuple[str, bytes | None]]] = [[("h", b"1")], [], [("h", None), ("i", b"2")], []]


@pytest.mark.parametrize(
    ("keyed", "headed", "start", "codec"),
    list(product([False, True], [False, True], [0, 2, 3], [Codec.NONE, Codec.ZSTD])),
)
def test_records_and_columns_agree(keyed: bool, headed: bool, start: int, codec: Codec) -> None:
    keys = KEYS if keyed else None
    headers = HEADERS if headed else None
    encoded = encode_batch(VALUES, keys=keys, timestamps_ms=TIMES, headers=headers, codec=codec)
    head = stamp(encoded, leader_epoch=7, base_offset=50, append_timestamp_ms=99, synced_hint=0)
    decoded = decode_batch(head + encoded[len(head) :])
    batch = RecordBatch("t", 3, decoded, start, 60)
    key_of = KEYS if keyed else [None] * 4
    headers_of: Sequence[Headers] = HEADERS if headed else [()] * 4
    expected = [
        Record("t", 3, 50 + i, TIMES[i], key_of[i], VALUES[i], headers_of[i])
        for i in range(start, 4)
    ]
    assert list(batch) == expected == list(batch) and len(batch) == 4 - start
    assert batch.values == VALUES[start:]
    assert batch.keys == key_of[start:]
    assert list(batch.timestamps_ms) == TIMES[start:]
    assert list(batch.offsets) == [50, 51, 52, 53][start:] and batch.base_offset == 50 + start
    assert list(batch.headers) == [record.headers for record in expected]
    assert (batch.next_offset, batch.leader_epoch, batch.append_timestamp_ms) == (60, 7, 99)
    assert repr(batch) == f"RecordBatch(t:3, offsets {50 + start} to 53, {4 - start} records)"


def test_append_time_topics_give_the_leaders_time() -> None:
    encoded = encode_batch([b"a", b"b"], timestamps_ms=[1, 2])
    head = stamp(
        encoded,
        leader_epoch=0,
        base_offset=0,
        append_timestamp_ms=99,
        synced_hint=0,
        leader_flags=LeaderFlag.APPEND_TIME,
    )
    batch = RecordBatch("t", 0, decode_batch(head + encoded[len(head) :]), 0, 2)
    assert [record.timestamp_ms for record in batch] == [99, 99]


@pytest.mark.parametrize(("start", "count"), [(0, 1), (0, 3), (0, 4), (1, 1), (1, 3), (2, 2)])
def test_the_first_of_a_batch_are_a_batch(start: int, count: int) -> None:
    encoded = encode_batch(VALUES, keys=KEYS, timestamps_ms=TIMES, headers=HEADERS)
    head = stamp(encoded, leader_epoch=7, base_offset=50, append_timestamp_ms=99, synced_hint=0)
    batch = RecordBatch("t", 3, decode_batch(head + encoded[len(head) :]), start, 60)
    some, whole = batch.first(count), list(batch)
    assert list(some) == whole[:count] and len(some) == count
    assert some.next_offset == (60 if start + count == 4 else 50 + start + count)
    assert some.to_arrow().to_pydict() == {
        name: column[:count] for name, column in batch.to_arrow().to_pydict().items()
    }
    assert some.arrow_values.to_pylist() == some.values == VALUES[start : start + count]
    assert some.arrow_keys.to_pylist() == some.keys
    if count > 1:
        assert list(some.after(1)) == whole[1:count] and some.after(1).first(1).values == [
            whole[1].value
        ]


def test_the_rest_of_a_batch_is_a_batch() -> None:
    encoded = encode_batch(VALUES, timestamps_ms=1)
    batch = RecordBatch("t", 0, decode_batch(encoded), 1, 4)
    assert [record.value for record in batch.after(2)] == VALUES[3:]
