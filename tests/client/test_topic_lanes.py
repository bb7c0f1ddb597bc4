"""Open columns, through a producer: what is appended to them without a look comes out as sent."""

import asyncio
import sys

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeProduceStream, FakeTransport
from logd.model import binary_columns
from logd.model.errors import BufferFull
from logd_client.producer import Producer


@pytest.fixture
def broker() -> FakeBroker:
    broker = FakeBroker()
    broker.create_topic("one", partitions=1)
    return broker


@pytest.fixture
def transport(broker: FakeBroker) -> FakeTransport:
    return FakeTransport(broker)


@pytest.mark.parametrize("nulls", [[3], [40, 41, 300]])
async def test_columns_take_values_of_any_length_and_null_in_order(
    broker: FakeBroker,
    transport: FakeTransport,
    nulls: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """send() and send_nowait() by turns, so that columns open, fill up and end in all ways."""
    monkeypatch.setattr(binary_columns, "arrow_pack_min", sys.maxsize)
    values: list[bytes | None] = [b"x" * (n * n % 97) for n in range(600)]
    for number in nulls:
        values[number] = None
    values[500] = b"long" * 4_000
    async with Producer(transport=transport, linger_ms=0, batch_size=20_000) as producer:
        handles = []
        for number, value in enumerate(values):
            if number % 3:
                handles.append(await producer.send("one", value))
                continue
            try:
                producer.send_nowait("one", value)
            except BufferFull:
                await producer.send("one", value)
        receipts = [await handle for handle in handles]
        await producer.flush()
        assert producer.buffered_bytes == 0
    assert broker.values("one", 0) == values
    assert [r.offset for r in receipts] == [n for n in range(600) if n % 3]


async def test_while_the_broker_takes_nothing_a_full_batch_refuses_once(
    broker: FakeBroker, transport: FakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, send = asyncio.Event(), FakeProduceStream.send

    async def gated(stream: FakeProduceStream, message: bytes) -> None:
        await gate.wait()
        await send(stream, message)

    monkeypatch.setattr(FakeProduceStream, "send", gated)
    refused, batch_size, value = 0, 4_000, b"v" * 84
    async with Producer(transport=transport, linger_ms=0, batch_size=batch_size) as producer:
        await producer.send("one", value)
        for _ in range(2_000):
            try:
                producer.send_nowait("one", value)
            except BufferFull:
                refused += 1
                await producer.send("one", value)
        gate.set()
    assert 0 < refused <= 2_000 * 100 // batch_size + 2
    assert len(broker.values("one", 0)) == 2_001
