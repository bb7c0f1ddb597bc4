"""The SDK's calls that benchmarks time, in the form that is fastest for a user."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from logd.model.errors import BufferFull
from logd_client import Consumer, Producer

CHUNK_RECORDS = 1_000
"""Values that one send_many() is given."""


@dataclass(slots=True)
class Tally:
    """What was read. `waits_s`: how long each batch took to come; not known record by record."""

    records: int = 0
    size_bytes: int = 0
    waits_s: list[float] = field(default_factory=list)


async def send_each(producer: Producer, topic: str, values: Sequence[bytes]) -> None:
    """A call a record. Who calls flushes, which raises what failed: there are no handles."""
    send = producer.send_nowait
    for value in values:
        try:
            send(topic, value)
        except BufferFull:
            await producer.send(topic, value)


async def send_chunks(producer: Producer, topic: str, values: Sequence[bytes]) -> None:
    """A call for CHUNK_RECORDS at most; else as `send_each`."""
    for at in range(0, len(values), CHUNK_RECORDS):
        await producer.send_many(topic, values[at : at + CHUNK_RECORDS])


async def read_records(consumer: Consumer, count: int, tally: Tally) -> None:
    """An object a record, `count` of them. Cancelled, the tally has those that came."""
    size = seen = 0
    try:
        async for record in consumer:
            size += len(record.value or b"")
            seen += 1
            if seen == count:
                break
    finally:
        tally.records += seen
        tally.size_bytes += size


async def read_batches(consumer: Consumer, count: int, tally: Tally) -> None:
    """Whole batches, `count` records in all; else as `read_records`."""
    left = count
    while left:
        asked_s = perf_counter()
        batch = await consumer.next_batch()
        tally.waits_s.append(perf_counter() - asked_s)
        values = batch.values[:left]
        tally.records += len(values)
        tally.size_bytes += sum(map(len, filter(None, values)))
        left -= len(values)
