"""A client that is used on another event loop than the one it was first used on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from harness.client_calls import ADMIN_CALLS, CONSUMER_WAITS, HANGS_S, flush, handle
from harness.fake_broker import FakeBroker
from harness.fake_fetch_broker import FakeFetchBroker
from harness.fake_transport import FakeTransport
from logd import sync
from logd.model.errors import UsedInAnotherLoop
from logd_client.admin import Admin
from logd_client.consumer import Consumer
from logd_client.producer import Producer


@pytest.fixture
def broker() -> FakeFetchBroker:
    broker = FakeFetchBroker()
    broker.create_topic("t")
    broker.append("t", 0, [b"v"] * 10)
    return broker


OTHER_LOOP_CALLS: dict[str, Callable[[Any], Any]] = {
    **{name: call for name, (_, call) in CONSUMER_WAITS.items()},
    "seek": lambda c: c.seek("t", 0, 0),
    "position": lambda c: c.position("t", 0),
    "pause": lambda c: c.pause("t", 0),
    "resume": lambda c: c.resume("t", 0),
    "close": lambda c: c.close(),
}


@pytest.mark.parametrize("name", OTHER_LOOP_CALLS)
def test_a_consumer_is_refused_in_another_loop(broker: FakeFetchBroker, name: str) -> None:
    consumer = Consumer("t", transport=broker, group_id="g")

    async def other() -> None:
        with pytest.raises(UsedInAnotherLoop, match="was first used in another event loop"):
            async with asyncio.timeout(HANGS_S):
                await OTHER_LOOP_CALLS[name](consumer)

    async def first() -> None:
        await consumer.poll(HANGS_S * 1000)
        await asyncio.to_thread(asyncio.run, other())  # it still runs

    asyncio.run(first())
    asyncio.run(other())


@pytest.mark.parametrize("name", ADMIN_CALLS)
def test_an_admin_is_refused_in_another_loop(broker: FakeFetchBroker, name: str) -> None:
    admin = Admin(transport=broker)
    asyncio.run(admin.fetch_offsets("g"))
    with pytest.raises(UsedInAnotherLoop, match="has ended"):
        asyncio.run(getattr(admin, name)(*ADMIN_CALLS[name]))
    with pytest.raises(UsedInAnotherLoop):
        asyncio.run(admin.close())


async def _send(producer: Producer) -> None:
    await producer.send("orders", b"x")


async def _send_many(producer: Producer) -> None:
    await producer.send_many("orders", [b"x"])


async def _send_nowait(producer: Producer) -> None:
    producer.send_nowait("orders", b"x")


async def _just_close(producer: Producer) -> None:
    await producer.close()


@pytest.mark.parametrize("use", [_send, _send_many, _send_nowait, handle, flush, _just_close])
def test_a_producer_is_refused_in_another_loop(use: Callable[[Producer], Awaitable[None]]) -> None:
    transport = FakeTransport(FakeBroker())
    transport.broker.create_topic("orders", partitions=1)
    producer = Producer(transport=transport)

    async def other() -> None:
        with pytest.raises(UsedInAnotherLoop):
            async with asyncio.timeout(HANGS_S):
                await use(producer)

    async def first() -> None:
        await handle(producer)
        await asyncio.to_thread(asyncio.run, other())

    asyncio.run(first())
    asyncio.run(other())


def test_a_record_for_an_open_batch_of_another_loop_is_refused() -> None:
    """By send(), or, as the fastest way into a batch looks at nothing, when it is awaited."""
    transport = FakeTransport(FakeBroker())
    transport.broker.create_topic("orders", partitions=1)
    producer = Producer(transport=transport)

    async def send() -> None:
        await producer.send("orders", b"x")
        await producer.send("orders", b"x")

    async def other() -> None:
        with pytest.raises(UsedInAnotherLoop):
            async with asyncio.timeout(HANGS_S):
                await (await producer.send("orders", b"x"))

    asyncio.run(send())
    asyncio.run(other())


def test_a_client_that_was_only_made_elsewhere_may_be_used(broker: FakeFetchBroker) -> None:
    async def make() -> tuple[Consumer, Admin]:
        consumer = Consumer("t", transport=broker)
        return consumer, Admin(transport=broker)

    async def use(consumer: Consumer, admin: Admin) -> None:
        async with consumer, admin:
            assert await consumer.poll(HANGS_S * 1000) and await admin.fetch_offsets("g") == []

    clients = asyncio.run(make())
    asyncio.run(use(*clients))


async def test_the_synchronous_faces_may_be_used_from_any_loop(broker: FakeFetchBroker) -> None:
    with sync.Admin(transport=broker) as admin:
        assert admin.fetch_offsets("g") == []

        async def elsewhere() -> None:
            assert admin.fetch_offsets("g") == []

        await asyncio.to_thread(asyncio.run, elsewhere())
