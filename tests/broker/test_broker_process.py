"""A real broker process: how it stops, what keeps it from starting, and what a pause does."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from harness.broker_process import BrokerProcess, free_port
from logd.model.batch_encoder import encode_batch
from logd.model.seams import TransportStream
from logd.system.grpc_transport import GrpcTransport
from logd_proto.v1 import cluster_pb2, common_pb2, data_pb2, topics_pb2

ORDERS = common_pb2.TopicRef(name="orders")

pytestmark = pytest.mark.slow

HANG_S = 60
"""Longer only where a test fails."""


class Client:
    """A few calls to one broker."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.transport = GrpcTransport("test")

    async def topic(self) -> bytes:
        request = topics_pb2.CreateTopicRequest(name="orders")
        raw = await self.call("TopicService/CreateTopic", request.SerializeToString())
        return topics_pb2.CreateTopicResponse.FromString(raw).topic.topic_id

    async def call(self, method: str, request: bytes, timeout_ms: int = 20_000) -> bytes:
        return await self.transport.unary(self.address, f"/logd.v1.{method}", request, timeout_ms)

    async def produce(self, value: bytes, timeout_ms: int = 0) -> data_pb2.ProduceReceipt:
        record = data_pb2.PlainRecord(value=value)
        request = data_pb2.ProduceRequest(topic=ORDERS, records=[record], timeout_ms=timeout_ms)
        raw = await self.call("DataService/Produce", request.SerializeToString())
        return data_pb2.ProduceResponse.FromString(raw).receipts[0]

    async def values(self) -> list[bytes]:
        position = data_pb2.FetchPosition()
        request = data_pb2.FetchRequest(topic=ORDERS, positions=[position], max_bytes=1 << 24)
        raw = await self.call("DataService/Fetch", request.SerializeToString())
        (result,) = data_pb2.FetchResponse.FromString(raw).results
        return [record.value for record in result.records]

    async def fetch_stream(self, topic_id: bytes, offset: int) -> TransportStream:
        """A stream whose fetch waits for a minute."""
        stream = await self.transport.stream(self.address, "/logd.v1.DataService/FetchStream")
        position = data_pb2.FetchPartition(topic_id=topic_id, offset=offset)
        request = data_pb2.FetchStreamRequest(
            partitions=[position], min_bytes=1, max_wait_ms=60_000
        )
        await stream.send(request.SerializeToString())
        return stream


async def health_after(address: str, broker: BrokerProcess) -> list[int]:
    """What a watch of health sees from SERVING on, while the broker gets a SIGTERM."""
    seen: list[int] = []
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        try:
            async for answer in watch:
                seen.append(answer.status)
                if len(seen) == 1:
                    os.kill(broker.pid, signal.SIGTERM)
        except grpc.aio.AioRpcError:
            pass
    return seen


async def test_a_stop_drains_and_the_next_start_has_nothing_to_recover(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        client = Client(broker.address)
        topic_id = await client.topic()
        for n in range(20):
            assert (await client.produce(b"%d" % n)).replicas_synced == 1
        waiting = await client.fetch_stream(topic_id, 20)
        stream = await client.transport.stream(broker.address, "/logd.v1.DataService/ProduceStream")
        batch = encode_batch([b"20"], timestamps_ms=1)
        entry = data_pb2.ProduceEntry(correlation_id=5, topic_id=topic_id, batch=batch)
        await stream.send(data_pb2.ProduceStreamRequest(entries=[entry]).SerializeToString())
        raw = await stream.receive()
        assert (
            data_pb2.ProduceStreamResponse.FromString(bytes(raw or b"")).acks[0].base_offset == 20
        )
        assert await waiting.receive(), "woken by the new record"
        waiting = await client.fetch_stream(topic_id, 21)
        await asyncio.sleep(0.1)
        watching = asyncio.ensure_future(health_after(broker.address, broker))
        answer = await asyncio.wait_for(waiting.receive(), HANG_S)
        assert not data_pb2.FetchStreamResponse.FromString(bytes(answer or b"")).results
        assert (await asyncio.to_thread(broker.wait_until_dead)) == 0, "within the drain's bound"
        assert await watching == [1, 2], "SERVING, then NOT_SERVING"
        await asyncio.to_thread(broker.start)
        assert await client.values() == [b"%d" % n for n in range(21)]
        assert "recovering" not in broker.stderr()
        await client.produce(b"21")
        broker.kill()
        await asyncio.to_thread(broker.start)
        assert "recovering after an unclean stop" in broker.stderr()
        assert await client.values() == [b"%d" % n for n in range(22)]
        await client.transport.close()
        check_diagnostics(broker)


def check_diagnostics(broker: BrokerProcess) -> None:
    """JSON lines all, none of an error, no traceback."""
    lines = [json.loads(line) for line in broker.stderr().splitlines()]
    assert lines and not [line for line in lines if line["level"] in ("error", "critical")]
    assert "Traceback" not in broker.stderr() and "exception" not in broker.stderr()


def start_in_vain(*arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Exit status and stderr's lines of a broker that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "logd.main", "start", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )
    assert done.stdout == ""
    return done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("{")]


def test_what_keeps_a_broker_from_starting(tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    with BrokerProcess(tmp_path) as broker:
        taken = start_in_vain("--data-dir", other, "--listen", broker.address)
        in_use = start_in_vain("--data-dir", str(broker.data_dir), "--listen", "127.0.0.1:0")
    misspelt = tmp_path / "logd.toml"
    misspelt.write_text("lissen = '127.0.0.1:1'\n")
    bad_file = start_in_vain("--config", str(misspelt))
    bad_flag = start_in_vain("--listen", "nowhere")
    bad_variable = start_in_vain("--data-dir", other, LOGD_LISTN="x")
    for status, (what, where, attempt) in (taken, in_use, bad_file, bad_flag, bad_variable):
        assert status in (2, 5)
        assert what.startswith("error: ") and where.startswith("  where: ")
        assert attempt.startswith("  try: ")
    assert taken[0] == 5 and broker.address in taken[1][0]
    assert in_use[0] == 5 and "DATA_DIRECTORY_LOCKED" in in_use[1][0]
    assert str(broker.pid) in " ".join(in_use[1])
    assert [bad_file[0], bad_flag[0], bad_variable[0]] == [2, 2, 2]
    assert "did you mean 'listen'?" in " ".join(bad_file[1])
    assert "did you mean LOGD_LISTEN?" in " ".join(bad_variable[1])


async def test_a_paused_broker_goes_on_and_so_do_its_clients(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        client = Client(broker.address)
        topic_id = await client.topic()
        await client.produce(b"before")
        waiting = await client.fetch_stream(topic_id, 1)
        await asyncio.sleep(0.1)
        broker.pause()
        producing = asyncio.ensure_future(client.produce(b"during"))
        await asyncio.sleep(2)
        assert not producing.done()
        broker.resume()
        assert (await producing).offset == 1
        answer = data_pb2.FetchStreamResponse.FromString(bytes(await waiting.receive() or b""))
        assert [result.next_offset for result in answer.results] == [2]
        assert await client.values() == [b"before", b"during"]
        await client.transport.close()
        assert re.search(r'"stall_ms": \d{4,}', broker.stderr()), "it says that it stood still"
        assert await asyncio.to_thread(broker.stop) == 0


async def problems(client: Client) -> list[cluster_pb2.HealthProblem]:
    raw = await client.call("ClusterService/GetClusterHealth", b"")
    return list(cluster_pb2.GetClusterHealthResponse.FromString(raw).problems)


async def test_health_tells_while_descriptors_run_short(tmp_path: Path) -> None:
    """The broker starts with a soft limit of 100, and raises it to the hard one."""
    with BrokerProcess(tmp_path) as broker:
        broker.kill()
        limited = 'ulimit -Sn 100; ulimit -Hn 300; exec "$@"'
        broker.command = ["sh", "-c", limited, "sh", *broker.command]
        await asyncio.to_thread(broker.start)
        client = Client(broker.address)
        assert await problems(client) == []
        host, port = broker.address.split(":")
        taken = [socket.create_connection((host, int(port))) for _ in range(240)]
        async with asyncio.timeout(60):
            while not (found := await problems(client)):
                await asyncio.sleep(0.05)
        (problem,) = found
        assert (problem.severity, problem.reason) == ("warning", "FILE_DESCRIPTORS_LOW")
        assert " of 300 file descriptors" in problem.message and "LimitNOFILE" in problem.message
        for connection in taken:
            connection.close()
        async with asyncio.timeout(60):
            while await problems(client):
                await asyncio.sleep(0.05)
        await client.transport.close()
        assert await asyncio.to_thread(broker.stop) == 0


STUCK = """
import sys, time
from dataclasses import replace
from logd.broker.broker_process import run_broker
from logd.broker.config import BrokerConfig
from logd.broker.real_seams import real_seams
from logd.system.thread_offload import ThreadOffload

class StuckOffload(ThreadOffload):
    async def run(self, work):
        return await super().run(lambda: time.sleep(3600))

seams = real_seams()
pools = replace(seams.pools, flush=StuckOffload("flush", 8))
config = BrokerConfig(data_dir=sys.argv[1], listen=sys.argv[2], drain_timeout_ms=300)
sys.exit(run_broker(config, replace(seams, pools=pools), lambda line: print(line, flush=True)))
"""


async def test_a_disk_that_hangs_does_not_keep_a_stop_from_ending(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(tmp_path / "data"), address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None and process.stdout.readline()
        client = Client(address)
        await client.topic()
        receipt = await client.produce(b"a", timeout_ms=50)
        assert receipt.error.reason == "ACK_TIMEOUT"
        await client.transport.close()
        process.terminate()
        _, stderr = await asyncio.to_thread(process.communicate, timeout=HANG_S)
        assert process.returncode == 1 and b"the drain took too long" in stderr
    finally:
        process.kill()
        process.communicate()
