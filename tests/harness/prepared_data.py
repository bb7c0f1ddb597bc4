"""A data directory with a bit of everything in it, and what was acknowledged on the way there.

    rolled   several sealed segments with indexes and manifests, an active one, a moved log start
    large    one segment, large enough for index entries to be written behind
    group    committed offsets in both

Made by a broker in this process, in three runs, so that there are three leader epochs.
"""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.door_bench import DoorBench
from harness.local_broker import local_broker
from logd_client import Admin, OffsetSpec, Record
from logd_client.descriptions import TopicDescription
from logd_proto.v1 import data_pb2

TOPICS = ("rolled", "large")
GROUP = "billing"
RECORDS_PER_BATCH = 5
ROLLED_BATCHES = 24
LARGE_BATCHES = 72
LARGE_VALUE_BYTES = 900
SEGMENT_MS = 1000
LOG_START = 7
"""Of `rolled`: in the middle of its second batch."""


@dataclass
class PreparedData:
    """What was acknowledged in each topic's one partition, by offset, and what the group committed,
    in order. `last_batches`: what was sent last."""

    directory: Path
    killed: bool
    records: dict[str, list[Record]] = field(default_factory=lambda: {t: [] for t in TOPICS})
    last_batches: dict[str, bytes] = field(default_factory=dict)
    topics: list[TopicDescription] = field(default_factory=list)
    producer_ids: list[int] = field(default_factory=list)
    leader_epoch: int = -1
    appended_ms: dict[str, list[int]] = field(default_factory=lambda: {t: [] for t in TOPICS})
    committed: dict[str, list[int]] = field(default_factory=lambda: {t: [] for t in TOPICS})

    def last_offset(self, topic: str) -> int:
        """Of the first record of the last batch."""
        return len(self.records[topic]) - RECORDS_PER_BATCH

    def lookups(self, topic: str) -> list[tuple[bool, int]]:
        """Moments to look up: whether by append time, and ms since 1970."""
        times = self.appended_ms[topic]
        moments = (times[0], times[len(times) // 2] + 1, times[-1])
        return [(by_append_time, ms) for by_append_time in (True, False) for ms in moments]

    def files(self) -> list[Path]:
        """Every file of it that holds anything, relative to the data directory."""
        data = self.directory / "data"
        found = (path for path in data.rglob("*") if path.is_file() and path.stat().st_size)
        return sorted(path.relative_to(data) for path in found if path.name != "lock")


def prepare_data(directory: Path, *, killed: bool) -> PreparedData:
    """`killed`: as `kill -9` leaves it, with everything that was synced and reserved; else as a
    clean stop does."""
    return asyncio.run(_prepare(directory, killed))


async def _prepare(directory: Path, killed: bool) -> PreparedData:
    prepared = PreparedData(directory, killed)
    work = directory / "work"
    for run in range(3):
        async with local_broker(work) as local:
            bench = DoorBench(local)
            if run == 0:
                await bench.topic("rolled", segment_ms=str(SEGMENT_MS))
                await bench.topic("large")
            await _append_run(bench, prepared, run)
            async with Admin(transport=local.transport) as admin:
                for topic in TOPICS:
                    committed = prepared.last_offset(topic) + 2
                    await admin.commit_offsets(GROUP, {(topic, 0): committed})
                    prepared.committed[topic].append(committed)
                prepared.topics = await admin.list_topics()
                if run == 1:
                    await admin.truncate_topic("rolled", {0: OffsetSpec.at_offset(LOG_START)})
            if killed and run == 2:
                shutil.copytree(work / "data", directory / "data")
    if not killed:
        shutil.copytree(work / "data", directory / "data")
    return prepared


async def _append_run(bench: DoorBench, prepared: PreparedData, run: int) -> None:
    answer = await bench.call("DataService/InitProducer", data_pb2.InitProducerRequest())
    prepared.producer_ids.append(answer.producer_id)
    for topic, batches, pad in (
        ("rolled", ROLLED_BATCHES, 200),
        ("large", LARGE_BATCHES, LARGE_VALUE_BYTES),
    ):
        for number in range(batches // 3):
            if number % 4 == 0:
                bench.clock.advance(SEGMENT_MS)
            await _append(bench, prepared, topic, answer.producer_id, number, pad)
    await bench.local.broker._maintenance.run_pass()


async def _append(
    bench: DoorBench, prepared: PreparedData, topic: str, producer_id: int, number: int, pad: int
) -> None:
    records = prepared.records[topic]
    first = len(records)
    offsets = range(first, first + RECORDS_PER_BATCH)
    columns: dict[str, Any] = {
        "keys": [None if each % 7 == 0 else b"key %d" % (each % 4) for each in offsets],
        "headers": [[("number", b"%d" % each)] for each in offsets],
    }
    values = [b"%s %d " % (topic.encode(), each) + _noise(each, pad) for each in offsets]
    batch = bench.batch(
        *values,
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=number * RECORDS_PER_BATCH,
        **columns,
    )
    [receipt] = await bench.produce_batch(topic, batch)
    assert receipt.offset == first
    prepared.last_batches[topic] = batch
    prepared.leader_epoch = receipt.leader_epoch
    now_ms = bench.clock.wall_ms()
    for each, value, key, headers in zip(
        offsets, values, columns["keys"], columns["headers"], strict=True
    ):
        records.append(Record(topic, 0, each, now_ms, key, value, headers))
        prepared.appended_ms[topic].append(receipt.append_timestamp_ms)


def _noise(number: int, size: int) -> bytes:
    """Bytes that differ from record to record, so that a batch in the wrong place shows."""
    return (b"%08x" % (number * 2654435761 % 2**32)) * (size // 8)
