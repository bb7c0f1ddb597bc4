"""Plain records of one turn share a batch, and nothing else."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest

from harness.manual_clock import ManualClock
from logd.broker.doors.grpc_door import plain_appends
from logd.broker.doors.grpc_door.plain_appends import (
    PARTITIONS_A_TURN_MAX,
    PlainAppends,
    PlainReceipt,
)
from logd.broker.ports import Acks, Partitions, Receipt
from logd.model.batch_decoder import decode_batch
from logd.model.errors import AckTimeout, InvalidTimestamp, LogdError, UnknownTopic
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.record_batch import check_produced
from logd.model.seams import Buffer
from logd_proto.v1.data_pb2 import PlainRecord

P0 = TopicPartition(TopicId(bytes(16)), PartitionId(0))
P1 = TopicPartition(TopicId(bytes(16)), PartitionId(1))


class FakePartitions:
    """Takes what a broker would take, and answers at once or when told to."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.appended: list[tuple[TopicPartition, list[bytes | None]]] = []
        self.acknowledges: Callable[[], Receipt | LogdError] | None = None
        self.held: list[Callable[[Receipt | LogdError], None]] = []

    async def open(self, topic_partition: TopicPartition) -> None:
        if topic_partition.topic_id != P0.topic_id:
            raise UnknownTopic("gone")

    def append(
        self,
        topic_partition: TopicPartition,
        batch: Buffer,
        done: Callable[[Receipt | LogdError], None],
        *,
        acks: Acks,
        timeout_ms: int,
        partitioning_epoch: int | None = None,
    ) -> None:
        try:
            check_produced(batch, message_bytes_max=1 << 20, now_ms=self.clock.wall_ms())
        except LogdError as error:
            done(error)
            return
        base_offset = sum(len(v) for where, v in self.appended if where == topic_partition)
        self.appended.append((topic_partition, decode_batch(batch).values))
        if self.acknowledges is None:
            done(Receipt(Offset(base_offset), LeaderEpoch(1), 5, Offset(0), False, 1, 1))
        else:
            done(self.acknowledges())


class Bench:
    """PlainAppends on fake partitions."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.now_ms = clock.wall_ms()
        self.partitions = FakePartitions(clock)
        self.appends = PlainAppends(cast(Partitions, self.partitions), clock)

    async def append(self, where: TopicPartition, *values: Any, **fields: Any) -> PlainReceipt:
        records = [v if isinstance(v, PlainRecord) else PlainRecord(value=v) for v in values]
        wait: dict[str, Any] = {"acks": "all", "timeout_ms": 1000, **fields}
        return await self.appends.append(where, records, **wait)


def offset_of(answer: PlainReceipt) -> int:
    assert isinstance(answer.result, Receipt) and answer.result.base_offset is not None
    return answer.result.base_offset + answer.first


async def test_calls_of_one_turn_share_a_batch_and_know_their_own_offsets() -> None:
    bench = Bench()
    answers = await asyncio.gather(
        bench.append(P0, b"a", b"b"), bench.append(P1, b"x"), bench.append(P0, b"c")
    )
    assert bench.partitions.appended == [(P0, [b"a", b"b", b"c"]), (P1, [b"x"])]
    assert [offset_of(answer) for answer in answers] == [0, 0, 2]
    await bench.append(P0, b"d")
    assert bench.partitions.appended[-1] == (P0, [b"d"])


async def test_those_that_wait_for_something_else_do_not_share() -> None:
    bench = Bench()
    await asyncio.gather(
        bench.append(P0, b"a"),
        bench.append(P0, b"b", timeout_ms=5),
        bench.append(P0, b"c", acks="leader"),
    )
    assert [values for _, values in bench.partitions.appended] == [[b"a"], [b"b"], [b"c"]]


async def test_a_call_that_is_refused_takes_no_other_with_it() -> None:
    bench = Bench()
    future = PlainRecord(value=b"bad", timestamp_ms=bench.now_ms + 10**9)
    negative = PlainRecord(value=b"bad", timestamp_ms=-1)
    for bad in (future, negative):
        before = len(bench.partitions.appended)
        first, refused, last = await asyncio.gather(
            bench.append(P0, b"a"), bench.append(P0, bad), bench.append(P0, b"b")
        )
        assert isinstance(refused.result, InvalidTimestamp)
        assert offset_of(last) == offset_of(first) + 1
        assert len(bench.partitions.appended) == before + 2


async def test_an_unknown_outcome_is_told_to_all_and_nothing_is_sent_again() -> None:
    bench = Bench()
    bench.partitions.acknowledges = lambda: AckTimeout("late")
    answers = await asyncio.gather(bench.append(P0, b"a"), bench.append(P0, b"b"))
    assert [type(answer.result) for answer in answers] == [AckTimeout, AckTimeout]
    assert bench.partitions.appended == [(P0, [b"a", b"b"])]


async def test_joined_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_appends, "JOINED_RECORDS_MAX", 3)
    monkeypatch.setattr(plain_appends, "JOINED_BYTES_MAX", 100)
    bench = Bench()
    calls = [(b"1", b"2"), (b"3",), (b"4", b"5"), (bytes(96),), (bytes(500),), (b"6",)]
    await asyncio.gather(*(bench.append(P0, *values) for values in calls))
    assert [[len(v or b"") for v in values] for _, values in bench.partitions.appended] == [
        [1, 1, 1],
        [1, 1],
        [96],
        [500],
        [1],
    ]


async def test_a_client_that_went_away_before_the_turn_leaves_nothing() -> None:
    bench = Bench()
    gone = asyncio.ensure_future(bench.append(P0, b"gone"))
    stays = asyncio.ensure_future(bench.append(P0, b"stays"))
    await asyncio.sleep(0)
    gone.cancel()
    assert offset_of(await stays) == 0
    assert bench.partitions.appended == [(P0, [b"stays"])]


async def test_a_partition_that_does_not_open() -> None:
    bench = Bench()
    nowhere = TopicPartition(TopicId(b"x" * 16), PartitionId(0))
    assert isinstance((await bench.append(nowhere, b"a")).result, UnknownTopic)


async def test_a_fault_of_ours_reaches_those_who_wait() -> None:
    bench = Bench()

    def fail() -> Receipt:
        raise ZeroDivisionError

    bench.partitions.acknowledges = fail
    with pytest.raises(ZeroDivisionError):
        await bench.append(P0, b"a")


async def test_a_turn_appends_to_so_many_partitions_at_most() -> None:
    bench = Bench()
    wheres = [P0._replace(partition=PartitionId(n)) for n in range(2 * PARTITIONS_A_TURN_MAX + 1)]
    calls = [asyncio.ensure_future(bench.append(where, b"x")) for where in wheres]
    turns = [0]
    while not all(call.done() for call in calls):
        await asyncio.sleep(0)
        turns.append(len(bench.partitions.appended))
    assert max(b - a for a, b in pairwise(turns)) == PARTITIONS_A_TURN_MAX
    assert [where for where, _ in bench.partitions.appended] == wheres
