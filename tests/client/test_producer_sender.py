"""The shell that sends: streams that break, brokers that are lost."""

import asyncio

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeTransport
from logd.model.errors import BrokerUnreachable
from logd.sim.simulated_clock import SimulatedClock
from logd.sim.virtual_loop import VirtualLoop
from logd_client.producer import Producer
from logd_client.producer_sender import THROTTLE_MS_MAX


@pytest.fixture
def transport() -> FakeTransport:
    broker = FakeBroker()
    broker.create_topic("orders", partitions=3)
    return FakeTransport(broker)


def make(transport: FakeTransport, **settings: object) -> Producer:
    settings = {"retry_backoff_ms": 1, "linger_ms": 0, **settings}
    return Producer(transport=transport, **settings)  # type: ignore[arg-type]


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
            await asyncio.sleep(0.01)
        elif lost_by == "sending":
            transport.streams[0]._broken = BrokerUnreachable("cut, but nobody reads it")
        else:
            transport.streams[0].fail(BrokerUnreachable("cut"))
        assert (await asyncio.wait_for(await producer.send("orders", b"2", partition=0), 5)).offset
    assert ("b:2", "ProduceStream") in transport.calls


@pytest.mark.parametrize(
    "asked_ms, paused_ms", [(5_000, 5_000), (86_400_000, THROTTLE_MS_MAX)], ids=["5 s", "a day"]
)
def test_a_broker_may_ask_for_a_pause_but_not_for_any(asked_ms: int, paused_ms: int) -> None:
    """In virtual time. Beyond the bound a broker in error would keep records until they fail."""
    loop = VirtualLoop()
    broker = FakeBroker()
    broker.create_topic("orders")
    transport = FakeTransport(broker)
    transport.throttle_ms = asked_ms

    async def waited_ms() -> int:
        clock = SimulatedClock(loop)
        async with make(transport, clock=clock) as producer:
            await (await producer.send("orders", b"1"))
            before_ms = clock.monotonic_ms()
            await (await producer.send("orders", b"2"))
            return clock.monotonic_ms() - before_ms

    assert paused_ms <= loop.run_until_complete(waited_ms()) <= paused_ms + 1
    loop.close()
    assert loop.failures == []
