"""Golden bodies, the canonical form, and what the encoder refuses; by both implementations."""

import struct
from typing import Any

import pytest
from hypothesis import given

from harness.reference_batch import ReferenceRecord, encode, parse_body, records, reference_rows
from logd.model.batch_encoder import encode_batch, with_producer
from logd.model.errors import InvalidTimestamp, RecordTooLarge
from logd.model.record_batch import (
    RECORDS_PER_BATCH_MAX,
    UNCOMPRESSED_BATCH_BYTES_MAX,
    BatchHeader,
    Codec,
    body_crc,
    check_produced,
)
from logd.model.varint import read_varint

T0 = 1_700_000_000_000

EMPTY_VALUE = "0a04 00000000 1208 00000000 00000000"

NOTHING_BUT_NULL = (
    "0a04 00000000 1208 00000000 00000000"  # value_ends
    "2a04 00000000 3201 00"  # value_nulls, where nothing else would stand
    "fa0104 00000000"  # tail pad
)

TOMBSTONE = (
    "3a04 00000000 4208 00000000 02000000"  # key_ends: the value's three buffers are absent
    "4a04 00000000 5202 6b31"  # keys
    "fa0103 000000"
)

EVERY_COLUMN = (
    "0a04 00000000 1210 00000000 05000000 05000000 06000000"  # value_ends
    "1a04 00000000 2206 68656c6c6f21"  # values
    "3201 05"  # value_nulls; lies at a multiple of 8 without a pad
    "3a03 000000 4210 00000000 02000000 04000000 04000000"  # key_ends
    "4a04 00000000 5204 6b316b32"  # keys
    "6a08 0000000000000000"  # a pad of 8: one of 0 cannot be written
    "7218 0000000000000000 0500000000000000 0200000000000000"  # timestamp_deltas
    "9a0102 0000 a20110 00000000 01000000 01000000 03000000"  # header_ends
    "aa0102 0000 b20110 00000000 05000000 06000000 07000000"  # header_name_ends
    "ba0102 0000 c20107 74726163656161"  # header_names
    "ca0103 000000 d20110 00000000 01000000 01000000 01000000"  # header_value_ends
    "da0102 0000 e20101 07"  # header_values
    "ea0101 00 f20101 05"  # header_value_nulls
    "fa0104 00000000"  # tail pad
)

RECORDS = [
    ReferenceRecord(b"hello", b"k1", T0, (("trace", b"\x07"),)),
    ReferenceRecord(None, b"k2", T0 + 5, ()),
    ReferenceRecord(b"!", b"", T0 + 2, (("a", None), ("a", b""))),
]


@pytest.mark.usefixtures("column_path")
class TestGolden:
    def test_one_empty_value(self) -> None:
        assert encode_batch([b""], timestamps_ms=0)[96:] == bytes.fromhex(EMPTY_VALUE)

    def test_null_value_without_key(self) -> None:
        assert encode_batch([None], timestamps_ms=0)[96:] == bytes.fromhex(NOTHING_BUT_NULL)

    def test_tombstone(self) -> None:
        batch = encode_batch([None], keys=[b"k1"], timestamps_ms=0)
        assert batch[96:] == bytes.fromhex(TOMBSTONE)

    def test_every_column(self) -> None:
        batch = encode(RECORDS, producer_id=4, producer_epoch=1, base_sequence=9)
        assert batch[96:].hex() == bytes.fromhex(EVERY_COLUMN).hex()
        header = BatchHeader.unpack(batch)
        assert header.base_timestamp_ms == T0 and header.max_timestamp_ms == T0 + 5
        assert (header.record_count, header.last_offset_delta) == (3, 2)
        assert (header.producer_id, header.producer_epoch, header.base_sequence) == (4, 1, 9)
        assert header.uncompressed_bytes == header.batch_length - 96 == len(batch) - 96

    def test_absent_columns(self) -> None:
        plain = encode_batch([b"a", b"b"], timestamps_ms=7)
        assert plain == encode_batch(
            [b"a", b"b"], keys=[None, None], timestamps_ms=[7, 7], headers=[[], []]
        )

    @given(records())
    def test_generated_parser_reads_it_and_writes_it_back_identically(
        self, of: list[ReferenceRecord]
    ) -> None:
        batch = encode(of)
        assert reference_rows(batch) == of
        assert parse_body(batch).SerializeToString(deterministic=True) == batch[96:]

    @given(records())
    def test_canonical_form(self, of: list[ReferenceRecord]) -> None:
        batch = encode(of)
        body = parse_body(batch)
        assert len(batch) % 8 == 0
        for field, content in body.ListFields():
            if field.number % 2:
                assert content in [bytes(length) for length in range(1, 9)]
            else:
                assert locate(batch, field.number) % 8 == 0
        for bitmap, entries in (
            (body.value_nulls, [r.value for r in of]),
            (body.key_nulls, [r.key for r in of]),
            (body.header_value_nulls, [v for r in of for _, v in r.headers]),
        ):
            if bitmap:
                bits = int.from_bytes(bitmap, "little")
                assert bits == sum(1 << i for i, e in enumerate(entries) if e is not None)
                assert None in entries

    @given(records())
    def test_both_implementations_give_the_same_bytes(self, of: list[ReferenceRecord]) -> None:
        by_this_path = encode(of)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("logd.model.binary_columns.arrow_pack_min", len(of) + 10**6)
            assert encode(of) == by_this_path

    @pytest.mark.parametrize("wrong", ["text", 1, bytearray(b"x"), memoryview(b"x")])
    def test_only_bytes_are_taken(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
            encode_batch([b"a", wrong], timestamps_ms=0)
        with pytest.raises(TypeError, match=f"not {type(wrong).__name__}"):
            encode_batch([b"a"], keys=[wrong], timestamps_ms=0)


def locate(batch: bytes, number: int) -> int:
    """Where the content of a field of the body lies, by a walk of the tags."""
    at = 96
    while True:
        tag, at = read_varint(batch, at)
        length, at = read_varint(batch, at)
        if tag == number << 3 | 2:
            return at
        at += length


@pytest.mark.parametrize("codec", [Codec.LZ4, Codec.ZSTD])
def test_a_codec_covers_the_whole_canonical_body(codec: Codec) -> None:
    batch = encode(RECORDS * 40, codec)
    plain = encode(RECORDS * 40)
    header = BatchHeader.unpack(batch)
    assert header.codec == codec and len(batch) % 8 == 0 and len(batch) < len(plain)
    assert header.uncompressed_bytes == len(plain) - 96
    assert batch[96:100] == {1: b"\x04\x22\x4d\x18", 2: b"\x28\xb5\x2f\xfd"}[codec]


@given(records())
def test_with_producer_is_as_if_encoded_so(of: list[ReferenceRecord]) -> None:
    wanted = encode(of, producer_id=2**40, producer_epoch=3, base_sequence=2**31 - 1)
    assert with_producer(encode(of), 2**40, 3, 2**31 - 1) == wanted
    assert with_producer(wanted, -1, -1, -1) == encode(of)


def test_large_batches_take_the_fast_path_by_default() -> None:
    values = [b"%d" % i * (i % 7) for i in range(5000)]
    batch = encode_batch(values, timestamps_ms=5)
    assert check_produced(batch, message_bytes_max=1 << 20, now_ms=5).body_crc == body_crc(batch)
    assert [r.value for r in reference_rows(batch)] == values


def test_too_many_records() -> None:
    with pytest.raises(RecordTooLarge):
        encode_batch([b""] * (RECORDS_PER_BATCH_MAX + 1), timestamps_ms=0)


def test_too_many_headers() -> None:
    many = [("", None)] * (RECORDS_PER_BATCH_MAX // 2 + 1)
    with pytest.raises(RecordTooLarge, match="headers"):
        encode_batch([b"", b""], timestamps_ms=0, headers=[many, many])


def test_too_many_bytes() -> None:
    with pytest.raises(RecordTooLarge) as caught:
        encode_batch([bytes(UNCOMPRESSED_BATCH_BYTES_MAX)], timestamps_ms=0)
    assert caught.value.details["limit"] == str(UNCOMPRESSED_BATCH_BYTES_MAX)


def test_columns_beyond_2_gib_are_refused_before_they_are_joined() -> None:
    mebibyte = bytes(1 << 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logd.model.binary_columns.arrow_pack_min", 10**9)
        for entries in ([mebibyte] * 2048, [None] + [mebibyte] * 2048):
            with pytest.raises(RecordTooLarge):
                encode_batch(entries, timestamps_ms=0)


@pytest.mark.parametrize("times", [-1, [0, -1], 1 << 63, [5, 1 << 63]])
def test_timestamps_are_milliseconds_since_1970(times: Any) -> None:
    with pytest.raises(InvalidTimestamp):
        encode_batch([b"", b""], timestamps_ms=times)


def test_timestamps_may_fall() -> None:
    batch = encode_batch([b"", b"", b""], timestamps_ms=[9, 4, 11])
    at = locate(batch, 14)
    assert struct.unpack_from("<3q", batch, at) == (0, -5, 2)
