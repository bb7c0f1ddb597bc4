"""The Flight door: the SDK takes it, foreign exchanges are refused, hostile ones answered."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as flight
import pytest
from structlog.testing import capture_logs

from harness.flight_bench import ECHO, JOIN_S, flight_bench, join_flight_threads
from logd import Admin, Consumer, Producer
from logd.flight import flight_exchange
from logd.flight.flight_exchange import MESSAGE_BYTES_MAX, SCHEMA, FlightExchange
from logd.model.errors import LogdError
from logd_client.flight_transport import THREADS
from logd_proto.v1 import common_pb2, data_pb2

pytestmark = pytest.mark.slow


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "logd.main",
            "start",
            "--data-dir",
            str(tmp_path / "data"),
            "--listen",
            "127.0.0.1:0",
            "--flight-listen",
            "auto",
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    yield process.stdout.readline().decode().split()[-1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


async def test_records_go_in_and_out_through_exchanges(broker: str) -> None:
    values = [os.urandom(1000) for _ in range(2000)]
    async with Admin(bootstrap_servers=broker) as admin:
        await admin.create_topic("orders", 2)
    async with Producer(bootstrap_servers=broker) as producer:
        await (await producer.send("orders", values[0]))
        sender = producer._sender
        assert sender is not None and isinstance(sender._stream, FlightExchange)
        await producer.send_many("orders", values[1:])
        await producer.flush()
    seen = []
    async with asyncio.timeout(20), Consumer("orders", bootstrap_servers=broker) as consumer:
        async for record in consumer:
            seen.append(record.value)
            if len(seen) == len(values):
                break
    assert sorted(seen, key=str) == sorted(values, key=str)


async def test_an_unknown_exchange_is_refused_with_its_reason(broker: str) -> None:
    async with Admin(bootstrap_servers=broker) as admin:
        (info,) = (await admin.cluster_info()).brokers
    with flight.connect(f"grpc://{info.flight_address}") as client:
        _, reader = client.do_exchange(flight.FlightDescriptor.for_command(b"/no/such"))
        with pytest.raises(flight.FlightServerError) as refused:
            await asyncio.to_thread(reader.read_chunk)
    assert b"UNSUPPORTED_VERSION" in refused.value.extra_info


async def test_a_client_of_another_cluster_is_refused(broker: str) -> None:
    async with Admin(bootstrap_servers=broker) as admin:
        (info,) = (await admin.cluster_info()).brokers
    options = flight.FlightCallOptions(headers=[(b"logd-cluster-id", b"another")])
    method = b"/logd.v1.DataService/ProduceStream"
    with flight.connect(f"grpc://{info.flight_address}") as client:
        _, reader = client.do_exchange(flight.FlightDescriptor.for_command(method), options)
        with pytest.raises(flight.FlightServerError, match="not another"):
            await asyncio.to_thread(reader.read_chunk)


PRODUCE, FETCH = "/logd.v1.DataService/ProduceStream", "/logd.v1.DataService/FetchStream"
PATIENCE = flight.FlightCallOptions(timeout=20)
OTHER = pa.RecordBatch.from_pydict({"number": [1, 2]})


def row(message: bytes | None) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([message], pa.binary())], schema=SCHEMA)


def answer_to(address: str, method: str, batch: pa.RecordBatch | None) -> str:
    """The reason that a foreign client is told; None sends a chunk without data."""
    command = flight.FlightDescriptor.for_command(method.encode())
    with flight.connect(f"grpc://{address}") as client:
        writer, reader = client.do_exchange(command, PATIENCE)
        with writer:
            writer.begin(SCHEMA if batch is None else batch.schema)
            if batch is None:
                writer.write_metadata(pa.py_buffer(b"nonsense"))
            else:
                writer.write_batch(batch)
            chunk = reader.read_chunk()
    assert chunk.data is None
    return str(common_pb2.Error.FromString(chunk.app_metadata.to_pybytes()).reason)


async def flight_address_of(broker: str) -> str:
    async with Admin(bootstrap_servers=broker) as admin:
        (info,) = (await admin.cluster_info()).brokers
    return info.flight_address


async def check_alive(broker: str, topic: str) -> None:
    async with asyncio.timeout(20), Producer(bootstrap_servers=broker) as producer:
        receipt = await (await producer.send(topic, b"still served"))
        assert receipt.offset is not None
        assert isinstance(producer._sender and producer._sender._stream, FlightExchange)


@pytest.mark.parametrize("method", [PRODUCE, FETCH])
async def test_hostile_clients_are_told_why_and_others_go_on(broker: str, method: str) -> None:
    async with Admin(bootstrap_servers=broker) as admin:
        await admin.create_topic("orders")
    address = await flight_address_of(broker)
    garbage = "CORRUPT_BATCH" if method == PRODUCE else "INVALID_CONFIG"
    for batch, reason in [
        (row(b"\xff" * 100), garbage),
        (row(bytes(MESSAGE_BYTES_MAX + 1)), "CORRUPT_BATCH"),
        (row(None), "CORRUPT_BATCH"),
        (OTHER, "CORRUPT_BATCH"),
        (None, "CORRUPT_BATCH"),
    ]:
        assert await asyncio.to_thread(answer_to, address, method, batch) == reason
    await check_alive(broker, "orders")


async def test_a_client_that_never_reads_holds_nobody(broker: str) -> None:
    """Nor the broker's end: the fixture sees that."""
    async with Admin(bootstrap_servers=broker) as admin:
        topic = await admin.create_topic("orders")
    async with Producer(bootstrap_servers=broker) as producer:
        await producer.send_many("orders", [bytes(100_000)] * 300)
    request = data_pb2.FetchStreamRequest(
        partitions=[data_pb2.FetchPartition(topic_id=topic.topic_id)], max_bytes=64 << 20
    )
    command = flight.FlightDescriptor.for_command(FETCH.encode())
    client = flight.connect(f"grpc://{await flight_address_of(broker)}")
    writer, _ = client.do_exchange(command, PATIENCE)
    writer.begin(SCHEMA)
    for _ in range(8):
        writer.write_batch(row(request.SerializeToString()))
    await check_alive(broker, "orders")
    async with asyncio.timeout(20), Consumer("orders", bootstrap_servers=broker) as consumer:
        read = 0
        while read <= 300:
            read += len(await consumer.poll())


async def test_a_chunk_that_is_refused_before_its_handler_began() -> None:
    async with flight_bench() as bench:
        for _ in range(50):
            reason = await asyncio.to_thread(answer_to, bench.address, ECHO, OTHER)
            assert reason == "CORRUPT_BATCH"


@pytest.mark.parametrize("fails", ["_message_of", "_row_of"])
async def test_a_fault_in_a_thread_is_told_and_logged(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    work = getattr(flight_exchange, fails)
    fault = ValueError("a fault of ours")

    def fail_at_the_door(message: object) -> object:
        if threading.current_thread().name.startswith(THREADS):
            return work(message)
        raise fault

    monkeypatch.setattr(flight_exchange, fails, fail_at_the_door)
    with capture_logs() as logs:
        async with flight_bench() as bench, asyncio.timeout(JOIN_S):
            exchange = await bench.open(ECHO)
            await exchange.send(b"message")
            with pytest.raises(LogdError, match="a fault of ours"):
                await exchange.receive()
            await exchange.close()
            await bench.idle()
            await asyncio.to_thread(join_flight_threads)
    assert [log["exc_info"] for log in logs] == [fault]
