"""`logctl parked`, on a broker of its own, with records that a handler could not take."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.broker_process import BrokerProcess
from harness.logctl_process import Ended, run_logctl
from logd.sync import Admin, Consumer, Producer
from logd_client.work_record import WorkRecord

pytestmark = pytest.mark.slow

WAIT_MS = 60_000
END = b"end"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """Of ten orders the odd ones are parked: three as too large, two by an error."""
    with BrokerProcess(tmp_path / "broker") as process:
        address = process.address
        with Admin(bootstrap_servers=address) as admin:
            admin.create_topic("orders", 2)
        with Producer(bootstrap_servers=address) as producer:
            for number in range(10):
                key, headers = b"k%d" % number, [("trace", b"x")]
                producer.send("orders", b"%d" % number, key, headers=headers)
            producer.flush()
            for partition in (0, 1):
                producer.send("orders", END, partition=partition)
        with Consumer("orders", bootstrap_servers=address, group_id="billing") as consumer:
            take(consumer)
        yield process


def take(consumer: Consumer) -> None:
    ends = 0
    with consumer.records() as records:
        for record in records:
            ends += record.value == END
            if ends == 2:
                return
            if record.value != END:
                judge(record)


def judge(record: WorkRecord) -> None:
    number = int(record.value or b"")
    if number in (1, 3, 5):
        record.park("too large")
    if number in (7, 9):
        try:
            raise ValueError("no such customer")
        except ValueError as error:
            record.park(error)


def logctl(broker: BrokerProcess, *words: str) -> Ended:
    return run_logctl("parked", *words, address=broker.address)


def told(broker: BrokerProcess, *words: str) -> Any:
    ended = logctl(broker, *words, "-o", "json")
    assert ended.status == 0, ended.stderr
    return json.loads(ended.stdout)


def waiting(broker: BrokerProcess) -> int:
    (row,) = told(broker, "ls")["items"]
    assert (row["topic"], row["from_topic"], row["kept"]) == ("orders.parked", "orders", 5)
    return int(row["waiting"])


def values(broker: BrokerProcess, count: int) -> list[tuple[bytes, bytes | None, Any]]:
    found: list[Any] = []
    with Consumer("orders", bootstrap_servers=broker.address) as consumer:
        while len(found) < count:
            found += consumer.poll(WAIT_MS)
    return [(each.value, each.key, each.headers) for each in found if each.value != END]


def test_what_is_parked_is_shown_with_its_reason(broker: BrokerProcess) -> None:
    assert waiting(broker) == 5
    rows = told(broker, "show", "orders.parked")["items"]
    assert sorted(row["value"] for row in rows) == ["1", "3", "5", "7", "9"]
    (one,) = [row for row in rows if row["value"] == "7"]
    assert (one["group"], one["attempts"], one["key"]) == ("billing", 1, "k7")
    assert (one["error"], one["reason"]) == ("ValueError", "no such customer")
    assert "raise ValueError" in one["traceback"]
    assert one["from_where"].startswith("orders:")
    assert one["headers"] == [{"name": "trace", "value": "x"}]
    some = told(broker, "show", "orders.parked", "--where", "reason=large", "--where", "key=k[15]")
    assert sorted(row["value"] for row in some["items"]) == ["1", "5"]
    assert len(told(broker, "show", "orders.parked", "-n", "2")["items"]) == 2


def test_a_replay_is_told_first_and_writes_each_record_back_once(broker: BrokerProcess) -> None:
    planned = told(broker, "replay", "orders.parked", "--where", "error=ValueError")
    assert planned == {"topic": "orders.parked", "records": 2, "executed": False}
    assert waiting(broker) == 5
    words = ("replay", "orders.parked", "--where", "error=ValueError", "--execute")
    assert told(broker, *words)["records"] == 2
    assert waiting(broker) == 3
    assert told(broker, *words)["records"] == 0, "once"
    written = [each for each in values(broker, 14) if each[0] in (b"7", b"9")]
    assert sorted(written) == sorted(
        2 * [(b"%d" % n, b"k%d" % n, [("trace", b"x")]) for n in (7, 9)]
    ), "with key and headers as they were"
    assert told(broker, "replay", "orders.parked", "--execute")["records"] == 3
    assert waiting(broker) == 0
    assert told(broker, "show", "orders.parked")["items"] == []


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("show", "nowhere.parked"), 3, "does not exist"),
        (("show", "orders.parked", "--where", "colour=red"), 2, "there is no 'colour'"),
        (("show", "orders.parked", "--where", "reason=("), 2, "is no regular expression"),
    ],
)
def test_what_cannot_be_meant_is_told(
    broker: BrokerProcess, words: tuple[str, ...], status: int, error: str
) -> None:
    ended = logctl(broker, *words)
    assert ended.status == status and error in ended.stderr
