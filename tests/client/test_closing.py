"""What waits in a client while another task, or another thread, closes it.

The asynchronous faces run in virtual time: a wait that goes on is seen as time that passes.
"""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from harness.client_calls import (
    ADMIN_CALLS,
    CONSUMER_WAITS,
    HANGS_S,
    SilentBroker,
    flush,
    full_buffer,
    handle,
    handles,
)
from harness.fake_broker import FakeBroker
from harness.fake_fetch_broker import FakeFetchBroker
from harness.fake_transport import FakeTransport
from logd import sync
from logd.model.errors import BrokerUnreachable, ClientClosed, CoordinatorLoading, LogdError
from logd.model.seams import TransportStream
from logd.sim.seeded_random import SeededRandom
from logd.sim.simulated_clock import SimulatedClock
from logd.sim.virtual_loop import VirtualLoop
from logd_client.admin import Admin
from logd_client.consumer import Consumer
from logd_client.group_commits import LAST_COMMIT_UNREACHABLE_MS
from logd_client.producer import Producer

TURNS = 50
"""Of the loop: enough for any call here to come to where it waits."""


def test_the_table_has_every_call_of_the_admin() -> None:
    calls = {n for n, f in inspect.getmembers(Admin, inspect.iscoroutinefunction) if n[0] != "_"}
    assert calls - {"close"} == set(ADMIN_CALLS)


def in_virtual_time(work: Callable[[VirtualLoop], Awaitable[None]]) -> None:
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:

        async def main() -> None:
            await work(loop)

        runner.run(main())
    assert not loop.failures


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def ends_when_closed(
    loop: VirtualLoop, waiting: Awaitable[object], close: Callable[[], Awaitable[None]]
) -> None:
    task = asyncio.ensure_future(waiting)
    await turns()
    assert not task.done(), "it does not wait"
    before_s = loop.time()
    await close()
    with pytest.raises(ClientClosed):
        async with asyncio.timeout(HANGS_S):
            await task
    assert loop.time() == before_s


def new_consumer(loop: VirtualLoop, broker: FakeFetchBroker) -> Consumer:
    return Consumer(
        "t",
        group_id="g",
        transport=broker,
        clock=SimulatedClock(loop),
        random=SeededRandom(),
    )


@pytest.mark.parametrize("name", CONSUMER_WAITS)
def test_a_wait_in_a_consumer_ends_when_it_is_closed(name: str) -> None:
    silent, call = CONSUMER_WAITS[name]

    async def work(loop: VirtualLoop) -> None:
        broker = SilentBroker()
        consumer = new_consumer(loop, broker)
        if name not in ("start", "start in the group", "start at the log's end"):
            await consumer.start()
        broker.silent = {silent}

        async def close() -> None:
            broker.silent.clear()
            await consumer.close()

        await ends_when_closed(loop, call(consumer), close)

    in_virtual_time(work)


class FaultyBroker(FakeFetchBroker):
    """Its streams of records raise what no transport raises on purpose."""

    async def stream(self, address: str, method: str) -> TransportStream:
        if method.endswith("FetchStream"):
            raise ZeroDivisionError("a fault of the program")
        return await super().stream(address, method)


@pytest.mark.ends_background
async def test_a_fault_that_ends_its_reading_is_told_by_every_later_call() -> None:
    broker = FaultyBroker()
    broker.create_topic("t")
    consumer = Consumer("t", transport=broker, group_id="g")
    for _ in range(2):
        with pytest.raises(LogdError, match="has failed: ZeroDivisionError") as raised:
            await consumer.poll(HANGS_S * 1000)
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
    for call in (consumer.next_batch, consumer.start, consumer.commit):
        with pytest.raises(LogdError, match="has failed"):
            await call()
    with pytest.raises(LogdError, match="has failed"):
        consumer.seek("t", 0, 0)
    await consumer.close()
    assert broker.group("g").messages[-1].leaving
    with pytest.raises(ClientClosed):
        await consumer.poll(0)


def test_leaving_where_no_broker_can_be_reached_takes_a_short_last_commit() -> None:
    async def work(loop: VirtualLoop) -> None:
        broker = SilentBroker()
        broker.append("t", 0, [b"v"])
        consumer = new_consumer(loop, broker)
        assert await consumer.poll(HANGS_S * 1000)
        broker.down = True
        broker.break_streams()
        before_s = loop.time()
        with pytest.raises(BrokerUnreachable, match="gave up on leaving the group after 1000 ms"):
            await consumer.close()
        assert loop.time() - before_s <= LAST_COMMIT_UNREACHABLE_MS / 1000
        await consumer.close()

    in_virtual_time(work)


def test_leaving_waits_for_a_broker_that_answers_not_yet() -> None:
    async def work(loop: VirtualLoop) -> None:
        broker = SilentBroker()
        broker.append("t", 0, [b"v"])
        consumer = new_consumer(loop, broker)
        assert await consumer.poll(HANGS_S * 1000)
        broker.coordinator.refuses = CoordinatorLoading("not yet")
        for session in broker.coordinator.streams:
            session.fail(CoordinatorLoading("not yet"))
        loop.call_later(3, setattr, broker.coordinator, "refuses", None)
        before_s = loop.time()
        await consumer.close()
        assert loop.time() - before_s > LAST_COMMIT_UNREACHABLE_MS / 1000
        assert broker.group("g").offsets[broker.topic_id("t"), 0] == 1

    in_virtual_time(work)


@pytest.mark.parametrize("name", ADMIN_CALLS)
def test_a_wait_in_an_admin_ends_when_it_is_closed(name: str) -> None:
    async def work(loop: VirtualLoop) -> None:
        admin = Admin(transport=SilentBroker("*"), clock=SimulatedClock(loop))
        await ends_when_closed(loop, getattr(admin, name)(*ADMIN_CALLS[name]), admin.close)

    in_virtual_time(work)


@pytest.mark.parametrize("waits", [full_buffer, handle, handles, flush])
def test_a_wait_in_a_producer_ends_when_it_is_closed(
    waits: Callable[[Producer], Awaitable[None]],
) -> None:
    async def work(loop: VirtualLoop) -> None:
        transport = FakeTransport(FakeBroker())
        transport.broker.create_topic("orders", partitions=1)
        transport.holds_acks = True
        producer = Producer(
            transport=transport,
            clock=SimulatedClock(loop),
            random=SeededRandom(),
            batch_size=1024,
            buffer_memory=2048,
        )

        async def close() -> None:
            await producer.close(flush=False)

        await ends_when_closed(loop, waits(producer), close)

    in_virtual_time(work)


def test_a_producer_that_asks_for_a_topic_ends_when_it_is_closed() -> None:
    async def work(loop: VirtualLoop) -> None:
        producer = Producer(transport=SilentBroker("*"), clock=SimulatedClock(loop))
        await ends_when_closed(loop, producer.send("orders", b""), producer.close)

    in_virtual_time(work)


SYNC_WAITS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "for": ("", lambda c: next(iter(c))),
    "batches": ("", lambda c: next(c.batches())),
    "poll": ("", lambda c: c.poll(1 << 40)),
    "start": ("DescribeTopic", lambda c: c.start()),
    "commit": ("CommitOffsets", lambda c: c.commit()),
    "describe_topic": ("DescribeTopic", lambda a: a.describe_topic("t")),
}


@pytest.mark.parametrize("name", SYNC_WAITS)
def test_a_thread_that_waits_in_a_client_is_told_when_another_closes_it(name: str) -> None:
    silent, call = SYNC_WAITS[name]
    broker = SilentBroker(silent)
    client: Any = sync.Admin(transport=broker)
    if name != "describe_topic":
        client.close()
        client = sync.Consumer("t", transport=broker, group_id="g")
    told = waiting_in_a_thread(lambda: call(client))
    assert broker.asked.wait(HANGS_S)
    broker.silent.clear()
    client.close()
    assert told() is ClientClosed


def waiting_in_a_thread(call: Callable[[], object]) -> Callable[[], type[BaseException]]:
    """Calls it there; gives what waits for the error that it ends with."""
    told: list[BaseException] = []

    def wait() -> None:
        try:
            call()
        except BaseException as error:
            told.append(error)

    thread = threading.Thread(target=wait)
    thread.start()

    def ended() -> type[BaseException]:
        thread.join(HANGS_S)
        (error,) = told
        return type(error)

    return ended


def _fill(producer: sync.Producer) -> None:
    while True:
        producer.send("orders", b"x" * 900, partition=0)


def _send_and_flush(producer: sync.Producer) -> None:
    producer.send("orders", b"x")
    producer.flush()


SYNC_PRODUCER_WAITS: dict[str, Callable[[sync.Producer], object]] = {
    "full buffer": _fill,
    "handle": lambda p: p.send("orders", b"x").result(),
    "handles": lambda p: p.send_many("orders", [b"x"] * 3).result(),
    "flush": _send_and_flush,
}


@pytest.mark.parametrize("name", SYNC_PRODUCER_WAITS)
def test_a_thread_that_waits_in_a_producer_is_told_when_another_closes_it(name: str) -> None:
    transport = FakeTransport(FakeBroker())
    transport.broker.create_topic("orders", partitions=1)
    transport.holds_acks = True
    producer = sync.Producer(transport=transport, batch_size=1024, buffer_memory=2048, linger_ms=0)
    told = waiting_in_a_thread(lambda: SYNC_PRODUCER_WAITS[name](producer))
    while not transport.held:
        time.sleep(0.001)
    producer.close(flush=False)
    assert told() is ClientClosed
