"""The Flight door of a real broker process: the SDK takes it, and foreign exchanges are refused."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.flight as flight
import pytest

from logd import Admin, Consumer, Producer
from logd.flight.flight_exchange import FlightExchange

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
    async with Admin(broker) as admin:
        await admin.create_topic("orders", 2)
    async with Producer(broker) as producer:
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
    async with Admin(broker) as admin:
        (info,) = (await admin.cluster_info()).brokers
    with flight.connect(f"grpc://{info.flight_address}") as client:
        _, reader = client.do_exchange(flight.FlightDescriptor.for_command(b"/no/such"))
        with pytest.raises(flight.FlightUnavailableError) as refused:
            await asyncio.to_thread(reader.read_chunk)
    assert b"UNSUPPORTED_VERSION" in refused.value.extra_info


async def test_a_client_of_another_cluster_is_refused(broker: str) -> None:
    async with Admin(broker) as admin:
        (info,) = (await admin.cluster_info()).brokers
    options = flight.FlightCallOptions(headers=[(b"logd-cluster-id", b"another")])
    method = b"/logd.v1.DataService/ProduceStream"
    with flight.connect(f"grpc://{info.flight_address}") as client:
        _, reader = client.do_exchange(flight.FlightDescriptor.for_command(method), options)
        with pytest.raises(flight.FlightUnavailableError, match="not another"):
            await asyncio.to_thread(reader.read_chunk)
