"""`recovery-points` and a `partition.json` are damaged: no topic begins again at offset 0."""

import json
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import Ended, run_logctl
from logd import Admin, Consumer, Producer
from logd.model.errors import StoredDataCorrupt

pytestmark = pytest.mark.slow

RECORDS = 200
GROUP = "billing"


async def produce(address: str, count: int) -> list[int | None]:
    async with Producer(bootstrap_servers=address) as producer:
        handles = [await producer.send("i", b"%d" % n, partition=0) for n in range(count)]
        return [(await handle).offset for handle in handles]


async def read(address: str) -> list[int]:
    async with Consumer("i", bootstrap_servers=address) as consumer:
        await consumer.start()
        offsets: list[int] = []
        while await consumer.lag("i", 0):
            offsets += [record.offset for record in await consumer.poll(timeout_ms=10_000)]
    return offsets


async def prepare(broker: BrokerProcess) -> None:
    """200 records that a group has read, and a broker that has stopped."""
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic("i", 1)
        assert await produce(broker.address, RECORDS) == list(range(RECORDS))
        await admin.commit_offsets(GROUP, {("i", 0): RECORDS})
    assert broker.stop() == 0
    assert run_logctl("segments", "verify", broker.data_dir).status == 0


async def check_whole(broker: BrokerProcess) -> None:
    """All is there, and the next offset is one that was never given."""
    assert await read(broker.address) == list(range(RECORDS))
    async with Admin(bootstrap_servers=broker.address) as admin:
        [committed] = await admin.fetch_offsets(GROUP)
        assert committed.offset == RECORDS
    assert await produce(broker.address, 1) == [RECORDS]
    assert broker.stop() == 0
    assert run_logctl("segments", "verify", broker.data_dir).status == 0


def adopt(path: Path) -> Ended:
    return run_logctl("segments", "adopt", path, "--yes", "-o", "json")


async def test_what_the_other_files_tell_is_made_again(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        await prepare(broker)
        (broker.data_dir / "recovery-points").write_bytes(b"")
        (broker.data_dir / "i-0" / "partition.json").write_bytes(b"")
        assert run_logctl("segments", "verify", broker.data_dir).status == 8
        broker.start()
        assert not (broker.data_dir / ".orphaned").exists()
        await check_whole(broker)


async def test_what_nothing_tells_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        await prepare(broker)
        for name in ("recovery-points", "i-0/partition.json", "i-0/leader-epochs"):
            (broker.data_dir / name).write_bytes(b"")
        for _ in range(2):
            broker.start()
            health = run_logctl("cluster", "health", "-o", "json", address=broker.address)
            assert health.status != 0 and "STORED_DATA_CORRUPT" in health.stdout.decode()
            with pytest.raises(StoredDataCorrupt, match=f"adopt {broker.data_dir}/i-0'"):
                await produce(broker.address, 1)
            consumed = run_logctl("consume", "i", "-e", address=broker.address)
            assert consumed.status == 8 and "segments adopt" in consumed.stderr
            assert adopt(broker.data_dir / "i-0").status == 5, "the broker runs"
            assert broker.stop() == 0
            assert run_logctl("segments", "verify", broker.data_dir).status == 8
        asked = run_logctl("segments", "adopt", broker.data_dir / "i-0")
        assert asked.status == 2 and "--yes" in asked.stderr
        assert adopt(broker.data_dir / "i-0").status == 0
        broker.start()
        await check_whole(broker)


async def test_what_an_older_logd_set_aside_is_told_and_put_back(tmp_path: Path) -> None:
    """It had moved the records to `.orphaned`, and begun again at offset 0."""
    with BrokerProcess(tmp_path) as broker:
        await prepare(broker)
        place, aside = broker.data_dir / "i-0", broker.data_dir / ".orphaned"
        for name in ("recovery-points", "i-0/partition.json", "i-0/leader-epochs"):
            (broker.data_dir / name).unlink()
        aside.mkdir()
        place.rename(aside / "1-i-0")
        broker.start()
        assert await produce(broker.address, 3) == [0, 1, 2]
        assert broker.stop() == 0
        verified = run_logctl("segments", "verify", broker.data_dir, "-o", "json")
        assert verified.status == 8
        [told] = [f for f in json.loads(verified.stdout)["findings"] if f["severity"] == "error"]
        assert told["path"] == str(aside / "1-i-0") and "segments adopt" in told["message"]
        assert f"up to offset {RECORDS - 1}" in told["message"]
        done = adopt(aside / "1-i-0")
        assert done.status == 0, done.stderr
        assert json.loads(done.stdout)["set_aside"] == str(aside / "2-i-0")
        broker.start()
        assert await read(broker.address) == list(range(RECORDS))
        assert await produce(broker.address, 1) == [RECORDS]
        assert broker.stop() == 0
        verified = run_logctl("segments", "verify", broker.data_dir)
        assert verified.status == 8, "three records stand aside"
