"""`metadata.sqlite` is gone or damaged: the partitions still know what it said."""

import json
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import run_logctl
from logd import Admin, Consumer, Producer
from logd_client.descriptions import PartitionDescription, TopicDescription
from logd_client.record import Record

KEYS = [f"key-{number}".encode() for number in range(40)]


async def produce(address: str, value: bytes) -> None:
    """A record for each key."""
    async with Producer(bootstrap_servers=address) as producer:
        for handle in [await producer.send("orders", value, key) for key in KEYS]:
            await handle


async def read(address: str, *topics: str) -> list[tuple[str, int, int, bytes | None]]:
    async with Consumer(*topics, bootstrap_servers=address) as consumer:
        await consumer.start()
        left = [await consumer.lag(*where) for where in consumer.assignment]
        records: list[Record] = []
        while len(records) < sum(left):
            records += await consumer.poll(timeout_ms=10_000)
        return sorted((r.topic, r.partition, r.offset, r.value) for r in records)


async def prepare(address: str) -> list[TopicDescription]:
    """Topics, one altered and one split; a deleted one; records; a group."""
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("orders", 3, config={"retention_ms": "1d"})
        await admin.create_topic("other", 1)
        await admin.create_topic("gone", 1)
        async with Producer(bootstrap_servers=address) as producer:
            for topic in ("other", "gone"):
                await (await producer.send(topic, b"x", partition=0))
        await produce(address, b"first")
        await admin.set_topic("orders", {"retention_ms": "2d"})
        await admin.add_partitions("orders", 4)
        await produce(address, b"second")
        await admin.commit_offsets("billing", {("other", 0): 1})
        await admin.delete_topic("gone")
        return await admin.list_topics()


@pytest.mark.slow
@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("damage", ["missing", "overwritten"])
async def test_metadata_is_made_again_from_the_partitions(tmp_path: Path, damage: str) -> None:
    with BrokerProcess(tmp_path) as broker:
        address, file = broker.address, broker.data_dir / "metadata.sqlite"
        topics = await prepare(address)
        records = await read(address, "orders", "other")
        refused = run_logctl("segments", "rebuild-metadata", broker.data_dir, "--yes")
        assert refused.status == 5, "the broker runs"
        assert broker.stop() == 0
        broker.start()  # what has changed since a partition was opened is noted at its next opening
        await read(address, "orders", "other")
        epoch = (await described(address))[0].leader_epoch
        assert broker.stop() == 0
        file.unlink() if damage == "missing" else file.write_bytes(b"nonsense" * 1000)
        with pytest.raises(RuntimeError, match="ended with 8") as refusal:
            broker.start()
        assert str(file) in str(refusal.value)
        assert "logctl segments rebuild-metadata" in str(refusal.value)
        asked = run_logctl("segments", "rebuild-metadata", broker.data_dir)
        assert asked.status == 2 and "--yes" in asked.stderr
        done = run_logctl("segments", "rebuild-metadata", broker.data_dir, "--yes", "-o", "json")
        assert done.status == 0, done.stderr
        row = json.loads(done.stdout)
        assert [each["topic"] for each in row["topics"]] == [
            "__consumer_offsets",
            "orders",
            "other",
        ]
        assert len(row["kept"]) == (damage == "overwritten")
        broker.start()
        async with Admin(bootstrap_servers=address) as admin:
            assert await admin.list_topics() == topics
            (committed,) = await admin.fetch_offsets("billing")
            assert committed.offset == 1
        assert await read(address, "orders", "other") == records
        await produce(address, b"third")
        after = await read(address, "orders")
        placed = [
            sorted(partition for _, partition, _, value in after if value == written)
            for written in (b"second", b"third")
        ]
        assert placed[0] == placed[1], "keys go where they went"
        assert (await described(address))[0].leader_epoch > epoch
        assert broker.stop() == 0


async def described(address: str) -> list[PartitionDescription]:
    async with Admin(bootstrap_servers=address) as admin:
        return await admin.describe_partitions("orders")
