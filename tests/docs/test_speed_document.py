"""The code of docs/speed.md, as it stands there, against a real broker."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd.sync import Admin

PAGE = (Path(__file__).parents[2] / "docs" / "speed.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_what_the_first_example_writes_the_second_reads(tmp_path: Path) -> None:
    printed = []
    with BrokerProcess(tmp_path) as broker:
        with Admin(bootstrap_servers=broker.address) as admin:
            admin.create_topic("measurements", 2)
        for example in EXAMPLES:
            code = example.replace("127.0.0.1:9600", broker.address)
            assert code != example, "the example names the broker"
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", code],
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            printed.append(done.stdout)
    assert printed == ["", "20000 records\n"]
