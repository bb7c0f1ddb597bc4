"""Clients that send nonsense, vanish, or use what is being deleted: others notice nothing."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from pathlib import Path

import grpc
import grpc.aio
import psutil
import pytest

from harness.broker_process import BrokerProcess
from harness.raw_call import RawCaller
from logd.model.batch_encoder import encode_batch
from logd.model.errors import LogdError
from logd.system.grpc_transport import GrpcTransport
from logd_proto.v1 import common_pb2, data_pb2, topics_pb2

BATCH = encode_batch([b"v" * 100], timestamps_ms=1)
IDLE_STREAMS = 600
FILES_MAX = 20
"""How many more may be open at the end than at the start: connections just closed."""


class Attacker:
    """Calls of all kinds against one broker."""

    def __init__(self, address: str, seed: int) -> None:
        self.address = address
        self.transport = GrpcTransport("attacker")
        self.random = random.Random(seed)
        self.reasons: Counter[str] = Counter()

    async def call(self, method: str, request: bytes, timeout_ms: int = 20_000) -> bytes:
        return await self.transport.unary(self.address, f"/logd.v1.{method}", request, timeout_ms)

    async def topic(self, name: str, partitions: int) -> bytes:
        request = topics_pb2.CreateTopicRequest(name=name, partitions=partitions)
        raw = await self.call("TopicService/CreateTopic", request.SerializeToString())
        return topics_pb2.CreateTopicResponse.FromString(raw).topic.topic_id

    async def garbage(self) -> None:
        """Random bytes on both streams; each ends with a reason or is taken as something."""
        for method in ("ProduceStream", "FetchStream") * 10:
            stream = await self.transport.stream(self.address, f"/logd.v1.DataService/{method}")
            try:
                await stream.send(self.random.randbytes(self.random.randint(1, 200)))
                async with asyncio.timeout(0.2):
                    await stream.receive()
            except LogdError as error:
                self.reasons[error.reason] += 1
            except TimeoutError:
                pass
            finally:
                await stream.close()

    async def idle_streams(self, topic_id: bytes) -> None:
        """Waiting fetches in numbers; then the connection goes, all at once."""
        request = data_pb2.FetchStreamRequest(
            partitions=[data_pb2.FetchPartition(topic_id=topic_id)],
            min_bytes=1,
            max_wait_ms=60_000,
        ).SerializeToString()
        async with grpc.aio.insecure_channel(self.address) as channel:
            open_stream = channel.stream_stream("/logd.v1.DataService/FetchStream")
            calls = [open_stream() for _ in range(IDLE_STREAMS)]
            await asyncio.gather(*(call.write(request) for call in calls))

    async def passed_deadlines(self) -> None:
        position = data_pb2.FetchPosition()
        request = data_pb2.FetchRequest(
            topic=common_pb2.TopicRef(name="alive"), positions=[position], min_bytes=1 << 30
        )
        request.max_wait_ms = 60_000
        raw = request.SerializeToString()
        for timeout_ms in (0, 1, 5) * 20:
            try:
                await self.call("DataService/Fetch", raw, timeout_ms)
            except LogdError as error:
                self.reasons[error.reason] += 1

    async def use_what_is_deleted(self, number: int) -> None:
        """Write and read a topic, partitions that it has not among them, while it goes."""
        name = f"doomed-{number}"
        topic_id = await self.topic(name, 4)
        writing = asyncio.ensure_future(self._write(topic_id))
        reading = asyncio.ensure_future(self._read(topic_id))
        await asyncio.sleep(self.random.uniform(0, 0.1))
        request = topics_pb2.DeleteTopicRequest(topic=common_pb2.TopicRef(name=name))
        await self.call("TopicService/DeleteTopic", request.SerializeToString())
        await asyncio.wait_for(asyncio.gather(writing, reading), 20)

    async def _write(self, topic_id: bytes) -> None:
        stream = await self.transport.stream(self.address, "/logd.v1.DataService/ProduceStream")
        entries = [
            data_pb2.ProduceEntry(topic_id=topic_id, partition=n, batch=BATCH) for n in range(5)
        ]
        request = data_pb2.ProduceStreamRequest(entries=entries).SerializeToString()
        gone = 0
        while not gone:
            await stream.send(request)
            answered = 0
            while answered < len(entries):
                raw = bytes(await stream.receive() or b"")
                acks = data_pb2.ProduceStreamResponse.FromString(raw).acks
                answered += len(acks)
                reasons = [ack.error.reason for ack in acks]
                self.reasons.update(reasons)
                gone += reasons.count("UNKNOWN_TOPIC")
        await stream.close()

    async def _read(self, topic_id: bytes) -> None:
        stream = await self.transport.stream(self.address, "/logd.v1.DataService/FetchStream")
        positions = [data_pb2.FetchPartition(topic_id=topic_id, partition=n) for n in range(4)]
        request = data_pb2.FetchStreamRequest(
            partitions=positions, min_bytes=1, max_wait_ms=1000
        ).SerializeToString()
        gone = False
        while not gone:
            await stream.send(request)
            raw = await stream.receive()
            reasons = [
                r.error.reason
                for r in data_pb2.FetchStreamResponse.FromString(bytes(raw or b"")).results
            ]
            self.reasons.update(reasons)
            gone = "UNKNOWN_TOPIC" in reasons
        await stream.close()


ODD_TEXT = bytes(range(128, 256)) * 24
"""3 KiB that are not UTF-8."""
ODD_CALLS = 600
ODD_METADATA = {
    "values": {b"odd": ODD_TEXT},
    "names": {b"odd\xff" + ODD_TEXT: b"x"},
    "the client's id": {b"logd-client-id": ODD_TEXT},
    "control characters": {b"odd": b"\x1b[2J\xff" * 500},
    "not base64": {b"odd-bin": b"!" * 3000},
    "a deadline": {b"grpc-timeout": ODD_TEXT},
    "an encoding": {b"grpc-encoding": ODD_TEXT},
    "too much": {b"odd": b"x" * 60_000},
}


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD_METADATA.values(), ids=list(ODD_METADATA))
def test_what_is_said_of_odd_metadata_is_bounded(odd: dict[bytes, bytes], tmp_path: Path) -> None:
    """Ten lines a second of each event, each short, whatever a client sends."""
    with BrokerProcess(tmp_path) as broker:
        began = time.monotonic()
        for _ in range(ODD_CALLS // 100):
            # Some are refused, some end the connection.
            with RawCaller(broker.address) as caller, contextlib.suppress(OSError):
                for _ in range(100):
                    caller.call("/logd.v1.ClusterService/GetClusterInfo", b"", odd)
                caller.received()
        assert broker.stop() == 0
        seconds = time.monotonic() - began + 2
        text = broker.stderr()
        events = Counter(json.loads(line).get("library", "ours") for line in text.splitlines())
        assert len(text) < 20_000 * seconds
        assert all(count <= 10 * seconds for count in events.values()), events
        assert "\x1b[2J" not in text


TOPIC = common_pb2.TopicRef(name="orders")
FETCH = data_pb2.FetchRequest(
    topic=TOPIC, positions=[data_pb2.FetchPosition()], max_wait_ms=2000, min_bytes=1 << 20
).SerializeToString()
PRODUCE = data_pb2.ProduceRequest(
    topic=TOPIC, records=[data_pb2.PlainRecord(value=bytes(1000))] * 1000
).SerializeToString()
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
VANISHED_IN = {
    "an answer": ("/logd.v1.ClusterService/GetClusterInfo", [b""]),
    "an error": ("/logd.v1.TopicService/DescribeTopic", [b""]),
    "a waiting fetch": ("/logd.v1.DataService/Fetch", [FETCH]),
    "an append": ("/logd.v1.DataService/Produce", [PRODUCE]),
    "half an append": ("/logd.v1.DataService/Produce", []),
    "a stream": ("/logd.v1.DataService/ProduceStream", [b"", b""]),
    "a stream of junk": ("/logd.v1.DataService/FetchStream", [b"\xff"] * 3),
    "a watch of health": ("/grpc.health.v1.Health/Watch", [b""]),
    "junk to health": ("/grpc.health.v1.Health/Check", [b"\xff"]),
    "junk to reflection": (REFLECTION, [b"\xff"]),
    "nothing that there is": ("/x/y", [b""]),
}
CALLS_AT_ONCE = 10


@pytest.mark.slow
def test_clients_that_vanish_are_no_errors(tmp_path: Path) -> None:
    """In the midst of each kind of call, sooner and later."""
    with BrokerProcess(tmp_path) as broker:
        with RawCaller(broker.address) as caller:
            request = topics_pb2.CreateTopicRequest(name="orders").SerializeToString()
            caller.call("/logd.v1.TopicService/CreateTopic", request)
            while b"orders" not in caller.received():
                pass
        for method, messages in VANISHED_IN.values():
            for later_s in (0, 0.001, 0.01, 0.1):
                with RawCaller(broker.address) as caller, contextlib.suppress(OSError):
                    for _ in range(CALLS_AT_ONCE):
                        stream = caller.call(method, None)
                        for message in messages:
                            caller.send(stream, message, ends=message is messages[-1])
                    time.sleep(later_s)
                    caller.reset()
        assert broker.stop() == 0
        said = [json.loads(line) for line in broker.stderr().splitlines()]
        assert not [line for line in said if line["level"] == "error" or "exception" in line]


@pytest.mark.slow
async def test_others_notice_nothing(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        attacker = Attacker(broker.address, seed=11)
        topic_id = await attacker.topic("alive", 1)
        process = psutil.Process(broker.pid)
        await attacker.garbage()
        files = process.num_fds()
        await attacker.idle_streams(topic_id)
        await attacker.passed_deadlines()
        await asyncio.gather(*(attacker.use_what_is_deleted(n) for n in range(12)))
        record = data_pb2.PlainRecord(value=b"still here")
        request = data_pb2.ProduceRequest(topic=common_pb2.TopicRef(name="alive"), records=[record])
        raw = await attacker.call("DataService/Produce", request.SerializeToString())
        (receipt,) = data_pb2.ProduceResponse.FromString(raw).receipts
        assert receipt.HasField("offset") and receipt.replicas_synced == 1
        assert process.num_fds() <= files + FILES_MAX
        await attacker.transport.close()
        assert await asyncio.to_thread(broker.stop) == 0
        said = [json.loads(line) for line in broker.stderr().splitlines()]
        assert not [line for line in said if line["level"] == "error" or "exception" in line]
    assert set(attacker.reasons) <= {
        "",
        "CORRUPT_BATCH",
        "INVALID_CONFIG",
        "INCONSISTENT_TOPIC_ID",
        "REQUEST_TIMEOUT",
        "UNKNOWN_PARTITION",
        "UNKNOWN_TOPIC",
    }
