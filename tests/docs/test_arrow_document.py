"""The code of docs/arrow.md, as it stands there, against a real broker."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd.sync import Admin, Consumer, Producer

PAGE = (Path(__file__).parents[2] / "docs" / "arrow.md").read_text("utf-8")
EXAMPLES = {
    section.partition("\n")[0]: code
    for section in PAGE.split("\n## ")
    for code in re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
}
TOTALS = "ada 200 19900\nbob 100 15050\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with 300 orders in three partitions."""
    with BrokerProcess(tmp_path_factory.mktemp("broker"), "--flight-listen", "auto") as broker:
        with Admin(bootstrap_servers=broker.address) as admin:
            admin.create_topic("orders", partitions=3)
            admin.create_topic("totals")
        with Producer(bootstrap_servers=broker.address) as producer:
            for n in range(200):
                producer.send("orders", b'{"cents": %d}' % n, key=b"ada", partition=n % 3)
            for n in range(101, 201):
                producer.send("orders", b'{"cents": %d}' % n, key=b"bob", partition=n % 3)
        yield broker.address


def run(example: str, address: str, flight_address: str = "") -> str:
    """What it prints; its broker's address is replaced by ours."""
    code = EXAMPLES[example].replace("127.0.0.1:9600", address)
    code = code.replace("127.0.0.1:9601", flight_address)
    assert code != EXAMPLES[example], "the example names the broker"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("example", "package"), [("DuckDB", "duckdb"), ("Polars", "polars"), ("pandas", "pandas")]
)
def test_each_library_gives_the_same_totals(example: str, package: str, address: str) -> None:
    pytest.importorskip(package)
    assert run(example, address) == TOTALS


def test_any_flight_client(address: str) -> None:
    pytest.importorskip("duckdb")
    with Admin(bootstrap_servers=address) as admin:
        (info,) = admin.cluster_info().brokers
    assert run("Any Flight client", address, info.flight_address) == "ada 19900\nbob 15050\n"
    with Consumer("totals", bootstrap_servers=address) as consumer:
        records = consumer.poll(max_records=2, timeout_ms=20_000)
    assert [(r.key, r.value) for r in records] == [(b"ada", b"19900"), (b"bob", b"15050")]


def test_batches_as_they_come(address: str) -> None:
    pytest.importorskip("polars")
    partition, base_offset, count = run("A batch at a time, as it comes", address).split()
    assert int(partition) in range(3) and base_offset == "0" and int(count) > 0


def test_every_example_of_the_page_is_run() -> None:
    libraries = {"DuckDB", "Polars", "pandas"}
    assert set(EXAMPLES) == {*libraries, "A batch at a time, as it comes", "Any Flight client"}
    assert len(EXAMPLES) == PAGE.count("```python")
