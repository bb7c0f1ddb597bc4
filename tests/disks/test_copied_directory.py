"""A data directory copied while its broker runs: the copy serves a prefix, and all of that."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from harness.steady_producer import SteadyProducer, Values
from logd.model.errors import StoredDataCorrupt
from logd_client import Admin, Consumer, Producer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("door")]

DURABILITIES = ("fsync", "page_cache")


def copy_as_it_is(source: Path, target: Path, backwards: bool) -> None:
    """As `cp -r`, file by file, in either order of names; what vanishes is left out."""
    target.mkdir()
    for path in sorted(source.iterdir(), reverse=backwards):
        if path.is_dir():
            copy_as_it_is(path, target / path.name, backwards)
            continue
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(path, target / path.name)


async def read_prefix(address: str, topic: str) -> Values:
    """All that is served from the start on; what is refused can only be at the end."""
    found: Values = {}
    async with Admin(bootstrap_servers=address) as admin:
        [state] = await admin.describe_partitions(topic)
    async with Consumer(topic, bootstrap_servers=address) as consumer:
        while consumer.position(topic, 0) < state.high_watermark:
            try:
                records = await consumer.poll()
            except StoredDataCorrupt as error:
                assert int(error.details["next_offset"]) == state.high_watermark
                break
            found |= {record.offset: record.value for record in records}
    assert list(found) == list(range(len(found))), "nothing is missing, nothing is doubled"
    return found


@pytest.mark.parametrize("backwards", [False, True])
async def test_a_directory_copied_while_producing(tmp_path: Path, backwards: bool) -> None:
    """Backwards the logs are copied after the recovery points, else before them."""
    (tmp_path / "copy").mkdir()
    with BrokerProcess(tmp_path / "first") as broker:
        async with Admin(bootstrap_servers=broker.address) as admin:
            for topic in DURABILITIES:
                config = {"durability": topic, "segment_bytes": "1MiB"}
                await admin.create_topic(topic, config=config)
        producer = SteadyProducer(broker.address, DURABILITIES)
        writing = [asyncio.create_task(producer.run(topic)) for topic in DURABILITIES]
        for reached in producer.far_enough.values():
            await reached.wait()
        before = {topic: dict(values) for topic, values in producer.acknowledged.items()}
        copy = tmp_path / "copy" / "data"
        await asyncio.to_thread(copy_as_it_is, broker.data_dir, copy, backwards)
        producer.stopping = True
        await asyncio.gather(*writing)
        await check_copy(tmp_path / "copy", before, producer.acknowledged)
        assert broker.stop() == 0


async def check_copy(directory: Path, before: dict[str, Values], sent: dict[str, Values]) -> None:
    with BrokerProcess(directory) as second:
        for topic in DURABILITIES:
            found = await read_prefix(second.address, topic)
            assert before[topic].items() <= found.items(), "acknowledged before the copy began"
            assert found.items() <= sent[topic].items(), "what was sent, where it was sent to"
            async with Producer(bootstrap_servers=second.address) as producer:
                receipt = await (await producer.send(topic, b"goes on"))
            assert receipt.offset is not None and receipt.offset >= len(found)
        assert second.stop() == 0
