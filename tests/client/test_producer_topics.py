"""Topics as a producer knows them: asked for once, again when they change."""

import pytest

from harness.fake_broker import FakeBroker
from harness.fake_transport import FakeTransport
from logd.model.errors import (
    BrokerUnreachable,
    BufferFull,
    RecordTooLarge,
    UnknownTopic,
)
from logd.model.key_ranges import KeyRouter
from logd_client.producer import Producer


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


async def test_a_topics_metadata_is_awaited_for_max_block_ms(transport: FakeTransport) -> None:
    async with make(transport, max_block_ms=20, request_timeout_ms=60_000) as producer:
        transport.is_down = True
        with pytest.raises(BrokerUnreachable, match="DescribeTopic after 20 ms"):
            await producer.send("orders", b"v")


async def test_new_partitions_take_their_keys_and_lose_nothing(transport: FakeTransport) -> None:
    keys = [b"key-%d" % i for i in range(50)]
    async with make(transport, batch_size=2048, linger_ms=1) as producer:
        handles = [await producer.send("orders", b"%d" % i, keys[i % 50]) for i in range(500)]
        transport.broker.add_partitions("orders", 5)
        handles += [
            await producer.send("orders", b"%d" % i, keys[i % 50]) for i in range(500, 1000)
        ]
        receipts = [await handle for handle in handles]
        late = await (await producer.send("orders", b"last", keys[0]))
    topic = transport.broker.topics["orders"]
    assert late.partition == KeyRouter(topic.ranges).partition_of(keys[0])
    for i, receipt in enumerate(receipts):
        assert receipt.offset is not None
        record = topic.partitions[receipt.partition].records[receipt.offset]
        assert record[:2] == (keys[i % 50], b"%d" % i)
    assert sum(len(p.records) for p in topic.partitions) == 1001
    assert topic.partitions[3].records and topic.partitions[4].records


async def test_a_topic_made_anew_gets_the_records(transport: FakeTransport) -> None:
    async with make(transport) as producer:
        await (await producer.send("orders", b"1", partition=0))
        del transport.broker.topics["orders"]
        transport.broker.create_topic("orders", partitions=1)
        assert (await (await producer.send("orders", b"2"))).offset == 0
        producer._sender.session.tick(0)  # type: ignore[union-attr]
        del transport.broker.topics["orders"]
        handle = await producer.send("orders", b"3")
        with pytest.raises(UnknownTopic):
            await handle
        with pytest.raises(UnknownTopic):
            await producer.send("orders", b"4")


@pytest.mark.parametrize("call", ["send", "send_many", "send_many with keys"])
async def test_before_a_record_is_refused_as_too_large_the_topic_is_asked_again(
    transport: FakeTransport, call: str
) -> None:
    large, config = b"x" * 3000, transport.broker.topics["orders"].config
    config["message_bytes_max"] = "2048"
    async with make(transport) as producer:
        with pytest.raises(RecordTooLarge):
            await producer.send("orders", large)
        config["message_bytes_max"] = "8192"
        with pytest.raises(BufferFull, match="send"):
            producer.send_nowait("orders", large)
        if call == "send":
            await (await producer.send("orders", large, partition=0))
        else:
            keys = [b"k"] * 3 if "keys" in call else None
            await (await producer.send_many("orders", [b"1", large, b"2"], keys, partition=0))
        producer.send_nowait("orders", large)
    assert large in transport.broker.values("orders", 0)
