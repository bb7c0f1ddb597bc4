"""Batches of foreign clients at every extreme: refused with a reason, or passed by every reader.

Each case of `foreign_batch` comes through each way into a broker, into a topic for each way. What
is taken stands in the log among good batches, and every reader must bring the same records and
name the same batches as undecodable.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.flight as flight
import pytest

from harness.foreign_batch import TIME_MS, ForeignBatch, every_case
from harness.two_doors import WAYS, TwoDoors, Way, two_doors
from logd.model import binary_columns
from logd.model.errors import UndecodableBatch
from logd.system.grpc_transport import GrpcTransport
from logd_client.consumer import Consumer
from logd_client.record import Record
from logd_client.record_batch import RecordBatch
from logd_proto.v1 import common_pb2, data_pb2

REFUSALS = {
    "CORRUPT_BATCH",
    "INVALID_TIMESTAMP",
    "OUT_OF_ORDER_SEQUENCE",
    "RECORD_TOO_LARGE",
    "UNKNOWN_PRODUCER",
    "UNSUPPORTED_CODEC",
    "UNSUPPORTED_VERSION",
}
GOOD_EVERY = 20
QUICK: dict[str, Any] = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1}


class Row(NamedTuple):
    """A record as every reader must bring it."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Log(NamedTuple):
    """What a reader found: records, and (first offset, offset to go on at) of what it passed."""

    rows: list[Row]
    passed: list[tuple[int, int]]


def reason(answer: int | common_pb2.Error) -> str:
    return answer.reason if isinstance(answer, common_pb2.Error) else f"offset {answer}"


async def plain_fetch(doors: TwoDoors, topic_id: bytes, end: int) -> Log:
    log, at = Log([], []), 0
    while at < end:
        result = await doors.fetch(topic_id, at)
        if result.HasField("error"):
            assert result.error.reason == "UNDECODABLE_BATCH", (at, result.error)
            assert int(result.error.details["next_offset"]) == result.next_offset
            log.passed.append((at, result.next_offset))
        log.rows.extend(
            Row(
                each.offset,
                each.timestamp_ms,
                each.key if each.HasField("key") else None,
                each.value if each.HasField("value") else None,
                tuple((h.name, h.value if h.HasField("value") else None) for h in each.headers),
            )
            for each in result.records
        )
        assert result.next_offset > at
        at = result.next_offset
    return log


def by_record(batch: RecordBatch) -> list[Row]:
    def row(each: Record) -> Row:
        return Row(each.offset, each.timestamp_ms, each.key, each.value, tuple(each.headers))

    return [row(each) for each in batch]


def by_column(batch: RecordBatch) -> list[Row]:
    columns = (batch.offsets, batch.timestamps_ms, batch.keys, batch.values, batch.headers)
    return [Row(*cells[:4], tuple(cells[4])) for cells in zip(*columns, strict=True)]


def by_arrow(batch: RecordBatch) -> list[Row]:
    return arrow_rows(batch.to_arrow())


def arrow_rows(table: Any) -> list[Row]:
    """Of a RecordBatch or a Table, in SCHEMA."""
    table.validate(full=True)
    columns = [table.column(name) for name in ("offset", "key", "value", "headers")]
    offsets, keys, values, headers = (column.to_pylist() for column in columns)
    times = table.column("timestamp").cast(pa.int64()).to_pylist()
    pairs = (tuple((h["name"], h["value"]) for h in each) for each in headers)
    return [Row(*cells) for cells in zip(offsets, times, keys, values, pairs, strict=True)]


async def consume(
    doors: TwoDoors, end: int, rows_of: Callable[[RecordBatch], list[Row]], **settings: Any
) -> Log:
    """The SDK's consumer, which goes on by `seek` where it is not told to skip."""
    log = Log([], [])
    async with Consumer("unary", bootstrap_servers=doors.address, **QUICK, **settings) as consumer:
        await consumer.start()
        while consumer.position("unary", 0) < end:
            try:
                log.rows.extend(rows_of(await consumer.next_batch()))
            except UndecodableBatch as error:
                onward = int(error.details["next_offset"])
                log.passed.append((int(error.details["offset"]), onward))
                consumer.seek("unary", 0, onward)
    return log


async def replay(doors: TwoDoors) -> list[Row]:
    """`read_arrow`, told to skip."""
    settings: dict[str, Any] = {
        "bootstrap_servers": doors.address,
        "on_undecodable": "skip",
        **QUICK,
    }
    async with Consumer("unary", **settings) as consumer:
        reader = await consumer.read_arrow("unary")
        return arrow_rows(await asyncio.to_thread(reader.read_all))


def tables(address: str, end: int) -> Log:
    """A client that knows nothing but Flight: a ticket after each refusal."""
    log, at = Log([], []), 0
    with flight.connect(f"grpc://{address}") as client:
        while at < end:
            ticket = b'{"topic":"unary","partition":0,"start":%d,"end":%d}' % (at, end)
            try:
                for chunk in client.do_get(flight.Ticket(ticket)):
                    rows = arrow_rows(chunk.data)
                    log.rows.extend(rows)
                    at = rows[-1].offset + 1
                at = end
            except flight.FlightError as refusal:
                error = common_pb2.Error.FromString(refusal.extra_info)
                assert error.reason == "UNDECODABLE_BATCH", error
                log.passed.append((at, int(error.details["next_offset"])))
                at = log.passed[-1][1]
    return log


async def look_up(doors: TwoDoors, topic_id: bytes, *times: int) -> list[tuple[int, int | None]]:
    """Offsets by the records' times, each with the time found."""
    queries = [
        data_pb2.OffsetQuery(partition=0, at=common_pb2.OffsetSpec(record_time_ms=time_ms))
        for time_ms in times
    ]
    request = data_pb2.ListOffsetsRequest(
        topic=common_pb2.TopicRef(topic_id=topic_id), queries=queries
    )
    response = await doors.call("DataService/ListOffsets", request, data_pb2.ListOffsetsResponse)
    assert not [answer for answer in response.answers if answer.HasField("error")]
    return [
        (answer.offset, answer.timestamp_ms if answer.HasField("timestamp_ms") else None)
        for answer in response.answers
    ]


async def fill(
    doors: TwoDoors, topics: dict[Way, bytes], cases: list[ForeignBatch]
) -> Counter[str]:
    """Send each case through each way: they must agree. How often each outcome was."""
    outcomes: Counter[str] = Counter()
    good = ForeignBatch("good").encoded()
    for number, case in enumerate(cases):
        batches = [case.encoded(), good] if number % GOOD_EVERY == 0 else [case.encoded()]
        for batch in batches:
            answers = [await doors.produce(way, topics[way], batch) for way in WAYS]
            reasons = [reason(answer) for answer in answers]
            assert len(set(reasons)) == 1, (case.name, reasons)
            refused = isinstance(answers[0], common_pb2.Error)
            assert not refused or reasons[0] in REFUSALS, (case.name, answers[0])
            outcomes[reasons[0] if refused else "taken"] += 1
    return outcomes


@pytest.mark.slow
async def test_every_reader_passes_whatever_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None]
) -> None:
    async with two_doors(tmp_path) as doors:
        doors.clock.advance(TIME_MS + 60_000 - doors.clock.wall_ms())
        topics = {way: await doors.topic(way, durability="page_cache") for way in WAYS}
        producer_id, _ = await doors.init_producer()
        outcomes = await fill(doors, topics, list(every_case(producer_id)))
        last = await doors.produce("unary", topics["unary"], ForeignBatch("last").encoded())
        assert isinstance(last, int)
        end = last + 3
        plain = await plain_fetch(doors, topics["unary"], end)
        assert [row.offset for row in plain.rows[-3:]] == [last, last + 1, last + 2]
        assert len(plain.passed) > 100 and len(plain.rows) > 300
        say(f"foreign batches: {dict(outcomes)}, of them undecodable {len(plain.passed)}")
        for unpack_min in (1, sys.maxsize):
            monkeypatch.setattr(binary_columns, "arrow_unpack_min", unpack_min)
            for rows_of in (by_record, by_column, by_arrow):
                skipped = await consume(doors, end, rows_of, on_undecodable="skip")
                assert skipped.rows == plain.rows
        assert await asyncio.to_thread(tables, doors.flight_address, end) == plain
        assert await consume(doors, end, by_column) == plain
        through_grpc = GrpcTransport("reader")
        assert await consume(doors, end, by_record, transport=through_grpc) == plain
        assert await replay(doors) == plain.rows
        times = (0, TIME_MS - 7, TIME_MS + 5, TIME_MS + 6, (1 << 63) - 1)
        assert (await look_up(doors, topics["unary"], *times))[-1] == (end, None)
    async with two_doors(tmp_path, seed=2) as doors:
        assert await plain_fetch(doors, topics["flight"], last) == Log(
            plain.rows[:-3], plain.passed
        )


async def test_a_time_looked_up_may_stand_in_a_batch_that_nobody_can_decode(tmp_path: Path) -> None:
    """As with damage, the batch is the answer, so that who goes there is told of it."""
    async with two_doors(tmp_path) as doors:
        doors.clock.advance(TIME_MS + 60_000 - doors.clock.wall_ms())
        topic_id = await doors.topic("orders")
        later = {"base_timestamp_ms": TIME_MS + 50, "max_timestamp_ms": TIME_MS + 55}
        for batch in (
            ForeignBatch("good"),
            ForeignBatch("undecodable", codec=1, frame=bytes(64), header=later),
            ForeignBatch("good", header=later),
        ):
            await doors.produce("grpc", topic_id, batch.encoded())
        found = await look_up(doors, topic_id, TIME_MS + 5, TIME_MS + 6, TIME_MS + 56)
        assert found == [(1, TIME_MS + 5), (3, None), (9, None)]
