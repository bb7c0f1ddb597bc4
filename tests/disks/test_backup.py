"""`logctl segments backup` of a directory in use: whole, verified, and a broker starts on it."""

import asyncio
import time
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.steady_producer import SteadyProducer
from logd.broker import directory_backup
from logd.broker.directory_backup import SUFFIX, back_up
from logd.broker.offline import check_directory, check_metadata
from logd.model.errors import InvalidConfig
from logd.model.offset_spec import OffsetSpec
from logd.model.seams import OpenMode
from logd.system.os_file_system import OsFile, OsFileSystem
from logd_client import Admin, Consumer, Producer

pytestmark = pytest.mark.slow

TOPICS = ("Early", "late")
"""Their directories are listed before and after those of the committed offsets."""
GROUP = "readers"
KEPT_RECORDS = 500


async def commit_on(address: str, stopping: asyncio.Event, begun: asyncio.Event) -> None:
    """Reads both topics as a group, and commits after each poll."""
    async with Consumer(*TOPICS, bootstrap_servers=address, group_id=GROUP) as consumer:
        while not stopping.is_set():
            if await consumer.poll(timeout_ms=100):
                await consumer.commit()
                begun.set()


async def change_on(address: str, stopping: asyncio.Event, begun: asyncio.Event) -> None:
    """Makes topics with a record each, and lets retention's work be done on the others."""
    count = 0
    async with (
        Admin(bootstrap_servers=address) as admin,
        Producer(bootstrap_servers=address) as producer,
    ):
        while not stopping.is_set():
            await admin.create_topic(f"made-{count}")
            await (await producer.send(f"made-{count}", b"here"))
            count += 1
            for topic in TOPICS:
                [state] = await admin.describe_partitions(topic)
                before = max(0, state.high_watermark - KEPT_RECORDS)
                await admin.truncate_topic(topic, {0: OffsetSpec.at_offset(before)})
            begun.set()


async def test_a_backup_of_a_busy_broker_is_whole(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    with BrokerProcess(tmp_path / "first") as broker:
        producer = SteadyProducer(broker.address, TOPICS)
        stopping, committing, changing = (asyncio.Event() for _ in range(3))
        async with Admin(bootstrap_servers=broker.address) as admin, asyncio.TaskGroup() as work:
            for topic in TOPICS:
                await admin.create_topic(topic, config={"segment_bytes": "1MiB"})
                work.create_task(producer.run(topic))
            work.create_task(commit_on(broker.address, stopping, committing))
            work.create_task(change_on(broker.address, stopping, changing))
            for event in (*producer.far_enough.values(), committing, changing):
                await event.wait()
            before = {topic: dict(values) for topic, values in producer.acknowledged.items()}
            committed = {o.topic: o.offset or 0 for o in await admin.fetch_offsets(GROUP)}
            source, target = str(broker.data_dir), str(copy / "data")
            await asyncio.to_thread(back_up, OsFileSystem(), source, target)
            stopping.set()
            producer.stopping = True
        assert broker.stop() == 0
    report = check_directory(OsFileSystem(), target)
    assert not report.is_damaged, report.findings
    assert check_metadata(OsFileSystem(), target) == []
    with BrokerProcess(copy) as second:
        async with Admin(bootstrap_servers=second.address) as admin:
            assert (await admin.cluster_health()).problems == ()
            offsets = {o.topic: o.offset or 0 for o in await admin.fetch_offsets(GROUP)}
            for topic in TOPICS:
                [state] = await admin.describe_partitions(topic)
                assert committed.get(topic, 0) <= offsets.get(topic, 0) <= state.high_watermark
                assert state.high_watermark > max(before[topic])
                async with Consumer(topic, bootstrap_servers=second.address) as consumer:
                    while consumer.position(topic, 0) < state.high_watermark:
                        for record in await consumer.poll():
                            assert producer.acknowledged[topic][record.offset] == record.value
                    assert consumer.position(topic, 0) == state.high_watermark
        assert second.stop() == 0


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    fs, source = OsFileSystem(), tmp_path / "source"
    source.mkdir()
    with pytest.raises(InvalidConfig, match=r"no data directory: it has no format\.json"):
        back_up(fs, str(source), str(tmp_path / "copy"))
    (source / "format.json").write_bytes(b"{}")
    for taken in ("copy", "copy" + SUFFIX):
        (tmp_path / taken).mkdir()
        with pytest.raises(InvalidConfig, match="is there already"):
            back_up(fs, str(source), str(tmp_path / "copy"))
        (tmp_path / taken).rmdir()


class Watched(OsFileSystem):
    """Notes the order in which files of `root` are read."""

    def __init__(self, root: Path) -> None:
        self.read: list[str] = []
        self._root = root

    def open(self, path: str, mode: OpenMode) -> OsFile:
        if mode == "read" and Path(path).is_relative_to(self._root):
            self.read.append(str(Path(path).relative_to(self._root)))
        return super().open(path, mode)


async def stopped_broker(directory: Path) -> Path:
    """The data directory of one that had records and a group."""
    with BrokerProcess(directory) as broker:
        async with (
            Admin(bootstrap_servers=broker.address) as admin,
            Producer(bootstrap_servers=broker.address) as producer,
        ):
            for topic in TOPICS:
                await admin.create_topic(topic)
                for number in range(5):
                    await (await producer.send(topic, b"%d" % number * 200))
            await admin.commit_offsets(GROUP, {(topic, 0): 5 for topic in TOPICS})
        assert broker.stop() == 0
    return broker.data_dir


async def test_no_log_is_read_before_what_speaks_of_it(tmp_path: Path) -> None:
    """Else recovery points or committed offsets might speak of what is not in the copy."""
    source = await stopped_broker(tmp_path)
    fs = Watched(source)
    back_up(fs, str(source), str(tmp_path / "copy"))
    logs = [name for name in fs.read if name.endswith(".log")]
    assert fs.read.index("recovery-points") < fs.read.index(logs[0])
    assert fs.read.index("metadata.sqlite") < fs.read.index(logs[0])
    offsets = [log.startswith("__consumer_offsets") for log in logs]
    assert set(offsets) == {True, False} and offsets == sorted(offsets, reverse=True)


@pytest.mark.parametrize("becomes", ["whole", "given up", "nothing"])
async def test_what_is_just_being_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    """It is waited for; half a batch that stays is damage, which the copy then tells of too."""
    source = await stopped_broker(tmp_path)
    [segment] = (source / "late-0").glob("*.log")
    whole = segment.read_bytes()
    end = whole.rindex(b"LGB1") - 4  # where the last batch begins
    segment.write_bytes(whole[: end + 150])
    then = {"whole": whole, "given up": whole[:end], "nothing": whole[: end + 150]}[becomes]
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        segment.write_bytes(then)

    monkeypatch.setattr(time, "sleep", wait)
    back_up(OsFileSystem(), str(source), str(tmp_path / "copy"))
    assert (tmp_path / "copy/late-0" / segment.name).read_bytes() == then
    assert len(waits) == (directory_backup.TRIES_MAX if becomes == "nothing" else 1)
