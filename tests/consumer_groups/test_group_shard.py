"""Loading, failing appends, lost leadership, and snapshots."""

import asyncio

import pytest
from structlog.testing import capture_logs

from harness.group_bench import GroupBench
from harness.manual_clock import ManualClock
from harness.memory_offsets_log import MemoryOffsetsLog
from logd.model.errors import (
    BrokerDraining,
    CoordinatorLoading,
    LogReadOnly,
    NotCoordinator,
    NotLeader,
    StorageFull,
    SyncFailed,
    UnsupportedVersion,
)
from logd.model.group import ToOffset
from logd.model.ids import Offset, PartitionId, TopicId, TopicPartition
from logd.system.background_tasks import BackgroundTasks
from logd_consumer_groups.core.group_image import Position
from logd_consumer_groups.core.offset_records import CommitRecord
from logd_consumer_groups.core.shard_state import ShardState
from logd_consumer_groups.core.snapshots import LOG_BYTES_MIN
from logd_consumer_groups.group_shard import RELOAD_AFTER_MS, GroupShard

ZERO = PartitionId(0)


class Nobody:
    """Implements `ShardListener`."""

    def loaded(self, shard: GroupShard, state: ShardState) -> None: ...

    def dropped(self, shard: GroupShard) -> None: ...


def tasks() -> BackgroundTasks:
    return BackgroundTasks(ManualClock())


def where(number: int = 0) -> TopicPartition:
    return TopicPartition(TopicId(b"t" * 16), PartitionId(number))


def commit(group: str, offset: int, metadata: str = "") -> CommitRecord:
    return CommitRecord(group, where(), Position(Offset(offset), 1, 1, metadata=metadata))


async def loaded(log: MemoryOffsetsLog) -> GroupShard:
    shard = GroupShard(ZERO, log, ManualClock(), tasks(), Nobody())
    shard.lead()
    await shard.loaded()
    return shard


def committed(shard: GroupShard, group: str = "g") -> Offset | None:
    known = shard.state.groups.get(group)
    return None if known is None else known.committed(where())


async def test_who_does_not_lead_does_not_answer() -> None:
    shard = GroupShard(ZERO, MemoryOffsetsLog(), ManualClock(), tasks(), Nobody())
    with pytest.raises(NotCoordinator):
        _ = shard.state
    shard.lead()
    with pytest.raises(CoordinatorLoading):
        _ = shard.state
    await shard.loaded()
    shard.append(shard.state, [commit("g", 3)])
    shard.resign()
    with pytest.raises(NotCoordinator):
        _ = shard.state
    await shard.close()


async def test_an_append_that_is_refused_drops_the_state_and_reads_it_again() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    shard.append(shard.state, [commit("g", 3)])
    log.fail_append = StorageFull("full")
    with pytest.raises(StorageFull):
        shard.append(shard.state, [commit("g", 4)])
    with pytest.raises(CoordinatorLoading):
        _ = shard.state
    await shard.loaded()
    assert committed(shard) == 3
    await shard.close()


async def test_an_append_of_unknown_outcome_counts_if_the_log_has_it() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    log.fail_append, log.fail_after_append = SyncFailed("who knows"), True
    with pytest.raises(SyncFailed):
        shard.append(shard.state, [commit("g", 4)])
    await shard.loaded()
    assert committed(shard) == 4
    await shard.close()


async def test_what_is_never_committed_is_taken_back() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    shard.append(shard.state, [commit("g", 3)])
    await shard.committed()
    log.hold = True
    shard.append(shard.state, [commit("g", 4)])
    assert committed(shard) == 4
    waiting = asyncio.create_task(shard.committed())
    await asyncio.sleep(0)
    log.fail_commits(LogReadOnly("sync failed"), lose_tail=True)
    with pytest.raises(LogReadOnly):
        await waiting
    await shard.loaded()
    assert committed(shard) == 3
    await shard.close()


async def test_an_abandoned_call_does_not_hide_a_failed_commit() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    log.hold = True
    shard.append(shard.state, [commit("g", 4)])
    waiting = asyncio.create_task(shard.committed())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    log.fail_commits(LogReadOnly("sync failed"), lose_tail=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await shard.loaded()
    assert committed(shard) is None
    await shard.close()


async def test_a_state_from_before_a_reload_takes_no_append() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    old = shard.state
    shard.lead()
    await shard.loaded()
    with pytest.raises(CoordinatorLoading):
        shard.append(old, [commit("g", 1)])
    assert log.partition(0).records == []
    await shard.close()


async def test_a_load_that_fails_says_why_and_is_tried_again_later() -> None:
    log, clock = MemoryOffsetsLog(), ManualClock()
    clock.advance(7)
    log.led_elsewhere.add(0)
    shard = GroupShard(ZERO, log, clock, tasks(), Nobody())
    shard.lead()
    await shard.loaded()
    with pytest.raises(NotLeader) as refused:
        _ = shard.state
    assert refused.value.details == {"leader": "2"}
    log.led_elsewhere.clear()
    clock.advance(RELOAD_AFTER_MS - 1)
    for _ in range(2):
        with pytest.raises(NotLeader):
            _ = shard.state
        await shard.loaded()
    clock.advance(1)
    with pytest.raises(NotLeader):
        _ = shard.state
    await shard.loaded()
    assert shard.state.groups == {}
    await shard.close()


async def test_a_disk_that_cannot_be_read_now_is_tried_again() -> None:
    log, clock = MemoryOffsetsLog(), ManualClock()
    log.fail_read = OSError("too many open files")
    shard = GroupShard(ZERO, log, clock, tasks(), Nobody())
    shard.lead()
    await shard.loaded()
    with pytest.raises(CoordinatorLoading, match="too many open files"):
        _ = shard.state
    log.fail_read = None
    clock.advance(RELOAD_AFTER_MS)
    with pytest.raises(CoordinatorLoading):
        _ = shard.state
    await shard.loaded()
    assert shard.state.groups == {}
    await shard.close()


async def test_a_broker_that_drains_still_tells_what_it_knows() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    shard.append(shard.state, [commit("g", 3)])
    log.fail_append = BrokerDraining("shutting down")
    with pytest.raises(BrokerDraining):
        shard.append(shard.state, [commit("g", 4)])
    assert committed(shard) == 3
    await shard.close()


async def test_a_record_of_a_newer_version_keeps_the_partition_unloaded() -> None:
    log = MemoryOffsetsLog()
    log.partition(0).records.append((b"\x01\x10", b"\x01"))
    shard = await loaded(log)
    with pytest.raises(UnsupportedVersion):
        _ = shard.state
    await shard.close()


async def fill(shard: GroupShard, log: MemoryOffsetsLog, log_bytes: int) -> int:
    """Commits of one group until the log is so large; how many."""
    count = 0
    while log.size_bytes(ZERO) <= log_bytes and not log.trims:
        count += 1
        records = [commit("g", count, "n" * 4000) for _ in range(50)]
        shard.append(shard.state, records)
    return count


async def test_a_log_that_has_grown_is_replaced_by_a_snapshot() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    shard.append(shard.state, [commit("other", 7)])
    count = await fill(shard, log, LOG_BYTES_MIN)
    begin = len(log.partition(0).records)
    for _ in range(20):
        await asyncio.sleep(0)
    assert log.trims == [(0, begin)]
    assert log.size_bytes(ZERO) < 10_000
    again = await loaded(log)
    assert again.state.groups == shard.state.groups
    assert (committed(again), committed(again, "other")) == (count, 7)
    await shard.close()
    await again.close()


async def test_the_log_is_cut_only_once_the_snapshot_is_committed() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    log.hold = True
    await fill(shard, log, LOG_BYTES_MIN)
    for _ in range(20):
        await asyncio.sleep(0)
    assert log.partition(0).records[-1][0][1] == 7 and log.trims == []
    log.release()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(log.trims) == 1
    await shard.close()


async def test_a_crash_after_any_record_of_a_snapshot_loses_nothing(bench: GroupBench) -> None:
    (a,) = bench.view.add_topic("orders", records=10_000)
    await bench.commit("g", {a: 1})
    shard = bench.groups._shard("g")
    await bench.groups.reset_offsets("g", ToOffset(3), (), actor="ann")
    for number in range(5):
        shard.append(shard.state, [commit(f"group{number}", number, "n" * 4000)] * 300)
    for _ in range(30):
        await asyncio.sleep(0)
    assert bench.log.trims
    whole = bench.log.partition(shard.partition)
    for kept in range(whole.start, len(whole.records) + 1):
        left = bench.log.copy(kept)
        left.partition(shard.partition).start = 0
        again = GroupShard(shard.partition, left, bench.clock, bench.tasks, Nobody())
        again.lead()
        await again.loaded()
        assert again.state.groups == shard.state.groups
        await again.close()


@pytest.mark.ends_background
async def test_a_fault_of_ours_in_a_load_is_told_and_the_load_tried_again() -> None:
    log, clock = MemoryOffsetsLog(), ManualClock()
    background = BackgroundTasks(clock)
    shard = GroupShard(ZERO, log, clock, background, Nobody())
    log.fail_read = KeyError("a fault of ours")
    shard.lead()
    await shard.loaded()
    await asyncio.sleep(0)
    with pytest.raises(CoordinatorLoading, match="a fault of ours"):
        _ = shard.state
    assert [failure.name for failure in background.failures()] == ["load of groups"]
    log.fail_read = None
    clock.advance(RELOAD_AFTER_MS)
    with pytest.raises(CoordinatorLoading):
        _ = shard.state
    await shard.loaded()
    assert shard.state.groups == {}
    await shard.close()


async def test_a_small_log_is_left_as_it_is() -> None:
    log = MemoryOffsetsLog()
    shard = await loaded(log)
    for offset in range(5):
        shard.append(shard.state, [commit("g", offset)])
        await asyncio.sleep(0)
    assert len(log.partition(0).records) == 5
    await shard.close()


@pytest.mark.parametrize("fails", ["append", "advance_log_start"])
async def test_a_snapshot_that_fails_is_told_and_tried_again(fails: str) -> None:
    class FullLog(MemoryOffsetsLog):
        async def advance_log_start(self, partition: PartitionId, before_offset: Offset) -> None:
            raise StorageFull("no space for the log's start")

    log = FullLog() if fails == "advance_log_start" else MemoryOffsetsLog()
    shard = await loaded(log)
    count = await fill(shard, log, LOG_BYTES_MIN)
    failing = shard._snapshot_task
    assert failing is not None
    if fails == "append":
        log.fail_append = StorageFull("no space for a snapshot")
    with capture_logs() as logs:
        await failing
    assert "no space for" in logs[-1]["error"]
    await shard.loaded()
    shard.append(shard.state, [commit("g", count + 1)])
    assert shard._snapshot_task is not failing
    assert committed(shard) == count + 1
    await shard.close()
