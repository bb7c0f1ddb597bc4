"""Thousands of partitions: what a start, a first append and a clean stop may cost."""

import asyncio
import json
import os
import random
import sys
from pathlib import Path

import pytest

from harness import counting_broker
from harness.broker_process import BrokerProcess
from harness.host_bench import at, host_bench
from logd import Admin, Consumer, Producer
from logd.broker.ports import Receipt
from logd.model.errors import UnknownTopic

TOPICS = 10
OPENED_MAX = 100
DESCRIPTORS_AND_MAPS_MAX = 200
RESIDENT_KB_MAX = 150 << 10
CHOSEN = 500
"""Partitions that are written, and as many that are read, once it runs."""


async def test_files_of_a_first_append_are_made_off_the_loop(tmp_path: Path) -> None:
    async with host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.fetch(at(where))
        assert not bench.host.is_open(where), "open for reading, but an append would make files"
        bench.maintenance.gate.clear()
        opening = asyncio.ensure_future(bench.host.open(where))
        await bench.turns()
        assert bench.maintenance.waiting == 1
        bench.maintenance.gate.set()
        await opening
        assert bench.host.is_open(where)
        before = bench.fs.calls.copy()
        bench.flush.gate.clear()
        bench.append(where, b"x")
        assert bench.fs.calls - before == {"pwrite": 1}


async def test_a_topic_deleted_before_its_first_append_stays_deleted(tmp_path: Path) -> None:
    async with host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.host.hosted(where)
        bench.maintenance.gate.clear()
        opening = asyncio.ensure_future(bench.host.open(where))
        await bench.turns()
        deleting = asyncio.ensure_future(bench.catalog.delete(where.topic_id))
        await bench.turns(100)
        bench.maintenance.gate.set()
        await asyncio.gather(opening, deleting)
        (answer,) = bench.append(where, b"x")
        assert isinstance(answer, UnknownTopic)
        assert not (tmp_path / "data" / "orders-0").exists()
        (again,) = await bench.topic("orders")
        assert isinstance(await bench.produce(again, b"x"), Receipt)


class CountedBroker(BrokerProcess):
    """What its start opened and read is in `counts`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        counts = directory / "counts"
        program = str(counting_broker.__file__)
        self.command = [sys.executable, program, str(self.data_dir), self.address, str(counts)]
        self._counts = counts

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self._counts.read_text())
        return found

    def held(self) -> tuple[int, int]:
        """Descriptors and maps of data files together; resident memory in KiB."""
        process = Path("/proc", str(self.pid))
        descriptors = len(os.listdir(process / "fd"))
        maps = (process / "maps").read_text().count(str(self.data_dir))
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return descriptors + maps, int(status["VmRSS"].split()[0])

    def check_bounds(self) -> None:
        held, resident_kb = self.held()
        print(f"{held} descriptors and maps, {resident_kb >> 10} MiB resident")
        assert held < DESCRIPTORS_AND_MAPS_MAX
        assert resident_kb < RESIDENT_KB_MAX


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    "partitions",
    [
        pytest.param(1_000, marks=pytest.mark.slow),
        pytest.param(10_000, marks=pytest.mark.soak),
    ],
)
async def test_partitions_cost_a_start_nothing_and_use_a_bounded_amount(
    tmp_path: Path, partitions: int
) -> None:
    each = range(partitions // TOPICS)
    topics = [f"t{number}" for number in range(TOPICS)]
    with CountedBroker(tmp_path) as broker:
        async with Admin(bootstrap_servers=broker.address) as admin:
            for topic in topics:
                await admin.create_topic(topic, len(each))
        await write(broker, {topic: list(each) for topic in topics})
        assert await asyncio.to_thread(broker.stop) == 0, "within the drain's bound"
        await asyncio.to_thread(broker.start)
        print(f"\na start with {partitions} partitions opened {broker.counts()}")
        assert broker.counts()["opened"] < OPENED_MAX
        assert broker.counts()["read"] == 0
        broker.check_bounds()
        chooser = random.Random(partitions)
        some = {topic: chooser.sample(each, CHOSEN // TOPICS) for topic in topics}
        await write(broker, some)
        await read(
            broker, {topic: chooser.sample(each, CHOSEN // TOPICS) for topic in topics}, some
        )
        broker.check_bounds()
        assert await asyncio.to_thread(broker.stop) == 0


async def write(broker: BrokerProcess, chosen: dict[str, list[int]]) -> None:
    """A record to each partition, which says where it belongs."""
    async with Producer(bootstrap_servers=broker.address) as producer:
        handles = [
            await producer.send(topic, f"{topic} {number}".encode(), partition=number)
            for topic, numbers in chosen.items()
            for number in numbers
        ]
        for handle in handles:
            await handle


async def read(
    broker: BrokerProcess, chosen: dict[str, list[int]], twice: dict[str, list[int]]
) -> None:
    """All records of each partition: one, or two where it was written to again."""
    for topic, numbers in chosen.items():
        left = {number: 1 + (number in twice[topic]) for number in numbers}
        async with Consumer(
            topic,
            bootstrap_servers=broker.address,
            partitions=numbers,
            auto_offset_reset="earliest",
        ) as consumer:
            async for record in consumer:
                assert record.value == f"{topic} {record.partition}".encode()
                left[record.partition] -= 1
                if not any(left.values()):
                    break
        assert set(left.values()) == {0}
