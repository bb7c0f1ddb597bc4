"""Round trips, and hostile batches: a typed error or a valid batch, in bounded memory."""

import struct
import tracemalloc
from collections.abc import Callable
from random import Random

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_batch import ReferenceRecord, encode, records, reference_rows, rows
from logd.model.batch_codecs import compress
from logd.model.batch_decoder import decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.errors import CorruptBatch, InvalidTimestamp, LogdError, UndecodableBatch
from logd.model.record_batch import (
    RECORDS_PER_BATCH_MAX,
    UNCOMPRESSED_BATCH_BYTES_MAX,
    BatchHeader,
    Codec,
    LeaderFlag,
    body_crc,
    check_produced,
    pack_header,
    stamp,
)


def seal(header: BatchHeader, body: bytes) -> bytes:
    """A batch of `body` whose lengths (unless compressed) and body_crc are right."""
    body += bytes(-len(body) % 8)
    if header.codec == 0:
        header = header._replace(uncompressed_bytes=len(body))
    raw = bytearray(pack_header(header._replace(batch_length=96 + len(body))) + body)
    struct.pack_into("<I", raw, 44, body_crc(raw))
    return bytes(raw)


def field(number: int, content: bytes) -> bytes:
    """One field of a body, framed without a pad."""
    tag, length = number << 3 | 2, len(content)
    framed = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
    while length > 127:
        framed, length = framed + bytes([length & 127 | 128]), length >> 7
    return framed + bytes([length]) + content


def ends(*offsets: int) -> bytes:
    return struct.pack(f"<{len(offsets)}i", *offsets)


def tail_to_8(body: bytes) -> bytes:
    """`body` and the field 31 that brings it to a multiple of 8."""
    return body + field(31, bytes(-(len(body) + 3) % 8)) if len(body) % 8 else body


def batch_of(count: int, *fields: bytes, **header: int) -> bytes:
    """A batch of `count` records whose body is `fields`."""
    base = BatchHeader.unpack(encode_batch([b""], timestamps_ms=50))
    changes = {"record_count": count, "last_offset_delta": count - 1} | header
    return seal(base._replace(**changes), tail_to_8(b"".join(fields)))  # type: ignore[arg-type]


def undecodable(batch: bytes) -> UndecodableBatch:
    with pytest.raises(UndecodableBatch) as caught:
        decode_batch(batch)
    return caught.value


@pytest.mark.usefixtures("column_path")
class TestRoundTrip:
    @given(records(), st.sampled_from(Codec))
    def test_what_went_in_comes_out(self, of: list[ReferenceRecord], codec: Codec) -> None:
        batch = decode_batch(encode(of, codec))
        assert rows(batch) == of
        assert len(batch) == len(of) and batch.offsets == range(len(of))
        assert (batch.keys is None) == all(r.key is None for r in of)
        assert (batch.headers is None) == all(not r.headers for r in of)

    @given(records(), st.integers(1, 7))
    def test_any_alignment_and_any_buffer(self, of: list[ReferenceRecord], shift: int) -> None:
        raw = encode(of)
        view = memoryview(bytes(shift) + raw)[shift:]
        assert rows(decode_batch(view)) == rows(decode_batch(bytearray(raw))) == of

    @given(records(max_size=6), st.randoms(use_true_random=False))
    def test_any_order_of_fields(self, of: list[ReferenceRecord], random: Random) -> None:
        raw = encode(of)
        parts, at = [], 96
        while at < len(raw):
            start = at
            at += 2 if raw[at] & 0x80 else 1
            length = raw[at]
            if length & 0x80:
                length, at = length & 0x7F | raw[at + 1] << 7, at + 1
            at += 1 + length
            parts.append(raw[start:at])
        random.shuffle(parts)
        shuffled = seal(BatchHeader.unpack(raw), b"".join(parts))
        assert rows(decode_batch(shuffled)) == of
        check_produced(shuffled, message_bytes_max=1 << 20, now_ms=2**42)

    def test_columns_are_made_once(self) -> None:
        batch = decode_batch(encode([ReferenceRecord(b"v", b"k", 1, (("n", b"h"),))]))
        assert batch.values is batch.values and batch.keys is batch.keys
        assert batch.headers is batch.headers and batch.timestamps_ms is batch.timestamps_ms

    def test_stamps_give_offsets_and_append_time(self) -> None:
        raw = encode_batch([b"a", b"b"], timestamps_ms=[5, 6])
        for flags, times in ((0, [5, 6]), (LeaderFlag.APPEND_TIME, [99, 99])):
            head = stamp(
                raw,
                leader_epoch=1,
                base_offset=40,
                append_timestamp_ms=99,
                synced_hint=0,
                leader_flags=flags,
            )
            batch = decode_batch(head + raw[96:])
            assert list(batch.offsets) == [40, 41] and batch.timestamps_ms == times

    def test_offset_deltas_of_a_compacted_batch(self) -> None:
        raw = batch_of(
            2, field(2, ends(0, 1, 2)), field(4, b"xy"), field(16, ends(3, 7)), last_offset_delta=9
        )
        batch = decode_batch(raw)
        assert list(batch.offsets) == [3, 7] and batch.header.next_offset == 10
        assert batch.values == [b"x", b"y"]

    def test_valid_but_not_canonical(self) -> None:
        raw = batch_of(
            2,
            b"\xa2\x80\x00\x82\x00ab",  # tag and length longer than need be
            field(2, ends(0, 1, 2)),
            field(6, b"\xfe"),  # spare bits set, and data under a null
            field(1, bytes(3)),
            field(10, b""),  # empty, which is absent
            field(32, b"of a newer version"),
            field(20, ends(0, 0, 0)),
        )
        batch = decode_batch(raw)
        assert batch.values == [None, b"b"] and batch.keys is None and batch.headers is None

    def test_all_absent_is_all_null(self) -> None:
        batch = decode_batch(batch_of(2, field(31, bytes(21))))
        assert batch.values == [None, None] and batch.keys is None
        assert list(batch.timestamps_ms) == [50, 50]

    def test_header_values_all_null(self) -> None:
        batch = decode_batch(encode([ReferenceRecord(b"", None, 1, (("a", None), ("b", None)))]))
        assert batch.headers == [[("a", None), ("b", None)]]

    @pytest.mark.parametrize(
        "fields",
        [
            (field(2, ends(0, 5, 2)), field(4, b"ab")),
            (field(2, ends(0, -1, 2)), field(4, b"ab")),
            (field(8, ends(0, 3, 2)), field(10, b"ab")),
            (field(2, ends(0, 0, 0)), field(16, ends(1, 1))),
            (field(2, ends(0, 0, 0)), field(16, ends(-1, 1))),
            (field(2, ends(0, 0, 0)), field(16, ends(0, 2))),
            (field(2, ends(0, 0, 0)), field(18, b"\0\1")),
            (field(20, ends(0, 2, 1)), field(22, ends(0, 1)), field(24, b"a")),
            (field(20, ends(0, 0, 1)), field(22, ends(0, 1)), field(24, b"\xff")),
            (field(20, ends(0, 1, 2)), field(22, ends(0, 1, 2)), field(24, "é".encode())),
            (field(20, ends(0, 1, 2)), field(22, ends(0, 3, 2)), field(24, b"ab")),
        ],
    )
    def test_what_only_a_look_at_each_record_finds(self, fields: tuple[bytes, ...]) -> None:
        undecodable(batch_of(2, *fields))

    @given(records(max_size=8), st.sampled_from(Codec), st.data())
    def test_mutated_batches(
        self, of: list[ReferenceRecord], codec: Codec, data: st.DataObject
    ) -> None:
        raw = bytearray(encode(of, codec))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(48, len(raw) - 1))
            raw[at] = data.draw(st.integers(0, 255))
        struct.pack_into("<I", raw, 44, body_crc(raw))
        survives(bytes(raw))

    @given(st.binary(max_size=120), st.integers(1, 20))
    def test_arbitrary_bodies(self, body: bytes, count: int) -> None:
        survives(batch_of(count, body))


def survives(raw: bytes) -> None:
    """Typed error or valid batch; where the header passes for stored, the slow decoder agrees."""
    try:
        batch = decode_batch(raw)
    except UndecodableBatch as error:
        assert int(error.details["next_offset"]) == BatchHeader.unpack(raw).next_offset
        return
    decoded = rows(batch)
    assert len(decoded) == len(batch.offsets) == batch.header.record_count
    if batch.header.codec == 0:
        # The generated parser takes fields of other wire types and duplicates: these never decode.
        assert [r._replace(timestamp_ms=0) for r in reference_rows(raw)] == [
            r._replace(timestamp_ms=0) for r in decoded
        ]


@given(st.binary(max_size=300))
def test_arbitrary_bytes(raw: bytes) -> None:
    for batch in (raw, struct.pack("<I4s", len(raw), b"LGB1") + raw[8:]):
        with pytest.raises(CorruptBatch):
            decode_batch(batch)
        try:
            decode_batch(batch, check_crc=False)
        except LogdError as error:
            assert type(error) in (CorruptBatch, UndecodableBatch)


@pytest.mark.parametrize("codec", Codec)
def test_a_records_time_is_an_int64(codec: Codec) -> None:
    """Whatever time the batch begins at; past that a batch is refused, or cannot be decoded."""
    for base in (0, 50, (1 << 62) - 1):
        for delta in (-(1 << 56), -1, 0, 1, (1 << 56) - 1):
            batch = decode_batch(with_deltas(codec, base, 0, delta))
            assert list(batch.timestamps_ms) == [base, base + delta]
    for delta in (-(1 << 63), -(1 << 56) - 1, 1 << 56, (1 << 62), (1 << 63) - 1):
        for deltas in ((delta, 0), (0, delta)):
            wrong = with_deltas(codec, 50, *deltas)
            undecodable(wrong)
            if codec is Codec.NONE:
                with pytest.raises(InvalidTimestamp):
                    check_produced(wrong, message_bytes_max=1 << 20, now_ms=100)
    for base in (-(1 << 63), -1, 1 << 62, (1 << 63) - 1):
        undecodable(with_deltas(codec, base, 0, 1))


def with_deltas(codec: Codec, base_ms: int, *deltas: int) -> bytes:
    count = len(deltas)
    body = tail_to_8(field(14, struct.pack(f"<{count}q", *deltas)))
    stored = compress(body, codec)
    header = BatchHeader.unpack(encode_batch([b""], timestamps_ms=50))._replace(
        record_count=count,
        last_offset_delta=count - 1,
        codec=codec,
        uncompressed_bytes=len(body),
        base_timestamp_ms=base_ms,
        max_timestamp_ms=max(base_ms, 50),
    )
    return seal(header, stored)


def test_a_flipped_bit_is_corrupt_not_undecodable() -> None:
    raw = encode_batch([b"hello"], timestamps_ms=1)
    for at in (*range(0, 4 * 8), *range(44 * 8, len(raw) * 8)):
        flipped = bytearray(raw)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(CorruptBatch):
            decode_batch(flipped)


def test_crc_is_not_checked_where_the_caller_has() -> None:
    raw = bytearray(encode_batch([b"hello"], timestamps_ms=1))
    raw[44] ^= 1
    assert decode_batch(raw, check_crc=False).values == [b"hello"]


@pytest.mark.parametrize(
    "header",
    [
        {"record_count": 0, "last_offset_delta": 0},
        {"record_count": 8, "last_offset_delta": 6},
        {"record_count": 25},
        {"record_count": RECORDS_PER_BATCH_MAX + 1},
        {"body_format": 1},
        {"codec": 3},
        {"codec": 1, "uncompressed_bytes": UNCOMPRESSED_BATCH_BYTES_MAX + 1},
        {"codec": 2, "uncompressed_bytes": UNCOMPRESSED_BATCH_BYTES_MAX + 1},
        {"codec": 1, "uncompressed_bytes": 96},
        {"codec": 2, "uncompressed_bytes": 96},
    ],
)
def test_headers_that_cannot_be(header: dict[str, int]) -> None:
    count = header.pop("record_count", 1)
    undecodable(batch_of(count, field(31, bytes(93)), **header))


def test_the_error_says_where_to_go_on() -> None:
    raw = batch_of(3, field(31, bytes(30)), codec=9)
    head = stamp(raw, leader_epoch=0, base_offset=70, append_timestamp_ms=0, synced_hint=0)
    error = undecodable(head + raw[96:])
    assert error.details == {"base_offset": "70", "next_offset": "73"}
    assert "codec 9" in str(error) and "73" in str(error)


FrameOf = Callable[[Codec, bytes], bytes]


def compressed(codec: Codec, frame: bytes, claimed: int, count: int = 1) -> bytes:
    base = BatchHeader.unpack(encode_batch([b""], timestamps_ms=50))
    header = base._replace(
        codec=codec,
        uncompressed_bytes=claimed,
        record_count=count,
        last_offset_delta=count - 1,
    )
    return seal(header, frame)


def without_size(codec: Codec, body: bytes) -> bytes:
    """A frame that does not state how long its content is."""
    if codec is Codec.LZ4:
        return bytes(lz4.frame.compress(body, store_size=False))
    stream = zstandard.ZstdCompressor(level=1).compressobj()
    return stream.compress(body) + stream.flush()


def with_size(codec: Codec, body: bytes) -> bytes:
    if codec is Codec.LZ4:
        return bytes(lz4.frame.compress(body, store_size=True))
    return zstandard.ZstdCompressor(level=1).compress(body)


CODECS = [Codec.LZ4, Codec.ZSTD]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("frame_of", [with_size, without_size])
def test_bombs_allocate_no_more_than_they_claim(codec: Codec, frame_of: FrameOf) -> None:
    bomb = frame_of(codec, bytes(32 << 20))
    for claimed in (64, 1 << 16):
        batch = compressed(codec, bomb, claimed)
        tracemalloc.start()
        undecodable(batch)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("frame_of", [with_size, without_size])
def test_frames_must_hold_what_the_header_says(codec: Codec, frame_of: FrameOf) -> None:
    plain = encode_batch([b"hello" * 20], timestamps_ms=1)[96:]
    frame = frame_of(codec, plain)
    good = compressed(codec, frame, len(plain))
    assert decode_batch(good).values == [b"hello" * 20]
    for claimed in (len(plain) - 8, len(plain) + 8, 1 << 20):
        undecodable(compressed(codec, frame, claimed))
    for cut in range(0, len(frame) - 12, 3):
        undecodable(compressed(codec, frame[:cut], len(plain)))


@pytest.mark.parametrize("codec", CODECS)
def test_a_skippable_frame_is_no_body(codec: Codec) -> None:
    undecodable(compressed(codec, b"\x50\x2a\x4d\x18\x08\0\0\0" + bytes(8), 8))


def test_most_records_from_fewest_bytes_stay_bounded() -> None:
    """64 MiB of zeros in one zstd frame, all of it an unknown field: only nulls come of it."""
    body = field(40, bytes((4 << 20) - 8))
    body += field(31, bytes(-(len(body) + 3) % 8))
    batch = compressed(Codec.ZSTD, with_size(Codec.ZSTD, body), len(body), RECORDS_PER_BATCH_MAX)
    assert len(batch) < 1000
    tracemalloc.start()
    decoded = decode_batch(batch)
    assert len(decoded.values) == RECORDS_PER_BATCH_MAX
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * len(body)


def test_too_many_headers_are_refused() -> None:
    count = RECORDS_PER_BATCH_MAX + 1
    body = field(20, ends(0, count)) + field(22, bytes(4 * (count + 1)))
    undecodable(batch_of(1, body))
