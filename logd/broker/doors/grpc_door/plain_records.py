"""Plain records for bare stubs: encoded into batches on the way in, decoded on the way out."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from logd.broker.ports import Fetched
from logd.model.batch_decoder import DecodedBatch, decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.errors import CorruptBatch, UndecodableBatch
from logd.model.record_batch import split_batches
from logd_proto.v1 import common_pb2, data_pb2

RECORD_OVERHEAD_BYTES = 32
"""What a record takes besides its key, value and headers, about."""


class PlainRead(NamedTuple):
    """Records, where to read on, their bytes, and why they end early, if they do."""

    records: list[data_pb2.ConsumedRecord]
    next_offset: int
    size_bytes: int
    error: UndecodableBatch | CorruptBatch | None = None


def encode_plain_records(records: Sequence[data_pb2.PlainRecord], now_ms: int) -> bytes:
    """One batch of these records, in order. Raises InvalidTimestamp, RecordTooLarge."""
    headers = None
    if any(record.headers for record in records):
        headers = [
            [(h.name, h.value if h.HasField("value") else None) for h in record.headers]
            for record in records
        ]
    return encode_batch(
        [record.value if record.HasField("value") else None for record in records],
        keys=[record.key if record.HasField("key") else None for record in records],
        timestamps_ms=[
            record.timestamp_ms if record.HasField("timestamp_ms") else now_ms for record in records
        ],
        headers=headers,
    )


def decode_plain_records(fetched: Fetched, offset: int, max_bytes: int) -> PlainRead:
    """The records from `offset` on: at least one if `max_bytes` is above 0, then while they fit.

    Compressed batches grow many times over, so what was fetched says nothing of their size here.
    """
    records: list[data_pb2.ConsumedRecord] = []
    next_offset, size_bytes = offset, 0
    for header, batch in split_batches(fetched.batches):
        try:
            decoded = decode_batch(batch)
            for record in _records(decoded, offset):
                if size_bytes >= max_bytes:
                    return PlainRead(records, record.offset, size_bytes)
                records.append(record)
                size_bytes += record.ByteSize() + RECORD_OVERHEAD_BYTES
        except (UndecodableBatch, CorruptBatch) as error:
            error.details.setdefault("next_offset", str(header.next_offset))
            return PlainRead(records, next_offset, size_bytes, error)
        next_offset = header.next_offset
    return PlainRead(records, max(next_offset, fetched.next_offset), size_bytes)


def _records(batch: DecodedBatch, offset: int) -> Iterator[data_pb2.ConsumedRecord]:
    keys, headers = batch.keys, batch.headers
    for index, at in enumerate(batch.offsets):
        if at < offset:
            continue  # the batch begins before the asked offset
        yield data_pb2.ConsumedRecord(
            offset=at,
            timestamp_ms=batch.timestamps_ms[index],
            key=None if keys is None else keys[index],
            value=batch.values[index],
            headers=()
            if headers is None
            else [common_pb2.Header(name=n, value=v) for n, v in headers[index]],
        )
