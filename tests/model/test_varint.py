"""Varints against protobuf's own, of a field of 64 bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logd.model.varint import TAG_BYTES_MAX, VARINT_BYTES_MAX, read_varint, write_varint
from logd_proto.v1.data_pb2 import ProduceAck

uint64 = st.integers(0, (1 << 64) - 1)
TAG = b"\x08"  # ProduceAck.correlation_id: field 1, a uint64


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        ((1 << 32) - 1, "ffffffff0f"),
        ((1 << 64) - 1, "ffffffffffffffffff01"),
    ],
)
def test_golden_bytes(value: int, raw: str) -> None:
    assert write_varint(value).hex() == raw
    assert read_varint(bytes.fromhex(raw), 0) == (value, len(raw) // 2)


@given(uint64, st.binary(max_size=3), st.binary(max_size=3))
def test_both_directions_are_protobufs(value: int, before: bytes, after: bytes) -> None:
    raw = write_varint(value)
    assert ProduceAck.FromString(TAG + raw).correlation_id == value
    if value:
        assert ProduceAck(correlation_id=value).SerializeToString() == TAG + raw
    end = len(before) + len(raw)
    assert read_varint(before + raw + after, len(before)) == (value, end)


@given(uint64, st.integers(0, 9))
def test_longer_ones_are_read_as_protobuf_reads_them(value: int, more: int) -> None:
    raw = write_varint(value)
    longer = bytes(byte | 0x80 for byte in raw) + b"\x80" * more + b"\0"
    if len(longer) > VARINT_BYTES_MAX:
        with pytest.raises(ValueError, match="over 10 bytes"):
            read_varint(longer, 0)
    else:
        assert read_varint(longer, 0) == (value, len(longer))
        assert ProduceAck.FromString(TAG + longer).correlation_id == value


def test_bits_past_the_64th_are_dropped_as_protobuf_drops_them() -> None:
    raw = b"\xff" * 9 + b"\x7f"
    expected = ProduceAck.FromString(TAG + raw).correlation_id
    assert read_varint(raw, 0) == (expected, 10)


@pytest.mark.parametrize("bytes_max", [TAG_BYTES_MAX, VARINT_BYTES_MAX])
def test_one_that_is_cut_or_too_long(bytes_max: int) -> None:
    for size in range(bytes_max):
        with pytest.raises(IndexError):
            read_varint(b"\x80" * size, 0, bytes_max)
    with pytest.raises(ValueError, match=f"over {bytes_max} bytes"):
        read_varint(b"\x80" * bytes_max, 0, bytes_max)
