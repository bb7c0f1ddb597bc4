"""The raw walk gives what the generated parser gives, for canonical and for shuffled bytes."""

import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from harness.raw_fields import raw_fields
from logd.model.errors import InvalidConfig
from logd.model.varint import write_varint
from logd.wire import produce_request
from logd.wire.field_counts import FIELDS_PER_MESSAGE_MAX
from logd.wire.produce_request import ProduceEntry, read_produce_request, write_produce_request
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


def as_entry(entry: data_pb2.ProduceEntry) -> ProduceEntry:
    return ProduceEntry(
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
    assert read_produce_request(message) == [as_entry(entry) for entry in entries]


@given(st.lists(ENTRIES.filter(lambda e: e.batch), min_size=1, max_size=5))
def test_canonical_bytes_take_the_walk(entries: list[data_pb2.ProduceEntry]) -> None:
    message = data_pb2.ProduceStreamRequest(entries=entries).SerializeToString()
    walked = produce_request._walk(message)
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
    assert read_produce_request(prefix + body) == [as_entry(entry)]


@given(st.binary(max_size=200))
def test_any_bytes_give_entries_or_a_decode_error(message: bytes) -> None:
    try:
        entries = read_produce_request(message)
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
        got = read_produce_request(cut)
    except DecodeError:
        return
    assert got == [as_entry(e) for e in data_pb2.ProduceStreamRequest.FromString(cut).entries]


def test_garbage_is_refused() -> None:
    with pytest.raises(DecodeError):
        read_produce_request(b"\x0a\xff\xff\xff\xff\xff")


def test_entries_beyond_the_bound_are_refused_whatever_their_form() -> None:
    entry = data_pb2.ProduceEntry(batch=b"x")
    most = data_pb2.ProduceStreamRequest(entries=[entry] * FIELDS_PER_MESSAGE_MAX)
    message = most.SerializeToString()
    assert len(read_produce_request(message)) == FIELDS_PER_MESSAGE_MAX
    for one_more in (b"\x0a\x00", b"\x78\x01", message[: len(message) // len(most.entries)]):
        with pytest.raises(InvalidConfig):
            read_produce_request(message + one_more)


GOLDEN = (
    "0a22"  # an entry of 34 bytes
    "08ac02 1210 74747474747474747474747474747474 1803 2001 2802 30e807"
    "7a02 4242"
    "0a18"  # one of 24 bytes: what is 0 is absent
    "1210 75757575757575757575757575757575 2801 7a02 4343"
)
ENTRIES_OF_GOLDEN = [
    ProduceEntry(300, b"t" * 16, 3, 1, data_pb2.ACKS_ALL, 1000, b"BB"),
    ProduceEntry(0, b"u" * 16, 0, 0, data_pb2.ACKS_LEADER, 0, b"CC"),
]


def test_golden_bytes_of_both_directions() -> None:
    raw = bytes.fromhex(GOLDEN)
    assert write_produce_request(ENTRIES_OF_GOLDEN) == raw
    assert read_produce_request(raw) == ENTRIES_OF_GOLDEN


@given(st.lists(ENTRIES.filter(lambda e: e.batch), max_size=5))
def test_what_is_written_is_what_generated_code_writes(
    entries: list[data_pb2.ProduceEntry],
) -> None:
    message = write_produce_request([as_entry(entry) for entry in entries])
    request = data_pb2.ProduceStreamRequest(entries=entries)
    assert message == request.SerializeToString(deterministic=True)
    assert data_pb2.ProduceStreamRequest.FromString(message) == request
    assert read_produce_request(message) == [as_entry(entry) for entry in entries]


@given(
    st.lists(raw_fields([1, 2, 3, 4, 5, 6, 15, 100], st.binary(max_size=20)), max_size=3),
    raw_fields([1, 2], st.just(b"")),
)
def test_odd_fields_are_read_as_generated_code_reads_them(
    entries: list[bytes], more: bytes
) -> None:
    raw = b"".join(b"\x0a" + write_varint(len(entry)) + entry for entry in entries) + more
    try:
        expected = data_pb2.ProduceStreamRequest.FromString(raw).entries
    except DecodeError:
        with pytest.raises(DecodeError):
            read_produce_request(raw)
        return
    assert read_produce_request(raw) == [as_entry(entry) for entry in expected]


@pytest.mark.parametrize("number", ["partition", "partitioning_epoch", "timeout_ms"])
def test_a_number_beyond_its_type_is_what_protobuf_makes_of_it(number: str) -> None:
    """The walk once took all 64 bits."""
    tag = data_pb2.ProduceEntry.DESCRIPTOR.fields_by_name[number].number << 3
    entry = bytes([tag]) + write_varint((1 << 32) + 5) + b"\x7a\x01B"
    (read,) = read_produce_request(b"\x0a" + write_varint(len(entry)) + entry)
    assert getattr(read, number) == 5
