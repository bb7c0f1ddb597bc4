"""Records that fail: tried again, counted through restarts, put aside in the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from harness.local_broker import LocalBroker, local_broker
from harness.manual_clock import ManualClock
from logd.model.errors import (
    BrokerUnreachable,
    DeliveryTimeout,
    InvalidConfig,
    InvalidName,
    LogdError,
    RecordTooLarge,
    RequestTimeout,
)
from logd_client import Admin, Consumer, Producer, Record, failed_records
from logd_client.failed_records import FailedRecords
from logd_client.parked_records import ParkedRecords
from logd_client.work_record import Park, WorkRecord

WAIT_S = 60
KEYS = [b"a", b"b", b"a", b"b", None, b"a"]


@asynccontextmanager
async def filled(tmp_path: Path, name: str = "t") -> AsyncIterator[LocalBroker]:
    """A record of each of KEYS, whose value is its offset."""
    async with local_broker(tmp_path) as local:
        async with Admin(transport=local.transport) as admin:
            await admin.create_topic(name, 1, config={"message_bytes_max": "100000"})
        async with Producer(transport=local.transport) as producer:
            for number, key in enumerate(KEYS):
                now_ms = local.clock.wall_ms()
                headers = [("trace", b"x")]
                value = b"%d" % number
                await producer.send(name, value, key, timestamp_ms=now_ms, headers=headers)
        yield local


def member(local: LocalBroker, name: str = "t", **settings: Any) -> Consumer:
    quick = {"fetch_max_wait_ms": 20, "retry_backoff_ms": 1, **settings}
    return Consumer(name, group_id="g", transport=local.transport, **quick)


class Handler:
    """Notes what it is given, as (offset, attempt), and does with it what it is told."""

    def __init__(self, does: Callable[[WorkRecord], object] = lambda record: None) -> None:
        self.given: list[tuple[int, int]] = []
        self._does = does
        self._more = asyncio.Event()

    async def __call__(self, record: WorkRecord) -> None:
        self.given.append((record.offset, record.attempt))
        self._more.set()
        self._does(record)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def running(consumer: Consumer, handler: Handler, **how: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(consumer.records(**how).for_each(handler))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def committed_at(consumer: Consumer, offset: int) -> None:
    """The workers have come back from everything before."""
    async with asyncio.timeout(WAIT_S):
        while await consumer.commit() and await consumer.committed("t", 0) != offset:
            await asyncio.sleep(0.005)


def fails(offset: int, times: int) -> Callable[[WorkRecord], None]:
    def does(record: WorkRecord) -> None:
        if record.offset == offset and record.attempt <= times:
            raise ValueError(f"no {record.attempt}")

    return does


@pytest.mark.parametrize("hold_order", [True, False])
async def test_a_record_that_fails_is_tried_again_and_its_key_waits_or_not(
    tmp_path: Path, hold_order: bool
) -> None:
    handler = Handler(fails(0, times=2))
    how = {"max_attempts": 5, "retry_delay_ms": 20, "hold_order": hold_order}
    async with filled(tmp_path) as local, member(local) as consumer:
        async with running(consumer, handler, concurrency=4, **how):
            await handler.until(lambda: len(handler.given) == 8)
            await committed_at(consumer, 6)
    tries = [handler.given.index((0, attempt)) for attempt in (1, 2, 3)]
    assert tries == sorted(tries)
    later_of_the_key = [handler.given.index((offset, 1)) for offset in (2, 5)]
    assert (min(later_of_the_key) > tries[2]) is hold_order
    others = [handler.given.index((offset, 1)) for offset in (1, 3, 4)]
    assert max(others) < tries[1], "nobody else waits"


async def test_a_record_that_fails_too_often_is_parked_and_its_partition_moves_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(fails(0, times=99))
    how = {"max_attempts": 3, "retry_delay_ms": 0}
    async with filled(tmp_path) as local, member(local) as consumer:
        async with running(consumer, handler, concurrency=2, **how):
            await handler.until(lambda: len(handler.given) == 8)
            await committed_at(consumer, 6)
        assert [attempt for offset, attempt in handler.given if offset == 0] == [1, 2, 3]
        parked = await read_parked(local, 1)
        async with Admin(transport=local.transport) as admin:
            made = await admin.describe_topic("t.parked")
    (record,) = parked
    assert (record.key, record.value, record.headers[0]) == (b"a", b"0", ("trace", b"x"))
    said = {name.removeprefix("logd.parked."): value for name, value in record.headers[1:]}
    assert b"Traceback" in (said.pop("traceback") or b"")
    assert said == {
        "topic": b"t",
        "partition": b"0",
        "offset": b"0",
        "group": b"g",
        "attempts": b"3",
        "reason": b"no 3",
        "error": b"ValueError",
    }
    assert made.config["retention_ms"] == str(30 * 86_400_000)
    assert int(made.config["message_bytes_max"]) > 100_000
    assert "record_parked record=t:0:0 attempts=3 reason=no 3" in caplog.text


async def read_parked(local: LocalBroker, count: int) -> list[Record]:
    found: list[Record] = []
    async with Consumer("t.parked", transport=local.transport, fetch_max_wait_ms=20) as consumer:
        while len(found) < count:
            found += await consumer.poll(WAIT_S * 1000)
    return found


async def test_a_worker_says_itself_what_shall_become_of_a_record(tmp_path: Path) -> None:
    def does(record: WorkRecord) -> None:
        if record.offset == 1:
            record.park("no such customer")
        elif record.offset == 2 and record.attempt == 1:
            record.retry(0.01)
        elif record.offset == 3:
            record.retry(60)
            record.skip()
        elif record.offset == 4:
            with pytest.raises(InvalidConfig):
                record.retry(-1)

    handler = Handler(does)
    async with filled(tmp_path) as local, member(local) as consumer:
        async with running(consumer, handler, concurrency=3, order="none"):
            await handler.until(lambda: len(handler.given) == 7)
            await committed_at(consumer, 6)
        (record,) = await read_parked(local, 1)
    said = dict(record.headers)
    assert said["logd.parked.reason"] == b"no such customer"
    assert "logd.parked.error" not in said and said["logd.parked.offset"] == b"1"


async def test_attempts_count_on_through_a_restart(tmp_path: Path) -> None:
    first = Handler(fails(0, times=99))
    async with filled(tmp_path) as local:
        consumer = member(local, auto_commit_interval_ms=86_400_000)
        await consumer.start()
        async with running(consumer, first, concurrency=2, max_attempts=99, retry_delay_ms=20):
            await first.until(lambda: (0, 3) in first.given)
            async with Admin(transport=local.transport) as admin, asyncio.timeout(WAIT_S):
                while not (await admin.fetch_offsets("g"))[0].attempts:
                    await asyncio.sleep(0.005)
            given = len(first.given)
        await consumer._end()  # as if it was killed: it says nothing more
        tried = max(attempt for offset, attempt in first.given[:given] if offset == 0)
        second = Handler()
        async with member(local) as consumer:
            async with running(consumer, second, concurrency=2):
                async with asyncio.timeout(WAIT_S):
                    while not any(offset == 0 for offset, _ in second.given):
                        local.clock.advance(100)  # a broken session has a moment to come back
                        await asyncio.sleep(0.005)
                await committed_at(consumer, 6)
        (attempt,) = [attempt for offset, attempt in second.given if offset == 0]
        assert attempt >= tried - 1, "a restart repeats one at most"
        async with Admin(transport=local.transport) as admin:
            (committed,) = await admin.fetch_offsets("g")
        assert committed.attempts == (), "the commit that passes it forgets it"


async def test_without_max_attempts_a_failure_ends_the_reading(tmp_path: Path) -> None:
    async with filled(tmp_path) as local, member(local) as consumer:
        with pytest.raises(ValueError, match="no 1"):
            await consumer.records(concurrency=2).for_each(Handler(fails(0, times=1)))


async def test_a_name_that_leaves_no_room_for_the_parked_one_is_told_at_once(
    tmp_path: Path,
) -> None:
    name = "t" * 245
    async with filled(tmp_path, name) as local, member(local, name) as consumer:
        with pytest.raises(InvalidName):
            consumer.records(max_attempts=3)
        consumer.records()


class Parked:
    """Takes a record once it has raised what it is given."""

    def __init__(self, *errors: LogdError) -> None:
        self.errors = list(errors)
        self.taken: list[WorkRecord] = []

    async def park(self, record: WorkRecord, verdict: Park) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(record)


async def test_a_broker_that_is_away_is_waited_for_before_a_record_counts_as_parked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failed_records, "PARK_AGAIN_S", 0)
    record, verdict = WorkRecord("t", 0, 0, 0, None, b"v"), Park("no", None)
    away = Parked(BrokerUnreachable("away"), DeliveryTimeout("late"), RequestTimeout("late"))
    await FailedRecords(ManualClock(), cast(ParkedRecords, away), None).park(record, verdict)
    assert away.taken == [record] and away.errors == []
    refuses = Parked(RecordTooLarge("too large"))
    with pytest.raises(RecordTooLarge):
        await FailedRecords(ManualClock(), cast(ParkedRecords, refuses), None).park(record, verdict)
