import asyncio
import threading
from collections.abc import Iterator

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeTransport
from logd.model.errors import (
    BrokerUnreachable,
    BufferFull,
    ClientClosed,
    LogdError,
    RecordTooLarge,
    RequestTimeout,
    UnknownPartition,
    UnknownTopic,
)
from logd_client.sync.producer import Producer


@pytest.fixture
def transport() -> Iterator[FakeTransport]:
    broker = FakeBroker()
    broker.create_topic("orders", partitions=3)
    yield FakeTransport(broker)


def make(transport: FakeTransport, **settings: object) -> Producer:
    settings = {"retry_backoff_ms": 1, "linger_ms": 0, **settings}
    return Producer(transport=transport, **settings)  # type: ignore[arg-type]


def test_a_record_and_its_receipt(transport: FakeTransport) -> None:
    with make(transport) as producer:
        handle = producer.send("orders", b"v", b"k")
        receipt = handle.result()
        assert handle.done() and receipt.offset == 0
        with pytest.raises(UnknownTopic):
            producer.send("nothing", b"")
    with pytest.raises(ClientClosed):
        producer.send("orders", b"")
    assert transport.closed


def test_threads_share_it_and_each_keeps_its_order(transport: FakeTransport) -> None:
    threads, each = 4, 500
    with make(transport, batch_size=1024) as producer:

        def work(number: int) -> None:
            for i in range(each):
                producer.send("orders", b"%d" % i, b"thread-%d" % number)

        workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        producer.flush()
        assert producer.buffered_bytes == 0 and producer.in_flight == 0
    for number in range(threads):
        written = [
            int(value or b"")
            for partition in transport.broker.topics["orders"].partitions
            for key, value, _, _ in partition.records
            if key == b"thread-%d" % number
        ]
        assert written == list(range(each))


@pytest.mark.parametrize("keys", [None, [b"k"] * 300])
def test_many(transport: FakeTransport, keys: list[bytes] | None) -> None:
    with make(transport, batch_size=1024, buffer_memory=4096) as producer:
        handles = producer.send_many("orders", [b"%d" % i for i in range(300)], keys)
        assert len(handles) == 300 and len(handles.result()) == 300
        handles = producer.send_many("orders", [b"x"] * 3, partition=1, timestamps_ms=[1, 2, 3])
        assert [r.partition for r in handles.result()] == [1, 1, 1]


def test_of_many_none_is_added_where_one_is_too_large(transport: FakeTransport) -> None:
    transport.broker.create_topic("small", message_bytes_max="2048")
    with make(transport) as producer:
        with pytest.raises(RecordTooLarge) as caught:
            producer.send_many("small", [b"v"] * 4_999 + [b"x" * 2_048])
        assert caught.value.details["index"] == "4999"
        assert caught.value.details["added"] == "0" and producer.buffered_bytes == 0


def test_a_start_without_a_broker_fails_soon(transport: FakeTransport) -> None:
    transport.is_down = True
    producer = make(transport, request_timeout_ms=30)
    with pytest.raises(BrokerUnreachable, match="GetClusterInfo"):
        producer.start()
    with pytest.raises(BrokerUnreachable, match="GetClusterInfo"):
        producer.__enter__()
    with pytest.raises(ClientClosed):
        producer.send("orders", b"v")


def test_waits_are_bounded(transport: FakeTransport) -> None:
    transport.holds_acks = True
    with make(transport, batch_size=1024, buffer_memory=2048, max_block_ms=20) as producer:
        handle = producer.send("orders", b"x" * 900, partition=0)
        with pytest.raises(RequestTimeout, match="'orders' partition 0"):
            handle.result(0.01)
        producer.send("orders", b"x" * 900, partition=0)
        with pytest.raises(BufferFull, match="max_block_ms=20"):
            producer.send("orders", b"x" * 900, partition=0)
        with pytest.raises(RequestTimeout, match="flush"):
            producer.flush(0.01)

        async def release() -> None:
            transport.holds_acks = False
            transport.release_acks()

        producer._thread.run(release())
        assert handle.result().offset == 0


def test_close_without_flush(transport: FakeTransport) -> None:
    transport.holds_acks = True
    producer = make(transport)
    handle = producer.send("orders", b"x")
    producer.close(flush=False)
    producer.close()
    with pytest.raises(ClientClosed):
        handle.result()


async def test_two_producers_share_the_loop_thread(transport: FakeTransport) -> None:
    def work() -> None:
        with make(transport) as first, make(transport) as second:
            assert first._thread is second._thread
            assert first.send("orders", b"1", partition=0).result().offset == 0
            assert second.send("orders", b"2", partition=0).result().offset == 1

    await asyncio.to_thread(work)


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
def test_before_a_record_is_refused_as_too_large_the_topic_is_asked_again(
    transport: FakeTransport, many: bool
) -> None:
    large, config = b"x" * 3000, transport.broker.topics["orders"].config
    config["message_bytes_max"] = "2048"
    with make(transport) as producer:
        with pytest.raises(RecordTooLarge):
            producer.send("orders", large)
        config["message_bytes_max"] = "8192"
        with pytest.raises(BufferFull, match="send"):
            producer.send_nowait("orders", large)
        if many:
            producer.send_many("orders", [b"1", large, b"2"], partition=0).result()
        else:
            producer.send("orders", large, partition=0).result()
        producer.send_nowait("orders", large)
    assert large in transport.broker.values("orders", 0)


@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
def test_before_a_partition_is_refused_the_topic_is_asked_again(
    transport: FakeTransport, many: bool
) -> None:
    with make(transport) as producer:
        with pytest.raises(UnknownPartition):
            producer.send("orders", b"early", partition=3)
        transport.broker.add_partitions("orders", 4)
        if many:
            producer.send_many("orders", [b"1", b"2"], partition=3).result()
        else:
            producer.send("orders", b"1", partition=3).result()
    assert transport.broker.values("orders", 3)[0] == b"1"


@pytest.mark.ends_background
def test_the_unexpected_end_of_a_task_is_raised_by_every_later_call(
    transport: FakeTransport,
) -> None:
    producer = make(transport)
    producer.send("orders", b"1").result()
    transport.holds_acks = True
    handle = producer.send("orders", b"2", partition=0)
    answers = transport.streams[0]._answers
    producer._thread.loop.call_soon_threadsafe(answers.put_nowait, b"no response")
    with pytest.raises(LogdError, match="the producer failed"):
        handle.result()
    with pytest.raises(LogdError, match="the producer failed"):
        producer.send("orders", b"3", partition=0)
    for again in (producer.flush, producer.close):
        with pytest.raises(LogdError, match="the producer failed"):
            again()
