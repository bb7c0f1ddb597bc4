"""The producer against a real broker that is killed under it."""

import asyncio
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd_client.admin import Admin
from logd_client.broker_connection import BrokerConnection
from logd_client.producer import Producer
from logd_client.sync.producer import Producer as SyncProducer
from logd_proto.v1 import common_pb2, data_pb2

RECORDS = 6_000
KEYS = 50


async def read_all(address: str, topic: str, partitions: int) -> list[list[tuple[bytes, bytes]]]:
    """(key, value) of every record, by partition and offset."""
    connection = BrokerConnection(address, client_id="reader")
    logs: list[list[tuple[bytes, bytes]]] = []
    for partition in range(partitions):
        log: list[tuple[bytes, bytes]] = []
        while True:
            request = data_pb2.FetchRequest(
                topic=common_pb2.TopicRef(name=topic),
                positions=[data_pb2.FetchPosition(partition=partition, offset=len(log))],
            )
            answer = await connection.call("DataService/Fetch", request, data_pb2.FetchResponse)
            records = answer.results[0].records if answer.results else []
            if not records:
                break
            assert [r.offset for r in records] == list(range(len(log), len(log) + len(records)))
            log += [(record.key, record.value) for record in records]
        logs.append(log)
    await connection.close()
    return logs


def check_complete(logs: list[list[tuple[bytes, bytes]]]) -> None:
    """Each record once, each key in one partition and in order."""
    by_key: dict[bytes, list[int]] = {}
    for log in logs:
        for key, value in log:
            by_key.setdefault(key, []).append(int(value))
    assert sorted(number for numbers in by_key.values() for number in numbers) == list(
        range(RECORDS)
    )
    for numbers in by_key.values():
        assert numbers == sorted(numbers)


async def make_topic(address: str, durability: str) -> None:
    async with Admin(bootstrap_servers=address) as admin:
        await admin.create_topic("orders", partitions=6, config={"durability": durability})


@pytest.mark.slow
@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("durability", ["fsync", "page_cache"])
async def test_it_goes_on_through_two_kills(tmp_path: Path, durability: str) -> None:
    with BrokerProcess(tmp_path) as broker:
        await make_topic(broker.address, durability)
        killed_in_flight = []
        async with Producer(
            bootstrap_servers=broker.address, batch_size=2048, linger_ms=1
        ) as producer:
            handles = []
            for i in range(RECORDS):
                if i in (RECORDS // 3, RECORDS * 2 // 3):
                    while not producer.in_flight:
                        await asyncio.sleep(0)
                    killed_in_flight.append(producer.in_flight)
                    broker.kill()
                    await asyncio.to_thread(broker.start)
                key = b"key-%d" % (i % KEYS)
                handles.append(await producer.send("orders", b"%d" % i, key))
            receipts = [await handle for handle in handles]
        logs = await read_all(broker.address, "orders", 6)
    assert min(killed_in_flight) > 0
    check_complete(logs)
    for i, receipt in enumerate(receipts):
        if receipt.offset is not None:
            assert logs[receipt.partition][receipt.offset][1] == b"%d" % i


@pytest.mark.slow
@pytest.mark.usefixtures("door")
def test_the_synchronous_one_too(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        asyncio.run(make_topic(broker.address, "page_cache"))
        with SyncProducer(
            bootstrap_servers=broker.address, batch_size=2048, linger_ms=1
        ) as producer:
            handles = []
            for i in range(RECORDS):
                if i == RECORDS // 2:
                    broker.kill()
                    broker.start()
                handles.append(producer.send("orders", b"%d" % i, b"key-%d" % (i % KEYS)))
            assert all(handle.result(30).topic == "orders" for handle in handles)
        logs = asyncio.run(read_all(broker.address, "orders", 6))
    check_complete(logs)
