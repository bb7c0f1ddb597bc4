"""The work of `logctl bench`, on one event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from logd.cli.error_report import first_of
from logd.cli.invocation import CLIENT_ID, Invocation
from logd.cli.output import Json
from logd.cli.pace import Pace
from logd.cli.position import offsets_of
from logd.cli.times import Rate
from logd.model.errors import LogdError
from logd.system.system_random import SystemRandom
from logd_client import Consumer, Producer
from logd_client.descriptions import OffsetSpec
from logd_client.record_handle import RecordHandle

CHUNK_BYTES = 64 << 10
"""Added at once; the last record of each chunk is the one whose acknowledgement is timed."""

DISTINCT_VALUES = 64
"""Random values to pick from: a codec finds nothing to compress within one."""

MARK_BYTES = 8
STAMP_BYTES = MARK_BYTES + 16
"""How a value begins whose way is timed: the run's mark, then the time it was sent."""

PROBES_MAX = 1024
"""Timed records that are awaited at once."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the flags say. `topic` None: one is made, and deleted afterwards."""

    topic: str | None
    duration_ms: int
    warm_up_ms: int
    value_bytes: int
    partitions: int
    acks: Any
    compression: Any
    batch_bytes: int | None = None
    linger_ms: int | None = None


@contextlib.asynccontextmanager
async def open_bench(invocation: Invocation, options: BenchOptions) -> AsyncIterator["BenchRun"]:
    """A run, with a topic of its own if none is named."""
    topic = options.topic or f"logctl-bench-{SystemRandom().bytes(4).hex()}"
    async with invocation.admin() as admin:
        if options.topic is None:
            await admin.create_topic(topic, options.partitions)
        else:
            await admin.describe_topic(topic)
        try:
            yield BenchRun(invocation, options, topic)
        finally:
            if options.topic is None:
                await admin.delete_topic(topic)


class BenchRun:
    """One benchmark on one topic. Every method warms up first, then measures."""

    def __init__(self, invocation: Invocation, options: BenchOptions, topic: str) -> None:
        self.topic = topic
        self.is_own_topic = options.topic is None
        self._invocation = invocation
        self._options = options
        random = SystemRandom()
        self._values = [random.bytes(options.value_bytes) for _ in range(DISTINCT_VALUES)]
        self._mark = random.bytes(MARK_BYTES)
        self._now_s = perf_counter  # the loop's clock and the seam count whole ms

    async def produce(self) -> Json:
        """Write as fast as the buffer takes it; ends when all is acknowledged."""
        async with self._producer() as producer:
            await self._produce_for(producer, self._options.warm_up_ms)
            before = await self._written()
            started_s = self._now_s()
            records, latencies_s = await self._produce_for(producer, self._options.duration_ms)
            seconds = self._now_s() - started_s
        written = await self._written() - before
        if written < records:
            raise RuntimeError(f"{records} records were sent, but only {written} are in the log")
        return self._row(records, records * self._options.value_bytes, seconds, latencies_s)

    async def fill(self, records: int) -> None:
        """Write so many records, for `consume`."""
        async with self._producer() as producer:
            for at in range(0, records, DISTINCT_VALUES):
                await producer.send_many(self.topic, self._values[: records - at])

    async def consume(self) -> Json:
        """Read from the start to the end as it is now, again and again until time is up."""
        async with self._invocation.admin() as admin:
            numbers = range(len((await admin.describe_topic(self.topic)).partitions))
            specs = OffsetSpec.earliest(), OffsetSpec.latest()
            start, end = [
                offsets_of(await admin.list_offsets(self.topic, dict.fromkeys(numbers, spec)))
                for spec in specs
            ]
        if start == end:
            raise RuntimeError(f"topic '{self.topic}' holds no records to read")
        async with self._consumer("earliest") as consumer:
            await self._consume_for(consumer, start, end, self._options.warm_up_ms)
            started_s = self._now_s()
            records, size = await self._consume_for(consumer, start, end, self._options.duration_ms)
            return self._row(records, size, self._now_s() - started_s, [])

    async def latency(self, rate: Rate) -> Json:
        """Send at a rate; a consumer in this process says when each record arrived."""
        latencies_s: list[float] = []
        async with self._producer(linger_ms=0) as producer, self._consumer("latest") as consumer:
            until_s = self._now_s() + self._options.warm_up_ms / 1000
            measured_from_s, until_s = until_s, until_s + self._options.duration_ms / 1000
            receiving = asyncio.create_task(
                self._receive(consumer, latencies_s, measured_from_s, until_s)
            )
            try:
                pace, padding = Pace(rate), self._values[0][STAMP_BYTES:]
                while (now_s := self._now_s()) < until_s and not receiving.done():
                    stamp = self._mark + f"{now_s:016.6f}".encode()
                    await producer.send(self.topic, stamp + padding)
                    await pace.wait(1, 0)
                await receiving
            finally:
                receiving.cancel()
        seconds = self._options.duration_ms / 1000
        return self._row(
            len(latencies_s), len(latencies_s) * self._options.value_bytes, seconds, latencies_s
        )

    async def _receive(
        self, consumer: Consumer, latencies_s: list[float], from_s: float, until_s: float
    ) -> None:
        while self._now_s() < until_s:
            for record in await consumer.poll(timeout_ms=100):
                value = record.value or b""
                if value.startswith(self._mark):  # others may write to the topic, too
                    sent_s = float(value[MARK_BYTES:STAMP_BYTES])
                    if sent_s >= from_s:
                        latencies_s.append(self._now_s() - sent_s)

    async def _produce_for(self, producer: Producer, duration_ms: int) -> tuple[int, list[float]]:
        chunk = max(1, min(DISTINCT_VALUES, CHUNK_BYTES // self._options.value_bytes))
        values, last = self._values[: chunk - 1], self._values[chunk - 1]
        probes: asyncio.Queue[tuple[RecordHandle, float] | None] = asyncio.Queue(PROBES_MAX)
        until_s, records = self._now_s() + duration_ms / 1000, 0
        try:
            async with asyncio.TaskGroup() as tasks:
                timing = tasks.create_task(self._time(probes))
                while (now_s := self._now_s()) < until_s:
                    if values:
                        await producer.send_many(self.topic, values)
                    await probes.put((await producer.send(self.topic, last), now_s))
                    records += chunk
                await probes.put(None)
                await producer.flush()
        except* LogdError as failures:
            raise first_of(failures) from None
        return records, timing.result()

    async def _time(
        self, probes: "asyncio.Queue[tuple[RecordHandle, float] | None]"
    ) -> list[float]:
        """How long each acknowledgement took; raises what a record failed with."""
        latencies_s = []
        while (probe := await probes.get()) is not None:
            handle, sent_s = probe
            await handle
            latencies_s.append(self._now_s() - sent_s)
        return latencies_s

    async def _consume_for(
        self, consumer: Consumer, start: dict[int, int], end: dict[int, int], duration_ms: int
    ) -> tuple[int, int]:
        until_s, records, size = self._now_s() + duration_ms / 1000, 0, 0
        while self._now_s() < until_s:
            left = {number for number in start if start[number] < end[number]}
            for number in start:
                consumer.seek(self.topic, number, start[number])
            async for batch in consumer.batches():
                records += len(batch)
                size += sum(len(value) for value in batch.values if value)
                if batch.next_offset >= end[batch.partition]:
                    left.discard(batch.partition)
                if not left or self._now_s() >= until_s:
                    break
        return records, size

    async def _written(self) -> int:
        """The sum of the topic's high watermarks."""
        async with self._invocation.admin() as admin:
            return sum(p.high_watermark for p in await admin.describe_partitions(self.topic))

    def _producer(self, **more: Any) -> Producer:
        options = self._options
        if options.batch_bytes is not None:
            more["batch_size"] = options.batch_bytes
        if options.linger_ms is not None:
            more["linger_ms"] = options.linger_ms
        return Producer(
            self._invocation.bootstrap,
            client_id=CLIENT_ID,
            acks=options.acks,
            compression_type=options.compression,
            **more,
        )

    def _consumer(self, start: Any) -> Consumer:
        return Consumer(
            self.topic,
            bootstrap_servers=self._invocation.bootstrap,
            client_id=CLIENT_ID,
            auto_offset_reset=start,
        )

    def _row(self, records: int, size_bytes: int, seconds: float, latencies_s: list[float]) -> Json:
        return {
            "records": records,
            "bytes": size_bytes,
            "seconds": round(seconds, 3),
            "records_per_second": round(records / seconds),
            "mb_per_second": round(size_bytes / seconds / 1e6, 2),
            "latency_ms": percentiles_ms(latencies_s),
        }


def percentiles_ms(latencies_s: list[float]) -> Json | None:
    """p50 to max in ms, by nearest rank; None where nothing was timed."""
    if not latencies_s:
        return None
    ranked = sorted(latencies_s)
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
    return {
        name: round(ranked[max(0, -int(-share * len(ranked) // 1) - 1)] * 1000, 3)
        for name, share in ranks.items()
    }
