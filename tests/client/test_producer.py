import asyncio
import itertools

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeTransport
from harness.virtual_time import in_virtual_time
from logd.model.errors import (
    AckTimeout,
    BrokerUnreachable,
    BufferFull,
    ClientClosed,
    DeliveryTimeout,
    InvalidConfig,
    LogdError,
    NotEnoughReplicas,
    ProducerFenced,
    RecordTooLarge,
    StorageFull,
    UnknownPartition,
    UnknownTopic,
)
from logd.model.key_ranges import KeyRouter
from logd.sim.simulated_clock import SimulatedClock
from logd_client.client_config import START_TIMEOUT_MS
from logd_client.producer import Producer

HANG_S = 5
"""Longer only where a test fails."""


@pytest.fixture
def broker() -> FakeBroker:
    broker = FakeBroker()
    broker.create_topic("orders", partitions=3)
    return broker


@pytest.fixture
def transport(broker: FakeBroker) -> FakeTransport:
    return FakeTransport(broker)


def make(transport: FakeTransport, **settings: object) -> Producer:
    settings = {"retry_backoff_ms": 1, "linger_ms": 0, **settings}
    return Producer(transport=transport, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("enters", [False, True])
def test_a_start_without_a_broker_fails_soon(transport: FakeTransport, enters: bool) -> None:
    async def work(clock: SimulatedClock) -> None:
        transport.is_down = True
        producer = make(transport, clock=clock)
        with pytest.raises(BrokerUnreachable, match="GetClusterInfo"):
            await (producer.__aenter__() if enters else producer.start())
        assert clock.monotonic_ms() <= START_TIMEOUT_MS + 1
        assert transport.closed == enters
        transport.is_down = False
        if not enters:
            await producer.start()
            await (await producer.send("orders", b"v"))
        await producer.close()

    in_virtual_time(work)


async def test_send_nowait_writes_what_send_would(transport: FakeTransport) -> None:
    async with make(transport, linger_ms=1_000) as producer:
        with pytest.raises(BufferFull):  # the topic is not known yet
            producer.send_nowait("orders", b"a")
        await producer.send("orders", b"0")
        for value in (b"1", b"2"):
            producer.send_nowait("orders", value)
        await producer.send("orders", b"3", timestamp_ms=5)
        producer.send_nowait("orders", b"4")
        producer.send_nowait("orders", b"k", b"key")
        with pytest.raises(TypeError):
            producer.send_nowait("orders", "text")  # type: ignore[arg-type]
    records = [r for p in transport.broker.topics["orders"].partitions for r in p.records]
    plain = [record for record in records if record[0] is None]
    assert [record[1] for record in plain] == [b"0", b"1", b"2", b"3", b"4"]
    times_ms = [record[2] for record in plain]
    assert times_ms[3] == 5 and all(at > 5 for at in times_ms[:3] + times_ms[4:])
    assert [record[:2] for record in records if record[0]] == [(b"key", b"k")]
    with pytest.raises(ClientClosed):
        producer.send_nowait("orders", b"late")


async def test_a_record_is_written_where_its_receipt_says(transport: FakeTransport) -> None:
    async with make(transport) as producer:
        handle = await producer.send(
            "orders", b"v", b"k", headers=[("h", b"x"), ("n", None)], timestamp_ms=5
        )
        assert not handle.done()
        receipt = await handle
        assert handle.done() and handle.exception() is None
    topic = transport.broker.topics["orders"]
    assert receipt.partition == KeyRouter(topic.ranges).partition_of(b"k")
    assert (receipt.topic, receipt.offset, receipt.duplicate) == ("orders", 0, False)
    assert (receipt.leader_epoch, receipt.replicas, receipt.replicas_synced) == (1, 1, 1)
    [(key, value, timestamp_ms, headers)] = topic.partitions[receipt.partition].records
    assert (key, value, timestamp_ms) == (b"k", b"v", 5)
    assert list(headers) == [("h", b"x"), ("n", None)]  # type: ignore[call-overload]
    assert transport.closed


async def test_a_handle_may_be_awaited_often_and_by_many(transport: FakeTransport) -> None:
    async with make(transport) as producer:
        handle = await producer.send("orders", b"v", partition=2)

        async def receipt() -> object:
            return await handle

        first, second = await asyncio.gather(receipt(), receipt())
        assert first == second == await handle


async def test_a_cancelled_wait_does_not_spoil_the_handle(transport: FakeTransport) -> None:
    transport.holds_acks = True
    async with make(transport) as producer:
        handle = await producer.send("orders", b"v", partition=2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await handle
        await transport.produced.wait()
        transport.release_acks()
        assert (await handle).offset == 0


async def test_without_keys_batches_take_turns_over_partitions(transport: FakeTransport) -> None:
    async with make(transport, batch_size=1024) as producer:
        handles = await producer.send_many("orders", [b"x" * 100] * 90)
        receipts = await handles
    counts = [len(transport.broker.values("orders", p)) for p in range(3)]
    assert sum(counts) == 90 and min(counts) >= 24
    runs = [r.partition for r in receipts]
    assert len([1 for a, b in itertools.pairwise(runs) if a != b]) == 90 // 8


async def test_records_of_a_key_keep_their_order(transport: FakeTransport) -> None:
    keys = [b"a", b"b", b"c", b"d"]
    async with make(transport, batch_size=1024) as producer:
        for i in range(400):
            await producer.send("orders", b"%d" % i, keys[i % 4])
    for at, key in enumerate(keys):
        written = [
            int(value or b"")
            for partition in transport.broker.topics["orders"].partitions
            for k, value, _, _ in partition.records
            if k == key
        ]
        assert written == list(range(at, 400, 4))


async def test_many_records_with_keys_partition_and_times(transport: FakeTransport) -> None:
    async with make(transport) as producer:
        values = [b"1", None, b"3"]
        handles = await producer.send_many(
            "orders", values, [b"k", None, b"k"], partition=1, timestamps_ms=[7, 8, 9]
        )
        assert len(handles) == 3
        assert [r.offset for r in await handles] == [0, 1, 2]
        assert (await handles[1]).partition == 1
    records = transport.broker.topics["orders"].partitions[1].records
    assert [r[:3] for r in records] == [(b"k", b"1", 7), (None, None, 8), (b"k", b"3", 9)]


async def test_small_batches_of_many_partitions_share_a_message(transport: FakeTransport) -> None:
    async with make(transport, linger_ms=1000) as producer:
        for partition in range(3):
            await producer.send("orders", b"v", partition=partition)
        await producer.flush()
        assert transport.messages == [3]


@pytest.mark.parametrize("wrong", ["text", 3, ["x"]])
async def test_what_is_not_bytes_is_refused_before_it_is_added(
    transport: FakeTransport, wrong: object
) -> None:
    async with make(transport) as producer:
        with pytest.raises(TypeError, match="bytes"):
            await producer.send("orders", wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="bytes"):
            await producer.send("orders", b"", wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="bytes"):
            await producer.send_many("orders", [b"", wrong])  # type: ignore[list-item]
        assert producer.buffered_bytes == 0


async def test_errors_of_the_call(transport: FakeTransport) -> None:
    transport.broker.create_topic("small", message_bytes_max="2048")
    async with make(transport) as producer:
        with pytest.raises(UnknownTopic):
            await producer.send("nothing", b"")
        with pytest.raises(UnknownPartition, match="0 to 2"):
            await producer.send("orders", b"", partition=3)
        with pytest.raises(
            RecordTooLarge, match=r"2576 bytes, .*528 .* at most 2048 \(message_bytes_max\)"
        ):
            await producer.send("small", b"x" * 2048)
        await (await producer.send("small", b"x" * 1024))
    with pytest.raises(InvalidConfig, match="did you mean 'linger_ms'"):
        Producer(linger=5)  # type: ignore[call-arg]


async def test_a_large_record_goes_alone(transport: FakeTransport) -> None:
    async with make(transport, batch_size=1024) as producer:
        small = await producer.send("orders", b"s", partition=0)
        large = await producer.send("orders", b"x" * 100_000, partition=0)
        assert ((await small).offset, (await large).offset) == (0, 1)


def test_a_full_buffer_makes_send_wait_then_fail(transport: FakeTransport) -> None:
    transport.holds_acks = True
    bounds = {"batch_size": 1024, "buffer_memory": 4096, "max_block_ms": 20}

    async def work(clock: SimulatedClock) -> None:
        async with make(transport, clock=clock, **bounds) as producer:
            with pytest.raises(BufferFull, match="max_block_ms=20") as caught:
                await producer.send_many("orders", [b"x" * 100] * 100)
            added = caught.value.added
            assert 0 < int(caught.value.details["added"]) == len(added) < 100
            assert producer.buffered_bytes <= 4096
            waiting = asyncio.create_task(producer.send("orders", b"y" * 900))
            await asyncio.sleep(0)
            transport.holds_acks = False
            transport.release_acks()
            await (await waiting)
        assert producer.buffered_bytes == 0

    in_virtual_time(work)


@pytest.mark.parametrize("headers", [{"name": b"value"}, [b"ab"], [("a", b"b", b"c")], ["ab"]])
async def test_headers_that_are_no_pairs_are_named(
    transport: FakeTransport, headers: object
) -> None:
    async with make(transport) as producer:
        with pytest.raises(TypeError, match=r"a list of \(name, value\)"):
            await producer.send("orders", b"v", headers=headers)  # type: ignore[arg-type]


async def test_retriable_refusals_are_retried_in_order(transport: FakeTransport) -> None:
    left = [5]

    def fault(entry: object) -> LogdError | None:
        left[0] -= 1
        return NotEnoughReplicas("too few") if left[0] > 0 else None

    transport.fault = fault
    async with make(transport, batch_size=1024) as producer:
        handles = await producer.send_many("orders", [b"%d" % i for i in range(300)], partition=1)
        assert [r.offset for r in await handles] == list(range(300))
    assert transport.broker.values("orders", 1) == [b"%d" % i for i in range(300)]


async def test_a_refusal_for_good_fails_one_batch_and_the_rest_goes_on(
    transport: FakeTransport,
) -> None:
    refused = [True]

    def fault(entry: object) -> LogdError | None:
        return StorageFull("disk full") if refused and refused.pop() else None

    transport.fault = fault
    async with make(transport, batch_size=1024, linger_ms=50) as producer:
        handles = [await producer.send("orders", b"%d" % i, partition=1) for i in range(200)]
        with pytest.raises(StorageFull, match="disk full"):
            await producer.flush()
        await producer.flush()
        failed = [h for h in handles if h.exception()]
        assert 0 < len(failed) < 200
        with pytest.raises(StorageFull, match="disk full") as caught:
            await failed[0]
        assert caught.value.outcome_unknown is False
    assert len(transport.broker.values("orders", 1)) == 200 - len(failed)


async def test_a_failure_that_no_handle_tells_is_raised_by_flush_or_close(
    transport: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    transport.fault = lambda entry: StorageFull("disk full")
    with pytest.raises(StorageFull, match="disk full"):
        async with make(transport) as producer:
            await producer.send("orders", b"nobody keeps the handle")
    assert "records_failed where=orders:" in caplog.text
    async with make(transport) as producer:
        handle = await producer.send("orders", b"told by its handle")
        with pytest.raises(StorageFull):
            await handle
        await producer.flush()
    with pytest.raises(KeyError):
        async with make(transport) as producer:
            await producer.send("orders", b"")
            raise KeyError("the first error counts")


async def test_a_fenced_producer_is_fenced_for_ever(transport: FakeTransport) -> None:
    transport.fault = lambda entry: ProducerFenced("a newer one")
    async with make(transport) as producer:
        handle = await producer.send("orders", b"")
        with pytest.raises(ProducerFenced):
            await handle
        with pytest.raises(ProducerFenced):
            await (await producer.send("orders", b""))
        with pytest.raises(ProducerFenced):
            await producer.send("other", b"")


@pytest.mark.parametrize("reason, unknown", [(NotEnoughReplicas, False), (AckTimeout, True)])
def test_the_delivery_time_out_says_whether_the_outcome_is_known(
    transport: FakeTransport, reason: type[LogdError], unknown: bool
) -> None:
    """The back-off is longer: at the time-out nothing is on its way."""
    transport.fault = lambda entry: reason("not now")
    waits = {"delivery_timeout_ms": 200, "retry_backoff_ms": 300}

    async def work(clock: SimulatedClock) -> None:
        async with make(transport, clock=clock, **waits) as producer:
            handle = await producer.send("orders", b"")
            with pytest.raises(DeliveryTimeout, match="delivery_timeout_ms=200") as caught:
                await handle
            assert caught.value.outcome_unknown is unknown
            transport.fault = lambda entry: None
            assert (await (await producer.send("orders", b""))).offset == 0

    in_virtual_time(work)


async def test_a_flush_waits_for_no_record_that_has_its_outcome(transport: FakeTransport) -> None:
    """One that timed out while the broker was silent is awaited no more, by anybody."""
    transport.holds_acks = True
    async with asyncio.timeout(HANG_S), make(transport, delivery_timeout_ms=200) as producer:
        handle = await producer.send("orders", b"")
        with pytest.raises(DeliveryTimeout):
            await handle
        await producer.flush()


@pytest.mark.parametrize("accepts_old_ids, asked", [(True, 2), (False, 3)])
async def test_lost_producer_state_is_mended_by_an_epoch_or_a_new_id(
    transport: FakeTransport, accepts_old_ids: bool, asked: int
) -> None:
    async with make(transport) as producer:
        await (await producer.send("orders", b"1", partition=0))
        transport.broker.forget_producers("orders", accepts_old_ids=accepts_old_ids)
        assert (await (await producer.send("orders", b"2", partition=0))).offset == 1
        assert (await (await producer.send("orders", b"3", partition=0))).offset == 2
    assert [name for _, name in transport.calls].count("InitProducer") == asked


async def test_close_without_flush_fails_what_is_left(transport: FakeTransport) -> None:
    transport.holds_acks = True
    producer = make(transport, linger_ms=0)
    sent = await producer.send("orders", b"1", partition=0)
    await transport.produced.wait()
    waiting = await producer.send("orders", b"1", partition=1)
    await producer.close(flush=False)
    await producer.close()
    with pytest.raises(ClientClosed) as caught:
        await sent
    assert caught.value.outcome_unknown
    with pytest.raises(ClientClosed):
        await waiting
    with pytest.raises(ClientClosed, match="Producer"):
        await producer.send("orders", b"")


async def test_without_idempotence_there_is_no_identity(transport: FakeTransport) -> None:
    async with make(transport, enable_idempotence=False, acks=1) as producer:
        assert (await (await producer.send("orders", b"1", partition=0))).offset == 0
    assert "InitProducer" not in [name for _, name in transport.calls]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
async def test_compression(transport: FakeTransport, codec: str) -> None:
    async with make(transport, compression_type=codec) as producer:
        await producer.send_many("orders", [b"x" * 1000] * 50, partition=0)
    assert transport.broker.values("orders", 0) == [b"x" * 1000] * 50
