"""A real broker whose process has hardly a descriptor left when many partitions begin at once."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.broker_process import BrokerProcess
from logd_client import Admin, Producer

DESCRIPTORS = 128
IDLE_CONNECTIONS = 60
PARTITIONS = 150


@contextmanager
def idle_connections(broker: BrokerProcess) -> Iterator[None]:
    """Connections that say nothing. All are held by the broker once one more is answered."""
    host, port = broker.address.split(":")
    with ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            stack.enter_context(socket.create_connection((host, int(port))))
        yield


def descriptors(broker: BrokerProcess) -> int:
    return len(os.listdir(f"/proc/{broker.pid}/fd"))


@pytest.mark.slow
async def test_first_records_to_many_partitions_at_once(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path)
    limited = f'ulimit -n {DESCRIPTORS} && exec "$@"'
    broker.command = ["/bin/sh", "-c", limited, "sh", *broker.command]
    with broker:
        async with (
            Admin(bootstrap_servers=broker.address) as admin,
            Producer(bootstrap_servers=broker.address) as producer,
        ):
            await admin.create_topic("orders", PARTITIONS)
            await (await producer.send("orders", b"first", partition=0))
            with idle_connections(broker):
                while descriptors(broker) < IDLE_CONNECTIONS:
                    await asyncio.sleep(0.01)
                sent = [
                    await producer.send("orders", b"x", partition=partition)
                    for partition in range(1, PARTITIONS)
                ]
                offsets = [(await handle).offset for handle in sent]
                health = await admin.cluster_health()
        assert set(offsets) == {0}
        assert "LOG_READ_ONLY" not in {problem.reason for problem in health.problems}
        assert broker.stop() == 0
