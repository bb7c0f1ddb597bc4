"""A second, slow decoder of batches, and strategies for records.

It shares no code with `logd.model`: the body goes through the generated protobuf parser, the rest
through struct.
"""

import struct
from typing import Any, NamedTuple

from hypothesis import strategies as st

from logd.model.batch_decoder import DecodedBatch
from logd.model.batch_encoder import encode_batch
from logd.model.record_batch import Codec
from logd_proto.v1.batch_pb2 import BatchBody


class ReferenceRecord(NamedTuple):
    """A record, and what a test compares."""

    value: bytes | None
    key: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes | None], ...]


_payloads = st.one_of(st.none(), st.binary(max_size=12), st.binary(min_size=120, max_size=140))
_headers = st.lists(
    st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=5))), max_size=3
).map(tuple)


@st.composite
def records(draw: st.DrawFn, max_size: int = 20) -> list[ReferenceRecord]:
    """Records with and without each column, so that absent and all-null ones are common."""
    values = draw(st.sampled_from([_payloads, st.binary(max_size=9), st.none()]))
    keys = draw(st.sampled_from([_payloads, st.none(), st.binary(max_size=9)]))
    times = draw(st.sampled_from([st.integers(0, 2**42), st.just(17), st.integers(1000, 1010)]))
    headers = draw(st.sampled_from([st.just(()), _headers]))
    one = st.builds(ReferenceRecord, values, keys, times, headers)
    return draw(st.lists(one, min_size=1, max_size=max_size))


def encode(of: list[ReferenceRecord], codec: Codec = Codec.NONE, **identity: int) -> bytes:
    """`of` through the encoder under test."""
    return encode_batch(
        [r.value for r in of],
        keys=[r.key for r in of],
        timestamps_ms=[r.timestamp_ms for r in of],
        headers=[r.headers for r in of],
        codec=codec,
        **identity,
    )


def rows(batch: DecodedBatch) -> list[ReferenceRecord]:
    """What the decoder under test makes of a batch."""
    count = len(batch)
    keys = batch.keys if batch.keys is not None else [None] * count
    headers = batch.headers if batch.headers is not None else [[]] * count
    columns = zip(batch.values, keys, batch.timestamps_ms, headers, strict=True)
    return [ReferenceRecord(v, k, t, tuple(h)) for v, k, t, h in columns]


def parse_body(batch: bytes) -> Any:
    """The body of an uncompressed batch by the generated parser."""
    return BatchBody.FromString(batch[96:])


def reference_rows(batch: bytes) -> list[ReferenceRecord]:
    """The records of an uncompressed batch, by this module's own means."""
    (count,) = struct.unpack_from("<I", batch, 52)
    (base_timestamp_ms,) = struct.unpack_from("<q", batch, 64)
    body = parse_body(batch)
    deltas = struct.unpack(f"<{count}q", body.timestamp_deltas or bytes(8 * count))
    values = _entries(count, body.value_ends, body.values, body.value_nulls)
    keys = _entries(count, body.key_ends, body.keys, body.key_nulls)
    header_ends = struct.unpack(f"<{count + 1}i", body.header_ends or bytes(4 * (count + 1)))
    header_count = header_ends[-1]
    names = _entries(header_count, body.header_name_ends, body.header_names, b"")
    header_values = _entries(
        header_count, body.header_value_ends, body.header_values, body.header_value_nulls
    )
    pairs = [(str(n or b"", "utf-8"), v) for n, v in zip(names, header_values, strict=True)]
    return [
        ReferenceRecord(
            values[i],
            keys[i],
            base_timestamp_ms + deltas[i],
            tuple(pairs[header_ends[i] : header_ends[i + 1]]),
        )
        for i in range(count)
    ]


def _entries(count: int, ends: bytes, data: bytes, nulls: bytes) -> list[bytes | None]:
    if not ends:
        return [None] * count
    at = struct.unpack(f"<{count + 1}i", ends)
    return [
        None if nulls and not nulls[i // 8] >> i % 8 & 1 else data[at[i] : at[i + 1]]
        for i in range(count)
    ]
