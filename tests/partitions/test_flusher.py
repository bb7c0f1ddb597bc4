import asyncio
import errno
import threading
from pathlib import Path

import pytest

from harness.flusher_bench import FakeLog, FlusherBench, Ticket, in_virtual_time
from harness.inline_offload import InlineOffload
from harness.log_directory_bench import ORDERS, P0, LogDirectoryBench, tp
from harness.stepped_offload import settle
from logd.model.errors import LogReadOnly, SyncFailed
from logd.model.ids import PartitionId, TopicPartition
from logd.system.background_tasks import BackgroundTasks
from logd.system.thread_offload import ThreadOffload
from logd_partitions.partition_log import PartitionLog
from logd_partitions.sync import flusher as flusher_module
from logd_partitions.sync import sync_queue as sync_queue_module
from logd_partitions.sync.flusher import PAGE_CACHE_UNSYNCED_BYTES_MAX, Flusher
from logd_partitions.sync.sync_queue import SYNCFS_LOGS_MIN, SYNCS_AT_ONCE_MAX


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> FlusherBench:
    for name in ("PAGE_CACHE_SYNC_INTERVAL_S", "RETRY_S"):
        monkeypatch.setattr(flusher_module, name, 0.001)
    monkeypatch.setattr(flusher_module, "POINTS_INTERVAL_S", 1000)  # else they come in between
    monkeypatch.setattr(sync_queue_module, "QUICK_SYNC_MS_MAX", 60_000)
    return FlusherBench()


@in_virtual_time
async def test_a_lone_append_is_synced_at_once(bench: FlusherBench) -> None:
    bench.append(bench.log("a"))
    await bench.offload.step()
    assert bench.trace == ["sync a", "synced a 1"]


@in_virtual_time
async def test_appends_during_a_sync_belong_to_the_next(bench: FlusherBench) -> None:
    a, b = bench.log("a"), bench.log("b")
    bench.append(a)
    await settle()
    bench.append(a)
    bench.append(a)
    bench.append(b)
    await bench.offload.step()
    assert bench.trace == ["sync a", "synced a 1"]
    bench.trace.clear()
    await bench.offload.step()
    assert bench.trace == ["sync a", "sync b", "synced a 3", "synced b 1"]


@in_virtual_time
async def test_appends_of_one_tick_share_a_round(bench: FlusherBench) -> None:
    logs = [bench.log(str(i)) for i in range(20)]
    for log in logs:
        bench.append(log)
    await settle()
    assert len(bench.offload.waiting) == SYNCS_AT_ONCE_MAX
    await bench.offload.step()
    assert [log.synced for log in logs] == [1] * 20


@in_virtual_time
async def test_with_many_files_syncfs_goes_before(bench: FlusherBench) -> None:
    for i in range(SYNCFS_LOGS_MIN):
        bench.append(bench.log(str(i)))
    await bench.offload.step()
    assert bench.trace == ["syncfs"]
    await bench.offload.step()
    assert len(bench.trace) == 1 + 2 * SYNCFS_LOGS_MIN


@in_virtual_time
async def test_the_directory_is_synced_before_the_first_acknowledgement(
    bench: FlusherBench,
) -> None:
    a = bench.log("a")
    bench.directory.unsynced.append(a)
    bench.append(a)
    await bench.offload.step()
    assert bench.trace == ["sync a", "sync directory", "synced a 1"]


@in_virtual_time
async def test_a_full_disk_delays_the_acknowledgement(bench: FlusherBench) -> None:
    a = bench.log("a")
    bench.directory.unsynced.append(a)
    bench.directory.errors = [OSError(errno.ENOSPC, "full")] * 2
    bench.append(a)
    while "synced a 1" not in bench.trace:
        assert bench.trace.count("sync directory") < 4
        await asyncio.sleep(0.002)
        await bench.offload.step()
    assert bench.trace.count("sync directory") == 3
    assert not bench.failures


@in_virtual_time
async def test_a_sync_that_could_not_begin_is_tried_again_and_not_acknowledged_before(
    bench: FlusherBench,
) -> None:
    a, b = bench.log("a"), bench.log("b")
    a.error = OSError(errno.EMFILE, "no descriptor")
    bench.append(a)
    bench.append(b)
    await bench.offload.step()
    assert (a.synced, b.synced) == (0, 1)
    waits = asyncio.ensure_future(bench.flusher.sync_all())
    await bench.step_until(lambda: bench.trace.count("sync a") == 3)
    assert a.synced == 0 and not waits.done()
    a.error = None
    await bench.step_until(waits.done)
    assert a.synced == 1 and not bench.failures


@in_virtual_time
async def test_a_stop_does_not_wait_for_what_cannot_begin(bench: FlusherBench) -> None:
    a = bench.log("a")
    a.error = OSError(errno.EMFILE, "no descriptor")
    bench.append(a)
    closing = asyncio.ensure_future(bench.flusher.close())
    await bench.step_until(closing.done)
    assert [type(failure) for failure in bench.failures] == [SyncFailed]


@in_virtual_time
async def test_page_cache_does_not_wait_but_is_synced_in_a_while(bench: FlusherBench) -> None:
    a = bench.log("a", "page_cache")
    bench.append(a)
    await settle()
    assert not bench.offload.waiting
    await asyncio.sleep(0.005)
    await bench.offload.step()
    assert a.synced == 1


@in_virtual_time
async def test_page_cache_is_synced_at_once_above_a_bound_or_if_somebody_waits(
    bench: FlusherBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher_module, "PAGE_CACHE_SYNC_INTERVAL_S", 1000)
    a, b = bench.log("a", "page_cache"), bench.log("b", "page_cache")
    bench.append(a)
    a.unsynced_bytes = PAGE_CACHE_UNSYNCED_BYTES_MAX
    bench.append(a)
    await bench.offload.step()
    assert a.synced == 2
    b.found = False
    bench.append(b)
    await bench.offload.step()
    assert b.synced == 1
    b.found = True
    bench.append(b)
    done = asyncio.ensure_future(bench.flusher.sync_all())
    await bench.offload.step()
    await done
    assert b.synced == 2


@pytest.mark.parametrize("in_directory", [False, True])
@in_virtual_time
async def test_a_failed_sync_is_not_tried_again(bench: FlusherBench, in_directory: bool) -> None:
    a, b = bench.log("a"), bench.log("b")
    error = OSError(errno.EIO, "broken")
    if in_directory:
        bench.directory.unsynced, bench.directory.errors = [a, b], [error]
    else:
        a.error = error
    bench.append(a)
    bench.append(b)
    await bench.offload.step()
    await bench.offload.step()
    assert (a.synced, b.synced) == (0, 0), "nothing of a failed round counts"
    assert bench.directory.failed is error
    assert [type(failure) for failure in bench.failures] == [SyncFailed]
    bench.trace.clear()
    bench.append(b)
    await bench.offload.step()
    await bench.flusher.sync_all()
    assert bench.trace == []


@in_virtual_time
async def test_after_a_failed_sync_nothing_is_acknowledged(bench: FlusherBench) -> None:
    held, failing, late = (bench.log(name) for name in ("held", "failing", "late"))
    bench.directory.unsynced.append(held)
    failing.error = OSError(errno.EIO, "broken")
    for log in (held, failing, late):
        bench.append(log)
    await bench.offload.step(1)
    await bench.offload.step()
    assert bench.directory.failed is failing.error
    await bench.offload.step()
    assert {"sync held", "sync directory", "sync late"} <= set(bench.trace)
    assert not any(line.startswith("synced") for line in bench.trace)


@in_virtual_time
async def test_a_failure_counts_from_the_moment_it_is_known_to_a_thread(
    bench: FlusherBench,
) -> None:
    failing, other = bench.log("failing"), bench.log("other")
    failing.error = OSError(errno.EIO, "broken")
    bench.append(other)
    bench.append(failing)
    await settle()
    (_, first), (fail, second) = bench.offload.waiting
    bench.offload.waiting = []
    with pytest.raises(OSError):
        fail()
    first.set_result([True])  # the loop hears of the good one before it hears of the bad one
    await settle()
    assert other.synced == 0
    second.set_exception(failing.error)
    await settle()
    assert [type(failure) for failure in bench.failures] == [SyncFailed]


@in_virtual_time
async def test_only_first_appends_wait_for_the_directory(bench: FlusherBench) -> None:
    first, other = bench.log("first"), bench.log("other")
    await bench.sync_once(other)
    bench.directory.unsynced.append(first)
    bench.append(first)
    bench.append(other)
    await bench.offload.step(2)
    assert bench.trace == ["sync first", "sync other", "synced other 2"]
    bench.append(first)
    await settle()
    directory, again = bench.offload.waiting
    bench.offload.waiting = [again]
    await bench.offload.step()
    assert first.synced == 0
    bench.offload.waiting = [directory]
    await bench.offload.step()
    assert bench.trace[-3:] == ["sync directory", "synced first 1", "synced first 2"]


@in_virtual_time
async def test_closed_logs_are_left_alone(bench: FlusherBench) -> None:
    a, b = bench.log("a"), bench.log("b")
    bench.append(a)
    bench.append(b)
    a.closed = True
    await settle()
    b.closed, b.error = True, OSError(errno.EBADF, "its file is gone")
    await bench.offload.step()
    assert bench.trace == ["sync b"]
    assert not bench.failures


@in_virtual_time
async def test_who_waits_may_fail(bench: FlusherBench) -> None:
    def stumble(log: FakeLog) -> None:
        raise ZeroDivisionError

    bench.flusher._on_synced = stumble
    a = bench.log("a")
    bench.append(a)
    await bench.offload.step()
    bench.append(a)
    await bench.offload.step()
    assert a.synced == 2


@in_virtual_time
async def test_recovery_points_follow(bench: FlusherBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher_module, "POINTS_INTERVAL_S", 0.5)
    a = bench.log("a")
    for _ in range(3):
        bench.append(a)
        await bench.offload.step()
    assert "points" not in bench.trace, "at most so often"
    while not bench.offload.waiting:
        await asyncio.sleep(0.005)
    await bench.offload.step()
    assert bench.trace.count("points") == 1
    await asyncio.sleep(0.005)
    assert not bench.offload.waiting, "no timer without a reason"


async def test_close_syncs_what_is_dirty() -> None:
    bench = FlusherBench()
    flusher: Flusher[FakeLog] = Flusher(
        InlineOffload(),
        bench.directory,
        bench.clock,
        bench.tasks,
        on_synced=bench.synced,
        on_failed=bench.failures.append,
    )
    logs = [bench.log("a"), bench.log("b", "page_cache")]
    for log in logs:
        log.end = 5
        flusher.mark_dirty(log)
    await flusher.close()
    assert [log.synced for log in logs] == [5, 5]
    assert len(asyncio.all_tasks()) == 1


async def test_files_are_synced_side_by_side() -> None:
    bench = FlusherBench()
    barrier = threading.Barrier(2, timeout=10)
    offload = ThreadOffload("flush", 2)

    class Meets(Ticket):
        def run(self) -> None:
            barrier.wait()

    class MeetingLog(FakeLog):
        def start_sync(self) -> Ticket:
            return Meets(self, self.end)

    flusher: Flusher[FakeLog] = Flusher(
        offload,
        bench.directory,
        bench.clock,
        bench.tasks,
        on_synced=bench.synced,
        on_failed=bench.failures.append,
    )
    for name in "ab":
        flusher.mark_dirty(MeetingLog(name, bench.trace, bench.clock))
    await flusher.close()
    offload.close()
    assert sorted(bench.trace) == ["synced a 0", "synced b 0"]


# On a real directory


@pytest.fixture
def directories(tmp_path: Path) -> LogDirectoryBench:
    return LogDirectoryBench(tmp_path)


async def test_group_commit_end_to_end(directories: LogDirectoryBench) -> None:
    directory = directories.open()
    offload = ThreadOffload("flush", 4)
    synced: dict[TopicPartition, int] = {}
    flusher: Flusher[PartitionLog] = Flusher(
        offload,
        directory,
        directories.clock,
        BackgroundTasks(directories.clock),
        on_synced=lambda log: synced.update({log.topic_partition: log.held_end}),
        on_failed=lambda error: pytest.fail(str(error)),
    )
    logs = [directory.open_log(ORDERS, PartitionId(p)) for p in range(3)]
    for number in range(20):
        for log in logs:
            directories.append(log, b"%d" % number)
            flusher.mark_dirty(log)
        await asyncio.sleep(0)
    assert logs[0].held_end < 20
    await flusher.sync_all()
    assert synced == {tp(p): 20 for p in range(3)}
    directories.crash()
    await flusher.close()
    offload.close()
    directory.close()
    directory = directories.open()
    assert len(directory.unclean()) == 3
    for partition in range(3):
        assert directory.open_log(ORDERS, PartitionId(partition)).log_end_offset == 20


async def test_a_failed_sync_end_to_end(directories: LogDirectoryBench) -> None:
    directory = directories.open()
    offload = ThreadOffload("flush", 2)
    failures: list[Exception] = []
    flusher: Flusher[PartitionLog] = Flusher(
        offload,
        directory,
        directories.clock,
        BackgroundTasks(directories.clock),
        on_synced=lambda log: pytest.fail("not synced"),
        on_failed=failures.append,
    )
    log = directory.open_log(ORDERS, P0)
    directories.append(log, b"x")
    directories.fs.fail = ("recovery-points", OSError(errno.EIO, "broken"))
    flusher.mark_dirty(log)
    await flusher.sync_all()
    assert [type(failure) for failure in failures] == [SyncFailed]
    assert log.held_end == 0
    with pytest.raises(LogReadOnly):
        directories.append(log, b"y")
    await flusher.close()
    offload.close()
    directory.close()
