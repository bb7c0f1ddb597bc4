"""A data directory that a version of logd has written, kept with what that version told of it.

Later versions have to open it and tell the same. `PYTHONPATH=tests python
tests/harness/kept_data.py DIR` makes one: from the commit before a format changes, never after it.
"""

import asyncio
import json
import sys
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.door_bench import DoorBench
from harness.local_broker import LocalBroker, local_broker
from logd_client import Admin, Consumer, Producer, ResetTarget
from logd_consumer_groups.core import snapshots
from logd_proto.v1 import groups_pb2

KEPT = Path(__file__).parents[1] / "kept"
DATA, TOLD = "data.tar.xz", "told.json"
TOPICS = ("orders", "paid")
GROUPS = ("billing", "audit", "orphan", "late")
COMMITS_FOR_A_SNAPSHOT = 60


def extracted(name: str, directory: Path) -> dict[str, Any]:
    """Unpack the data directory of this name into `directory`; what was told of it then."""
    with tarfile.open(KEPT / name / DATA) as archive:
        archive.extractall(directory, filter="data")
    told: dict[str, Any] = json.loads((KEPT / name / TOLD).read_text())
    return told


async def tell(local: LocalBroker) -> dict[str, Any]:
    """All that a broker says of its records, groups and their history, as JSON has it."""
    settings: dict[str, Any] = {"transport": local.transport, "bootstrap_servers": "local:1"}
    told: dict[str, Any] = {"groups": {}, "records": {}}
    async with Admin(**settings) as admin:
        told["names"] = [each.group for each in await admin.list_groups()]
        for group in GROUPS:
            described = await admin.describe_group(group)
            told["groups"][group] = {
                "offsets": [_plain(asdict(each)) for each in await admin.fetch_offsets(group)],
                "rewind_epoch": described.rewind_epoch,
                "history": [_plain(asdict(each)) for each in await admin.group_history(group)],
            }
        topics = {topic.name: topic for topic in await admin.list_topics()}
    for name in TOPICS:
        told["records"][name] = [_plain(asdict(each)) for each in topics[name].partitions]
        async with Consumer(name, auto_offset_reset="earliest", **settings) as consumer:
            await consumer.start()
            while records := await consumer.poll(100):
                told["records"][name] += [
                    [r.partition, r.offset, (r.value or b"").decode()] for r in records
                ]
    return json.loads(json.dumps(told))  # type: ignore[no-any-return]


LATER = ("attempts", "split_at")
"""Told since, and only where there is something: what was kept before does not have it."""


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if each or key not in LATER}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


async def _fill(local: LocalBroker) -> None:
    """Commits with notes and ranges, rewinds, an undo, a snapshot and what follows it, a split, a
    group that is gone, and one whose topic is."""
    settings: dict[str, Any] = {"transport": local.transport, "bootstrap_servers": "local:1"}
    bench = DoorBench(local)
    async with Admin(**settings) as admin, Producer(**settings) as producer:
        ids = {name: (await admin.create_topic(name, 2)).topic_id for name in (*TOPICS, "gone")}
        for name in ids:
            for number in range(40):
                value, now_ms = f"{name} {number}".encode(), local.clock.wall_ms()
                await producer.send(name, value, partition=number % 2, timestamp_ms=now_ms)
        await producer.flush()
        for group in (*GROUPS, "forgotten"):
            await admin.commit_offsets(group, {("orders", 0): 5, ("orders", 1): 6, ("paid", 0): 7})
        await admin.commit_offsets("orphan", {("gone", 0): 9})
        await bench.call(
            "GroupService/CommitOffsets",
            groups_pb2.CommitOffsetsRequest(
                group="billing",
                offsets=[
                    groups_pb2.OffsetCommit(
                        topic_id=ids["paid"],
                        partition=1,
                        offset=3,
                        leader_epoch=0,
                        metadata="a note",
                        done_ranges=[groups_pb2.DoneRange(start=5, end=7)],
                    )
                ],
            ),
        )
        for offset in range(8, 8 + COMMITS_FOR_A_SNAPSHOT // 10):
            local.clock.advance(1_000)
            await admin.commit_offsets("billing", {("orders", 0): offset})
        await admin.commit_offsets("billing", {("orders", 0): 2}, allow_rewind=True)
        await admin.reset_offsets("audit", ResetTarget.earliest(), execute=True, actor="ann")
        await admin.reset_offsets("audit", ResetTarget.at_offset(11), execute=True, actor="bob")
        await admin.undo_reset("audit", execute=True, actor="bob")
        await admin.delete_group("forgotten")
        for offset in range(COMMITS_FOR_A_SNAPSHOT):
            local.clock.advance(1_000)
            await admin.commit_offsets("audit", {("paid", 1): offset % 20}, allow_rewind=True)
        await admin.add_partitions("orders", 3)
        for number in range(40, 60):
            value, now_ms = f"orders {number}".encode(), local.clock.wall_ms()
            key = str(number).encode()
            await producer.send("orders", value, key=key, timestamp_ms=now_ms)
        await producer.flush()
        await admin.delete_topic("gone")
    local.clock.advance(86_400_000)
    async with Admin(**settings) as admin:
        await admin.commit_offsets("late", {("orders", 2): 1})
        partitions = await admin.describe_partitions("__consumer_offsets")
        assert any(each.log_start_offset > 0 for each in partitions), "a snapshot was made"


def _of_nobody(file: tarfile.TarInfo) -> tarfile.TarInfo:
    return file.replace(uid=0, gid=0, uname="", gname="", deep=False)


async def _make(directory: Path) -> None:
    with tempfile.TemporaryDirectory() as work, pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "LOG_BYTES_MIN", 1_000)
        async with local_broker(Path(work)) as local:
            await _fill(local)
        patch.undo()
        async with local_broker(Path(work)) as local:
            told = await tell(local)
        directory.mkdir(parents=True)
        (directory / TOLD).write_text(json.dumps(told, indent=1) + "\n")
        with tarfile.open(directory / DATA, "w:xz") as archive:
            archive.add(Path(work) / "data", "data", filter=_of_nobody)


if __name__ == "__main__":
    asyncio.run(_make(Path(sys.argv[1])))
