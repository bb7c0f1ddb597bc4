"""Plain records for bare stubs: encoded into batches on the way in, decoded on the way out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from logd.broker.ports import Fetched
from logd.model.batch_decoder import DecodedBatch, decode_batch
from logd.model.batch_encoder import encode_batch
from logd.model.errors import CorruptBatch, UndecodableBatch
from logd.model.record_batch import (
    UNCOMPRESSED_BATCH_BYTES_MAX,
    BatchHeader,
    split_batches,
)
from logd_proto.v1 import common_pb2, data_pb2

RECORD_OVERHEAD_BYTES = 32
"""What a record takes besides its key, value and headers, about."""


FETCHED_RECORDS_MAX = 50_000
"""Of one answer: half a second of work. Plain records are for small use."""


class PlainRead(NamedTuple):
    """Records, where to read on, and why they end early, if they do."""

    records: list[data_pb2.ConsumedRecord]
    next_offset: int
    error: UndecodableBatch | CorruptBatch | None = None


@dataclass(slots=True)
class PlainRoom:
    """What one answer may still take. Its positions share it.

    `uncompressed_bytes` are of whole batches, which are uncompressed for one record, too: some kB
    may claim, and be, UNCOMPRESSED_BATCH_BYTES_MAX.
    """

    size_bytes: int
    records: int = FETCHED_RECORDS_MAX
    uncompressed_bytes: int = UNCOMPRESSED_BATCH_BYTES_MAX

    @property
    def is_full(self) -> bool:
        return self.size_bytes <= 0 or self.records <= 0

    def open(self, header: BatchHeader) -> bool:
        """Whether there is room for a batch, uncompressed; for the first there is."""
        size_bytes = min(header.uncompressed_bytes, UNCOMPRESSED_BATCH_BYTES_MAX)
        if self.is_full or size_bytes > self.uncompressed_bytes:
            return False
        self.uncompressed_bytes -= size_bytes
        return True

    def take(self, record: data_pb2.ConsumedRecord) -> None:
        self.records -= 1
        self.size_bytes -= record.ByteSize() + RECORD_OVERHEAD_BYTES


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


def decode_plain_records(fetched: Fetched, offset: int, room: PlainRoom) -> PlainRead:
    """The records from `offset` on, as far as there is room: at least one if it was not touched.

    Compressed batches grow many times over, so what was fetched says nothing of their size here.
    """
    records: list[data_pb2.ConsumedRecord] = []
    next_offset = offset
    for header, batch in split_batches(fetched.batches):
        if not room.open(header):
            return PlainRead(records, next_offset)
        try:
            for record in _records(decode_batch(batch), offset):
                if room.is_full:
                    return PlainRead(records, record.offset)
                records.append(record)
                room.take(record)
        except (UndecodableBatch, CorruptBatch) as error:
            error.details.setdefault("next_offset", str(header.next_offset))
            return PlainRead(records, next_offset, error)
        next_offset = header.next_offset
    return PlainRead(records, max(next_offset, fetched.next_offset))


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
