import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from harness.broker_process import BrokerProcess
from logd.cli.bench import STAMPED_BYTES_MIN
from logd.cli.bench_sender import STAMP, SendPlan

PLAN = SendPlan(
    topic="nowhere",
    mark="00" * 16,
    warm_up_records=0,
    records=1,
    per_second=1_000,
    value_bytes=100,
    acks="all",
    compression="none",
)


def test_a_stamp_is_as_long_as_the_least_value() -> None:
    assert STAMP.size == STAMPED_BYTES_MIN


@pytest.mark.slow
def test_it_fails_as_logctl_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as broker:
        words = ["-m", "logd.cli.bench_sender", "-b", broker.address, json.dumps(asdict(PLAN))]
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith("error:") and "logctl bench e2e" in done.stderr
