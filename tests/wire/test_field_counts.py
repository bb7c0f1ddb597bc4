"""Messages of many empty fields are refused before they are parsed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.errors import InvalidConfig
from logd.model.varint import write_varint
from logd.wire.field_counts import (
    NESTED_FIELDS_MAX,
    UNCOUNTED_BYTES_MAX,
    check_field_count,
    check_plain_request,
)
from logd_proto.v1 import data_pb2


def produce_request(headers: int, value: bytes) -> bytes:
    """One record with so many empty headers."""
    record = data_pb2.PlainRecord(value=value).SerializeToString() + b"\x22\x00" * headers
    return data_pb2.ProduceRequest(acks=data_pb2.ACKS_ALL).SerializeToString() + (
        b"\x1a" + write_varint(len(record)) + record
    )


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
