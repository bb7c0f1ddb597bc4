"""The raw walk gives what the generated parser gives, for canonical and for shuffled bytes."""

import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from logd.broker.doors.grpc_door import produce_wire
from logd.broker.doors.grpc_door.produce_wire import (
    FIELDS_PER_MESSAGE_MAX,
    NESTED_FIELDS_MAX,
    UNCOUNTED_BYTES_MAX,
    Entry,
    check_field_count,
    check_plain_request,
    parse_produce_request,
)
from logd.model.errors import InvalidConfig
from logd_proto.v1 import data_pb2

ENTRIES = st.builds(
    data_pb2.ProduceEntry,
    correlation_id=st.integers(0, (1 << 64) - 1),
    topic_id=st.binary(max_size=20),
    partition=st.integers(0, (1 << 32) - 1),
    partitioning_epoch=st.integers(0, 300),
    acks=st.integers(0, 3),
    timeout_ms=st.integers(0, 100_000),
    batch=st.binary(max_size=300),
)


def as_entry(entry: data_pb2.ProduceEntry) -> Entry:
    return Entry(
        entry.correlation_id,
        entry.topic_id,
        entry.partition,
        entry.partitioning_epoch,
        entry.acks,
        entry.timeout_ms,
        entry.batch,
    )


@given(st.lists(ENTRIES, max_size=5))
def test_canonical_bytes(entries: list[data_pb2.ProduceEntry]) -> None:
    message = data_pb2.ProduceStreamRequest(entries=entries).SerializeToString()
    assert parse_produce_request(message) == [as_entry(entry) for entry in entries]


@given(st.lists(ENTRIES.filter(lambda e: e.batch), min_size=1, max_size=5))
def test_canonical_bytes_take_the_walk(entries: list[data_pb2.ProduceEntry]) -> None:
    message = data_pb2.ProduceStreamRequest(entries=entries).SerializeToString()
    walked = produce_wire._walk(message)
    assert walked is not None
    assert all(isinstance(entry.batch, memoryview) for entry in walked)


@given(ENTRIES, st.randoms(use_true_random=False), st.binary(max_size=8))
def test_shuffled_fields_and_unknown_ones_give_the_same(
    entry: data_pb2.ProduceEntry, shuffler: random.Random, unknown: bytes
) -> None:
    fields = [
        data_pb2.ProduceEntry(**{f.name: value}).SerializeToString()
        for f, value in entry.ListFields()
    ]
    fields.append(b"\xa2\x06" + bytes([len(unknown)]) + unknown)  # field 100, length-delimited
    shuffler.shuffle(fields)
    body = b"".join(fields)
    length = len(body)
    prefix = bytes([0x0A, length & 0x7F | 0x80, length >> 7])
    assert parse_produce_request(prefix + body) == [as_entry(entry)]


@given(st.binary(max_size=200))
def test_any_bytes_give_entries_or_a_decode_error(message: bytes) -> None:
    try:
        entries = parse_produce_request(message)
    except DecodeError:
        return
    expected = data_pb2.ProduceStreamRequest.FromString(message).entries
    assert entries == [as_entry(entry) for entry in expected]


@given(st.lists(ENTRIES, min_size=1, max_size=3), st.data())
def test_truncated_messages_never_give_other_bytes(
    entries: list[data_pb2.ProduceEntry], data: st.DataObject
) -> None:
    message = data_pb2.ProduceStreamRequest(entries=entries).SerializeToString()
    cut = message[: data.draw(st.integers(0, len(message)))]
    try:
        got = parse_produce_request(cut)
    except DecodeError:
        return
    assert got == [as_entry(e) for e in data_pb2.ProduceStreamRequest.FromString(cut).entries]


def test_garbage_is_refused() -> None:
    with pytest.raises(DecodeError):
        parse_produce_request(b"\x0a\xff\xff\xff\xff\xff")


def produce_request(headers: int, value: bytes) -> bytes:
    """One record with so many empty headers."""
    record = data_pb2.PlainRecord(value=value).SerializeToString() + b"\x22\x00" * headers
    return data_pb2.ProduceRequest(acks=data_pb2.ACKS_ALL).SerializeToString() + (
        b"\x1a" + produce_wire_varint(len(record)) + record
    )


def produce_wire_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_empty_headers_are_counted_where_they_could_fill_memory() -> None:
    large = bytes(UNCOUNTED_BYTES_MAX)
    check_plain_request(produce_request(NESTED_FIELDS_MAX * 2, b""))
    check_plain_request(produce_request(NESTED_FIELDS_MAX - 10, large))
    with pytest.raises(InvalidConfig):
        check_plain_request(produce_request(NESTED_FIELDS_MAX, large))


@given(st.binary(max_size=200))
def test_counting_any_bytes_is_harmless(raw: bytes) -> None:
    check_field_count(raw)
    check_plain_request(raw)


def test_entries_beyond_the_bound_are_refused_whatever_their_form() -> None:
    entry = data_pb2.ProduceEntry(batch=b"x")
    most = data_pb2.ProduceStreamRequest(entries=[entry] * FIELDS_PER_MESSAGE_MAX)
    message = most.SerializeToString()
    assert len(parse_produce_request(message)) == FIELDS_PER_MESSAGE_MAX
    for one_more in (b"\x0a\x00", b"\x78\x01", message[: len(message) // len(most.entries)]):
        with pytest.raises(InvalidConfig):
            parse_produce_request(message + one_more)
