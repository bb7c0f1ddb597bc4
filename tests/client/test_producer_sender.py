"""The shell that sends: streams that break, brokers that are lost."""

import asyncio
from collections.abc import Callable

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeTransport
from harness.virtual_time import in_virtual_time
from logd.model.errors import BrokerUnreachable, ClientClosed, LogdError, NotEnoughReplicas
from logd.sim.simulated_clock import SimulatedClock
from logd_client.core.accumulator import Accumulator
from logd_client.producer import Producer
from logd_client.producer_sender import THROTTLE_MS_MAX

DAY_MS = 86_400_000


@pytest.fixture
def transport() -> FakeTransport:
    broker = FakeBroker()
    broker.create_topic("orders", partitions=3)
    return FakeTransport(broker)


def make(transport: FakeTransport, **settings: object) -> Producer:
    settings = {"retry_backoff_ms": 1, "linger_ms": 0, **settings}
    return Producer(transport=transport, **settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_producer_that_waits_says_so_and_goes_on(
    transport: FakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(clock: SimulatedClock) -> None:
        async with make(transport, clock=clock, delivery_timeout_ms=DAY_MS) as producer:
            await (await producer.send("orders", b"v"))
            transport.is_down = True
            transport.break_streams()
            handle = await producer.send("orders", b"w")
            await asyncio.sleep(700)
            told = [line for line in caplog.messages if line.startswith("no_answer_yet for_s=")]
            assert told[0].startswith("no_answer_yet for_s=5 tries=127.0.0.1:9600 error=")
            assert 6 < len(told) < 10
            transport.is_down = False
            returned_ms = clock.monotonic_ms()
            await handle
            assert clock.monotonic_ms() - returned_ms < 1_000

    with caplog.at_level("WARNING", "logd_client"):
        in_virtual_time(work)


async def test_a_cut_connection_loses_and_doubles_nothing(transport: FakeTransport) -> None:
    transport.holds_acks = True
    async with make(transport, batch_size=1024) as producer:
        handles = [await producer.send("orders", b"%d" % i, partition=0) for i in range(200)]
        while not producer.in_flight or not transport.held:
            await asyncio.sleep(0)
        transport.holds_acks = False
        transport.break_streams()
        receipts = [await handle for handle in handles]
    assert transport.broker.values("orders", 0) == [b"%d" % i for i in range(200)]
    assert [r.offset for r in receipts] == list(range(200))
    assert receipts[0].duplicate


async def _fail(*_: object) -> bytes:
    raise ZeroDivisionError("nobody expects it")


def _read_what_is_none(transport: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    transport.streams[0]._answers.put_nowait(b"no response")


def _open_no_stream(transport: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "stream", _fail)
    transport.break_streams()


def _give_no_identity(transport: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "unary", _fail)
    transport.broker.forget_producers("orders")


def _give_no_metadata(transport: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "unary", _fail)
    transport.broker.add_partitions("orders", 4)


def _break_the_clock(transport: FakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accumulator, "overdue", lambda *_: 1 // 0)


@pytest.mark.parametrize(
    "break_it, task",
    [
        (_read_what_is_none, "read answers"),
        (_open_no_stream, "send"),
        (_give_no_identity, "ask for an identity"),
        (_give_no_metadata, "read a topic's metadata"),
        (_break_the_clock, "look at the clock"),
    ],
)
@pytest.mark.ends_background
async def test_the_unexpected_end_of_a_task_fails_all_that_waits_and_every_later_call(
    break_it: Callable[[FakeTransport, pytest.MonkeyPatch], None],
    task: str,
    transport: FakeTransport,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    producer = make(transport, delivery_timeout_ms=60_000)
    await (await producer.send("orders", b"1", partition=0))
    lasts = "clock" in task  # else the batch is taken before the task ends
    transport.holds_acks = lasts
    break_it(transport, monkeypatch)
    pending = await producer.send("orders", b"2", partition=0)
    flushing = asyncio.create_task(producer.flush())
    if lasts:
        await transport.produced.wait()
    with pytest.raises(LogdError, match="the producer failed"):
        await pending
    with pytest.raises(LogdError, match="the producer failed"):
        await flushing
    assert f"ended unexpectedly task=producer: {task}" in caplog.text
    for again in (
        producer.send("orders", b"3", partition=0),
        producer.send_many("orders", [b"3"]),
        producer.flush(),
        producer.close(),
    ):
        with pytest.raises(LogdError, match="the producer failed"):
            await again
    with pytest.raises(ClientClosed):
        producer.send_nowait("orders", b"3")


@pytest.mark.parametrize("waits_as", ["full", "open", "refused"])
def test_an_answer_sends_at_once_what_waited_for_it(waits_as: str) -> None:
    """Behind a batch in flight: a full one, one that is still open, or itself, refused for now."""
    broker = FakeBroker()
    broker.create_topic("orders", partitions=1)
    transport = FakeTransport(broker)
    transport.holds_acks = True

    async def waited_ms(clock: SimulatedClock) -> int:
        settings = {"max_in_flight_requests_per_connection": 1, "batch_size": 2_048}
        async with make(transport, clock=clock, retry_backoff_ms=3, **settings) as producer:
            if waits_as == "refused":
                transport.fault = refuse_once
            handles = [await producer.send("orders", b"1")]
            while not transport.held:
                await asyncio.sleep(0)
            records = {"full": 3, "open": 1, "refused": 0}[waits_as]
            handles += [await producer.send("orders", b"2" * 1_500) for _ in range(records)]
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(transport.held) == 1, "nothing passes the batch in flight"
            begun_ms = clock.monotonic_ms()
            transport.holds_acks = False
            transport.release_acks()
            for handle in handles:
                await handle
            return clock.monotonic_ms() - begun_ms

    def refuse_once(entry: object) -> LogdError | None:
        transport.fault = lambda entry: None
        return NotEnoughReplicas("not for now")

    assert in_virtual_time(waited_ms) <= (4 if waits_as == "refused" else 0)


def test_each_record_lingers_as_long_as_is_set_however_others_come(
    transport: FakeTransport,
) -> None:
    async def work(clock: SimulatedClock) -> list[int]:
        async def took_ms(after_ms: int, partition: int) -> int:
            await asyncio.sleep(after_ms / 1000)
            begun_ms = clock.monotonic_ms()
            await (await producer.send("orders", b"v", partition=partition))
            return clock.monotonic_ms() - begun_ms

        async with make(transport, clock=clock, linger_ms=20) as producer:
            await (await producer.send("orders", b"first"))
            return await asyncio.gather(*(took_ms(100 + 7 * p, p) for p in (0, 1, 2)))

    assert in_virtual_time(work) == [20, 20, 20]


async def test_it_goes_on_by_itself_when_the_broker_is_back(transport: FakeTransport) -> None:
    async with make(transport, bootstrap_servers="a:1,b:2") as producer:
        await (await producer.send("orders", b"1", partition=0))
        transport.is_down = True
        transport.break_streams()
        handle = await producer.send("orders", b"2", partition=0)
        while len({address for address, _ in transport.calls}) < 2:
            await asyncio.sleep(0)
        transport.is_down = False
        assert (await handle).offset == 1


@pytest.mark.parametrize("lost_by", ["reading", "sending", "opening"])
async def test_however_a_broker_is_lost_the_next_one_is_tried(
    transport: FakeTransport, lost_by: str
) -> None:
    """A stream that breaks is noticed by who reads it, who writes to it, or who opens another."""
    async with make(transport, bootstrap_servers="a:1,b:2") as producer:
        await (await producer.send("orders", b"1", partition=0))
        transport.down_addresses = {"a:1"}
        if lost_by == "reading":
            transport.break_streams()
            while producer._sender is not None and producer._sender._stream is not None:
                await asyncio.sleep(0)
        elif lost_by == "sending":
            transport.streams[0]._broken = BrokerUnreachable("cut, but nobody reads it")
        else:
            transport.streams[0].fail(BrokerUnreachable("cut"))
        assert (await asyncio.wait_for(await producer.send("orders", b"2", partition=0), 60)).offset
    assert ("b:2", "ProduceStream") in transport.calls


@pytest.mark.parametrize(
    "asked_ms, paused_ms", [(5_000, 5_000), (86_400_000, THROTTLE_MS_MAX)], ids=["5 s", "a day"]
)
def test_a_broker_may_ask_for_a_pause_but_not_for_any(asked_ms: int, paused_ms: int) -> None:
    """In virtual time. Beyond the bound a broker in error would keep records until they fail."""
    broker = FakeBroker()
    broker.create_topic("orders")
    transport = FakeTransport(broker)
    transport.throttle_ms = asked_ms

    async def waited_ms(clock: SimulatedClock) -> int:
        async with make(transport, clock=clock) as producer:
            await (await producer.send("orders", b"1"))
            before_ms = clock.monotonic_ms()
            await (await producer.send("orders", b"2"))
            return clock.monotonic_ms() - before_ms

    assert paused_ms <= in_virtual_time(waited_ms) <= paused_ms + 1
