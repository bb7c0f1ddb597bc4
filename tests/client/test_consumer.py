"""The consumer over a broker in memory: delivery, commits, rewinds, breaks, misuse."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from harness.fake_fetch_broker import FakeFetchBroker, stored_batch
from harness.manual_clock import ManualClock
from logd.model.errors import (
    ClientClosed,
    InvalidConfig,
    LogdError,
    OffsetOutOfRange,
    StoredDataCorrupt,
    UndecodableBatch,
    UnknownPartition,
    UnknownTopic,
)
from logd.model.record_batch import HEADER_BYTES, BatchHeader, body_crc, pack_header
from logd.sim.seeded_random import SeededRandom
from logd_client.consumer import LOOP_TURN_MS, Consumer
from logd_client.record import Record

ARRIVES_MS = 60_000
"""What is there arrives at once; only what hangs takes so long."""


@pytest.fixture
def broker() -> FakeFetchBroker:
    broker = FakeFetchBroker()
    broker.create_topic("t", 2)
    for count in (3, 4, 5):
        for partition in (0, 1):
            start = broker.topics["t"][partition].end
            broker.append("t", partition, [b"%d" % n for n in range(start, start + count)])
    return broker


def make(broker: FakeFetchBroker, *topics: str, **settings: object) -> Consumer:
    """Quick to retry, quick to answer when idle."""
    quick: dict[str, object] = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **settings}
    names = topics or ("t",)
    return Consumer(*names, transport=broker, random=SeededRandom(), **quick)  # type: ignore[arg-type]


async def take(records: AsyncIterator[Record], count: int) -> list[Record]:
    taken: list[Record] = []
    async for record in records:
        taken.append(record)
        if len(taken) == count:
            break
    return taken


def offsets(records: list[Record], partition: int = 0) -> list[int]:
    return [record.offset for record in records if record.partition == partition]


async def test_records_come_in_order_with_all_their_fields(broker: FakeFetchBroker) -> None:
    async with make(broker) as consumer:
        records = await take(aiter(consumer), 24)
    assert offsets(records, 0) == offsets(records, 1) == list(range(12))
    assert records[0] == Record("t", 0, 0, 1000, b"k0", b"0", ())


async def test_batches_come_whole_and_are_trimmed_to_the_position(broker: FakeFetchBroker) -> None:
    async with make(broker, partitions=[1]) as consumer:
        consumer.seek("t", 1, 5)
        batch = await anext(consumer.batches())
        assert (batch.topic, batch.partition, batch.base_offset, len(batch)) == ("t", 1, 5, 2)
        assert list(batch.offsets) == [5, 6] and batch.values == [b"5", b"6"]
        assert batch.keys == [b"k5", b"k6"] and list(batch.timestamps_ms) == [1005, 1006]
        assert list(batch.headers) == [(), ()] and batch.leader_epoch == 3
        assert [record.offset for record in batch] == [5, 6]
        assert consumer.position("t", 1) == batch.next_offset == 7
        assert (await anext(consumer.batches())).base_offset == 7


async def test_poll_gives_what_is_there_up_to_the_limit(broker: FakeFetchBroker) -> None:
    async with make(broker, partitions=[0]) as consumer:
        assert offsets(await consumer.poll(ARRIVES_MS, max_records=2)) == [0, 1]
        assert offsets(await consumer.poll(ARRIVES_MS)) == list(range(2, 12))
        assert await consumer.poll(0) == []
        assert await consumer.poll(30) == []
        broker.append("t", 0, [b"12"])
        assert offsets(await consumer.poll(ARRIVES_MS)) == [12]


async def test_reads_can_be_mixed_without_losing_a_record(broker: FakeFetchBroker) -> None:
    async with make(broker, partitions=[0]) as consumer:
        seen = offsets(await take(aiter(consumer), 1))
        seen += offsets(await consumer.poll(ARRIVES_MS, max_records=1))
        seen += (await anext(consumer.batches())).offsets
        seen += offsets(await take(aiter(consumer), 5))
        seen += offsets(await consumer.poll(ARRIVES_MS))
    assert seen == list(range(12))


async def test_a_program_that_reads_without_waiting_gives_the_loop_a_turn_now_and_then() -> None:
    """Else nothing would be fetched, nor committed, while it works through what is buffered."""
    broker, clock, turns = FakeFetchBroker(), ManualClock(), 0
    log = broker.create_topic("t")[0]
    for _ in range(50):
        log.append([b"v"])

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with make(broker, clock=clock) as consumer:
        await consumer.next_batch()
        counting = asyncio.create_task(count_turns())
        await asyncio.sleep(0)
        for elapsed_ms, due in ((0, 0), (LOOP_TURN_MS - 1, 0), (1, 1), (0, 0), (LOOP_TURN_MS, 1)):
            before = turns
            clock.advance(elapsed_ms)
            for _ in range(3):
                await consumer.next_batch()
            assert turns - before == due
        counting.cancel()


async def test_auto_offset_reset_says_where_to_start(broker: FakeFetchBroker) -> None:
    async with make(broker, auto_offset_reset="latest") as consumer:
        assert consumer.position("t", 0) == 12
        broker.append("t", 0, [b"new"])
        assert offsets(await consumer.poll(ARRIVES_MS)) == [12]
    with pytest.raises(OffsetOutOfRange, match="auto_offset_reset"):
        async with make(broker, auto_offset_reset="none"):
            pass
    consumer = make(broker, auto_offset_reset="none", partitions=[0])
    consumer.seek("t", 0, 4)
    async with consumer:
        assert offsets(await consumer.poll(ARRIVES_MS))[0] == 4


@pytest.mark.parametrize("reset", ["earliest", "latest", "none"])
async def test_a_position_beyond_the_log_is_raised_until_a_seek(
    broker: FakeFetchBroker, reset: Any
) -> None:
    """What was there is gone, or the log is another: no setting may answer that."""
    consumer = make(broker, partitions=[0], auto_offset_reset=reset)
    consumer.seek("t", 0, 99)
    async with consumer:
        for _ in range(2):
            with pytest.raises(OffsetOutOfRange, match="t:0"):
                await consumer.poll(ARRIVES_MS)
        consumer.seek("t", 0, 3)
        assert offsets(await consumer.poll(ARRIVES_MS))[0] == 3


@pytest.mark.parametrize("reset", ["earliest", "latest"])
async def test_below_the_log_it_goes_on_at_its_start_and_says_how_many_are_lost(
    broker: FakeFetchBroker, reset: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker.topics["t"][0].start = 5
    async with make(broker, partitions=[0], auto_offset_reset=reset) as consumer:
        consumer.seek("t", 0, 2)
        assert offsets(await consumer.poll(ARRIVES_MS))[0] == 5
    warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warnings == ["records_lost partition=t:0 records=3 goes_on_at=5"]


@pytest.mark.parametrize("strict", [{"on_records_lost": "raise"}, {"auto_offset_reset": "none"}])
async def test_who_must_not_miss_a_record_is_told(broker: FakeFetchBroker, strict: Any) -> None:
    broker.topics["t"][0].start = 5
    consumer = make(broker, partitions=[0], **strict)
    consumer.seek("t", 0, 2)
    async with consumer:
        for _ in range(2):
            with pytest.raises(OffsetOutOfRange, match="t:0"):
                await consumer.poll(ARRIVES_MS)


async def test_a_read_that_waits_is_given_what_a_resume_sets_free(broker: FakeFetchBroker) -> None:
    """Fetched before the pause: no answer will bring it."""
    async with make(broker, partitions=[0]) as consumer:
        before = await consumer.poll(ARRIVES_MS, max_records=1)
        consumer.pause("t", 0)
        waiting = asyncio.ensure_future(take(aiter(consumer), 11))
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        consumer.resume("t", 0)
        await asyncio.wait([waiting], timeout=ARRIVES_MS / 1000)
        assert waiting.done(), "it waits for a record that may never come"
    assert offsets(before + waiting.result()) == list(range(12))


async def test_seek_pause_and_resume_within_a_loop(broker: FakeFetchBroker) -> None:
    seen = []
    async with make(broker) as consumer:
        async for record in consumer:
            seen.append((record.partition, record.offset))
            if len(seen) == 2:
                consumer.pause("t", record.partition)
                paused = record.partition
            if len(seen) == 2 + 12:
                consumer.resume("t", paused)
            if len(seen) == 24:
                consumer.seek("t", paused, 11)
            if len(seen) == 25:
                break
    assert [offset for number, offset in seen if number == paused] == [*range(12), 11]
    assert {number for number, _ in seen[2:14]} == {1 - paused}


async def test_a_group_goes_on_where_it_committed(broker: FakeFetchBroker) -> None:
    async with make(broker, group_id="g", partitions=[0]) as consumer:
        await consumer.poll(ARRIVES_MS, max_records=5)
        assert await consumer.committed("t", 0) is None
        assert await consumer.commit()
        assert await consumer.committed("t", 0) == 5
    async with make(broker, group_id="g", partitions=[0]) as consumer:
        assert consumer.position("t", 0) == 5
        assert await consumer.lag("t", 0) == 7
        assert offsets(await take(aiter(consumer), 2)) == [5, 6]
    assert broker.group("g").offsets[broker.topic_id("t"), 0] == 7
    assert broker.group("g").commits[-1].leaving
    assert broker.group("g").commits[-1].offsets[0].leader_epoch == 3


async def test_what_was_in_hand_when_the_program_failed_is_not_committed(
    broker: FakeFetchBroker,
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with make(broker, group_id="g", partitions=[0]) as consumer:
            async for record in consumer:
                if record.offset == 4:
                    raise ZeroDivisionError
    assert broker.group("g").offsets[broker.topic_id("t"), 0] == 4


async def test_interval_commits_cover_what_is_done_never_more(broker: FakeFetchBroker) -> None:
    group = broker.group("g")
    settings = {"group_id": "g", "partitions": [0], "auto_commit_interval_ms": 5}
    async with make(broker, **settings) as consumer:
        async for record in consumer:
            before = len(group.commits)
            while len(group.commits) < before + 2:
                await asyncio.sleep(0.001)
            assert group.offsets[broker.topic_id("t"), 0] == record.offset
            if record.offset == 4:
                break
        assert not group.commits[-1].offsets, "sent though nothing is new"


async def test_without_auto_commit_nothing_is_committed_but_rewinds_arrive(
    broker: FakeFetchBroker,
) -> None:
    settings = {"group_id": "g", "enable_auto_commit": False, "auto_commit_interval_ms": 5}
    async with make(broker, **settings) as consumer:
        assert len(await take(aiter(consumer), 24)) == 24
        broker.rewind("g", {("t", 0): 10, ("t", 1): 12})
        assert offsets(await take(aiter(consumer), 2)) == [10, 11]
    assert all(not commit.offsets for commit in broker.group("g").commits)


async def test_a_rewind_reaches_a_consumer_in_the_middle_of_a_batch(
    broker: FakeFetchBroker,
) -> None:
    async with make(broker, group_id="g", partitions=[0], auto_commit_interval_ms=5) as consumer:
        seen = []
        async for record in consumer:
            seen.append(record.offset)
            if len(seen) == 5:
                broker.rewind("g", {("t", 0): 1})
                while consumer.position("t", 0) != 1:
                    await asyncio.sleep(0.001)
            if len(seen) == 8:
                break
    assert seen == [0, 1, 2, 3, 4, 1, 2, 3]
    assert broker.group("g").offsets[broker.topic_id("t"), 0] == 4


async def test_commit_says_that_the_group_was_rewound(broker: FakeFetchBroker) -> None:
    async with make(broker, group_id="g", partitions=[0]) as consumer:
        await consumer.poll(ARRIVES_MS)
        broker.rewind("g", {("t", 0): 2})
        assert not await consumer.commit()
        assert offsets(await consumer.poll(ARRIVES_MS))[0] == 2


async def test_a_commit_goes_back_only_after_a_seek(broker: FakeFetchBroker) -> None:
    async with make(broker, group_id="g", partitions=[0]) as consumer:
        await consumer.poll(ARRIVES_MS)
        await consumer.commit()
        consumer.seek("t", 0, 3)
        await consumer.commit()
        assert await consumer.committed("t", 0) == 3
        assert broker.group("g").commits[-1].allow_rewind
        await consumer.poll(ARRIVES_MS)
        broker.group("g").offsets[broker.topic_id("t"), 0] = 100
        with pytest.raises(LogdError, match="behind"):
            await consumer.commit()
        broker.group("g").offsets[broker.topic_id("t"), 0] = 0


async def test_broken_streams_lose_and_double_nothing(broker: FakeFetchBroker) -> None:
    seen: dict[int, list[int]] = {0: [], 1: []}
    async with make(broker, fetch_max_bytes=300) as consumer:
        for turn in itertools.count():
            for record in await consumer.poll(ARRIVES_MS, max_records=2):
                seen[record.partition].append(record.offset)
            if turn % 2:
                broker.break_streams()
            if turn < 10:
                broker.append("t", turn % 2, [b"x"])
            if sum(map(len, seen.values())) == 34:
                break
    assert seen == {0: list(range(17)), 1: list(range(17))}


async def test_what_is_an_address_is_no_topic(broker: FakeFetchBroker) -> None:
    for wrong in ("127.0.0.1:23000", "t:0"):
        with pytest.raises(InvalidConfig, match=f"bootstrap_servers='{wrong}'"):
            make(broker, wrong, "t")


def damaged_batch(base_offset: int, *, undecodable: bool) -> bytes:
    """Two records; the body's CRC is right only where the batch is merely not decodable."""
    batch = bytearray(stored_batch([b"a", b"b"], base_offset))
    batch[HEADER_BYTES] ^= 0xFF
    if undecodable:
        header = BatchHeader.unpack(bytes(batch))._replace(body_crc=body_crc(bytes(batch)))
        batch[:HEADER_BYTES] = pack_header(header)
        from crc32c import crc32c

        crc = crc32c(bytes(batch[12:HEADER_BYTES]), crc32c(bytes(batch[:8])))
        batch[8:12] = crc.to_bytes(4, "little")
    return bytes(batch)


@pytest.mark.parametrize(
    ("undecodable", "error"), [(True, UndecodableBatch), (False, StoredDataCorrupt)]
)
async def test_a_batch_that_cannot_be_read_says_where_to_go_on(
    broker: FakeFetchBroker, undecodable: bool, error: type[LogdError]
) -> None:
    log = broker.topics["t"][0]
    log.append([b"a", b"b"], raw=damaged_batch(12, undecodable=undecodable))
    log.append([b"c"])
    async with make(broker, partitions=[0]) as consumer:
        assert len(await take(aiter(consumer), 12)) == 12
        for _ in range(2):
            with pytest.raises(error, match="t:0") as raised:
                await consumer.poll(ARRIVES_MS)
        assert raised.value.details["offset"] == "12"
        consumer.seek("t", 0, int(raised.value.details["next_offset"]))
        assert offsets(await consumer.poll(ARRIVES_MS)) == [14]


async def test_undecodable_and_corrupt_data_can_be_stepped_over(broker: FakeFetchBroker) -> None:
    log = broker.topics["t"][0]
    log.append([b"a", b"b"], raw=damaged_batch(12, undecodable=True))
    log.append([b"c"])
    log.errors[15] = StoredDataCorrupt("bad disk", next_offset=17)
    log.append([b"lost", b"lost"])
    log.append([b"d"])
    async with make(broker, partitions=[0], on_undecodable="skip") as consumer:
        assert offsets(await take(aiter(consumer), 14)) == [*range(12), 14, 17]


async def test_partitions_that_are_added_are_read_from_their_beginning(
    broker: FakeFetchBroker,
) -> None:
    settings = {"auto_offset_reset": "latest", "metadata_max_age_ms": 5}
    async with make(broker, **settings) as consumer:
        broker.topics["t"].append(type(broker.topics["t"][0])())
        broker.append("t", 2, [b"first"])
        record = (await take(aiter(consumer), 1))[0]
    assert (record.partition, record.offset) == (2, 0)


async def test_a_second_consumer_of_the_same_partitions_is_warned_once(
    broker: FakeFetchBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.also_consumed_by = "logd-1234"
    async with make(broker, group_id="g", partitions=[0, 1]) as consumer:
        await consumer.commit()
        await consumer.commit()
    warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("partitions_consumed_twice group=g other=logd-1234")


async def test_every_misuse_has_its_error(broker: FakeFetchBroker) -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'group_id'"):
        make(broker, groupid="g")
    with pytest.raises(InvalidConfig, match="at least one topic"):
        Consumer(transport=broker)
    with pytest.raises(InvalidConfig, match=r"\['t', 'u'\] is no topic's name"):
        Consumer(["t", "u"], transport=broker)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="several topics"):
        make(broker, "t", "u", partitions=[0])
    with pytest.raises(InvalidConfig, match="not among"):
        make(broker, "t", partitions={"u": [0]})
    with pytest.raises(UnknownTopic):
        await make(broker, "nothing").start()
    with pytest.raises(UnknownPartition, match="only 0 to 1"):
        await make(broker, partitions=[2]).start()
    consumer = make(broker, partitions={"t": [0]})
    with pytest.raises(UnknownPartition, match="not started"):
        consumer.position("t", 0)
    with pytest.raises(InvalidConfig, match="offset is -1"):
        consumer.seek("t", 0, -1)
    await consumer.start()
    assert consumer.assignment == [("t", 0)]
    with pytest.raises(UnknownPartition, match="does not read it"):
        consumer.seek("t", 1, 0)
    with pytest.raises(InvalidConfig, match="no group_id"):
        await consumer.commit()
    await consumer.close()
    await consumer.close()
    for call in (consumer.poll(0), consumer.start(), consumer.lag("t", 0)):
        with pytest.raises(ClientClosed):
            await call
    with pytest.raises(ClientClosed):
        consumer.seek("t", 0, 0)
