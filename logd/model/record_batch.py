"""The record batch: its 96-byte header, and the checks that need no decoding.

    at  type field                by
     0  u32  batch_length         producer  whole batch, header included, a multiple of 8
     4  4s   magic 'LGB1'         producer
     8  u32  header_crc           leader    CRC-32C of bytes 0..8 and 12..96
    12  i32  leader_epoch         leader
    16  i64  base_offset          leader
    24  i64  append_timestamp_ms  leader    never falls within a partition
    32  i64  synced_hint          leader    this partition was synced up to here, exclusive
    40  u16  leader_flags         leader
    42  u16  reserved             leader    0
    44  u32  body_crc             producer  CRC-32C of bytes 48..end
    48  u8   body_format          producer  0: columnar (logd.model.batch_body)
    49  u8   codec                producer  over the whole body
    50  u16  producer_flags       producer
    52  u32  record_count         producer  from 1
    56  u32  last_offset_delta    producer  record_count - 1 when produced
    60  u32  uncompressed_bytes   producer  length of the body before the codec
    64  i64  base_timestamp_ms    producer  of the first record
    72  i64  max_timestamp_ms     producer
    80  i64  producer_id          producer  -1: none, then the next two are -1 too
    88  i32  producer_epoch       producer
    92  i32  base_sequence        producer

Little-endian. A producer sends zeros in 8..44; the leader overwrites them and nothing else. So
body_crc lives as long as the batch, and header_crc binds it to the leader's stamps.
The whole format, for other languages: docs/batch.md.
"""

import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

from crc32c import crc32c

from logd.model.batch_body import check_body
from logd.model.errors import (
    CorruptBatch,
    InvalidTimestamp,
    RecordTooLarge,
    UnsupportedCodec,
    UnsupportedVersion,
)
from logd.model.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId
from logd.model.seams import Buffer

HEADER_BYTES = 96
MAGIC = b"LGB1"
BODY_COLUMNAR = 0
RECORDS_PER_BATCH_MAX = 1_048_576
UNCOMPRESSED_BATCH_BYTES_MAX = 64 << 20
"""A reader must be able to hold one body whole."""
TIMESTAMP_FUTURE_MS_MAX = 3_600_000
"""How far ahead of the broker's clock a record's timestamp may lie."""

_HEADER = struct.Struct("<I4sIiqqqHHIBBHIIIqqqii")
_STAMPS = struct.Struct("<iqqqHH")
_CRC = struct.Struct("<I")
assert _HEADER.size == HEADER_BYTES and _STAMPS.size == 44 - 12


class Codec(IntEnum):
    """What the body is compressed with: nothing, one lz4 frame, one zstd frame."""

    NONE = 0
    LZ4 = 1
    ZSTD = 2


CODEC_MAX = max(Codec)


class LeaderFlag(IntFlag):
    """Bits of leader_flags."""

    APPEND_TIME = 1
    """The topic's timestamp_type is append_time: readers take append_timestamp_ms as each
    record's timestamp."""
    CLEANED = 2
    """Compaction wrote the producer's part anew."""


class BatchHeader(NamedTuple):
    """The fields of the table above, as they stand in the bytes: nothing is checked."""

    batch_length: int
    magic: bytes
    header_crc: int
    leader_epoch: LeaderEpoch
    base_offset: Offset
    append_timestamp_ms: int
    synced_hint: Offset
    leader_flags: int
    reserved: int
    body_crc: int
    body_format: int
    codec: int
    producer_flags: int
    record_count: int
    last_offset_delta: int
    uncompressed_bytes: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: ProducerId
    producer_epoch: ProducerEpoch
    base_sequence: int

    @property
    def last_offset(self) -> Offset:
        return Offset(self.base_offset + self.last_offset_delta)

    @property
    def next_offset(self) -> Offset:
        """Of the batch that follows, also where compaction took records out of this one."""
        return Offset(self.base_offset + self.last_offset_delta + 1)

    @staticmethod
    def unpack(buffer: Buffer, at: int = 0) -> "BatchHeader":
        """The header at byte `at`, unchecked. 96 bytes must be there."""
        return BatchHeader._make(_HEADER.unpack_from(buffer, at))


def pack_header(header: BatchHeader) -> bytes:
    """The 96 bytes of `header`, its CRCs as given."""
    return _HEADER.pack(*header)


def body_crc(batch: Buffer) -> int:
    """CRC-32C of bytes 48..end of a whole batch."""
    return int(crc32c(memoryview(batch)[48:]))


def check_produced(batch: Buffer, *, message_bytes_max: int, now_ms: int) -> BatchHeader:
    """What a broker checks before an append: O(1) but for the CRC. Nothing is decompressed.

    Raises RecordTooLarge, CorruptBatch, UnsupportedCodec, UnsupportedVersion, InvalidTimestamp.
    """
    if len(batch) > message_bytes_max:
        raise RecordTooLarge(
            f"the batch has {len(batch)} bytes, but message_bytes_max is {message_bytes_max}",
            size=len(batch),
            limit=message_bytes_max,
        )
    header = _check_frame(batch)
    if header.codec > CODEC_MAX or header.body_format != BODY_COLUMNAR:
        raise UnsupportedCodec(
            f"the batch has body format {header.body_format} and codec {header.codec}, "
            f"but known are format {BODY_COLUMNAR} and codecs 0 to {int(CODEC_MAX)}",
            field="codec",
        )
    if header.producer_flags:
        raise UnsupportedVersion(
            f"the batch has producer_flags {header.producer_flags:#x}, of which none is known",
            field="producer_flags",
        )
    _check_counts(header)
    _check_identity(header)
    _check_times(header, now_ms)
    if header.codec == Codec.NONE:
        columns = check_body(memoryview(batch)[HEADER_BYTES:], header.record_count)
        if columns.offset_deltas is not None:
            raise CorruptBatch("a produced batch is dense, but this one has offset_deltas")
    return header


def _check_frame(batch: Buffer) -> BatchHeader:
    if len(batch) < HEADER_BYTES:
        raise CorruptBatch(f"a batch has at least {HEADER_BYTES} bytes, not {len(batch)}")
    header = BatchHeader.unpack(batch)
    if header.magic != MAGIC:
        raise CorruptBatch(f"no batch begins with {header.magic!r} at byte 4, but with {MAGIC!r}")
    if header.batch_length != len(batch) or len(batch) % 8:
        raise CorruptBatch(
            f"batch_length is {header.batch_length} for {len(batch)} bytes, "
            "but must be their number and a multiple of 8",
            expected=len(batch),
            got=header.batch_length,
        )
    crc = body_crc(batch)
    if header.body_crc != crc:
        raise CorruptBatch(
            f"body_crc is {header.body_crc:#010x}, but bytes 48 to the end give {crc:#010x}",
            expected=header.body_crc,
            got=crc,
        )
    return header


def _check_counts(header: BatchHeader) -> None:
    if header.uncompressed_bytes > UNCOMPRESSED_BATCH_BYTES_MAX:
        raise RecordTooLarge(
            f"the batch has {header.uncompressed_bytes} bytes uncompressed, "
            f"but at most {UNCOMPRESSED_BATCH_BYTES_MAX} are allowed",
            size=header.uncompressed_bytes,
            limit=UNCOMPRESSED_BATCH_BYTES_MAX,
        )
    if problem := count_problem(header):
        raise CorruptBatch(problem)
    if header.last_offset_delta != header.record_count - 1:
        raise CorruptBatch(
            f"last_offset_delta is {header.last_offset_delta} for {header.record_count} records"
        )


def count_problem(header: BatchHeader) -> str | None:
    """What is wrong with record_count and uncompressed_bytes, if anything.

    Four bytes of body a record at least: so what a reader allocates is bounded by
    uncompressed_bytes, and that by UNCOMPRESSED_BATCH_BYTES_MAX.
    """
    if not 1 <= header.record_count <= RECORDS_PER_BATCH_MAX:
        return f"record_count is {header.record_count}, but must be 1 to {RECORDS_PER_BATCH_MAX}"
    if header.record_count * 4 > header.uncompressed_bytes:
        return f"{header.record_count} records cannot stand in {header.uncompressed_bytes} bytes"
    if header.uncompressed_bytes > UNCOMPRESSED_BATCH_BYTES_MAX:
        return f"uncompressed_bytes is above {UNCOMPRESSED_BATCH_BYTES_MAX}"
    if header.codec == Codec.NONE:
        body_bytes = header.batch_length - HEADER_BYTES
        if header.uncompressed_bytes != body_bytes:
            return f"uncompressed_bytes is {header.uncompressed_bytes}, the body has {body_bytes}"
    return None


def _check_identity(header: BatchHeader) -> None:
    identity = (header.producer_id, header.producer_epoch, header.base_sequence)
    if identity != (-1, -1, -1) and min(identity) < 0:
        raise CorruptBatch(
            f"producer_id, producer_epoch and base_sequence are {identity}, "
            "but must all be -1, or none below 0"
        )


def _check_times(header: BatchHeader, now_ms: int) -> None:
    low, high = header.base_timestamp_ms, header.max_timestamp_ms
    if not 0 <= low <= high:
        raise InvalidTimestamp(
            f"base_timestamp_ms is {low} and max_timestamp_ms {high}, but they must rise from 0",
            field="base_timestamp_ms",
        )
    if high > now_ms + TIMESTAMP_FUTURE_MS_MAX:
        raise InvalidTimestamp(
            f"a record's timestamp, {high}, is {high - now_ms} ms ahead of the broker's clock; "
            f"at most {TIMESTAMP_FUTURE_MS_MAX} are accepted. Is the sender's clock right, "
            "and are its timestamps milliseconds?",
            field="max_timestamp_ms",
        )


def stamp(
    batch: Buffer,
    *,
    leader_epoch: int,
    base_offset: int,
    append_timestamp_ms: int,
    synced_hint: int,
    leader_flags: int = 0,
) -> bytes:
    """The 96 header bytes as the leader stores them; the body stays the producer's."""
    stamps = _STAMPS.pack(
        leader_epoch, base_offset, append_timestamp_ms, synced_hint, leader_flags, 0
    )
    frame = bytes(batch[:8])
    rest = stamps + bytes(batch[44:HEADER_BYTES])
    return frame + _CRC.pack(crc32c(rest, crc32c(frame))) + rest


def stored_header(buffer: Buffer, at: int = 0) -> BatchHeader | None:
    """The header of a stored batch at byte `at`, or None where none stands.

    None unless 96 bytes are there with the magic, the right header_crc and lengths that can be. The
    body is not looked at and need not be there.
    """
    if buffer[at + 4 : at + 8] != MAGIC or len(buffer) < at + HEADER_BYTES:
        return None
    view = memoryview(buffer)[at : at + HEADER_BYTES]
    header = BatchHeader.unpack(view)
    if crc32c(view[12:], crc32c(view[:8])) != header.header_crc:
        return None
    length, count = header.batch_length, header.record_count
    sane = length >= HEADER_BYTES and length % 8 == 0 and 1 <= count <= RECORDS_PER_BATCH_MAX
    return header if sane and header.last_offset_delta >= count - 1 else None


def is_intact(batch: Buffer) -> bool:
    """Whether `batch` is one whole stored batch, by its lengths and both its CRCs."""
    header = stored_header(batch)
    return (
        header is not None
        and header.batch_length == len(batch)
        and header.body_crc == body_crc(batch)
    )


def split_batches(buffer: Buffer) -> list[tuple[BatchHeader, memoryview]]:
    """The stored batches that fill `buffer`, without a copy; their bodies are not checked.

    Raises CorruptBatch where no whole batch stands, a cut last one included.
    """
    view, at = memoryview(buffer), 0
    batches: list[tuple[BatchHeader, memoryview]] = []
    while at < len(view):
        header = stored_header(view, at)
        if header is None or at + header.batch_length > len(view):
            raise CorruptBatch(
                f"no whole batch stands at byte {at} of {len(view)}, after {len(batches)} batches",
                position=at,
            )
        batches.append((header, view[at : at + header.batch_length]))
        at += header.batch_length
    return batches
