"""Several threads on one consumer."""

import threading
import time
from typing import Any

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from logd.sync import Consumer
from logd_client import Record
from logd_client.work_record import WorkRecord

WAIT_S = 60


@pytest.fixture
def broker() -> FakeFetchBroker:
    broker = FakeFetchBroker()
    broker.create_topic("t", 2)
    for partition in (0, 1):
        broker.append("t", partition, [b"%d" % n for n in range(12)])
    return broker


def make(broker: FakeFetchBroker, **settings: Any) -> Consumer:
    quick = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **settings}
    return Consumer("t", transport=broker, **quick)


class Enough(Exception):
    """Ends the reading."""


def test_threads_share_the_records(broker: FakeFetchBroker) -> None:
    together = threading.Barrier(4)
    seen: list[tuple[int, int]] = []

    def handle(record: Record) -> None:
        seen.append((record.partition, record.offset))
        together.wait(WAIT_S)
        if len(seen) == 24:
            together.wait(WAIT_S)  # all four are here
            raise Enough

    with make(broker) as consumer, pytest.raises(Enough):
        consumer.records(concurrency=4, order="none").for_each(handle)
    assert sorted(seen) == [(p, o) for p in (0, 1) for o in range(12)]


def test_a_failure_waits_for_those_at_work_and_their_records_are_done(
    broker: FakeFetchBroker,
) -> None:
    both = threading.Barrier(2)

    def handle(record: Record) -> None:
        both.wait(WAIT_S)
        if record.offset == 0:
            raise ValueError("broken")
        while not records._records.ended:
            time.sleep(0.001)

    with make(broker, partitions=[0]) as consumer:
        records = consumer.records(concurrency=2, order="none")
        with pytest.raises(ValueError, match="broken"):
            records.for_each(handle)
        first, second = consumer.poll(WAIT_S * 1000, max_records=2)
        assert (first.offset, second.offset) == (0, 2), "of 0 and 1 the latter is done"


def test_threads_of_your_own(broker: FakeFetchBroker) -> None:
    seen: list[int] = []
    all_there = threading.Event()
    with make(broker, partitions=[0]) as consumer:
        with consumer.records(concurrency=2, order="partition") as records:

            def work() -> None:
                for record in records:
                    seen.append(record.offset)
                    if len(seen) == 12:
                        all_there.set()

            threads = [threading.Thread(target=work) for _ in range(2)]
            for thread in threads:
                thread.start()
            assert all_there.wait(WAIT_S)
        for thread in threads:
            thread.join(WAIT_S)
        assert seen == list(range(12))


def test_what_a_thread_fails_at_is_tried_again(broker: FakeFetchBroker) -> None:
    given: list[tuple[int, int]] = []

    def handle(record: WorkRecord) -> None:
        given.append((record.offset, record.attempt))
        if len(given) == 14:
            raise KeyboardInterrupt
        if record.offset == 3 and record.attempt < 3:
            raise ValueError("broken")

    with make(broker, partitions=[0]) as consumer, pytest.raises(KeyboardInterrupt):
        records = consumer.records(order="partition", max_attempts=5, retry_delay_ms=1)
        records.for_each(handle)
    before, tried, after = given[:3], given[3:6], given[6:]
    assert tried == [(3, 1), (3, 2), (3, 3)], "in order: what comes after it waits"
    assert [offset for offset, _ in (*before, *after)] == [0, 1, 2, *range(4, 12)]
