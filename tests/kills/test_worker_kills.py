"""A process with many records in hand is killed: another one repeats nothing that was committed."""

import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd.sync import Admin, Consumer, Producer

pytestmark = pytest.mark.slow

RECORDS, PARTITIONS, WAIT_S = 1_500, 3, 120
PROGRAM = textwrap.dedent(
    """
    import asyncio, random, sys
    from logd import Consumer

    address, path = sys.argv[1:]

    async def main():
        with open(path, "a", buffering=1) as out:
            async def handle(record):
                await asyncio.sleep(random.random() / 100)
                out.write(f"{record.partition} {record.offset} {record.attempt}\\n")
                if record.value == b"bad":
                    raise ValueError("cannot take it")

            settings = {"bootstrap_servers": address, "group_id": "g"}
            async with Consumer("t", **settings, auto_commit_interval_ms=50) as consumer:
                await consumer.records(
                    concurrency=16, max_attempts=3, retry_delay_ms=20
                ).for_each(handle)

    asyncio.run(main())
    """
)
"""Notes what it begins to do: partition, offset, attempt."""


class Worker:
    """The program, in a process of its own."""

    def __init__(self, address: str, notes: Path) -> None:
        self.notes = notes
        self._process = subprocess.Popen([sys.executable, "-c", PROGRAM, address, str(notes)])

    def lines(self) -> list[tuple[int, int, int]]:
        if not self.notes.exists():
            return []
        whole = self.notes.read_text().rpartition("\n")[0].splitlines()
        return [(int(p), int(o), int(a)) for p, o, a in map(str.split, whole)]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def is_bad(number: int) -> bool:
    return number % 30 == 7


@pytest.mark.parametrize("at", [100, 400, 900])
def test_a_killed_worker_repeats_nothing_that_was_committed(tmp_path: Path, at: int) -> None:
    with BrokerProcess(tmp_path / "broker") as broker:
        address = broker.address
        with Admin(bootstrap_servers=address) as admin:
            admin.create_topic("t", PARTITIONS)
            with Producer(bootstrap_servers=address) as producer:
                for number in range(RECORDS):
                    value = b"bad" if is_bad(number) else b"good"
                    producer.send("t", value, b"k%d" % (number % 50))
                producer.flush()
            first = Worker(address, tmp_path / "first")
            deadline_s = time.monotonic() + WAIT_S
            while len(first.lines()) < at:
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            first.kill()
            committed = admin.fetch_offsets("g")
            done = {
                (each.partition, offset)
                for each in committed
                for start, end in [(0, each.offset or 0), *each.done_ranges]
                for offset in range(start, end)
            }
            tried = {
                (each.partition, one.offset): one.times
                for each in committed
                for one in each.attempts
            }
            second = Worker(address, tmp_path / "second")
            try:
                while sum(each.offset or 0 for each in admin.fetch_offsets("g")) < RECORDS:
                    assert time.monotonic() < deadline_s
                    time.sleep(0.01)
            finally:
                second.kill()
        again = {(partition, offset) for partition, offset, _ in second.lines()}
        assert not again & done, "it was told that these are done"
        handled = again | {(partition, offset) for partition, offset, _ in first.lines()}
        assert len(handled) == RECORDS
        begun: dict[tuple[int, int], int] = {}
        for partition, offset, attempt in second.lines():
            begun.setdefault((partition, offset), attempt)
        assert all(begun[key] > times for key, times in tried.items()), "attempts count on"
        with Consumer("t.parked", bootstrap_servers=address) as consumer:
            parked: Counter[tuple[bytes | None, ...]] = Counter()
            wanted = sum(map(is_bad, range(RECORDS)))
            while len(parked) < wanted:
                for record in consumer.poll(timeout_ms=WAIT_S * 1000):
                    said = dict(record.headers)
                    parked[said["logd.parked.partition"], said["logd.parked.offset"]] += 1
        assert len(parked) == wanted
        assert max(parked.values()) <= 2, "once more where the kill came before the commit"
