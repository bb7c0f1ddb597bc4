"""Appends and their answers, one partition's life in the host, and what disks do to it."""

import asyncio
import errno
import shutil
from pathlib import Path

import pytest
import pytest_asyncio

from harness.faulty_file_system import Fault, FaultyFileSystem
from harness.host_bench import HostBench, at, host_bench, offsets_of
from logd.broker.ports import Receipt
from logd.model.errors import (
    AckTimeout,
    AclDenied,
    BrokerDraining,
    CorruptBatch,
    LogdError,
    LogReadOnly,
    StalePartitioning,
    StorageFull,
    StoredDataCorrupt,
    SyncFailed,
    UnknownPartition,
    UnknownTopic,
)
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.model.offset_spec import OffsetSpec


@pytest_asyncio.fixture
async def bench(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with host_bench(tmp_path) as bench:
        yield bench


def receipt(answers: list[Receipt | LogdError]) -> Receipt:
    (answer,) = answers
    assert isinstance(answer, Receipt), answer
    return answer


def error(answers: list[Receipt | LogdError]) -> LogdError:
    (answer,) = answers
    assert isinstance(answer, LogdError)
    return answer


async def test_appends_stand_in_the_order_of_the_calls(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    await bench.host.open(where)
    answers = [bench.append(where, b"a" * n, b"b") for n in range(20)]
    await bench.turns()
    assert [receipt(each).base_offset for each in answers] == list(range(0, 40, 2))
    (found,) = await bench.fetch(at(where))
    assert offsets_of(found) == list(range(0, 40, 2))
    assert found.high_watermark == found.next_offset == 40


async def test_the_answer_waits_for_the_sync_and_tells_of_it(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    await bench.host.open(where)
    bench.flush.gate.clear()
    answers = bench.append(where, b"a", b"b")
    await bench.turns()
    assert answers == []
    assert (await bench.host.status(where)).high_watermark == 0
    bench.flush.gate.set()
    await bench.turns()
    assert receipt(answers) == Receipt(
        base_offset=Offset(0),
        leader_epoch=receipt(answers).leader_epoch,
        append_timestamp_ms=bench.clock.wall_ms(),
        log_start_offset=Offset(0),
        duplicate=False,
        replicas=1,
        replicas_synced=1,
    )


async def test_a_late_sync_is_an_ack_timeout_and_nothing_is_answered_later(
    bench: HostBench,
) -> None:
    (where,) = await bench.topic("orders")
    await bench.host.open(where)
    bench.flush.gate.clear()
    answers = bench.append(where, b"a", timeout_ms=1)
    patient = bench.append(where, b"b")
    while not answers:
        await asyncio.sleep(0.001)
    timeout = error(answers)
    assert isinstance(timeout, AckTimeout) and timeout.outcome_unknown
    assert timeout.details == {"base_offset": "0"}
    bench.flush.gate.set()
    await bench.turns()
    assert len(answers) == 1
    assert receipt(patient).base_offset == 1
    assert not (await bench.host.hosted(where)).pending


async def test_a_duplicate_is_answered_with_the_first_answer(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    await bench.host.open(where)
    batch = bench.batch(b"a", b"b", producer=(await bench.new_producer(), 0, 0))
    bench.flush.gate.clear()
    answers = [bench.append_encoded(where, batch) for _ in range(3)]
    await bench.turns()
    assert answers == [[], [], []], "what is not synced is no more so for being sent again"
    bench.flush.gate.set()
    await bench.turns()
    assert [receipt(each).base_offset for each in answers] == [0, 0, 0]
    assert [receipt(each).duplicate for each in answers] == [False, True, True]
    again = bench.append_encoded(where, batch)
    assert receipt(again).duplicate, "what is synced is answered at once"
    assert (await bench.host.status(where)).log_end_offset == 2


async def test_a_duplicate_too_old_to_be_remembered_is_answered_without_an_offset(
    bench: HostBench,
) -> None:
    (where,) = await bench.topic("orders")
    await bench.host.open(where)
    mine = await bench.new_producer()
    for sequence in range(20):
        bench.append_encoded(where, bench.batch(b"a", producer=(mine, 0, sequence)))
    await bench.turns()
    answer = receipt(bench.append_encoded(where, bench.batch(b"a", producer=(mine, 0, 0))))
    assert (answer.base_offset, answer.duplicate) == (None, True)


async def test_what_is_no_batch_is_refused_and_leaves_nothing(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    await bench.host.open(where)
    good = bench.batch(b"a")
    assert isinstance(error(bench.append_encoded(where, good[:-8])), CorruptBatch)
    assert isinstance(error(bench.append_encoded(where, b"")), CorruptBatch)
    assert (await bench.host.status(where)).log_end_offset == 0


async def test_a_stale_partitioning_is_refused_with_the_current_epoch(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    await bench.host.open(where)
    await bench.catalog.add_partitions(where.topic_id, 2)
    refused = error(bench.append_encoded(where, bench.batch(b"a"), partitioning_epoch=0))
    assert isinstance(refused, StalePartitioning) and refused.details == {"epoch": "1"}
    answers = bench.append_encoded(where, bench.batch(b"a"), partitioning_epoch=1)
    await bench.turns()
    receipt(answers)


async def test_internal_topics_are_not_written_from_outside(bench: HostBench) -> None:
    topic = await bench.catalog.create("__inner", 1, {}, internal=True)
    where = TopicPartition(topic.topic_id, PartitionId(0))
    await bench.host.open(where)
    assert isinstance(error(bench.append(where, b"a")), AclDenied)


async def test_unknown_topics_and_partitions(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    with pytest.raises(UnknownPartition):
        await bench.host.open(TopicPartition(where.topic_id, PartitionId(1)))
    nowhere = TopicPartition(TopicId(bytes(16)), PartitionId(0))
    with pytest.raises(UnknownTopic):
        await bench.host.open(nowhere)
    assert isinstance(error(bench.append(nowhere, b"a")), UnknownTopic)


async def test_many_openings_at_once_are_one(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    before = bench.maintenance.runs
    opened = await asyncio.gather(*(bench.host.hosted(where) for _ in range(50)))
    assert len(set(map(id, opened))) == 1
    assert bench.maintenance.runs == before + 1


async def test_a_cancelled_opening_goes_on_for_the_others(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    bench.maintenance.gate.clear()
    first = asyncio.ensure_future(bench.host.open(where))
    second = asyncio.ensure_future(bench.host.open(where))
    await bench.turns()
    first.cancel()
    await bench.turns()
    bench.maintenance.gate.set()
    await second
    assert bench.host.is_open(where)


async def test_settings_changed_while_a_log_opens_are_in_force(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    bench.maintenance.gate.clear()
    opening = asyncio.ensure_future(bench.host.hosted(where))
    await bench.turns()
    await bench.catalog.alter(where.topic_id, {"durability": "page_cache"})
    bench.maintenance.gate.set()
    assert (await opening).log.config.durability == "page_cache"


async def test_the_drain_refuses_appends_and_syncs_what_was_taken(bench: HostBench) -> None:
    where, unopened = await bench.topic("orders", 2)
    await bench.host.open(where)
    bench.flush.gate.clear()
    answers = bench.append(where, b"a")
    draining = asyncio.ensure_future(bench.host.drain())
    await bench.turns()
    assert isinstance(error(bench.append(where, b"b")), BrokerDraining)
    with pytest.raises(BrokerDraining):
        await bench.host.open(unopened)
    assert answers == [] and not draining.done()
    bench.flush.gate.set()
    await draining
    assert receipt(answers).replicas_synced == 1


async def test_the_drain_waits_for_openings_under_way(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    bench.maintenance.gate.clear()
    opening = asyncio.ensure_future(bench.host.hosted(where))
    await bench.turns()
    draining = asyncio.ensure_future(bench.host.drain())
    await bench.turns()
    assert not draining.done(), "a log must not open behind the lock's release"
    bench.maintenance.gate.set()
    await draining
    assert opening.done()


async def test_a_topic_deleted_under_appends_and_fetches(bench: HostBench) -> None:
    where, other = await bench.topic("orders", 2)
    await bench.produce(where, b"a")
    await bench.host.open(other)
    bench.flush.gate.clear()
    answers = bench.append(where, b"b")
    waiting = asyncio.ensure_future(
        bench.fetch([at(where, 1), at(other)], min_bytes=1, max_wait_ms=60_000)
    )
    await bench.turns()
    assert len(bench.host.purgatory) == 1
    await bench.catalog.delete(where.topic_id)
    assert isinstance(error(answers), UnknownTopic)
    found = await waiting
    assert [type(f.error) for f in found] == [UnknownTopic, UnknownTopic]
    assert len(bench.host.purgatory) == 0 and bench.host.all_hosted() == []
    assert isinstance(error(bench.append(where, b"c")), UnknownTopic)
    bench.flush.gate.set()
    await bench.turns()
    assert len(answers) == 1
    await bench.topic("orders", 1)  # the name is free, the new one is empty
    assert (await bench.fetch(at((await bench.topic("again"))[0])))[:] == []


async def test_a_deletion_that_the_disk_refuses_is_a_typed_error_and_can_be_tried_again(
    bench: HostBench,
) -> None:
    (where,) = await bench.topic("orders")
    await bench.produce(where, b"a")
    bench.fs.faults.append(Fault("rename", "orders-0", errno.EIO))
    with pytest.raises(LogReadOnly):
        await bench.catalog.delete(where.topic_id)
    await bench.catalog.delete(where.topic_id)
    with pytest.raises(UnknownTopic):
        bench.catalog.by_id(where.topic_id)


async def test_from_page_cache_to_fsync_the_watermark_stays(bench: HostBench) -> None:
    (where,) = await bench.topic("orders", durability="page_cache")
    await bench.produce(where, b"a")
    bench.flush.gate.clear()
    receipt(bench.append(where, b"b"))  # acknowledged, not synced
    await bench.catalog.alter(where.topic_id, {"durability": "fsync"})
    status = await bench.host.status(where)
    assert (status.high_watermark, status.synced_end_offset) == (2, 1)
    answers = bench.append(where, b"c")
    assert answers == []
    assert (await bench.host.status(where)).high_watermark == 2
    bench.flush.gate.set()
    await bench.turns()
    assert receipt(answers).replicas_synced == 1


async def test_from_fsync_to_page_cache_what_waits_is_answered(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    await bench.produce(where, b"a")
    bench.flush.gate.clear()
    answers = bench.append(where, b"b")
    assert answers == []
    await bench.catalog.alter(where.topic_id, {"durability": "page_cache"})
    assert receipt(answers).replicas_synced == 0


async def test_a_failed_sync_fails_what_waits_and_all_that_comes(bench: HostBench) -> None:
    where, other = await bench.topic("orders", 2)
    await bench.produce(where, b"a")
    await bench.produce(other, b"a")
    bench.fs.faults.append(Fault("datasync", ".log", errno.EIO))
    answers = bench.append(where, b"b")
    while not answers:
        await bench.turns()
    failed = error(answers)
    assert isinstance(failed, SyncFailed) and failed.outcome_unknown
    for each in (where, other):
        assert isinstance(error(bench.append(each, b"c")), LogReadOnly)
        (found,) = await bench.fetch(at(each))
        assert offsets_of(found) == [0], "what was acknowledged is still read"
    assert [p.reason for p in bench.directory.problems()] == ["LOG_READ_ONLY"]


async def test_a_full_disk_refuses_appends_and_takes_them_again_with_space(
    tmp_path: Path,
) -> None:
    fs = FaultyFileSystem(free=1 << 50)
    async with host_bench(tmp_path, fs) as bench:
        (where,) = await bench.topic("orders")
        assert isinstance(await bench.produce(where, b"a"), Receipt)
        fs.free = 0
        answers: list[Receipt | LogdError] = []
        while not answers or isinstance(answers[-1], Receipt):
            answers.append(await bench.produce(where, bytes(1 << 20)))
        assert isinstance(answers[-1], StorageFull)
        end = (await bench.host.status(where)).log_end_offset
        assert end == len(answers), "what was refused is not there"
        (found,) = await bench.fetch(at(where))
        assert found.error is None and offsets_of(found)[0] == 0
        fs.free = 1 << 50
        after = await bench.produce(where, b"b")
        assert isinstance(after, Receipt) and after.base_offset == end


async def test_offsets_by_every_form(bench: HostBench) -> None:
    (where,) = await bench.topic("orders")
    start_ms = bench.clock.wall_ms()
    for _ in range(3):
        await bench.produce(where, b"a", b"b")
        bench.clock.advance(1000)

    async def found(form: str, value: int = 0) -> tuple[int, int | None]:
        result = await bench.host.find_offset(where, OffsetSpec(form, value))  # type: ignore[arg-type]
        return result.offset, result.timestamp_ms

    assert await found("earliest") == (0, None)
    assert await found("latest") == (6, None)
    assert [(await found("offset", n))[0] for n in (-5, 3, 99)] == [0, 3, 6]
    for form in ("append_time", "record_time"):
        assert await found(form, start_ms - 5) == (0, start_ms)
        assert await found(form, start_ms + 1) == (2, start_ms + 1000)
        assert await found(form, start_ms + 2001) == (6, None)
        assert await found(form, -(1 << 63)) == (0, start_ms)
        assert await found(form, (1 << 63) - 1) == (6, None)


async def test_a_crash_is_recovered_before_anything_is_served(tmp_path: Path) -> None:
    async with host_bench(tmp_path / "live") as bench:
        where, other = await bench.topic("orders", 2)
        await bench.produce(where, b"a")
        await bench.produce(other, b"a")
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    async with host_bench(tmp_path / "crashed") as bench:
        assert {hosted.topic_partition for hosted in bench.host.all_hosted()} == {where, other}
        assert (await bench.host.status(where)).high_watermark == 1


async def test_one_partition_that_does_not_open_is_a_problem_of_its_own(tmp_path: Path) -> None:
    async with host_bench(tmp_path / "live") as bench:
        where, other = await bench.topic("orders", 2)
        await bench.produce(where, b"a")
        await bench.produce(other, b"a")
        bench.directory.collect_points()
        bench.directory.write_points()
        shutil.copytree(tmp_path / "live", tmp_path / "crashed")
    crashed = tmp_path / "crashed"
    shutil.rmtree(crashed / "data" / "orders-0")
    async with host_bench(crashed) as bench:
        assert isinstance(await bench.produce(other, b"b"), Receipt)
        with pytest.raises(StoredDataCorrupt):
            await bench.host.open(where)
        (problem,) = bench.host.problems()
        assert (problem.reason, problem.resource) == ("STORED_DATA_CORRUPT", "orders:0")
        await bench.host.open_some(10)  # maintenance goes on with the others
        await bench.catalog.delete(where.topic_id)  # what its message asks for is possible
        assert bench.host.problems() == []


async def test_a_topic_deleted_before_its_first_sync_harms_no_other(bench: HostBench) -> None:
    """Its directory is gone when it should be made durable: that is no failing disk."""
    (doomed,) = await bench.topic("doomed")
    (other,) = await bench.topic("other")
    await bench.host.open(doomed)
    await bench.host.open(other)
    bench.flush.gate.clear()
    answers = bench.append(doomed, b"a")
    others = bench.append(other, b"b")
    await bench.turns()
    await bench.catalog.delete(doomed.topic_id)
    bench.flush.gate.set()
    await bench.turns(30)
    assert isinstance(error(answers), UnknownTopic)
    assert receipt(others).base_offset == 0
    assert bench.directory.problems() == []
