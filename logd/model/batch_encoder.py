"""Encodes records into a produced batch, in canonical form.

Canonical: one sequence of records has one encoding (before the codec). Fields in number order,
shortest varints, an empty buffer absent with its pad; a pad only where its buffer would not begin
at a multiple of 8 bytes from the batch's start, then the shortest non-empty run of zeros that makes
it so; a tail pad likewise. A column without nulls has no bitmap; one that is all null has no
buffer. Only where then no other column would stand are the values' nulls written out, because a
batch has at least 4 bytes of body a record. base_timestamp_ms is the first record's.
"""

import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from crc32c import crc32c

from logd.model.batch_body import HEADERS_PER_BATCH_MAX, frame_body
from logd.model.batch_codecs import compress
from logd.model.binary_columns import ALL_NULL, pack_column, pack_empty
from logd.model.errors import InvalidTimestamp, RecordTooLarge
from logd.model.ids import LeaderEpoch, Offset, ProducerEpoch, ProducerId
from logd.model.record_batch import (
    BODY_COLUMNAR,
    HEADER_BYTES,
    MAGIC,
    RECORDS_PER_BATCH_MAX,
    UNCOMPRESSED_BATCH_BYTES_MAX,
    BatchHeader,
    Codec,
    pack_header,
)
from logd.model.seams import Buffer
from logd.model.timestamp_runs import TimestampRuns

Headers = Sequence[tuple[str, bytes | None]]
"""One record's headers: names and values, in order; a name may stand more than once."""

JOINED_BYTES_MAX = 4 << 10
"""A smaller body is one part: to look at each part costs more than its copy."""

_CRC_AT = 44
_IDENTITY = struct.Struct("<qii")
_IDENTITY_AT = HEADER_BYTES - _IDENTITY.size
_CRC = struct.Struct("<I")


def encode_batch(
    values: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None = None,
    timestamps_ms: int | Sequence[int] | TimestampRuns,
    headers: Sequence[Headers] | None = None,
    codec: Codec = Codec.NONE,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    value_bytes_max: int | None = None,
) -> bytes:
    """A batch of at least one record, as a producer sends it: the leader's bytes are zeros.

    Record i is values[i], keys[i] (None: no key), its timestamp in ms since 1970 UTC (one for all,
    a sequence, or runs) and headers[i]. A null value is a tombstone. `value_bytes_max`: who calls
    knows that every value is bytes, none longer than this, which need not be looked at again.
    Raises RecordTooLarge, InvalidTimestamp, and TypeError where a key or value is no bytes.
    """
    draft = draft_batch(
        values,
        keys=keys,
        timestamps_ms=timestamps_ms,
        headers=headers,
        value_bytes_max=value_bytes_max,
    )
    body = draft.body if codec is Codec.NONE else [compress(b"".join(draft.body), codec)]
    return draft.sealed(body, codec, producer_id, producer_epoch, base_sequence)


class BatchDraft(NamedTuple):
    """A batch but for its codec and its producer: the framed body in parts, and what the header
    says of it."""

    record_count: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    uncompressed_bytes: int
    body: list[Buffer]

    def sealed(
        self,
        body: Sequence[Buffer],
        codec: Codec,
        producer_id: int,
        producer_epoch: int,
        base_sequence: int,
    ) -> bytes:
        """The batch; `body` is the draft's own, or that joined and compressed by `codec`."""
        header = BatchHeader(
            batch_length=HEADER_BYTES + sum(map(len, body)),
            magic=MAGIC,
            header_crc=0,
            leader_epoch=LeaderEpoch(0),
            base_offset=Offset(0),
            append_timestamp_ms=0,
            synced_hint=Offset(0),
            leader_flags=0,
            reserved=0,
            body_crc=0,
            body_format=BODY_COLUMNAR,
            codec=codec,
            producer_flags=0,
            record_count=self.record_count,
            last_offset_delta=self.record_count - 1,
            uncompressed_bytes=self.uncompressed_bytes,
            base_timestamp_ms=self.base_timestamp_ms,
            max_timestamp_ms=self.max_timestamp_ms,
            producer_id=ProducerId(producer_id),
            producer_epoch=ProducerEpoch(producer_epoch),
            base_sequence=base_sequence,
        )
        return _seal(pack_header(header), body)


def draft_batch(
    values: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None,
    timestamps_ms: int | Sequence[int] | TimestampRuns,
    headers: Sequence[Headers] | None,
    value_bytes_max: int | None,
) -> BatchDraft:
    """What of `encode_batch` needs the records. Takes and raises the same."""
    count = len(values)
    if count > RECORDS_PER_BATCH_MAX:
        raise _beyond(RECORDS_PER_BATCH_MAX, "records", count)
    assert count > 0, "a batch has a record"
    assert keys is None or len(keys) == count, "a key for each record"
    base_timestamp_ms, max_timestamp_ms, deltas = _pack_timestamps(timestamps_ms, count)
    body = _pack_body(values, keys, deltas, headers, value_bytes_max)
    uncompressed_bytes = sum(map(len, body))
    if uncompressed_bytes > UNCOMPRESSED_BATCH_BYTES_MAX:
        raise _beyond(UNCOMPRESSED_BATCH_BYTES_MAX, "bytes of body", uncompressed_bytes)
    if uncompressed_bytes < JOINED_BYTES_MAX:
        body = [b"".join(body)]
    return BatchDraft(count, base_timestamp_ms, max_timestamp_ms, uncompressed_bytes, body)


def with_producer(
    batch: Buffer, producer_id: int, producer_epoch: int, base_sequence: int
) -> bytes:
    """The same batch from another producer identity; the rest of it is copied, not encoded."""
    view = memoryview(batch)
    identity = _IDENTITY.pack(producer_id, producer_epoch, base_sequence)
    return _seal(bytes(view[:_IDENTITY_AT]) + identity, [view[HEADER_BYTES:]])


def _seal(header: bytes, body: Sequence[Buffer]) -> bytes:
    """Header and body as one, with body_crc set."""
    crc = crc32c(header[_CRC_AT + 4 :])
    for part in body:
        crc = crc32c(part, crc)
    return b"".join([header[:_CRC_AT], _CRC.pack(crc), header[_CRC_AT + 4 :], *body])


def _beyond(limit: int, what: str, size: int) -> RecordTooLarge:
    return RecordTooLarge(
        f"a batch holds at most {limit} {what}, not {size}", size=size, limit=limit
    )


def _pack_body(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    timestamp_deltas: bytes,
    headers: Sequence[Headers] | None,
    value_bytes_max: int | None,
) -> list[Buffer]:
    """The framed body in parts."""
    assert headers is None or len(headers) == len(values), "headers for each record"
    value_column = pack_column(values, value_bytes_max)
    key_column = ALL_NULL if keys is None else pack_column(keys)
    header_buffers = _pack_headers(headers) if headers else ()
    if not (value_column.ends or key_column.ends or timestamp_deltas or header_buffers):
        value_column = pack_empty(len(values))
    no_offset_deltas = no_record_flags = b""
    return frame_body(
        [
            *value_column,
            *key_column,
            timestamp_deltas,
            no_offset_deltas,
            no_record_flags,
            *header_buffers,
        ]
    )


def _pack_timestamps(
    timestamps_ms: int | Sequence[int] | TimestampRuns, count: int
) -> tuple[int, int, bytes]:
    """base_timestamp_ms, max_timestamp_ms and the deltas, which are empty where all are equal."""
    times: Sequence[int]
    if isinstance(timestamps_ms, TimestampRuns):
        times = timestamps_ms.times_ms
    elif isinstance(timestamps_ms, int):
        times = (timestamps_ms,)
    else:
        assert len(timestamps_ms) == count, "a timestamp for each record"
        times = timestamps_ms
    base, low, high = times[0], min(times), max(times)
    if low < 0 or high >= 1 << 63:
        raise InvalidTimestamp(
            f"timestamps are milliseconds since 1970, but one is {low if low < 0 else high}",
            field="timestamp_ms",
        )
    if low == high:
        return base, high, b""
    if isinstance(timestamps_ms, TimestampRuns):
        return base, high, timestamps_ms.deltas(count)
    return base, high, array("q", [at - base for at in times]).tobytes()


def _pack_headers(headers: Sequence[Headers]) -> tuple[Buffer, ...]:
    """header_ends, then names without nulls, then values; empty where no record has a header."""
    ends = array("i", accumulate(map(len, headers), initial=0))
    if ends[-1] == 0:
        return ()
    if ends[-1] > HEADERS_PER_BATCH_MAX:
        raise _beyond(HEADERS_PER_BATCH_MAX, "headers", ends[-1])
    pairs = [pair for record in headers for pair in record]
    names = pack_column([name.encode() for name, _ in pairs])
    return ends.tobytes(), names.ends, names.data, *pack_column([value for _, value in pairs])
