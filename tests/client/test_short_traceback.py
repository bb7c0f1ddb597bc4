"""What a program that is wrong shows: its own line, and few of ours."""

import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import logd_client
from harness.fake_broker import FakeBroker
from harness.fake_fetch_broker import FakeFetchBroker
from harness.fake_transport import FakeTransport
from logd import sync
from logd.model.errors import LogdError, StorageFull
from logd_client.admin import Admin
from logd_client.consumer import Consumer
from logd_client.producer import Producer

OURS = str(Path(logd_client.__file__).parent)
FRAMES_MAX = 4


def check(error: LogdError) -> None:
    """Behind the frames of this file there are few, and only of the SDK."""
    frames = traceback.extract_tb(error.__traceback__)
    behind = [f for f in frames if f.filename != __file__]
    assert len(behind) <= FRAMES_MAX, behind
    assert frames[-len(behind) :] == behind and behind[-1].filename.startswith(OURS), frames
    shown = "".join(traceback.format_exception(error))
    assert "During handling" not in shown


def producing() -> FakeTransport:
    broker = FakeBroker()
    broker.create_topic("small", message_bytes_max="2048")
    return FakeTransport(broker)


PRODUCER: dict[str, Callable[[Any], Any]] = {
    "send to no topic": lambda p: p.send("nothing", b""),
    "send many to no topic": lambda p: p.send_many("nothing", [b""]),
    "send to no partition": lambda p: p.send("small", b"", partition=7),
    "send too much": lambda p: p.send("small", b"x" * 2_048),
    "send many too large": lambda p: p.send_many("small", [b"x" * 2_048]),
}
CONSUMER: dict[str, Callable[[Any], Any]] = {
    "start": lambda c: c.start(),
    "poll": lambda c: c.poll(),
    "next batch": lambda c: c.next_batch(),
    "next": lambda c: anext(aiter(c)),
    "lag": lambda c: c.lag("nothing", 0),
    "commit": lambda c: c.commit(),
}
SYNC_CONSUMER: dict[str, Callable[[Any], Any]] = {
    **{name: call for name, call in CONSUMER.items() if not name.startswith("next")},
    "next": lambda c: next(iter(c)),
    "batches": lambda c: next(c.batches()),
}


async def failure(work: Callable[[], Awaitable[object]]) -> LogdError:
    with pytest.raises(LogdError) as caught:
        await work()
    return caught.value


@pytest.mark.parametrize("call", PRODUCER)
async def test_of_a_producer(call: str) -> None:
    async with Producer(transport=producing()) as producer:
        check(await failure(lambda: PRODUCER[call](producer)))
    with (
        sync.Producer(transport=producing()) as blocking,
        pytest.raises(LogdError) as caught,
    ):
        PRODUCER[call](blocking)
    check(caught.value)


async def test_of_a_record_that_is_refused() -> None:
    transport = producing()
    transport.fault = lambda _: StorageFull("full")
    producer = Producer(transport=transport, linger_ms=0, delivery_timeout_ms=50)
    handle = await producer.send("small", b"")
    for _ in range(3):
        check(await failure(lambda: _await(handle)))
    await producer.send("small", b"")
    check(await failure(producer.flush))
    await producer.close()


async def _await(handle: Awaitable[object]) -> None:
    await handle


@pytest.mark.parametrize("call", CONSUMER)
async def test_of_a_consumer(call: str) -> None:
    consumer = Consumer("nothing", transport=FakeFetchBroker())
    for _ in range(3):
        check(await failure(lambda: CONSUMER[call](consumer)))
    await consumer.close()
    with pytest.raises(LogdError) as caught:
        async with consumer:
            pass
    check(caught.value)


@pytest.mark.parametrize("call", SYNC_CONSUMER)
def test_of_a_blocking_consumer(call: str) -> None:
    consumer = sync.Consumer("nothing", transport=FakeFetchBroker())
    for _ in range(3):
        with pytest.raises(LogdError) as caught:
            SYNC_CONSUMER[call](consumer)
        check(caught.value)
    consumer.close()


async def test_of_an_admin() -> None:
    async with Admin(transport=producing()) as admin:
        check(await failure(lambda: admin.describe_topic("nothing")))
    with (
        sync.Admin(transport=producing()) as blocking,
        pytest.raises(LogdError) as caught,
    ):
        blocking.describe_topic("nothing")
    check(caught.value)
