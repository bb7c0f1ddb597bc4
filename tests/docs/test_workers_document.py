"""The worker of docs/workers.md, with a real broker and a real SIGTERM."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd.sync import Admin, Consumer, Producer

PAGE = (Path(__file__).parents[2] / "docs" / "workers.md").read_text("utf-8")
BEFORE = """
import signal, sys, threading
from logd.sync import Consumer

def handle(record):
    print(record.offset, flush=True)
    sys.stdin.readline()
"""
RECORDS = 3
BOUND_S = 60


@pytest.mark.slow
def test_a_worker_ends_what_it_has_in_hand_and_its_group_goes_on_behind_it(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with BrokerProcess(tmp_path) as broker:
        with (
            Admin(bootstrap_servers=broker.address) as admin,
            Producer(bootstrap_servers=broker.address) as producer,
        ):
            admin.create_topic("orders", 1)
            producer.send_many("orders", [b"v"] * RECORDS).result()
        worker = subprocess.Popen(
            [sys.executable, "-c", BEFORE + code],
            env={**os.environ, "LOGD_BOOTSTRAP": broker.address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with worker:
            assert worker.stdin is not None and worker.stdout is not None
            assert worker.stdout.readline() == "0\n"
            worker.send_signal(signal.SIGTERM)  # with a record in hand and more given
            out, err = worker.communicate("\n" * RECORDS, timeout=BOUND_S)
        assert (worker.returncode, err) == (0, "")
        assert out.split() == [str(offset) for offset in range(1, RECORDS)]
        with Consumer("orders", group_id="billing", bootstrap_servers=broker.address) as consumer:
            assert consumer.committed("orders", 0) == RECORDS
