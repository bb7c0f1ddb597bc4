"""Real disks that fill up under a real broker: it says so, goes on, and recovers by itself."""

import asyncio
import json
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import run_logctl
from harness.small_disk import SmallDisk
from logd.model.errors import LogdError, StorageFull
from logd_client import Admin, Consumer, OffsetSpec, Producer

pytestmark = pytest.mark.slow

VALUE_BYTES = 4000
IN_FLIGHT_RECORDS = 50
DURABILITIES = ("fsync", "page_cache")
SMALL_SEGMENTS = {"segment_bytes": "1MiB"}
RECORDS_MAX = 5000
"""More than any of the disks holds."""
ALMOST_A_SEGMENT = 240
"""Records; a segment of 1 MiB takes about 20 more."""


class Writer:
    """Writes to topics of one partition; `acknowledged` is by topic and offset."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.acknowledged: dict[str, dict[int, bytes]] = {}
        self._count = 0

    async def write(self, topic: str, records: int) -> None:
        """Raises what the first record was refused with, once it is known of all in flight."""
        async with Producer(
            bootstrap_servers=self.address, linger_ms=0, batch_size=VALUE_BYTES * 4
        ) as producer:
            for _ in range(0, records, IN_FLIGHT_RECORDS):
                values = [self._next_value(topic) for _ in range(min(records, IN_FLIGHT_RECORDS))]
                handles = [await producer.send(topic, value) for value in values]
                receipts = await asyncio.gather(*handles, return_exceptions=True)
                for value, receipt in zip(values, receipts, strict=True):
                    if not isinstance(receipt, BaseException):
                        assert receipt.offset is not None
                        self.acknowledged.setdefault(topic, {})[receipt.offset] = value
                for receipt in receipts:
                    if isinstance(receipt, BaseException):
                        raise receipt

    def _next_value(self, topic: str) -> bytes:
        self._count += 1
        return (b"%s %d " % (topic.encode(), self._count)).ljust(VALUE_BYTES, b".")

    async def write_until_full(self, *topics: str) -> None:
        for topic in topics:
            with pytest.raises(StorageFull):
                await self.write(topic, RECORDS_MAX)

    async def check(self, *topics: str) -> None:
        """Everything acknowledged reads back, from the log's start on."""
        for topic in topics:
            start, found = await read_all(self.address, topic)
            sent = {o: value for o, value in self.acknowledged[topic].items() if o >= start}
            assert sent and {offset: found.get(offset) for offset in sent} == sent


async def read_all(address: str, topic: str) -> tuple[int, dict[int, bytes | None]]:
    """The log's start, and values by offset."""
    found: dict[int, bytes | None] = {}
    async with Admin(bootstrap_servers=address) as admin:
        [state] = await admin.describe_partitions(topic)
    async with Consumer(topic, bootstrap_servers=address) as consumer:
        while consumer.position(topic, 0) < state.high_watermark:
            found |= {record.offset: record.value for record in await consumer.poll()}
    return state.log_start_offset, found


async def commit(admin: Admin, group: str, offset: int) -> list[LogdError | None]:
    offsets = {(topic, 0): offset for topic in DURABILITIES}
    return [each.error for each in await admin.commit_offsets(group, offsets, allow_rewind=True)]


def fill_by_logctl(writer: Writer, topic: str) -> None:
    """`logctl produce` until the disk is full: exit 7, 9 after a part; echoes what was taken. What
    the broker gives back of its reserves meanwhile is filled too."""
    lines = [b"ballast ".ljust(VALUE_BYTES, b"-")] * RECORDS_MAX
    # All alike: what is taken need not be the first of them, as small batches fit behind large.
    address, stdin = writer.address, b"\n".join(lines)
    part = run_logctl("produce", topic, "-o", "jsonl", address=address, stdin=stdin)
    assert part.status == 9 and "STORAGE_FULL" in part.stderr
    taken = writer.acknowledged[topic] = {}
    while part.status == 9:
        offsets = (json.loads(line)["offset"] for line in part.stdout.splitlines())
        taken.update(zip(offsets, lines, strict=False))
        few = b"\n".join(lines[:200])
        part = run_logctl("produce", topic, "-o", "jsonl", address=address, stdin=few)
    assert part.status == 7 and "STORAGE_FULL" in part.stderr
    assert part.stdout == b"" and "Traceback" not in part.stderr


@pytest.mark.usefixtures("door")
async def test_a_disk_that_producers_fill(disk: SmallDisk, tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        pid, writer = broker.pid, Writer(broker.address)
        async with Admin(bootstrap_servers=broker.address) as admin:
            for durability in DURABILITIES:
                await admin.create_topic(durability, config={"durability": durability})
                await writer.write(durability, 5)
            for topic in ("ballast", "cut"):
                await admin.create_topic(topic, config=SMALL_SEGMENTS)
            await writer.write("cut", 600)
            fill_by_logctl(writer, "ballast")
            await writer.write_until_full("cut", *DURABILITIES)

            health = run_logctl("cluster", "health", address=broker.address)
            assert health.status == 6 and b"STORAGE_FULL" in health.stdout, "an operator sees it"
            assert "clients are refused" in broker.stderr() and "free space" in broker.stderr()
            await writer.check("ballast", "cut", *DURABILITIES)
            for number in range(30):
                assert await commit(admin, f"group-{number % 3}", number % 5) == [None, None]
            await admin.create_topic("made-of-the-reserve")
            [deleted] = await admin.truncate_topic("cut", {0: OffsetSpec.at_offset(550)})
            assert (deleted.error, deleted.log_start_offset) == (None, 550)

            await writer.write("fsync", 5)  # what the segments of `cut` took is free
            await writer.write_until_full("fsync")
            await admin.delete_topic("ballast")
            for topic in ("cut", *DURABILITIES):
                await writer.write(topic, 200)
            await writer.check("cut", *DURABILITIES)
        assert (broker.pid, broker.stop()) == (pid, 0)
    assert run_logctl("segments", "verify", broker.data_dir).status == 0


async def test_a_disk_that_another_program_fills(disk: SmallDisk, tmp_path: Path) -> None:
    """To the last byte, so that the reserve is gone too: while a mapped segment is read, and right
    before a segment is full."""
    with BrokerProcess(tmp_path) as broker:
        pid, writer = broker.pid, Writer(broker.address)
        async with Admin(bootstrap_servers=broker.address) as admin:
            for durability in DURABILITIES:
                config = {**SMALL_SEGMENTS, "durability": durability}
                await admin.create_topic(durability, config=config)
                await writer.write(durability, ALMOST_A_SEGMENT)
            assert await commit(admin, "group", 1) == [None, None]
            await admin.create_topic("goes")
            await writer.write("goes", 100)
            await admin.create_topic("late")

            reads = asyncio.create_task(read_on(broker.address))
            await asyncio.to_thread(disk.fill)
            await writer.write_until_full(*DURABILITIES)
            await asyncio.to_thread(disk.fill)  # what the rolled segments gave back
            await writer.write_until_full("late")  # not even its directory finds room
            with pytest.raises(StorageFull):
                await admin.create_topic("not-made")
            assert "not-made" not in [topic.name for topic in await admin.list_topics()]
            for error in await commit(admin, "group", 2):
                assert error is None or isinstance(error, StorageFull)
            with pytest.raises(StorageFull):
                await admin.delete_topic("goes")
            await writer.check("goes", *DURABILITIES)
            reads.cancel()
            [ended] = await asyncio.gather(reads, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended
            for durability in DURABILITIES:
                [state] = await admin.describe_partitions(durability)
                assert state.segments == 2, "it was full at the moment of a roll"

            disk.unfill()
            for topic in ("late", *DURABILITIES):
                await writer.write(topic, 100)
            assert await commit(admin, "group", 3) == [None, None]
            await admin.create_topic("not-made")
            await writer.write("not-made", 1)
            await admin.delete_topic("goes")
            await writer.check("not-made", "late", *DURABILITIES)
        assert (broker.pid, broker.stop()) == (pid, 0)
        assert run_logctl("segments", "verify", broker.data_dir).status == 0
        disk.fill()
        with pytest.raises(RuntimeError, match="the broker ended with 7"):
            broker.start()
        disk.unfill()
        broker.start()
        await writer.check("not-made", "late", *DURABILITIES)


async def read_on(address: str) -> None:
    """Reads all there is again and again, until it is cancelled; each answer is whole."""
    while True:
        for topic in DURABILITIES:
            start, found = await read_all(address, topic)
            assert start == 0 and len(found) >= ALMOST_A_SEGMENT
