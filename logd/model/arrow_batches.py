"""Record batches as Arrow's. Imported only when one is asked for, as it imports pyarrow.

Keys, values, headers and the deltas of times and offsets are the batch's own buffers; per record,
only the three columns of plain numbers are made.
"""

from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from logd.model.arrow_columns import HEADERS, aligned, binary_array, headers_array
from logd.model.batch_decoder import DecodedBatch
from logd.model.record_batch import LeaderFlag

TIME = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("append_timestamp", TIME, nullable=False),
        pa.field("timestamp", TIME, nullable=False),
        ("key", pa.binary()),
        ("value", pa.binary()),
        pa.field("headers", HEADERS, nullable=False),
    ]
)
"""The columns of a batch. The topic is none of them: whoever reads several knows which."""


def record_batch(partition: int, decoded: DecodedBatch, start: int) -> pa.RecordBatch:
    """The records from index `start` on, in SCHEMA."""
    count = len(decoded)
    columns = [
        _repeated(partition, pa.int32(), count),
        _offsets(decoded),
        _repeated(decoded.header.append_timestamp_ms, TIME, count),
        _timestamps(decoded),
        keys(decoded),
        values(decoded),
        headers_array(count, decoded.columns),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)[start:]


def values(decoded: DecodedBatch) -> pa.BinaryArray:
    """Null: a tombstone."""
    c = decoded.columns
    return binary_array(len(decoded), c.value_ends, c.values, c.value_nulls)


def keys(decoded: DecodedBatch) -> pa.BinaryArray:
    """Null: no key."""
    c = decoded.columns
    return binary_array(len(decoded), c.key_ends, c.keys, c.key_nulls)


def _offsets(decoded: DecodedBatch) -> pa.Int64Array:
    deltas = decoded.columns.offset_deltas
    if deltas is None:
        return pc.add(_ramp(len(decoded)), decoded.header.base_offset)
    return pc.add(_numbers(pa.int32(), 4, deltas).cast(pa.int64()), decoded.header.base_offset)


def _timestamps(decoded: DecodedBatch) -> pa.TimestampArray:
    header, deltas = decoded.header, decoded.columns.timestamp_deltas
    if header.leader_flags & LeaderFlag.APPEND_TIME:
        return _repeated(header.append_timestamp_ms, TIME, len(decoded))
    if deltas is None:
        return _repeated(header.base_timestamp_ms, TIME, len(decoded))
    return pc.add(_numbers(pa.int64(), 8, deltas), header.base_timestamp_ms).view(TIME)


def _numbers(kind: pa.DataType, width: int, buffer: memoryview) -> pa.Array:
    return pa.Array.from_buffers(kind, len(buffer) // width, [None, aligned(buffer, width)])


def _repeated(value: int, kind: pa.DataType, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


@lru_cache(maxsize=4)
def _ramp(count: int) -> pa.Int64Array:
    """0, 1, ... Kept, as full batches of one producer have much the same count."""
    return pa.array(range(count), pa.int64())
