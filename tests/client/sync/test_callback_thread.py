import threading
import time

import pytest

from harness.fake_fetch_broker import FakeFetchBroker
from logd.model.errors import InvalidConfig
from logd_client.rebalance_callbacks import PartitionNames
from logd_client.sync.consumer import Consumer

ARRIVES_MS = 60_000


@pytest.fixture
def broker() -> FakeFetchBroker:
    broker = FakeFetchBroker()
    broker.create_topic("t", 2)
    broker.append("t", 0, [b"v"] * 10)
    return broker


def test_callbacks_run_in_threads_of_their_own_and_may_block(broker: FakeFetchBroker) -> None:
    told: list[tuple[str, object]] = []
    given = threading.Event()

    def on_assigned(partitions: PartitionNames) -> None:
        assert given.wait(ARRIVES_MS / 1000)
        consumer.seek("t", 0, 7)
        told.append((threading.current_thread().name, partitions))

    def on_revoked(partitions: PartitionNames) -> None:
        told.append((threading.current_thread().name, consumer.commit()))
        time.sleep(0)

    consumer = Consumer(
        "t", transport=broker, group_id="g", on_assigned=on_assigned, on_revoked=on_revoked
    )
    with consumer:
        given.set()
        assert [record.offset for record in consumer.poll(ARRIVES_MS)] == [7, 8, 9]
        assert consumer.health().ok
    assert told == [
        ("logd-on_assigned", [("t", 0), ("t", 1)]),
        ("logd-on_revoked", True),
    ]
    assert broker.group("g").offsets[broker.topic_id("t"), 0] == 10
    assert broker.group("g").members == {}


def test_a_callback_may_close_the_consumer_and_what_it_raises_is_read(
    broker: FakeFetchBroker,
) -> None:
    closed = threading.Event()

    def on_assigned(partitions: PartitionNames) -> None:
        consumer.close()
        closed.set()

    consumer = Consumer("t", transport=broker, group_id="g", on_assigned=on_assigned)
    with pytest.raises(Exception, match="closed"):
        consumer.poll(ARRIVES_MS)
    assert closed.wait(ARRIVES_MS / 1000)
    assert broker.group("g").members == {}

    def fail(partitions: PartitionNames) -> None:
        raise ZeroDivisionError

    with Consumer("t", transport=broker, group_id="g", on_assigned=fail) as failing:
        with pytest.raises(ZeroDivisionError):
            failing.poll(ARRIVES_MS)
        assert len(failing.poll(ARRIVES_MS)) == 10


def test_a_callback_that_ends_its_thread_is_told(broker: FakeFetchBroker) -> None:
    def leave(partitions: PartitionNames) -> None:
        raise SystemExit(3)

    with Consumer("t", transport=broker, group_id="g", on_assigned=leave) as consumer:
        with pytest.raises(RuntimeError, match=r"on_assigned ended by SystemExit\(3\)"):
            consumer.poll(ARRIVES_MS)


def test_a_coroutine_function_is_refused(broker: FakeFetchBroker) -> None:
    async def on_lost(partitions: PartitionNames) -> None: ...

    with pytest.raises(InvalidConfig, match="on_lost is a coroutine function"):
        Consumer("t", transport=broker, group_id="g", on_lost=on_lost)
    with pytest.raises(InvalidConfig, match="on_lost is 3"):
        Consumer("t", transport=broker, group_id="g", on_lost=3)  # type: ignore[arg-type]
