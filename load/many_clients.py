"""Many producers of few records: each with a connection of its own, all in one process."""

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from memory import memory_of
from sdk import cpu_s
from tables import latencies, print_table

from logd import Admin, Producer
from logd.dev.demo_broker import DemoBroker

PER_SECOND = 50
"""Records of each producer."""
VALUE_BYTES = 100
LINGER_MS = 5
"""Of both systems' producers."""
SWEEP_S = 0.002
"""A Kafka producer learns of acknowledgements when it is polled: all are, so often."""


def measure_clients(counts: list[int], seconds: float, kafka: str, kafka_pid: int) -> None:
    """Seconds from send() to the acknowledgement, and what it takes a second of the run."""
    head = "clients | system | p50 ms | p99 ms | max ms | records/s | client CPU, ms a s | "
    head += "broker CPU, ms a s | RSS MiB | of it anonymous | of it files | descriptors | maps"
    rows = []
    with asyncio.Runner() as runner:  # gRPC complains where a second loop follows the first
        for count in counts:
            if kafka:
                rows.append(f"{count:,} | kafka | {_kafka(kafka, kafka_pid, count, seconds)}")
            with tempfile.TemporaryDirectory(prefix="logd-clients-") as folder:
                broker = DemoBroker(Path(folder))
                try:
                    broker.start()
                    row = runner.run(_logd(broker.address, broker.pid, count, seconds))
                    rows.append(f"{count:,} | logd | {row}")
                finally:
                    broker.close()
    title = f"load/measure.py clients {' '.join(map(str, counts))} --seconds {seconds:g}"
    print_table(title, head, rows)


async def _logd(address: str, pid: int, count: int, seconds: float) -> str:
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("t")
    async with AsyncExitStack() as stack:
        made = [Producer(bootstrap_servers=address, linger_ms=LINGER_MS) for _ in range(count)]
        producers = [await stack.enter_async_context(each) for each in made]
        for producer in producers:
            await (await producer.send("t", b"first"))
        meter = _Meter(pid)
        end_s = time.perf_counter() + seconds
        await asyncio.gather(
            *(
                _write(each, n / count / PER_SECOND, end_s, meter)
                for n, each in enumerate(producers)
            )
        )
        return meter.row()


async def _write(producer: Producer, late_s: float, end_s: float, meter: "_Meter") -> None:
    value, due_s = os.urandom(VALUE_BYTES), time.perf_counter() + late_s
    while due_s < end_s:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        begun_s = time.perf_counter()
        await (await producer.send("t", value))
        meter.waited_s.append(time.perf_counter() - begun_s)
        due_s += 1 / PER_SECOND


def _kafka(address: str, pid: int, count: int, seconds: float) -> str:
    """By confluent-kafka, if it is installed here."""
    from confluent_kafka import Producer as KafkaProducer
    from confluent_kafka.admin import AdminClient, NewTopic

    topic = f"clients-{time.time_ns()}"
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    settings = {"bootstrap.servers": address, "linger.ms": LINGER_MS, "acks": "all"}
    settings["enable.idempotence"] = True
    producers = [KafkaProducer(settings) for _ in range(count)]
    for producer in producers:
        producer.produce(topic, b"first")
    for producer in producers:
        producer.flush(60)
    value, meter = os.urandom(VALUE_BYTES), _Meter(pid)
    begin_s = swept_s = time.perf_counter()
    for number in range(int(count * PER_SECOND * seconds)):
        due_s = begin_s + number / count / PER_SECOND
        while (now_s := time.perf_counter()) < due_s or now_s - swept_s > SWEEP_S:
            for producer in producers:
                producer.poll(0)
            swept_s = time.perf_counter()
            time.sleep(max(0.0, min(due_s - swept_s, SWEEP_S)))
        producers[number % count].produce(topic, value, on_delivery=meter.delivered(now_s))
    for producer in producers:
        producer.flush(60)
    row = meter.row()
    admin.delete_topics([topic])[topic].result(30)
    return row


class _Meter:
    """From its making to `row()`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._begun = (time.perf_counter(), time.process_time(), cpu_s(pid))
        self.waited_s: list[float] = []

    def delivered(self, begun_s: float) -> Any:
        """A callback for a record that was sent then."""
        return lambda *_: self.waited_s.append(time.perf_counter() - begun_s)

    def row(self) -> str:
        wall_s, own_s, served_s = self._begun
        wall_s, own_s = time.perf_counter() - wall_s, time.process_time() - own_s
        served_s = cpu_s(self._pid) - served_s
        cells = [
            latencies(self.waited_s),
            f"{len(self.waited_s) / wall_s:,.0f}",
            f"{own_s / wall_s * 1e3:.0f}",
            f"{served_s / wall_s * 1e3:.0f}",
            memory_of(self._pid),
        ]
        return " | ".join(cells)
