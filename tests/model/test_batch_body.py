"""The walk of tags and the comparison of lengths."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_batch import ReferenceRecord, encode, parse_body, records
from logd.model.batch_body import (
    FIELDS_PER_BODY_MAX,
    HEADERS_PER_BATCH_MAX,
    BodyColumns,
    check_body,
    walk_body,
)
from logd.model.errors import CorruptBatch
from logd_proto.v1.batch_pb2 import BatchBody


def ends(*offsets: int) -> bytes:
    return struct.pack(f"<{len(offsets)}i", *offsets)


def body(**columns: bytes) -> memoryview:
    return memoryview(BatchBody(**columns).SerializeToString())


def test_columns_are_the_even_fields_of_the_proto() -> None:
    fields = BatchBody.DESCRIPTOR.fields_by_number
    assert [fields[2 * k].name for k in range(1, 16)] == list(BodyColumns._fields)
    assert sorted(fields) == list(range(1, 32))
    assert all(fields[2 * k - 1].name == f"pad_{k}" for k in range(1, 16))


@given(records())
def test_walk_agrees_with_the_generated_parser(of: list[ReferenceRecord]) -> None:
    batch = encode(of)
    parsed = parse_body(batch)
    columns = check_body(memoryview(batch)[96:], len(of))
    for name, view in columns._asdict().items():
        assert (b"" if view is None else bytes(view)) == getattr(parsed, name)
    assert columns.header_count == sum(len(r.headers) for r in of)


@given(st.binary(max_size=60), st.integers(1, 5))
def test_arbitrary_bytes_walk_or_are_refused(raw: bytes, count: int) -> None:
    try:
        check_body(memoryview(raw), count)
    except CorruptBatch:
        return
    BatchBody.FromString(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "12",  # a tag without a length
        "92",  # half a tag
        "1281",  # half a length
        "1203aabb",  # content cut
        "12ffffffff0f",  # 4 GiB promised
        "12ffffffffff01",  # a length of 6 bytes
        "8080808080808010",  # a tag of 8 bytes
        "92808080808000" + "00",  # a tag of 7 bytes, of which 5 would do
        "1001",  # a varint where bytes are due
        "110000000000000000",  # a fixed64
        "1500000000",  # a fixed32
        "0200",  # field 0
        "0a0100" + "0a0100",  # a field twice
        "12041122334412041122",  # a buffer twice, the second cut
    ],
)
def test_walk_refuses(raw: str) -> None:
    with pytest.raises(CorruptBatch):
        walk_body(memoryview(bytes.fromhex(raw)))


def test_the_walk_is_bounded() -> None:
    unknown = [bytes([(n << 3 | 2) & 127 | 128, (n << 3 | 2) >> 7, 0]) for n in range(32, 132)]
    assert len(unknown) > FIELDS_PER_BODY_MAX
    walk_body(memoryview(b"".join(unknown[:FIELDS_PER_BODY_MAX])))
    with pytest.raises(CorruptBatch):
        walk_body(memoryview(b"".join(unknown[: FIELDS_PER_BODY_MAX + 1])))


GOOD = {"value_ends": ends(0, 1, 3), "values": b"abc"}
HEADERS = {
    "header_ends": ends(0, 1, 2),
    "header_name_ends": ends(0, 1, 2),
    "header_names": b"ab",
    "header_value_ends": ends(0, 0, 1),
    "header_values": b"x",
    "header_value_nulls": b"\2",
}


def test_good_bodies_of_two_records() -> None:
    for columns in (
        {},
        GOOD,
        GOOD | HEADERS,
        {"value_ends": ends(0, 0, 0), "value_nulls": b"\3"},
        GOOD | {"key_ends": ends(0, 0, 1), "keys": b"k", "key_nulls": b"\2"},
        GOOD | {"timestamp_deltas": bytes(16), "offset_deltas": bytes(8), "record_flags": b"\0\0"},
        GOOD | {"header_ends": ends(0, 0, 0)},
    ):
        check_body(body(**columns), 2)


@pytest.mark.parametrize(
    "columns",
    [
        GOOD | {"value_ends": ends(0, 3)},
        GOOD | {"value_ends": ends(0, 1, 2, 3)},
        GOOD | {"value_ends": ends(0, 1, 3)[:-1]},
        GOOD | {"value_ends": ends(0, 1, 2)},
        GOOD | {"value_ends": ends(0, 1, 4)},
        GOOD | {"value_ends": ends(1, 1, 3)},
        GOOD | {"value_ends": ends(0, 1, -3)},
        {"values": b"abc"},
        {"value_nulls": b"\1"},
        {"value_ends": ends(0, 0, 1)},
        GOOD | {"value_nulls": b"\1\1"},
        GOOD | {"keys": b"k"},
        GOOD | {"key_ends": ends(0, 0, 2), "keys": b"k"},
        GOOD | {"key_nulls": b"\0"},
        GOOD | {"timestamp_deltas": bytes(8)},
        GOOD | {"timestamp_deltas": bytes(15)},
        GOOD | {"offset_deltas": bytes(12)},
        GOOD | {"record_flags": b"\0"},
        GOOD | HEADERS | {"header_ends": ends(0, 1, 3)},
        GOOD | HEADERS | {"header_ends": ends(0, 2)},
        GOOD | HEADERS | {"header_ends": b""},
        GOOD | HEADERS | {"header_name_ends": b""},
        GOOD | HEADERS | {"header_names": b"abc"},
        GOOD | HEADERS | {"header_values": b"xy"},
        GOOD | HEADERS | {"header_value_nulls": b"\1\1"},
        GOOD | {"header_ends": ends(0, 0, 1)},
        GOOD | {"header_ends": ends(0, 0, HEADERS_PER_BATCH_MAX + 1)},
        GOOD | {"header_ends": ends(0, 0, -1)},
    ],
)
def test_lengths_that_disagree(columns: dict[str, bytes]) -> None:
    with pytest.raises(CorruptBatch) as caught:
        check_body(body(**columns), 2)
    assert len(str(caught.value)) < 200
