"""The produce stream: receipts, flow control, and what breaks an entry or the stream."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from harness.door_bench import DoorBench, door_bench
from harness.local_transport import CONTEXT, LocalStream
from logd.broker.authorizer import AllowAll
from logd.broker.doors.grpc_door import produce_stream
from logd.broker.doors.grpc_door.produce_stream import (
    ACK_TIMEOUT_MS_DEFAULT,
    ACK_TIMEOUT_MS_MAX,
    APPENDS_A_TURN_MAX,
    ProduceStream,
    to_ack_timeout_ms,
)
from logd.broker.ports import Acks, Partitions, Receipt, Topics
from logd.model.errors import AclDenied, CorruptBatch, InvalidConfig, LogdError, UnknownTopic
from logd.model.ids import LeaderEpoch, Offset, TopicId, TopicPartition
from logd.model.seams import Buffer
from logd.wire.field_counts import FIELDS_PER_MESSAGE_MAX
from logd_proto.v1.data_pb2 import ProduceAck, ProduceEntry, ProduceStreamRequest
from logd_proto.v1.data_pb2 import ProduceStreamResponse as Response

TOPIC_ID = bytes(range(16))
RECEIPT = Receipt(Offset(3), LeaderEpoch(1), 5, Offset(0), False, 1, 1)


def message(*entries: ProduceEntry) -> bytes:
    return ProduceStreamRequest(entries=entries).SerializeToString()


def entry(correlation_id: int, **fields: object) -> ProduceEntry:
    given = {"topic_id": TOPIC_ID, "batch": b"a batch", **fields}
    return ProduceEntry(correlation_id=correlation_id, **given)  # type: ignore[arg-type]


class FakePartitions:
    """Every partition is open, or once the gate is; appends are answered when a test does."""

    def __init__(self) -> None:
        self.gate: asyncio.Event | None = None
        self.opening = 0
        self.appended: list[TopicPartition] = []
        self.dones: deque[Callable[[Receipt | LogdError], None]] = deque()

    def is_open(self, topic_partition: TopicPartition) -> bool:
        return self.gate is None or self.gate.is_set()

    async def open(self, topic_partition: TopicPartition) -> None:
        assert self.gate is not None
        self.opening += 1
        await self.gate.wait()

    def append(
        self,
        topic_partition: TopicPartition,
        batch: Buffer,
        done: Callable[[Receipt | LogdError], None],
        *,
        acks: Acks,
        timeout_ms: int,
        partitioning_epoch: int,
    ) -> None:
        self.appended.append(topic_partition)
        self.dones.append(done)

    def answer(self, count: int) -> None:
        for _ in range(count):
            self.dones.popleft()(RECEIPT)


class NoTopics:
    def by_id(self, topic_id: TopicId) -> None:
        raise UnknownTopic("gone")


class FakeStream:
    """Implements `ServerStream`; `reads` False: a client that takes no receipts."""

    def __init__(self, *messages: bytes) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        for each in messages:
            self.incoming.put_nowait(each)
        self.sent: list[list[ProduceAck]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.fails = False

    async def receive(self) -> bytes | None:
        return await self.incoming.get()

    async def send(self, message: bytes) -> None:
        if self.fails:
            raise ConnectionError
        await self.reads.wait()
        self.sent.append(list(Response.FromString(message).acks))


class Bench:
    """A stream that runs, with fake partitions behind it."""

    def __init__(self, *messages: bytes) -> None:
        self.partitions = FakePartitions()
        self.stream = FakeStream(*messages)
        self.refused: list[LogdError] = []
        self.running = asyncio.ensure_future(
            ProduceStream(
                cast(Partitions, self.partitions),
                cast(Topics, NoTopics()),
                AllowAll(),
                CONTEXT,
                self.stream,
                refused=self.refused.append,
            ).run()
        )

    async def turns(self, count: int = 10) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


async def test_receipts_of_one_turn_share_a_message() -> None:
    bench = Bench(message(*map(entry, range(10))))
    await bench.turns()
    assert len(bench.partitions.appended) == 10 and bench.stream.sent == []
    bench.partitions.answer(7)
    await bench.turns()
    bench.partitions.answer(3)
    await bench.turns()
    assert [len(acks) for acks in bench.stream.sent] == [7, 3]
    assert [a.correlation_id for acks in bench.stream.sent for a in acks] == list(range(10))
    bench.stream.incoming.put_nowait(None)
    await bench.running


async def test_the_end_waits_for_the_last_receipt() -> None:
    bench = Bench(message(entry(1)))
    bench.stream.incoming.put_nowait(None)
    await bench.turns()
    assert not bench.running.done()
    bench.partitions.answer(1)
    await bench.running
    assert [len(acks) for acks in bench.stream.sent] == [1]


async def test_a_stream_without_entries_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(message())
    bench.stream.incoming.put_nowait(None)
    await asyncio.wait_for(bench.running, 30)


async def test_flow_control_within_a_message_and_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce_stream, "PENDING_ENTRIES_MAX", 4)
    bench = Bench(message(*map(entry, range(6))), message(entry(6)), message(entry(7)))
    await bench.turns()
    assert len(bench.partitions.appended) == 4
    bench.partitions.answer(3)
    await bench.turns()
    assert len(bench.partitions.appended) == 7 and bench.stream.incoming.qsize() == 0
    bench.partitions.answer(4)
    await bench.turns()
    assert len(bench.partitions.appended) == 8


async def test_a_client_that_takes_no_receipts_is_held_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(produce_stream, "PENDING_ENTRIES_MAX", 4)
    bench = Bench(*(message(entry(n)) for n in range(100)))
    bench.stream.reads.clear()
    for _ in range(20):
        await bench.turns()
        bench.partitions.answer(len(bench.partitions.dones))
    assert len(bench.partitions.appended) == 4, "else receipts would pile up without end"
    bench.stream.reads.set()
    for _ in range(60):
        await bench.turns()
        bench.partitions.answer(len(bench.partitions.dones))
    assert len(bench.partitions.appended) == 100


async def test_a_stream_that_cannot_send_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(produce_stream, "PENDING_ENTRIES_MAX", 2)
    bench = Bench(message(*map(entry, range(6))))
    bench.stream.fails = True
    await bench.turns()
    bench.partitions.answer(1)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(bench.running, 30)


async def test_a_client_that_goes_away_leaves_its_appends_to_end_quietly() -> None:
    bench = Bench(message(*map(entry, range(5))))
    await bench.turns()
    bench.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bench.running
    bench.partitions.answer(5)
    await bench.turns()
    assert bench.stream.sent == []


async def test_an_entrys_error_is_its_own() -> None:
    bench = Bench(
        message(entry(1, topic_id=b"short"), entry(2, acks=9), entry(3), entry(4, topic_id=b""))
    )
    await bench.turns()
    bench.partitions.answer(1)
    await bench.turns()
    acks = {a.correlation_id: a for acks in bench.stream.sent for a in acks}
    assert {n: a.error.reason for n, a in acks.items()} == {
        1: "INCONSISTENT_TOPIC_ID",
        2: "INVALID_CONFIG",
        3: "",
        4: "INCONSISTENT_TOPIC_ID",
    }
    assert acks[3].base_offset == 3 and not acks[2].HasField("base_offset")


async def test_a_principal_is_refused_entry_by_entry() -> None:
    asked: list[tuple[str, str]] = []

    class Deny:
        def authorize(self, context: object, operation: str, resource: str) -> None:
            asked.append((operation, resource))
            raise AclDenied("no")

    partitions, stream = FakePartitions(), FakeStream(message(entry(1), entry(2)))
    stream.incoming.put_nowait(None)
    topics = cast(Topics, NoTopics())
    refused: list[LogdError] = []
    door = cast(Partitions, partitions)
    await ProduceStream(door, topics, Deny(), CONTEXT, stream, refused.append).run()
    assert [a.error.reason for acks in stream.sent for a in acks] == ["ACL_DENIED"] * 2
    assert partitions.appended == []
    assert asked == [("write", f"topic:{TOPIC_ID.hex()}")] * 2


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"\xff\xff\xff", CorruptBatch),
        (b"\x0a\x7f", CorruptBatch),
        (b"GET / HTTP/1.1\r\n\r\n", CorruptBatch),
        (b"\x0a\x00" * (FIELDS_PER_MESSAGE_MAX + 1), InvalidConfig),
        (b"\x18\x01" * (FIELDS_PER_MESSAGE_MAX + 1), InvalidConfig),
        (message(*[entry(1)] * (FIELDS_PER_MESSAGE_MAX + 1)), InvalidConfig),
    ],
)
async def test_what_is_no_request_ends_the_stream_with_a_reason(
    raw: bytes, error: type[Exception]
) -> None:
    bench = Bench(raw)
    with pytest.raises(error):
        await asyncio.wait_for(bench.running, 30)
    assert bench.partitions.appended == []


@given(st.binary(max_size=60))
def test_any_bytes_are_answered_or_refused(raw: bytes) -> None:
    async def run() -> None:
        bench = Bench(raw)
        bench.stream.incoming.put_nowait(None)
        await bench.turns(3)
        bench.partitions.answer(len(bench.partitions.dones))
        try:
            await asyncio.wait_for(bench.running, 30)
        except (CorruptBatch, InvalidConfig):
            pass

    asyncio.run(run())


def test_waits_are_bounded() -> None:
    assert to_ack_timeout_ms(0) == ACK_TIMEOUT_MS_DEFAULT
    assert to_ack_timeout_ms(5) == 5
    assert to_ack_timeout_ms((1 << 32) - 1) == ACK_TIMEOUT_MS_MAX


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[DoorBench]:
    async with door_bench(tmp_path) as bench:
        yield bench


async def acks_of(stream: LocalStream, count: int) -> dict[int, ProduceAck]:
    acks: dict[int, ProduceAck] = {}
    while len(acks) < count:
        raw = await asyncio.wait_for(stream.receive(), 30)
        assert raw is not None
        acks |= {ack.correlation_id: ack for ack in Response.FromString(raw).acks}
    return acks


async def test_on_a_broker(broker: DoorBench) -> None:
    topic = await broker.topic("orders", 2)
    stream = await broker.stream("DataService/ProduceStream")
    good = {"topic_id": topic.topic_id, "batch": broker.batch(b"a", b"b")}
    await stream.send(
        message(
            entry(1, **good),
            entry(2, **good, partition=1),
            entry(3, **good),
            entry(4, **good, partition=7),
            entry(5, topic_id=topic.topic_id),
            entry(6, batch=good["batch"]),
            entry(7, **good, partitioning_epoch=5),
        )
    )
    acks = await acks_of(stream, 7)
    assert [acks[n].base_offset for n in (1, 2, 3)] == [0, 0, 2]
    assert [acks[n].error.reason for n in (4, 5, 6, 7)] == [
        "UNKNOWN_PARTITION",
        "CORRUPT_BATCH",
        "UNKNOWN_TOPIC",
        "STALE_PARTITIONING",
    ]
    await stream.finish_sending()
    await stream.close()


async def test_a_long_message_gives_everything_else_its_turn() -> None:
    count = 3 * APPENDS_A_TURN_MAX
    bench = Bench(message(*(entry(number) for number in range(count))))
    turns = [0]
    while turns[-1] < count:
        await asyncio.sleep(0)
        turns.append(len(bench.partitions.appended))
    assert max(b - a for a, b in pairwise(turns)) == APPENDS_A_TURN_MAX
    bench.running.cancel()


async def test_the_partitions_of_a_message_are_opened_side_by_side() -> None:
    bench = Bench(message(*(entry(number, partition=number % 5) for number in range(10))))
    bench.partitions.gate = asyncio.Event()
    await bench.turns()
    assert bench.partitions.opening == 5 and not bench.partitions.appended
    bench.partitions.gate.set()
    await bench.turns()
    assert [where.partition for where in bench.partitions.appended] == [0, 1, 2, 3, 4] * 2
    assert bench.partitions.opening == 5
    bench.running.cancel()
