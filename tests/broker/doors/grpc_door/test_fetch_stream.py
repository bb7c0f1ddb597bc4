"""The fetch stream: its session of positions, waits that end each other, and its bounds."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness.door_bench import DoorBench, door_bench
from harness.local_transport import LocalStream
from logd.broker.doors.grpc_door import fetch_stream
from logd.broker.fetch_reader import FetchReader
from logd.broker.ports import Fetched
from logd.model.errors import AclDenied, InvalidConfig, Overloaded
from logd.model.ids import Offset
from logd.model.record_batch import split_batches
from logd_proto.v1.data_pb2 import (
    FetchPartition,
    FetchStreamRequest,
    FetchStreamResponse,
    ForgetPartition,
)

MINUTE_MS = 60_000


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[DoorBench]:
    async with door_bench(tmp_path) as bench:
        yield bench


class Session:
    """A client's side of one stream."""

    def __init__(self, stream: LocalStream, topic_id: bytes) -> None:
        self.stream = stream
        self.topic_id = topic_id
        self.sent = 0

    async def ask(self, *positions: tuple[int, int], forget: Any = (), **fields: Any) -> int:
        """Positions are partitions and offsets; the request's correlation id."""
        self.sent += 1
        request = FetchStreamRequest(
            correlation_id=self.sent,
            partitions=[
                FetchPartition(topic_id=self.topic_id, partition=p, offset=o) for p, o in positions
            ],
            forget=[ForgetPartition(topic_id=self.topic_id, partition=p) for p in forget],
            **fields,
        )
        await self.stream.send(request.SerializeToString())
        return self.sent

    async def answer(self) -> FetchStreamResponse:
        raw = await asyncio.wait_for(self.stream.receive(), 30)
        assert raw is not None
        return FetchStreamResponse.FromString(raw)

    async def found(self) -> dict[int, list[int]]:
        """Base offsets of the answer's batches, by partition."""
        return {
            r.partition: [h.base_offset for h, _ in split_batches(r.batches)]
            for r in (await self.answer()).results
        }


async def session(bench: DoorBench, partitions: int = 2) -> Session:
    topic = await bench.topic("orders", partitions)
    return Session(await bench.stream("DataService/FetchStream"), topic.topic_id)


async def quiet(client: Session) -> None:
    """Nothing is answered for now."""
    await asyncio.sleep(0.02)
    assert client.stream._to_client.empty()


async def test_positions_are_remembered_changed_and_forgotten(bench: DoorBench) -> None:
    client = await session(bench)
    for partition in (0, 1):
        await bench.produce("orders", b"a", partition=partition)
    await client.ask((0, 0), (1, 0))
    assert await client.found() == {0: [0], 1: [0]}
    await client.ask()
    assert await client.found() == {0: [0], 1: [0]}, "a position moves only when the client says so"
    await client.ask((0, 1))
    assert await client.found() == {1: [0]}
    await client.ask(forget=[1])
    assert await client.found() == {}
    await client.ask((1, 0), forget=[1])
    assert await client.found() == {1: [0]}, "forgotten first, then taken anew"
    await client.stream.close()


async def test_every_request_has_one_answer_with_its_id(bench: DoorBench) -> None:
    client = await session(bench)
    for _ in range(5):
        await client.ask((0, 0))
    assert [(await client.answer()).correlation_id for _ in range(5)] == [1, 2, 3, 4, 5]
    await client.stream.close()


async def test_a_new_request_ends_the_wait_of_the_former(bench: DoorBench) -> None:
    client = await session(bench)
    await client.ask((0, 0), min_bytes=1, max_wait_ms=MINUTE_MS)
    await quiet(client)
    await client.ask((1, 0), min_bytes=1, max_wait_ms=MINUTE_MS)
    first = await client.answer()
    assert (first.correlation_id, list(first.results)) == (1, [])
    await quiet(client)
    await bench.produce("orders", b"a", partition=1)
    second = await client.answer()
    assert (second.correlation_id, [r.partition for r in second.results]) == (2, [1])
    await client.stream.close()


async def test_the_end_of_the_stream_ends_the_wait(bench: DoorBench) -> None:
    client = await session(bench)
    await client.ask((0, 0), min_bytes=1, max_wait_ms=MINUTE_MS)
    await quiet(client)
    await client.stream.finish_sending()
    assert (await client.answer()).correlation_id == 1
    assert await asyncio.wait_for(client.stream.receive(), 30) is None


async def test_what_gave_data_comes_last_next_time(bench: DoorBench) -> None:
    client = await session(bench, 3)
    for partition in (0, 1, 2):
        for _ in range(3):
            await bench.produce("orders", bytes(1000), partition=partition)
    await client.ask((0, 0), (1, 0), (2, 0), max_bytes=1)
    assert await client.found() == {0: [0]}
    await client.ask((0, 1), max_bytes=1)
    assert await client.found() == {1: [0]}
    await client.ask((1, 1), max_bytes=1)
    assert await client.found() == {2: [0]}
    await client.ask((2, 1), max_bytes=1)
    assert await client.found() == {0: [1]}
    await client.stream.close()


async def test_one_partitions_error_never_ends_the_stream(bench: DoorBench) -> None:
    client = await session(bench)
    await bench.produce("orders", b"a", partition=0)
    request = FetchStreamRequest(
        correlation_id=9,
        partitions=[
            FetchPartition(topic_id=b"short", partition=3),
            FetchPartition(topic_id=bytes(16), partition=4),
            FetchPartition(topic_id=client.topic_id, partition=7),
            FetchPartition(topic_id=client.topic_id, partition=1, offset=-4),
            FetchPartition(topic_id=client.topic_id, partition=0),
        ],
        forget=[ForgetPartition(topic_id=b"never heard of")],
        min_bytes=1 << 20,
        max_wait_ms=MINUTE_MS,
    )
    await client.stream.send(request.SerializeToString())
    answer = await client.answer()
    assert {r.partition: r.error.reason for r in answer.results} == {
        3: "INCONSISTENT_TOPIC_ID",
        4: "UNKNOWN_TOPIC",
        7: "UNKNOWN_PARTITION",
        1: "OFFSET_OUT_OF_RANGE",
        0: "",
    }
    await client.stream.close()


async def test_a_principal_is_refused_position_by_position(bench: DoorBench) -> None:
    topics = {name: await bench.topic(name) for name in ("open", "closed")}
    await bench.produce("open", b"a")

    class Deny:
        def authorize(self, context: object, operation: str, resource: str) -> None:
            assert operation == "read"
            if resource != "topic:open":
                raise AclDenied("no")

    service = bench.data_service
    service._authorizer = Deny()
    client = Session(await bench.stream("DataService/FetchStream"), topics["closed"].topic_id)
    await client.ask((0, 0), min_bytes=1, max_wait_ms=MINUTE_MS)
    (result,) = (await client.answer()).results
    assert result.error.reason == "ACL_DENIED" and result.topic_id == client.topic_id
    client.topic_id = topics["open"].topic_id
    await client.ask((0, 0))
    (result,) = (await client.answer()).results
    assert result.batches, "what is allowed goes on; what is not is not remembered"
    await client.stream.close()


async def test_a_topic_deleted_under_its_readers(bench: DoorBench) -> None:
    client = await session(bench)
    await client.ask((0, 0), min_bytes=1, max_wait_ms=MINUTE_MS)
    await quiet(client)
    await bench.delete("orders")
    assert [r.error.reason for r in (await client.answer()).results] == ["UNKNOWN_TOPIC"]
    await client.stream.close()


async def test_bounds(bench: DoorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_stream, "POSITIONS_PER_STREAM_MAX", 2)
    client = await session(bench, 3)
    await client.ask((0, 0), (1, 0), (2, 0))
    with pytest.raises(Overloaded):
        await client.answer()
    monkeypatch.setattr(fetch_stream, "REQUESTS_PENDING_MAX", 2)
    client.stream = await bench.stream("DataService/FetchStream")
    for _ in range(20):
        await client.ask((0, 0))
    with pytest.raises(Overloaded):
        for _ in range(20):
            await client.answer()


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x12\x00" * (3 << 20)])
async def test_what_is_no_request_ends_the_stream_with_a_reason(
    bench: DoorBench, raw: bytes
) -> None:
    client = await session(bench)
    await client.stream.send(raw)
    with pytest.raises(InvalidConfig):
        await client.answer()


async def test_a_client_that_goes_away_leaves_nothing(bench: DoorBench) -> None:
    client = await session(bench)
    await client.ask((0, 0), min_bytes=1, max_wait_ms=MINUTE_MS)
    await quiet(client)
    assert len(bench.purgatory) == 1
    await client.stream.close()
    assert len(bench.purgatory) == 0


async def test_an_answer_in_parts_moves_positions_on_until_its_bound(
    bench: DoorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_stream, "PART_BYTES", 1)
    client = await session(bench)
    for value in (b"a", b"b", b"c"):
        await bench.produce("orders", value, partition=0)
    await client.ask((0, 0), in_parts=True)
    parts = [await client.answer() for _ in range(4)]
    assert [[r.next_offset for r in part.results] for part in parts] == [[1], [2], [3], []]
    assert [part.more for part in parts] == [True, True, True, False]
    await client.ask((0, 0), in_parts=True, max_bytes=1)
    assert not (await client.answer()).more, "max_bytes bounds all parts together"
    await client.ask(in_parts=True, max_bytes=1)
    assert [r.next_offset for r in (await client.answer()).results] == [2], "the last moves, too"
    await client.ask((0, 0))
    assert await client.found() == {0: [0, 1, 2]}, "who does not take parts gets none"


async def test_an_answer_in_parts_goes_on_as_data_comes(bench: DoorBench) -> None:
    client = await session(bench)
    await client.ask((0, 0), (1, 0), in_parts=True, min_bytes=1, max_wait_ms=MINUTE_MS)
    for number, partition in enumerate((0, 1, 1, 0)):
        await bench.produce("orders", b"%d" % number, partition=partition)
        answer = await client.answer()
        assert [r.partition for r in answer.results] == [partition]
        assert answer.more and answer.correlation_id == 1
    await client.ask(in_parts=True)
    last = await client.answer()
    assert not last.more and not last.results and last.correlation_id == 1


async def test_an_answer_in_parts_ends_with_an_error(bench: DoorBench) -> None:
    client = await session(bench)
    await bench.produce("orders", b"a", partition=0)
    await client.ask((0, 0), in_parts=True, min_bytes=1, max_wait_ms=MINUTE_MS)
    assert (await client.answer()).more
    await bench.delete("orders")
    answer = await client.answer()
    assert not answer.more and answer.results[0].error.reason == "UNKNOWN_TOPIC"


async def test_a_new_request_cuts_an_answer_in_parts_short(
    bench: DoorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_stream, "PART_BYTES", 1)
    client = await session(bench)
    for number in range(64):
        await bench.produce("orders", b"%d" % number, partition=0)
    await client.ask((0, 0), in_parts=True)
    await client.ask((0, 60))
    parts = [await client.answer()]
    while parts[-1].correlation_id == 1:
        parts.append(await client.answer())
    assert len(parts) < 64
    assert not parts[-2].more and parts[-1].results[0].next_offset == 64


async def test_a_part_that_got_nothing_is_the_last(
    bench: DoorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that finds nothing below the high watermark, as one that retention overtook may."""
    client = await session(bench)
    await bench.produce("orders", b"a", partition=0)
    fetch = FetchReader.fetch

    async def nothing(*args: Any) -> list[Fetched]:
        return [replace(f, batches=b"", next_offset=Offset(0)) for f in await fetch(*args)]

    monkeypatch.setattr(FetchReader, "fetch", nothing)
    await client.ask((0, 0), in_parts=True)
    answer = await client.answer()
    assert not answer.more and not answer.results[0].batches
