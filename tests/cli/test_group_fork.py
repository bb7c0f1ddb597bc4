"""`logctl groups fork`, on a broker of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import run_logctl
from logd.cli.group_fork import format_speed, parse_speed
from logd.sync import Admin, Producer

RECORDS = 10


@pytest.mark.parametrize(
    ("text", "speed", "told"),
    [("1x", 1.0, "1x"), ("0.5x", 0.5, "0.5x"), ("10", 10.0, "10x"), ("max", 0.0, "max")],
)
def test_speeds(text: str, speed: float, told: str) -> None:
    assert parse_speed(text) == speed and format_speed(speed) == told


@pytest.mark.parametrize("text", ["", "x", "fast", "0", "0x", "-1x", "nan", "infx", "1e9x", "1xx"])
def test_what_is_no_speed(text: str) -> None:
    with pytest.raises(ValueError, match="is no speed: write 1x"):
        parse_speed(text)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """Ten records in each of two partitions, all read by `billing`."""
    with BrokerProcess(tmp_path / "broker") as process:
        with Admin(bootstrap_servers=process.address) as admin:
            admin.create_topic("orders", 2)
            with Producer(bootstrap_servers=process.address) as producer:
                for number in range(RECORDS):
                    for partition in (0, 1):
                        producer.send("orders", b"%d" % number, partition=partition)
            admin.commit_offsets("billing", {("orders", 0): RECORDS, ("orders", 1): RECORDS})
        yield process


@pytest.mark.slow
def test_a_part_of_the_past_is_read_by_another_group(broker: BrokerProcess) -> None:
    fork = ("groups", "fork", "billing", "--as", "again", "--at", "@-1h", "--until", "@now")
    planned = run_logctl(*fork, "--validate-only", "-o", "json", address=broker.address)
    assert planned.status == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert [(p["start"], p["end"], p["records"]) for p in plan["items"]] == [(0, 10, 10)] * 2
    assert (plan["executed"], plan["source"], plan["speed"]) == (False, "billing", "max")
    done = run_logctl(*fork, "--speed", "1000x", address=broker.address)
    assert done.status == 0 and "group 'again' replays 20 records" in done.stderr
    with Producer(bootstrap_servers=broker.address) as producer:
        producer.send("orders", b"later", partition=0)
    read = run_logctl("consume", "orders", "-g", "again", address=broker.address)
    assert read.status == 0, "it ends by itself"
    assert sorted(read.stdout.split()) == sorted([b"%d" % n for n in range(RECORDS)] * 2)
    described = run_logctl("groups", "describe", "again", "-o", "json", address=broker.address)
    replays = json.loads(described.stdout)["replays"]
    assert replays.startswith("billing from ") and "speed 1000x, now at" in replays
    refused = run_logctl(*fork, address=broker.address)
    assert refused.status == 5 and "delete it, or fork as another" in refused.stderr


@pytest.mark.slow
def test_what_is_refused(broker: BrokerProcess) -> None:
    fork = ("groups", "fork", "billing", "--as", "again")
    for arguments, why in (
        ((), "--at is missing"),
        (("--at", "yesterday"), "is no time"),
        (("--at", "@-1h", "--speed", "fast"), "is no speed"),
        (("--at", "@-1h", "--until", "@-2h"), "ends after it begins"),
        (("--at", "@-2h", "--until", "@-1h"), "hold no record"),
    ):
        refused = run_logctl(*fork, *arguments, address=broker.address)
        assert refused.status == 2 and why in refused.stderr, refused.stderr
