"""Plain records for bare stubs: encoded into batches on the way in, decoded on the way out."""

from collections.abc import Iterable, Sequence

from logd.broker.ports import Fetched
from logd.model.batch_decoder import DecodedBatch, decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.errors import CorruptBatch, UndecodableBatch
from logd.model.record_batch import split_batches
from logd_proto.v1 import common_pb2, data_pb2


def encode_plain_records(records: Sequence[data_pb2.PlainRecord], now_ms: int) -> bytes:
    """One batch of these records, in order."""
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


def decode_plain_records(
    fetched: Fetched, offset: int, append_time: bool
) -> tuple[list[data_pb2.ConsumedRecord], int, UndecodableBatch | CorruptBatch | None]:
    """The records from `offset` on, where to read on, and why it ended early, if it did."""
    records: list[data_pb2.ConsumedRecord] = []
    next_offset = offset
    for header, batch in split_batches(fetched.batches):
        try:
            decoded = decode_batch(batch)
            stamp_ms = header.append_timestamp_ms if append_time else None
            records.extend(_records(decoded, offset, stamp_ms))
        except (UndecodableBatch, CorruptBatch) as error:
            error.details.setdefault("next_offset", str(header.next_offset))
            return records, next_offset, error
        next_offset = header.next_offset
    return records, max(next_offset, fetched.next_offset), None


def _records(
    batch: DecodedBatch, offset: int, stamp_ms: int | None
) -> Iterable[data_pb2.ConsumedRecord]:
    keys, headers = batch.keys, batch.headers
    for index, at in enumerate(batch.offsets):
        if at < offset:
            continue  # the batch begins before the asked offset
        yield data_pb2.ConsumedRecord(
            offset=at,
            timestamp_ms=batch.timestamps_ms[index] if stamp_ms is None else stamp_ms,
            key=None if keys is None else keys[index],
            value=batch.values[index],
            headers=()
            if headers is None
            else [common_pb2.Header(name=n, value=v) for n, v in headers[index]],
        )
