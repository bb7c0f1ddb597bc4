"""The header byte by byte, and each check of a produced batch."""

import struct
from typing import Any

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_batch import ReferenceRecord, encode, records
from logd.model.batch_encoder import encode_batch
from logd.model.errors import (
    CorruptBatch,
    InvalidTimestamp,
    LogdError,
    RecordTooLarge,
    UnsupportedCodec,
    UnsupportedVersion,
)
from logd.model.record_batch import (
    HEADER_BYTES,
    MAGIC,
    RECORDS_PER_BATCH_MAX,
    UNCOMPRESSED_BATCH_BYTES_MAX,
    BatchHeader,
    Codec,
    body_crc,
    check_produced,
    is_intact,
    pack_header,
    split_batches,
    stamp,
    stored_header,
)

NOW_MS = 1_700_000_000_000

GOLDEN = bytes.fromhex(
    "70000000"  # 0 batch_length
    "4c474231"  # 4 magic
    "2aa5fb3f"  # 8 header_crc
    "07000000"  # 12 leader_epoch
    "2a00000000000000"  # 16 base_offset
    "6468e5cf8b010000"  # 24 append_timestamp_ms
    "2800000000000000"  # 32 synced_hint
    "0100"  # 40 leader_flags
    "0000"  # 42 reserved
    "d9c41457"  # 44 body_crc
    "00"  # 48 body_format
    "00"  # 49 codec
    "0000"  # 50 producer_flags
    "01000000"  # 52 record_count
    "00000000"  # 56 last_offset_delta
    "10000000"  # 60 uncompressed_bytes
    "0068e5cf8b010000"  # 64 base_timestamp_ms
    "0068e5cf8b010000"  # 72 max_timestamp_ms
    "0500000000000000"  # 80 producer_id
    "02000000"  # 88 producer_epoch
    "03000000"  # 92 base_sequence
    # The body: a pad, then value_ends of one empty value.
    "0a0400000000"
    "12080000000000000000"
)


def produced() -> bytes:
    return encode_batch(
        [b""], timestamps_ms=NOW_MS, producer_id=5, producer_epoch=2, base_sequence=3
    )


def stored(base_offset: int = 42) -> bytes:
    batch = produced()
    header = stamp(
        batch,
        leader_epoch=7,
        base_offset=base_offset,
        append_timestamp_ms=NOW_MS + 100,
        synced_hint=40,
        leader_flags=1,
    )
    return header + batch[HEADER_BYTES:]


def changed(batch: bytes = b"", **fields: Any) -> bytes:
    """`batch` with header fields replaced and body_crc made right again."""
    batch = batch or produced()
    header = BatchHeader.unpack(batch)._replace(**fields)
    raw = bytearray(pack_header(header) + batch[HEADER_BYTES:])
    struct.pack_into("<I", raw, 44, body_crc(raw))
    return bytes(raw)


def check(batch: bytes) -> BatchHeader:
    return check_produced(batch, message_bytes_max=1 << 20, now_ms=NOW_MS)


def test_golden_bytes() -> None:
    assert stored().hex() == GOLDEN.hex()


def test_every_field_of_the_golden_header() -> None:
    header = stored_header(GOLDEN)
    assert (
        header
        == BatchHeader(
            batch_length=112,
            magic=b"LGB1",
            header_crc=crc32c(GOLDEN[:8] + GOLDEN[12:96]),
            leader_epoch=7,  # type: ignore[arg-type]
            base_offset=42,  # type: ignore[arg-type]
            append_timestamp_ms=NOW_MS + 100,
            synced_hint=40,  # type: ignore[arg-type]
            leader_flags=1,
            reserved=0,
            body_crc=crc32c(GOLDEN[48:]),
            body_format=0,
            codec=0,
            producer_flags=0,
            record_count=1,
            last_offset_delta=0,
            uncompressed_bytes=16,
            base_timestamp_ms=NOW_MS,
            max_timestamp_ms=NOW_MS,
            producer_id=5,  # type: ignore[arg-type]
            producer_epoch=2,  # type: ignore[arg-type]
            base_sequence=3,
        )
    )
    assert (header.last_offset, header.next_offset) == (42, 43)
    assert pack_header(header) == GOLDEN[:HEADER_BYTES]


def test_a_producer_leaves_the_leaders_bytes_zero() -> None:
    assert produced()[8:44] == bytes(36)
    assert produced()[:8] == GOLDEN[:8] and produced()[44:] == GOLDEN[44:]


def test_stamp_replaces_earlier_stamps_only() -> None:
    again = stamp(
        GOLDEN,
        leader_epoch=7,
        base_offset=42,
        append_timestamp_ms=NOW_MS + 100,
        synced_hint=40,
        leader_flags=1,
    )
    assert again == GOLDEN[:HEADER_BYTES]


def test_a_good_batch_passes_and_keeps_its_header() -> None:
    assert check(produced()) == BatchHeader.unpack(produced())


@given(records(), st.sampled_from(Codec))
def test_whatever_the_encoder_makes_passes(of: list[ReferenceRecord], codec: Codec) -> None:
    batch = encode(of, codec)
    header = check_produced(batch, message_bytes_max=1 << 20, now_ms=2**42)
    assert header.record_count == len(of) and header.codec == codec
    assert header.base_timestamp_ms == of[0].timestamp_ms
    assert header.max_timestamp_ms == max(r.timestamp_ms for r in of)


REFUSED: list[tuple[bytes, type[LogdError]]] = [
    (b"", CorruptBatch),
    (produced()[:95], CorruptBatch),
    (produced()[:-8], CorruptBatch),
    (produced() + bytes(8), CorruptBatch),
    (bytes(112), CorruptBatch),
    (changed(magic=b"LGB2"), CorruptBatch),
    (changed(batch_length=111)[:111], CorruptBatch),
    (changed(produced() + b"\0", batch_length=113, codec=1), CorruptBatch),
    (produced()[:-1] + b"\1", CorruptBatch),
    (changed(record_count=0, last_offset_delta=0xFFFFFFFF), CorruptBatch),
    (changed(record_count=5, last_offset_delta=4), CorruptBatch),
    (changed(record_count=2, last_offset_delta=1), CorruptBatch),
    (changed(record_count=5, last_offset_delta=4, codec=1), CorruptBatch),
    (changed(last_offset_delta=1), CorruptBatch),
    (changed(uncompressed_bytes=24), CorruptBatch),
    (
        changed(
            codec=2,
            record_count=RECORDS_PER_BATCH_MAX + 1,
            last_offset_delta=RECORDS_PER_BATCH_MAX,
            uncompressed_bytes=UNCOMPRESSED_BATCH_BYTES_MAX,
        ),
        CorruptBatch,
    ),
    (changed(uncompressed_bytes=UNCOMPRESSED_BATCH_BYTES_MAX + 1, codec=1), RecordTooLarge),
    (changed(producer_id=-1), CorruptBatch),
    (changed(producer_epoch=-1), CorruptBatch),
    (changed(base_sequence=-1), CorruptBatch),
    (changed(producer_id=-2, producer_epoch=-1, base_sequence=-1), CorruptBatch),
    (changed(codec=3), UnsupportedCodec),
    (changed(body_format=1), UnsupportedCodec),
    (changed(producer_flags=1), UnsupportedVersion),
    (changed(base_timestamp_ms=-1), InvalidTimestamp),
    (changed(max_timestamp_ms=NOW_MS - 1), InvalidTimestamp),
    (changed(max_timestamp_ms=NOW_MS + 3_600_001), InvalidTimestamp),
]


@pytest.mark.parametrize(("batch", "error"), REFUSED)
def test_produce_refuses(batch: bytes, error: type[LogdError]) -> None:
    with pytest.raises(LogdError) as caught:
        check(batch)
    assert type(caught.value) is error
    assert len(str(caught.value)) < 400


def test_limits_are_inclusive() -> None:
    assert check(changed(max_timestamp_ms=NOW_MS + 3_600_000))
    batch = produced()
    assert check_produced(batch, message_bytes_max=len(batch), now_ms=NOW_MS)
    with pytest.raises(RecordTooLarge) as caught:
        check_produced(batch, message_bytes_max=len(batch) - 1, now_ms=NOW_MS)
    assert caught.value.details == {"size": "112", "limit": "111"}


def test_a_produced_batch_with_offset_deltas_is_refused() -> None:
    body = produced()[96:] + bytes([0x7A, 2, 0, 0, 0x82, 1, 4, 0, 0, 0, 0, 0xFA, 1, 2, 0, 0])
    batch = changed(
        produced()[:96] + body, batch_length=96 + len(body), uncompressed_bytes=len(body)
    )
    with pytest.raises(CorruptBatch, match="offset_deltas"):
        check(batch)


def test_every_flipped_bit_of_a_stored_batch_is_found() -> None:
    for at in range(len(GOLDEN) * 8):
        flipped = bytearray(GOLDEN)
        flipped[at // 8] ^= 1 << at % 8
        assert not is_intact(flipped), f"bit {at}"
        assert (stored_header(flipped) is None) == (at < HEADER_BYTES * 8)


def test_stored_header_takes_any_place_and_any_length() -> None:
    assert stored_header(b"xyz" + GOLDEN, 3) == stored_header(GOLDEN)
    assert stored_header(GOLDEN[:96]) is not None
    for length in range(96):
        assert stored_header(GOLDEN[:length]) is None
    assert stored_header(bytes(96)) is None
    assert stored_header(GOLDEN, 200) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_length": 88},
        {"batch_length": 113},
        {"record_count": 0},
        {"record_count": RECORDS_PER_BATCH_MAX + 1, "last_offset_delta": 1 << 31},
        {"record_count": 3, "last_offset_delta": 1},
    ],
)
def test_stored_header_refuses_lengths_that_cannot_be(fields: dict[str, Any]) -> None:
    batch = changed(**fields)
    header = stamp(batch, leader_epoch=0, base_offset=0, append_timestamp_ms=0, synced_hint=0)
    assert stored_header(header) is None


def test_is_intact_wants_exactly_one_batch() -> None:
    assert is_intact(GOLDEN) and is_intact(memoryview(GOLDEN)) and is_intact(bytearray(GOLDEN))
    assert not is_intact(GOLDEN + GOLDEN)
    assert not is_intact(GOLDEN[:-8])


def test_split_batches() -> None:
    batches = [stored(offset) for offset in range(3)]
    split = split_batches(b"".join(batches))
    assert [bytes(view) for _, view in split] == batches
    assert [header.base_offset for header, _ in split] == [0, 1, 2]
    assert split_batches(b"") == []


@pytest.mark.parametrize(
    "buffer", [GOLDEN[:-1], GOLDEN + GOLDEN[:50], GOLDEN + bytes(96), b"?", bytes(200)]
)
def test_split_batches_refuses_what_is_no_whole_batch(buffer: bytes) -> None:
    with pytest.raises(CorruptBatch):
        split_batches(buffer)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_typed_error(raw: bytes) -> None:
    for batch in (raw, MAGIC.join([raw[:4], raw[8:]])):
        with pytest.raises(LogdError):
            check(batch)
        assert stored_header(batch) is None
