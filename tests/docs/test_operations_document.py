"""docs/operations: systemd takes the unit, and the tables name every file that is made."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd_client import Admin, Producer

PAGES = Path(__file__).parents[2] / "docs/operations"
PAGE = (PAGES / "README.md").read_text("utf-8")
RECORDS, VALUE_BYTES = 300, 8000
"""More than two segments of a topic with the smallest."""


@pytest.mark.slow
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = (PAGES / "logd.service").read_text("utf-8")
    here = unit.replace("/opt/logd/bin/logd", sys.executable).replace("User=logd", "User=root")
    assert here.count(sys.executable) == 1 and "User=root" in here
    file = tmp_path / "logd.service"
    file.write_text(here)
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_every_file_of_a_data_directory_is_named(tmp_path: Path) -> None:
    async def write(address: str) -> None:
        async with (
            Admin(bootstrap_servers=address) as admin,
            Producer(bootstrap_servers=address, batch_size=64 << 10) as producer,
        ):
            await admin.create_topic("orders", config={"segment_bytes": "1MiB"})
            await producer.send_many("orders", [bytes(VALUE_BYTES)] * RECORDS)
            await admin.create_topic("gone")
            await (await producer.send("gone", b""))
            await producer.flush()
            await admin.commit_offsets("readers", {("orders", 0): 1})
            await admin.delete_topic("gone")

    with BrokerProcess(tmp_path) as broker:
        asyncio.run(write(broker.address))
        made = {path.relative_to(broker.data_dir) for path in broker.data_dir.rglob("*")}
        assert broker.stop() == 0
        made |= {path.relative_to(broker.data_dir) for path in broker.data_dir.rglob("*")}
    assert len({path for path in made if path.suffix == ".log" and "orders-0" in path.parts}) > 1
    rows = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall("`([^`]+)`", row)}
    kinds = {_kind(path) for path in made}
    assert kinds - named == set(), "no table names it"


def _kind(path: Path) -> str:
    """As the tables name it."""
    if len(path.parts) == 1:
        if path.name.startswith("."):
            return f"{path.name}/"
        return "<topic>-<partition>/" if re.search(r"-\d+$", path.name) else path.name
    return re.sub(r"^\d{20}\.", "<offset>.", path.name)
