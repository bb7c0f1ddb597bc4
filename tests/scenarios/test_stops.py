"""SIGTERM in every phase of a broker's life: it ends, within its bound, whatever holds it up.

No row waits for a time: bounds that must not pass are an hour, those that must are short.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from harness.broker_process import free_port
from harness.raw_call import RawCaller
from logd.model.errors import LogdError
from logd.system.grpc_transport import GrpcTransport
from logd_proto.v1 import common_pb2, data_pb2, topics_pb2

pytestmark = pytest.mark.slow

AN_HOUR_MS = 3_600_000
SHORT_MS = 300
WAITING_FETCHES = 300
FAILED_S = 60

PROGRAM = """
import ctypes, sys, time
from dataclasses import replace
from logd.broker.broker_process import run_broker
from logd.broker.config import BrokerConfig
from logd.broker.real_seams import real_seams
from logd.system.thread_offload import ThreadOffload

pool, held_by, data_dir, listen, flight_listen, bound_ms = sys.argv[1:]

def hold():
    print("held", flush=True)
    if held_by == "interpreter":
        ctypes.PyDLL(None).sleep(3600)
    time.sleep(3600)

class Held(ThreadOffload):
    served = False
    async def run(self, work):
        if pool == "maintenance" and held_by == "interpreter" and not Held.served:
            return await super().run(work)
        if held_by == "thread":
            return await super().run(hold)
        hold()

def announce(line):
    Held.served = True
    print(line, flush=True)

seams = real_seams()
pools = replace(seams.pools, **({pool: Held(pool, 8)} if pool != "none" else {}))
config = BrokerConfig(
    data_dir=data_dir, listen=listen, flight_listen=flight_listen, drain_timeout_ms=int(bound_ms)
)
sys.exit(run_broker(config, replace(seams, pools=pools), announce))
"""


class Stopped:
    """A broker in a process, one pool of which may hold up its threads, its loop or its interpreter
    for an hour at what it is given to do."""

    def __init__(
        self, directory: Path, bound_ms: int, pool: str = "none", held_by: str = "thread"
    ) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.flight = f"127.0.0.1:{free_port()}"
        self.transport = GrpcTransport("test")
        self.kept: list[socket.socket | RawCaller] = []
        command = [sys.executable, "-c", PROGRAM, pool, held_by, str(directory / "data")]
        self.process = subprocess.Popen(
            [*command, self.address, self.flight, str(bound_ms)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def says(self, word: bytes) -> None:
        """Its next line on stdout."""
        assert self.process.stdout is not None
        assert word in await asyncio.to_thread(self.process.stdout.readline)

    async def draining(self) -> None:
        """It has begun to drain."""
        assert self.process.stderr is not None
        while b'"draining"' not in (line := await asyncio.to_thread(self.process.stderr.readline)):
            assert line, "it has ended"

    async def call(self, method: str, request: bytes, timeout_ms: int = 20_000) -> bytes:
        return await self.transport.unary(self.address, f"/logd.v1.{method}", request, timeout_ms)

    async def topic(self) -> bytes:
        request = topics_pb2.CreateTopicRequest(name="orders").SerializeToString()
        raw = await self.call("TopicService/CreateTopic", request)
        return topics_pb2.CreateTopicResponse.FromString(raw).topic.topic_id

    async def produce(self) -> None:
        record = data_pb2.PlainRecord(value=b"v")
        topic = common_pb2.TopicRef(name="orders")
        request = data_pb2.ProduceRequest(topic=topic, records=[record], timeout_ms=50)
        await self.call("DataService/Produce", request.SerializeToString())

    async def ends(self) -> tuple[int, bytes]:
        """Its status, and what it said from now on."""
        _, stderr = await asyncio.to_thread(self.process.communicate, timeout=FAILED_S)
        return self.process.returncode, stderr


@contextlib.asynccontextmanager
async def broker(
    directory: Path, bound_ms: int, pool: str = "none", held_by: str = "thread"
) -> AsyncIterator[Stopped]:
    stopped = Stopped(directory, bound_ms, pool, held_by)
    try:
        yield stopped
    finally:
        stopped.process.kill()
        stopped.process.communicate()
        await stopped.transport.close()


async def idle(at: Stopped) -> None:
    pass


async def waiting_fetches(at: Stopped) -> None:
    topic_id = await at.topic()
    await at.produce()
    request = data_pb2.FetchStreamRequest(
        partitions=[data_pb2.FetchPartition(topic_id=topic_id, offset=1)],
        min_bytes=1,
        max_wait_ms=60_000,
    ).SerializeToString()
    for _ in range(WAITING_FETCHES):
        stream = await at.transport.stream(at.address, "/logd.v1.DataService/FetchStream")
        await stream.send(request)


async def open_streams(at: Stopped) -> None:
    for method in ("ProduceStream", "FetchStream"):
        await at.transport.stream(at.address, f"/logd.v1.DataService/{method}")


async def open_exchanges(at: Stopped) -> None:
    flight = pytest.importorskip("pyarrow.flight")
    for method in ("ProduceStream", "FetchStream"):
        client = flight.connect(f"grpc://{at.flight}")
        command = f"/logd.v1.DataService/{method}".encode()
        client.do_exchange(flight.FlightDescriptor.for_command(command))


async def half_open_connections(at: Stopped) -> None:
    host, port = at.address.split(":")
    at.kept += [socket.create_connection((host, int(port))), RawCaller(at.address)]
    caller = RawCaller(at.address)
    caller.call("/logd.v1.DataService/Produce", None)
    at.kept.append(caller)


Clients = Callable[[Stopped], Awaitable[None]]


@pytest.mark.parametrize(
    "clients", [idle, waiting_fetches, open_streams, open_exchanges, half_open_connections]
)
async def test_what_clients_have_open_holds_no_stop_up(clients: Clients, tmp_path: Path) -> None:
    """SIGTERM twice is SIGTERM once: supervisors repeat it."""
    async with broker(tmp_path, AN_HOUR_MS) as at:
        await at.says(b"logd serves")
        await clients(at)
        at.process.terminate()
        at.process.terminate()
        status, stderr = await at.ends()
        assert status == 0 and b'"stopped"' in stderr
        for kept in at.kept:
            kept.__exit__(None, None, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("held_by", ["thread", "loop"])
async def test_before_it_serves_it_ends_at_once(
    held_by: str, number: signal.Signals, tmp_path: Path
) -> None:
    async with broker(tmp_path, AN_HOUR_MS, "maintenance", held_by) as at:
        await at.says(b"held")
        at.process.send_signal(number)
        status, stderr = await at.ends()
        assert status == 0 and b"stopped before it served" in stderr


async def look_up(at: Stopped) -> None:
    """What the pool for cold reads does."""
    query = data_pb2.OffsetQuery(at=common_pb2.OffsetSpec(append_time_ms=1))
    request = data_pb2.ListOffsetsRequest(topic=common_pb2.TopicRef(name="orders"), queries=[query])
    with contextlib.suppress(LogdError):
        await at.call("DataService/ListOffsets", request.SerializeToString(), AN_HOUR_MS)


@pytest.mark.parametrize("held_by", ["thread", "loop"])
@pytest.mark.parametrize("pool", ["flush", "cold_read"])
async def test_what_hangs_ends_with_the_bound(pool: str, held_by: str, tmp_path: Path) -> None:
    """A disk that hangs, or a loop that stands still in a long call. (A thread of cold reads holds
    up no drain, only the pool's end.)"""
    async with broker(tmp_path, SHORT_MS, pool, held_by) as at:
        await at.says(b"logd serves")
        await at.topic()
        work = at.produce() if pool == "flush" else look_up(at)
        working = asyncio.ensure_future(work)
        await at.says(b"held")
        at.process.terminate()
        status, stderr = await at.ends()
        assert status == 1 and b"the drain took too long" in stderr
        working.cancel()
        await asyncio.wait([working])


async def test_what_holds_the_interpreter_ends_a_little_later(tmp_path: Path) -> None:
    """No thread of Python's can run then: one in C ends the process."""
    async with broker(tmp_path, SHORT_MS, "maintenance", "interpreter") as at:
        await at.says(b"logd serves")
        at.process.terminate()
        await at.says(b"held")
        assert (await at.ends())[0] == 1


async def test_ctrl_c_ends_a_drain_at_once(tmp_path: Path) -> None:
    async with broker(tmp_path, AN_HOUR_MS, "flush") as at:
        await at.says(b"logd serves")
        await at.topic()
        await at.produce()
        at.process.terminate()
        await at.draining()
        at.process.send_signal(signal.SIGINT)
        status, stderr = await at.ends()
        assert status == 1 and b"stopped at once" in stderr


async def test_a_stderr_that_nobody_reads_keeps_no_stop_from_ending(tmp_path: Path) -> None:
    """The broker's next line waits for ever, and so does the one that says why it ends."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write_end, b"x")
    os.set_blocking(write_end, True)
    command = [sys.executable, "-m", "logd.main", "start", "--listen", "127.0.0.1:0"]
    command += ["--data-dir", str(tmp_path / "data"), "--drain-timeout-ms", str(SHORT_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=write_end) as process:
        try:
            assert process.stdout is not None and b"logd serves" in process.stdout.readline()
            process.terminate()
            assert await asyncio.to_thread(process.wait, FAILED_S) == 1
        finally:
            process.kill()
            os.close(read_end)
            os.close(write_end)
