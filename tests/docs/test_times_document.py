"""The examples of docs/times.md: data with its own times in, a range of it out, none lost."""

import re
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.compute
import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import activated
from logd import OffsetSpec
from logd.sync import Admin, Consumer, Producer

PAGE = (Path(__file__).parents[2] / "docs" / "times.md").read_text("utf-8")
IMPORT, READ = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_what_was_imported_is_found_by_its_own_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 1, 10, 14, tzinfo=timezone(timedelta(hours=1)))
    minutes = [-1, 61, 5, 59, 30, 70, 90]  # of 15:01 one stands before two of the hour
    with BrokerProcess(tmp_path) as broker:
        monkeypatch.setenv("LOGD_BOOTSTRAP", broker.address)
        with Admin() as admin:
            admin.create_topic("visits", 1)
        names: dict[str, Any] = {
            "Producer": Producer,
            "values": [b"%d" % each for each in minutes],
            "keys": [b"k"] * len(minutes),
            "times": [
                int((start + timedelta(minutes=each)).timestamp() * 1000) for each in minutes
            ],
        }
        exec(IMPORT, names)
        with Consumer("visits") as consumer:
            names = {
                **{"consumer": consumer, "pyarrow": pyarrow, "OffsetSpec": OffsetSpec},
                **{"timedelta": timedelta, "start": start, "end": start + timedelta(hours=1)},
            }
            exec(READ, names)
        assert names["visits"]["value"].to_pylist() == [b"5", b"59", b"30"]
        subprocess.run(["sh", "-e", "-c", COMMAND], check=True, timeout=60, env=activated())
        with Consumer("visits") as consumer:
            consumer.seek("visits", 0, len(minutes))
            times = [record.timestamp_ms for record in consumer.poll(timeout_ms=30_000)]
        assert times == [1768051800000, 1768055401000]
