"""Produce, Fetch, ListOffsets and InitProducer as bare stubs call them, on a whole broker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness.door_bench import DoorBench, door_bench
from logd.broker.doors.grpc_door.data_service import DEADLINE_MARGIN_MS, PLAIN_RECORDS_MAX
from logd.broker.doors.grpc_door.plain_appends import PlainAppends, PlainReceipt
from logd.model.errors import InvalidConfig, UnknownPartition, UnknownTopic
from logd.model.key_ranges import KeyRange, KeyRouter
from logd.model.record_batch import Codec, split_batches
from logd.wire.field_counts import FIELDS_PER_MESSAGE_MAX
from logd_proto.v1 import common_pb2, data_pb2, topics_pb2


@pytest_asyncio.fixture
async def bench(tmp_path: Path) -> AsyncIterator[DoorBench]:
    async with door_bench(tmp_path) as bench:
        yield bench


async def test_keys_go_where_every_client_sends_them(bench: DoorBench) -> None:
    topic = await bench.topic("orders", 6)
    router = KeyRouter([KeyRange(p.hash_lo, p.hash_hi) for p in topic.partitions])
    keys = [b"key-%d" % n for n in range(200)]
    receipts = await bench.produce("orders", *({"key": key, "value": b"v"} for key in keys))
    assert [r.partition for r in receipts] == [router.partition_of(key) for key in keys]
    assert {r.partition for r in receipts} == set(range(6))
    for partition in range(6):
        offsets = [r.offset for r in receipts if r.partition == partition]
        assert offsets == list(range(len(offsets))), "in the request's order"


async def test_after_a_split_keys_go_by_the_new_ranges(bench: DoorBench) -> None:
    await bench.topic("orders", 2)
    ref = common_pb2.TopicRef(name="orders")
    request = topics_pb2.AddPartitionsRequest(topic=ref, total=5)
    topic = (await bench.call("TopicService/AddPartitions", request)).topic
    router = KeyRouter([KeyRange(p.hash_lo, p.hash_hi) for p in topic.partitions])
    keys = [b"key-%d" % n for n in range(100)]
    receipts = await bench.produce("orders", *({"key": key} for key in keys))
    assert [r.partition for r in receipts] == [router.partition_of(key) for key in keys]


async def test_what_was_routed_just_before_a_split_is_routed_again(
    bench: DoorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a key's new records would stand behind `split_at` in its old partition."""
    await bench.topic("orders", 2)
    ref = common_pb2.TopicRef(name="orders")
    request = topics_pb2.AddPartitionsRequest(topic=ref, total=5)
    append, splits = PlainAppends.append, [request]

    async def split_first(*args: Any, **kwargs: Any) -> PlainReceipt:
        if splits:
            await bench.call("TopicService/AddPartitions", splits.pop())
        return await append(*args, **kwargs)

    monkeypatch.setattr(PlainAppends, "append", split_first)
    keys = [b"key-%d" % n for n in range(100)]
    receipts = await bench.produce("orders", *({"key": key} for key in keys))
    described = await bench.call(
        "TopicService/DescribeTopic", topics_pb2.DescribeTopicRequest(topic=ref)
    )
    router = KeyRouter([KeyRange(p.hash_lo, p.hash_hi) for p in described.topic.partitions])
    assert [r.partition for r in receipts] == [router.partition_of(key) for key in keys]
    assert {r.partition for r in receipts} == set(range(5))
    assert [r.HasField("error") for r in receipts] == [False] * 100


async def test_without_a_key_one_partition_a_request_in_rotation(bench: DoorBench) -> None:
    await bench.topic("orders", 3)
    seen = []
    for _ in range(6):
        receipts = await bench.produce("orders", b"a", b"b")
        (partition,) = {r.partition for r in receipts}
        seen.append(partition)
    assert sorted(seen[:3]) == [0, 1, 2] and seen[3:] == seen[:3]


async def test_an_empty_key_is_a_key(bench: DoorBench) -> None:
    topic = await bench.topic("orders", 6)
    router = KeyRouter([KeyRange(p.hash_lo, p.hash_hi) for p in topic.partitions])
    for _ in range(3):
        (receipt,) = await bench.produce("orders", {"key": b"", "value": b"v"})
        assert receipt.partition == router.partition_of(b"")


async def test_records_come_back_as_they_were(bench: DoorBench) -> None:
    await bench.topic("orders")
    now_ms = bench.clock.wall_ms()
    headers = [common_pb2.Header(name="n", value=b"1"), common_pb2.Header(name="n")]
    await bench.produce(
        "orders",
        {"key": b"k", "value": b"v", "headers": headers, "timestamp_ms": 7},
        {"key": b"k"},
        {"value": b""},
        {},
        partition=0,
    )
    (result,) = await bench.fetch("orders", (0, 0))
    assert [r.offset for r in result.records] == [0, 1, 2, 3]
    assert [r.timestamp_ms for r in result.records] == [7, now_ms, now_ms, now_ms]
    assert [(r.HasField("key"), r.HasField("value")) for r in result.records] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert list(result.records[0].headers) == headers
    assert (result.high_watermark, result.last_stable_offset, result.next_offset) == (4, 4, 4)


async def test_a_plain_fetch_begins_at_the_offset_and_an_encoded_one_at_its_batch(
    bench: DoorBench,
) -> None:
    await bench.topic("orders")
    await bench.produce("orders", b"a", b"b", b"c")
    (plain,) = await bench.fetch("orders", (0, 1))
    assert [r.value for r in plain.records] == [b"b", b"c"] and not plain.batches
    (encoded,) = await bench.fetch("orders", (0, 1), encoded=True)
    ((header, _),) = split_batches(encoded.batches)
    assert header.base_offset == 0 and not encoded.records
    assert plain.next_offset == encoded.next_offset == 3


async def test_small_answers_lead_through_compressed_batches(bench: DoorBench) -> None:
    await bench.topic("orders")
    batch = bench.batch(*[bytes(1000)] * 200, codec=Codec.ZSTD)
    await bench.produce_batch("orders", batch)
    offset = answers = 0
    while offset < 200:
        (result,) = await bench.fetch("orders", (0, offset), max_bytes=20_000)
        assert sum(len(r.value) for r in result.records) <= 21_000
        assert [r.offset for r in result.records] == list(range(offset, result.next_offset))
        offset, answers = result.next_offset, answers + 1
    assert answers >= 10


async def test_an_encoded_batch(bench: DoorBench) -> None:
    await bench.topic("orders", 2)
    (receipt,) = await bench.produce_batch("orders", bench.batch(b"a", b"b"), partition=1)
    assert (receipt.partition, receipt.offset, receipt.replicas_synced) == (1, 0, 1)
    (receipt,) = await bench.produce_batch("orders", bench.batch(b"c"), partition=1)
    assert receipt.offset == 2
    (receipt,) = await bench.produce_batch("orders", b"no batch", partition=1)
    assert receipt.error.reason == "CORRUPT_BATCH" and not receipt.HasField("offset")
    (receipt,) = await bench.produce_batch("orders", bench.batch(b"c"), partition=7)
    assert receipt.error.reason == "UNKNOWN_PARTITION"


async def test_calls_at_once_share_a_batch(bench: DoorBench) -> None:
    await bench.topic("orders")
    answers = await asyncio.gather(*(bench.produce("orders", b"%d" % n) for n in range(50)))
    assert [receipt.offset for (receipt,) in answers] == list(range(50))
    (result,) = await bench.fetch("orders", (0, 0), encoded=True)
    assert [h.record_count for h, _ in split_batches(result.batches)] == [50]


async def test_one_records_error_is_its_receipts(bench: DoorBench) -> None:
    await bench.topic("orders", 2)
    ahead_ms = bench.clock.wall_ms() + 10**9
    (bad,) = await bench.produce("orders", {"timestamp_ms": ahead_ms}, partition=0)
    assert bad.error.reason == "INVALID_TIMESTAMP"
    (large,) = await bench.produce("orders", bytes(9 << 20), partition=0)
    assert large.error.reason == "RECORD_TOO_LARGE"
    (good,) = await bench.produce("orders", b"a", partition=0)
    assert good.offset == 0


async def test_a_request_for_several_partitions_fails_in_one_alone(bench: DoorBench) -> None:
    topic = await bench.topic("orders", 2)
    router = KeyRouter([KeyRange(p.hash_lo, p.hash_hi) for p in topic.partitions])
    keys = [b"%d" % n for n in range(20)]
    bad = keys[0]
    receipts = await bench.produce(
        "orders", *({"key": k, "timestamp_ms": -1 if k == bad else 1} for k in keys)
    )
    failed = {r.partition for r in receipts if r.error.reason == "INVALID_TIMESTAMP"}
    assert failed == {router.partition_of(bad)}
    assert all(r.HasField("offset") for r in receipts if r.partition not in failed)


@pytest.mark.parametrize(
    "request_",
    [
        data_pb2.ProduceRequest(),
        data_pb2.ProduceRequest(records=[data_pb2.PlainRecord()], batch=b"x", partition=0),
        data_pb2.ProduceRequest(batch=b"x"),
        data_pb2.ProduceRequest(records=[data_pb2.PlainRecord()], acks=7),  # type: ignore[arg-type]
        data_pb2.ProduceRequest(records=[data_pb2.PlainRecord()] * (PLAIN_RECORDS_MAX + 1)),
        data_pb2.ProduceRequest(records=[data_pb2.PlainRecord()] * (FIELDS_PER_MESSAGE_MAX + 1)),
    ],
)
async def test_what_is_no_produce_request(
    bench: DoorBench, request_: data_pb2.ProduceRequest
) -> None:
    await bench.topic("orders")
    request_.topic.name = "orders"
    with pytest.raises(InvalidConfig):
        await bench.call("DataService/Produce", request_)


async def test_topics_and_partitions_that_are_not_there(bench: DoorBench) -> None:
    with pytest.raises(UnknownTopic, match="did you mean 'orders'"):
        await bench.topic("orders")
        await bench.produce("order", b"a")
    with pytest.raises(UnknownPartition):
        await bench.produce("orders", b"a", partition=1)
    (result,) = await bench.fetch("orders", (9, 0))
    assert result.error.reason == "UNKNOWN_PARTITION" and result.partition == 9
    with pytest.raises(InvalidConfig, match="twice"):
        await bench.fetch("orders", (0, 0), (0, 5))


async def test_every_position_is_answered_in_order(bench: DoorBench) -> None:
    await bench.topic("orders", 3)
    await bench.produce("orders", b"a", partition=1)
    results = await bench.fetch("orders", (2, 0), (1, 0), (0, 0), (1 << 31, 0))
    assert [r.partition for r in results] == [2, 1, 0, 1 << 31]
    assert [len(r.records) for r in results] == [0, 1, 0, 0]
    assert [(r.high_watermark, r.next_offset) for r in results[:3]] == [(0, 0), (1, 1), (0, 0)]
    assert await bench.fetch("orders") == []


@pytest.mark.parametrize("offset", [-1, 2, -(1 << 63), (1 << 63) - 1])
async def test_offsets_outside_the_log(bench: DoorBench, offset: int) -> None:
    await bench.topic("orders")
    await bench.produce("orders", b"a")
    (result,) = await bench.fetch("orders", (0, offset), min_bytes=1, max_wait_ms=60_000)
    assert result.error.reason == "OFFSET_OUT_OF_RANGE"
    assert (result.log_start_offset, result.high_watermark) == (0, 1)


async def test_a_long_poll_ends_before_its_deadline(bench: DoorBench) -> None:
    await bench.topic("orders")
    for left_ms in (0, DEADLINE_MARGIN_MS + 1, -5):
        deadline_ms = bench.clock.monotonic_ms() + left_ms
        request = data_pb2.FetchRequest(
            topic=common_pb2.TopicRef(name="orders"),
            positions=[data_pb2.FetchPosition()],
            min_bytes=1,
            max_wait_ms=60_000,
        )
        async with asyncio.timeout(30):
            await bench.call("DataService/Fetch", request, deadline_ms=deadline_ms)


async def test_a_long_poll_gives_what_comes(bench: DoorBench) -> None:
    await bench.topic("orders")
    polling = asyncio.ensure_future(bench.fetch("orders", (0, 0), min_bytes=1, max_wait_ms=60_000))
    await asyncio.sleep(0.01)
    assert not polling.done()
    await bench.produce("orders", b"a")
    (result,) = await polling
    assert [r.value for r in result.records] == [b"a"]


async def test_offsets_by_place_and_time(bench: DoorBench) -> None:
    await bench.topic("orders")
    start_ms = bench.clock.wall_ms()
    for n in range(3):
        await bench.produce("orders", {"timestamp_ms": 100 * n})
        bench.clock.advance(1000)
    specs = {
        "earliest": ({"earliest": True}, 0, None),
        "latest": ({"latest": True}, 3, None),
        "offset": ({"offset": 99}, 3, None),
        "append": ({"append_time_ms": start_ms + 1}, 1, start_ms + 1000),
        "record": ({"record_time_ms": 101}, 2, 200),
        "none": ({"record_time_ms": 201}, 3, None),
    }
    queries = [
        data_pb2.OffsetQuery(partition=0, at=common_pb2.OffsetSpec(**spec))  # type: ignore[arg-type]
        for spec, *_ in specs.values()
    ]
    queries += [data_pb2.OffsetQuery(partition=0), data_pb2.OffsetQuery(partition=9)]
    queries[-1].at.latest = True
    request = data_pb2.ListOffsetsRequest(topic=common_pb2.TopicRef(name="orders"), queries=queries)
    answers = (await bench.call("DataService/ListOffsets", request)).answers
    found = [
        (a.offset, a.timestamp_ms if a.HasField("timestamp_ms") else None) for a in answers[:-2]
    ]
    assert found == [(offset, time_ms) for _, offset, time_ms in specs.values()]
    assert [a.error.reason for a in answers[-2:]] == ["INVALID_CONFIG", "UNKNOWN_PARTITION"]


async def test_identities_of_producers(bench: DoorBench) -> None:
    async def ask(**fields: int) -> tuple[int, int]:
        answer = await bench.call(
            "DataService/InitProducer", data_pb2.InitProducerRequest(**fields)
        )
        return answer.producer_id, answer.producer_epoch

    first, second = await ask(), await ask()
    assert first[1] == second[1] == 0 and first[0] != second[0]
    assert await ask(producer_id=first[0], producer_epoch=0) == (first[0], 1)
    with pytest.raises(InvalidConfig):
        await ask(producer_id=-5)
