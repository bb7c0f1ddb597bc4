import asyncio
from collections.abc import Iterator

import pytest

from harness.broker_process import BrokerProcess
from logd.cli.bench_calls import (
    CHUNK_RECORDS,
    Tally,
    read_batches,
    read_records,
    send_chunks,
    send_each,
)
from logd_client import Admin, Consumer, Producer

pytestmark = pytest.mark.slow

VALUES = [b"%05d" % number for number in range(CHUNK_RECORDS * 2 + 7)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker")) as process:
        yield process


@pytest.mark.parametrize("send", [send_each, send_chunks])
@pytest.mark.parametrize("read", [read_records, read_batches])
async def test_all_is_sent_once_and_counted_once(broker: BrokerProcess, send, read) -> None:  # type: ignore[no-untyped-def]
    topic = f"{send.__name__}-{read.__name__}"
    async with Admin(bootstrap_servers=broker.address) as admin:
        await admin.create_topic(topic)
    async with Producer(bootstrap_servers=broker.address) as producer:
        await send(producer, topic, VALUES)
    some, rest = Tally(), Tally()
    settings = {"bootstrap_servers": broker.address, "auto_offset_reset": "earliest"}
    async with Consumer(topic, **settings) as consumer:  # type: ignore[arg-type]
        await read(consumer, 1_500, some)
        consumer.seek(topic, 0, 0)
        reading = asyncio.ensure_future(read(consumer, len(VALUES) + 1, rest))
        while consumer.position(topic, 0) < len(VALUES):
            await asyncio.sleep(0)
            assert not reading.done()
        reading.cancel()
        await asyncio.wait([reading])
    assert (some.records, some.size_bytes) == (1_500, 7_500)
    assert (rest.records, rest.size_bytes) == (len(VALUES), 5 * len(VALUES))
    assert bool(rest.waits_s) == (read is read_batches)
