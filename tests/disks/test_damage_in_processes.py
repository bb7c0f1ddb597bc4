"""Damage as operators meet it: `logd start`, `logctl consume`, `segments verify`, their exits."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import run_logctl
from harness.prepared_data import GROUP, LOG_START, PreparedData
from logd.model.record_batch import HEADER_BYTES
from logd.system.os_file_system import OsFileSystem
from logd_client import Consumer
from logd_partitions.offline.segment_tools import dump_segment

pytestmark = pytest.mark.slow

CORRUPTION = 8
SEGMENT = "rolled-0/00000000000000000040.log"
LOST = range(50, 55)
"""Of that segment: its third batch."""
REPAIRED = (
    "rolled-0/00000000000000000040.index",
    "rolled-0/00000000000000000040.timeindex",
    "rolled-0/leader-epochs",
    "rolled-0/producers.snapshot",
    "large-0/partition.json",
)


@pytest.fixture
def stopped(prepared_after: Callable[[str], PreparedData]) -> PreparedData:
    return prepared_after("clean stop")


@pytest.fixture
def data(stopped: PreparedData, tmp_path: Path) -> Path:
    shutil.copytree(stopped.directory / "data", tmp_path / "data")
    return tmp_path / "data"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("within", [24, HEADER_BYTES + 50], ids=["header", "body"])
async def test_a_damaged_batch_ends_consume_with_8_and_can_be_stepped_over(
    stopped: PreparedData, data: Path, within: int
) -> None:
    segment = data / SEGMENT
    [batch] = [b for b in dump_segment(OsFileSystem(), str(segment)) if b.expected_offset == 50]
    flip(segment, batch.position + within)
    verified = run_logctl("segments", "verify", data, "-o", "json")
    assert verified.status == CORRUPTION
    found = [(each["path"], each["offset"]) for each in json.loads(verified.stdout)["findings"]]
    assert (str(segment), LOST.start) in found

    sent = [record.value for record in stopped.records["rolled"]]
    with BrokerProcess(data.parent) as broker:
        consumed = run_logctl("consume", "rolled", "-e", address=broker.address)
        assert consumed.status == CORRUPTION and "STORED_DATA_CORRUPT" in consumed.stderr
        assert str(segment) in consumed.stderr and "offsets 50 to 54" in consumed.stderr
        assert "the log goes on at 55" in consumed.stderr and "Traceback" not in consumed.stderr
        assert consumed.stdout.splitlines() == sent[LOG_START : LOST.start]
        rest = run_logctl("consume", "rolled", "--from", "55", "-e", address=broker.address)
        assert (rest.status, rest.stdout.splitlines()) == (0, sent[LOST.stop :])
        health = run_logctl("cluster", "health", "-o", "json", address=broker.address)
        assert "STORED_DATA_CORRUPT" in health.stdout.decode() and str(segment) in str(health)
        assert await read_skipping(broker.address, "rolled") == [
            offset for offset in range(LOG_START, len(sent)) if offset not in LOST
        ]
        assert await read_skipping(broker.address, "large") == list(range(360)), "the rest"
        assert broker.stop() == 0


async def read_skipping(address: str, topic: str) -> list[int]:
    """Offsets that a consumer gets who is told to skip what is lost."""
    consumer = Consumer(topic, bootstrap_servers=address, on_undecodable="skip")
    async with consumer:
        await consumer.start()
        offsets = []
        while await consumer.lag(topic, 0):
            offsets += [record.offset for record in await consumer.poll()]
    return offsets


@pytest.mark.usefixtures("door")
def test_damaged_files_that_are_made_again(stopped: PreparedData, data: Path) -> None:
    for name in REPAIRED:
        flip(data / name, 20)
    warned = run_logctl("segments", "verify", data, "-o", "json")
    assert {str(data / name) for name in REPAIRED} <= {
        finding["path"] for finding in json.loads(warned.stdout)["findings"]
    }
    with BrokerProcess(data.parent) as broker:
        for topic, start in (("rolled", LOG_START), ("large", 0)):
            consumed = run_logctl("consume", topic, "-e", address=broker.address)
            values = [record.value for record in stopped.records[topic][start:]]
            assert (consumed.status, consumed.stdout.splitlines()) == (0, values)
        lag = run_logctl("groups", "lag", GROUP, "-o", "json", address=broker.address)
        committed = {each["topic"]: each["committed"] for each in json.loads(lag.stdout)["items"]}
        assert committed == {topic: each[-1] for topic, each in stopped.committed.items()}
        assert broker.stop() == 0


@pytest.mark.parametrize("name", ["format.json", "metadata.sqlite"])
def test_a_damaged_identity_is_no_start(data: Path, name: str) -> None:
    content = (data / name).read_bytes()
    flip(data / name, content.rindex(b"rolled") if b"rolled" in content else len(content) // 2)
    with pytest.raises(RuntimeError, match="the broker ended with 8") as refused:
        BrokerProcess(data.parent).start()
    told = str(refused.value)
    assert str(data / name) in told and "STORED_DATA_CORRUPT" in told and "Traceback" not in told


def test_a_newer_format_is_no_start_and_nothing_is_touched(data: Path) -> None:
    path = data / "format.json"
    members = json.loads(path.read_bytes())
    path.write_text(json.dumps({**members, "layout_version": 2, "needs": "logd 7 or newer"}))
    before = contents(data)
    with pytest.raises(RuntimeError, match="the broker ended with 2") as refused:
        BrokerProcess(data.parent).start()
    assert "UNSUPPORTED_VERSION" in str(refused.value) and "logd 7 or newer" in str(refused.value)
    assert contents(data) == before


def contents(directory: Path) -> dict[Path, bytes]:
    """Every file but the lock, which each start takes."""
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != "lock"]
    return {path: path.read_bytes() for path in files}
