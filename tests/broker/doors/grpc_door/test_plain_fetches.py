"""Decoding for plain Fetches: in the pool, of what is kept meanwhile, and not without bound."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from logd.broker.doors.grpc_door import plain_fetches
from logd.broker.doors.grpc_door.plain_fetches import PlainFetches
from logd.broker.ports import Fetched, FetchPosition
from logd.model.batch_encoder import encode_batch
from logd.model.errors import Overloaded, UnknownTopic
from logd.model.ids import LeaderEpoch, Offset, PartitionId, TopicId, TopicPartition
from logd.model.record_batch import HEADER_BYTES, stamp

T = TypeVar("T")
PRODUCED = encode_batch([b"a", b"b"], timestamps_ms=1)
BATCH = (
    stamp(
        PRODUCED,
        leader_epoch=1,
        base_offset=0,
        append_timestamp_ms=1,
        synced_hint=0,
        leader_flags=0,
    )
    + PRODUCED[HEADER_BYTES:]
)
WHERE = [TopicPartition(TopicId(bytes(16)), PartitionId(number)) for number in range(2)]
POSITIONS = {where: FetchPosition(where, Offset(0)) for where in WHERE}


class HeldOffload:
    """Begins no work until it is let go."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()

    async def run(self, work: Callable[[], T]) -> T:
        await self.may_go_on.wait()
        return work()

    def close(self) -> None: ...


def fetched(number: int, batches: bytes | memoryview = BATCH) -> Fetched:
    return Fetched(WHERE[number], Offset(2), Offset(0), Offset(2), LeaderEpoch(1), batches)


async def test_the_loop_goes_on_and_what_it_reuses_is_kept() -> None:
    pool = HeldOffload()
    plain = PlainFetches(pool)
    memory = bytearray(BATCH)
    refused = Fetched.refused(WHERE[1], Offset(0), UnknownTopic("gone"))
    decoding = asyncio.ensure_future(
        plain.decode([fetched(0, memoryview(memory)), refused], POSITIONS, 1 << 20)
    )
    await asyncio.sleep(0)
    memory[:] = bytes(len(memory))
    assert not decoding.done()
    pool.may_go_on.set()
    first, second = await decoding
    assert [record.value for record in first.records] == [b"a", b"b"]
    assert second.error.reason == "UNKNOWN_TOPIC"


async def test_what_waits_for_the_pool_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_fetches, "HELD_BYTES_MAX", 2 * len(BATCH))
    pool = HeldOffload()
    plain = PlainFetches(pool)
    waiting = [
        asyncio.ensure_future(plain.decode([fetched(0)], POSITIONS, 1 << 20)) for _ in range(2)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await plain.decode([fetched(0)], POSITIONS, 1 << 20)
    assert refused.value.details["limit"] == "held_bytes_max"
    waiting[0].cancel()  # its client has gone
    await asyncio.wait(waiting[:1])
    pool.may_go_on.set()
    await plain.decode([fetched(0)], POSITIONS, 1 << 20)
    await waiting[1]
    monkeypatch.setattr(plain_fetches, "HELD_BYTES_MAX", 1)
    assert await plain.decode([fetched(0)], POSITIONS, 1 << 20), "one alone is never refused"
