"""The work of `logctl bench`, on one event loop; e2e has its producer in a second process."""

import asyncio
import contextlib
import json
import struct
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import click

from logd.cli.bench_calls import (
    CHUNK_RECORDS,
    Tally,
    read_batches,
    read_records,
    send_chunks,
    send_each,
)
from logd.cli.bench_meter import BenchMeter
from logd.cli.bench_sender import STAMP, SendPlan
from logd.cli.error_report import first_of
from logd.cli.invocation import CLIENT_ID, Invocation
from logd.cli.output import Json
from logd.cli.position import offsets_of
from logd.model.errors import LogdError
from logd.model.offset_spec import OffsetSpec
from logd.system.system_random import SystemRandom
from logd_client import Consumer, Producer
from logd_client.record_handle import RecordHandle

CHUNK_BYTES = 256 << 10
"""Added at once, but CHUNK_RECORDS at most; of each chunk's last record the acknowledgement is
timed."""

DISTINCT_VALUES = 64
"""Random values to pick from: a codec finds nothing to compress within one."""

PROBES_MAX = 1024
"""Timed records that are awaited at once."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What the flags say. `topic` None: one is made, and deleted afterwards.

    `api`: 'record' is a call and an object a record, 'batch' many at once.
    """

    topic: str | None
    duration_ms: int
    warm_up_ms: int
    value_bytes: int
    partitions: int
    acks: Any
    compression: Any
    durability: str | None
    api: str = "record"
    batch_bytes: int | None = None
    linger_ms: int | None = None


@contextlib.asynccontextmanager
async def open_bench(invocation: Invocation, options: BenchOptions) -> AsyncIterator["BenchRun"]:
    """A run, with a topic of its own if none is named."""
    topic = options.topic or f"logctl-bench-{SystemRandom().bytes(4).hex()}"
    async with invocation.admin() as admin:
        if options.topic is None:
            invocation.last_work = f"the deletion of topic '{topic}'"
            config = {"durability": options.durability} if options.durability else None
            await admin.create_topic(topic, options.partitions, config=config)
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
        self._mark = random.bytes(16)
        self._now_s = perf_counter  # the loop's clock and the seam count whole ms

    async def produce(self) -> Json:
        """Write as fast as the buffer takes it; ends when all is acknowledged."""
        async with self._producer() as producer:
            await self._produce_for(producer, self._options.warm_up_ms)
            before = await self._written()
            meter = BenchMeter()
            records, latencies_s = await self._produce_for(producer, self._options.duration_ms)
            meter.stop()
        written = await self._written() - before
        if written < records:
            raise RuntimeError(f"{records} records were sent, but only {written} are in the log")
        return meter.row(records, records * self._options.value_bytes, latencies_s)

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
        count = sum(end.values()) - sum(start.values())
        async with self._consumer("earliest") as consumer:
            await self._consume_for(consumer, start, count, self._options.warm_up_ms)
            meter = BenchMeter()
            tally = await self._consume_for(consumer, start, count, self._options.duration_ms)
            meter.stop()
        return meter.row(tally.records, tally.size_bytes, tally.waits_s)

    async def latency(self) -> Json:
        """One record in flight, without lingering: from send() to its acknowledgement."""
        async with self._producer(linger_ms=0) as producer:
            await self._in_turn_for(producer, self._options.warm_up_ms)
            meter = BenchMeter()
            latencies_s = await self._in_turn_for(producer, self._options.duration_ms)
            meter.stop()
        records = len(latencies_s)
        return meter.row(records, records * self._options.value_bytes, latencies_s)

    async def e2e(self, per_second: int) -> Json:
        """A process sends at a rate; from its send() to the consumer here, which waits."""
        options = self._options
        plan = SendPlan(
            topic=self.topic,
            mark=self._mark.hex(),
            warm_up_records=per_second * options.warm_up_ms // 1000,
            records=max(1, per_second * options.duration_ms // 1000),
            per_second=per_second,
            value_bytes=options.value_bytes,
            acks=options.acks,
            compression=options.compression,
        )
        async with self._consumer("latest") as consumer:
            sender = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "logd.cli.bench_sender", json.dumps(asdict(plan)),
                "-b", self._invocation.bootstrap, "--timeout", f"{self._invocation.timeout_ms}ms",
                stdout=asyncio.subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            receiving = asyncio.create_task(self._receive(consumer, plan))
            try:
                told, _ = await sender.communicate()
                if sender.returncode:
                    raise click.exceptions.Exit(sender.returncode)  # it has said why
                meter, latencies_s = await receiving
            finally:
                receiving.cancel()
                if sender.returncode is None:
                    sender.kill()
                    await sender.wait()
        size_bytes = len(latencies_s) * options.value_bytes
        return meter.row(len(latencies_s), size_bytes, latencies_s, others_cpu_s=json.loads(told))

    async def _receive(self, consumer: Consumer, plan: SendPlan) -> tuple[BenchMeter, list[float]]:
        """Seconds under way of all that is measured. Raises RuntimeError where some do not come."""
        latencies_s: list[float] = []
        left, meter, timeout_ms = plan.warm_up_records + plan.records, None, 0
        while left:
            records = await consumer.poll(timeout_ms or 2 * self._invocation.timeout_ms)
            now_s = self._now_s()
            if not records:
                raise RuntimeError(f"{left} records did not come")
            for record in records:
                try:
                    mark, measured, sent_s = STAMP.unpack_from(record.value or b"")
                except struct.error:
                    continue
                if mark == self._mark:  # others may write to the topic, too
                    left -= 1
                    if measured:
                        meter = meter or BenchMeter()
                        latencies_s.append(now_s - sent_s)
            timeout_ms = self._invocation.timeout_ms
        assert meter is not None
        meter.stop()
        return meter, latencies_s

    async def _in_turn_for(self, producer: Producer, duration_ms: int) -> list[float]:
        until_s, latencies_s = self._now_s() + duration_ms / 1000, []
        value = self._values[0]
        while (sent_s := self._now_s()) < until_s:
            await (await producer.send(self.topic, value))
            latencies_s.append(self._now_s() - sent_s)
        return latencies_s

    async def _produce_for(self, producer: Producer, duration_ms: int) -> tuple[int, list[float]]:
        chunk = max(1, min(CHUNK_RECORDS, CHUNK_BYTES // self._options.value_bytes))
        last, *values = (self._values[number % DISTINCT_VALUES] for number in range(chunk))
        send = send_each if self._options.api == "record" else send_chunks
        probes: asyncio.Queue[tuple[RecordHandle, float] | None] = asyncio.Queue(PROBES_MAX)
        until_s, records = self._now_s() + duration_ms / 1000, 0
        try:
            async with asyncio.TaskGroup() as tasks:
                timing = tasks.create_task(self._time(probes))
                while self._now_s() < until_s:
                    await send(producer, self.topic, values)
                    sent_s = self._now_s()
                    await probes.put((await producer.send(self.topic, last), sent_s))
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
        self, consumer: Consumer, start: dict[int, int], count: int, duration_ms: int
    ) -> Tally:
        tally = Tally()
        read = read_records if self._options.api == "record" else read_batches
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration_ms / 1000):
                while True:
                    for number, offset in start.items():
                        consumer.seek(self.topic, number, offset)
                    await read(consumer, count, tally)
        return tally

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
            bootstrap_servers=self._invocation.bootstrap,
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
