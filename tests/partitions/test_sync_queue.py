"""A slow log holds nobody else up: through the flusher, which has two queues."""

import asyncio
import threading
from pathlib import Path

import pytest

from harness.flusher_bench import FlusherBench, in_virtual_time
from harness.log_directory_bench import ORDERS, P0, CountingFileSystem, LogDirectoryBench, topic
from harness.stepped_offload import settle
from logd.model.ids import PartitionId
from logd.model.seams import OpenMode
from logd.system.background_tasks import BackgroundTasks
from logd.system.os_file_system import OsFile
from logd.system.thread_offload import ThreadOffload
from logd_partitions.partition_log import PartitionLog
from logd_partitions.sync import sync_queue as sync_queue_module
from logd_partitions.sync.flusher import FLUSH_THREADS, Flusher
from logd_partitions.sync.sync_queue import QUICK_SYNC_MS_MAX, SYNCS_AT_ONCE_MAX

HANG_S = 20
"""Longer only where a test fails."""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> FlusherBench:
    monkeypatch.setattr(sync_queue_module, "QUICK_SYNC_MS_MAX", 60_000)
    return FlusherBench()


@in_virtual_time
async def test_a_log_is_published_when_its_own_sync_is_done(bench: FlusherBench) -> None:
    a, b = bench.log("a"), bench.log("b")
    await bench.sync_once(a, b)
    bench.append(b)
    bench.append(a)
    await bench.offload.step(1)
    assert bench.trace == ["sync b", "synced b 2"]
    bench.append(a)
    bench.append(b)
    await settle()
    assert len(bench.offload.waiting) == 1, "the next round waits for this one"
    await bench.offload.step()
    await bench.offload.step()
    assert (a.synced, b.synced) == (3, 3)


@in_virtual_time
async def test_a_round_does_not_wait_long_for_its_slowest(
    bench: FlusherBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_queue_module, "QUICK_SYNC_MS_MAX", 1)
    slow, b = bench.log("slow"), bench.log("b")
    await bench.sync_once(slow, b)
    bench.append(slow)
    bench.append(b)
    await settle()
    stuck = bench.offload.waiting.pop(0)
    for _ in range(3):
        bench.append(slow)
        await bench.step_until(lambda: b.synced == b.end)
        bench.append(b)
    assert "sync slow" not in bench.trace, "one thread at a time syncs a log"
    bench.offload.waiting.append(stuck)
    await bench.offload.step()
    assert slow.synced == 2
    await bench.step_until(lambda: slow.synced == slow.end)


@in_virtual_time
async def test_logs_known_to_be_slow_have_threads_of_their_own(bench: FlusherBench) -> None:
    slow = [bench.log(str(number)) for number in range(3 * SYNCS_AT_ONCE_MAX)]
    for log in slow:
        log.sync_ms = QUICK_SYNC_MS_MAX + 1
    quick = bench.log("quick")
    quick.sync_ms = QUICK_SYNC_MS_MAX
    await bench.sync_once(quick, *slow)
    for log in slow:
        bench.append(log)
    await settle()
    stuck, bench.offload.waiting = bench.offload.waiting, []
    assert len(stuck) == SYNCS_AT_ONCE_MAX
    for number in range(2, 5):
        bench.append(quick)
        await bench.offload.step()
        assert quick.synced == number
    fresh = bench.log("fresh")
    bench.append(fresh)
    await settle()
    assert not bench.offload.waiting, "who was never synced is not yet known to be quick"
    bench.offload.waiting = stuck
    await bench.step_until(lambda: fresh.synced == 1)
    assert all(log.synced == 2 for log in slow)


@in_virtual_time
async def test_a_log_that_has_become_quick_leaves_the_slow(bench: FlusherBench) -> None:
    slow, other = bench.log("slow"), bench.log("other")
    slow.sync_ms = other.sync_ms = QUICK_SYNC_MS_MAX + 1
    await bench.sync_once(slow, other)
    other.sync_ms = 0
    await bench.sync_once(other)
    bench.append(slow)
    bench.append(other)
    await settle()
    bench.offload.waiting = bench.offload.waiting[::-1]
    await bench.offload.step(1)
    bench.append(other)
    await bench.offload.step(2)
    assert (slow.synced, other.synced) == (2, 4)


@in_virtual_time
async def test_the_last_free_thread_is_not_given_everything(
    bench: FlusherBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_queue_module, "QUICK_SYNC_MS_MAX", 1)
    for number in range(SYNCS_AT_ONCE_MAX):
        bench.append(bench.log(f"first {number}"))
    await settle()
    assert len(bench.offload.waiting) == SYNCS_AT_ONCE_MAX
    for number in range(3 * SYNCS_AT_ONCE_MAX):
        bench.append(bench.log(f"later {number}"))
    await asyncio.sleep(0.005)
    await bench.offload.step(1)
    bench.trace.clear()
    stuck, bench.offload.waiting = bench.offload.waiting[:-1], bench.offload.waiting[-1:]
    await bench.offload.step()
    assert sum(line.startswith("sync ") for line in bench.trace) == 3
    bench.offload.waiting += stuck


# On a real directory and real threads


class StuckFileSystem(CountingFileSystem):
    """Syncs of files of the topic 'slow' wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.stuck = threading.Semaphore(0)

    def open(self, path: str, mode: OpenMode) -> OsFile:
        file = super().open(path, mode)
        return StuckFile(file._descriptor, self) if "/slow-" in path else file


class StuckFile(OsFile):
    def __init__(self, descriptor: int, owner: StuckFileSystem) -> None:
        super().__init__(descriptor)
        self._owner = owner

    def datasync(self) -> None:
        self._owner.stuck.release()
        assert self._owner.let_go.wait(HANG_S)
        super().datasync()


async def test_a_topic_whose_syncs_are_stuck_holds_no_other_topic(tmp_path: Path) -> None:
    directories = LogDirectoryBench(tmp_path)
    fs = directories.fs = StuckFileSystem()
    directory = directories.open()
    offload = ThreadOffload("flush", FLUSH_THREADS)
    synced = asyncio.Event()
    flusher: Flusher[PartitionLog] = Flusher(
        offload,
        directory,
        directories.clock,
        BackgroundTasks(directories.clock),
        on_synced=lambda log: synced.set(),
        on_failed=lambda error: pytest.fail(str(error)),
    )
    other = directory.open_log(ORDERS, P0)
    slow = topic("slow", number=2, partitions=3 * SYNCS_AT_ONCE_MAX)
    logs = [
        directory.open_log(slow, spec) for spec in map(PartitionId, range(len(slow.partitions)))
    ]
    directories.append(other, b"first")
    flusher.mark_dirty(other)
    await flusher.sync_all()
    for log in logs:
        directories.append(log, b"x")
        flusher.mark_dirty(log)
    for _ in range(SYNCS_AT_ONCE_MAX):
        assert await asyncio.to_thread(fs.stuck.acquire, timeout=HANG_S)
    for _ in range(20):
        synced.clear()
        directories.append(other, b"x")
        flusher.mark_dirty(other)
        async with asyncio.timeout(HANG_S):
            await synced.wait()
    assert (other.held_end, max(log.held_end for log in logs)) == (21, 0)
    fs.let_go.set()
    await flusher.close()
    assert {log.held_end for log in logs} == {1}
    offload.close()
    directory.close()
