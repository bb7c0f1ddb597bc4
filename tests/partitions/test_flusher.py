import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.inline_offload import InlineOffload
from harness.log_directory_bench import ORDERS, P0, LogDirectoryBench, tp
from harness.stepped_offload import SteppedOffload, settle
from logd.model.errors import LogdError, LogReadOnly, SyncFailed
from logd.model.ids import Offset, PartitionId, TopicPartition
from logd.model.topic_config import Durability
from logd.system.thread_offload import ThreadOffload
from logd_partitions import flusher as flusher_module
from logd_partitions.flusher import PAGE_CACHE_UNSYNCED_BYTES_MAX, SYNCFS_FILES_MIN, Flusher
from logd_partitions.partition_log import PartitionLog


@dataclass
class Ticket:
    log: "FakeLog"
    end: int

    def run(self) -> None:
        self.log.trace.append(f"sync {self.log.name}")
        if self.log.error is not None:
            raise self.log.error


@dataclass(eq=False)
class FakeLog:
    name: str
    trace: list[str]
    durability: Durability = "fsync"
    found: bool = True
    end: int = 0
    synced: int = 0
    unsynced_bytes: int = 0
    closed: bool = False
    error: Exception | None = None

    @property
    def log_end_offset(self) -> Offset:
        return Offset(self.end)

    @property
    def high_watermark(self) -> Offset:
        return Offset(self.end if self.durability == "page_cache" and self.found else self.synced)

    def start_sync(self) -> Ticket:
        return Ticket(self, self.end)

    def finish_sync(self, ticket: Ticket) -> None:
        self.synced = ticket.end


@dataclass
class FakeDirectory:
    trace: list[str]
    needs_sync: bool = False
    errors: list[OSError] = field(default_factory=list)
    noted: list[FakeLog] = field(default_factory=list)
    failed: Exception | None = None

    def sync(self) -> None:
        self.trace.append("sync directory")
        if self.errors:
            raise self.errors.pop(0)
        self.needs_sync = False

    def sync_file_system(self) -> None:
        self.trace.append("syncfs")

    def note_synced(self, log: FakeLog) -> None:
        self.noted.append(log)

    def collect_points(self) -> bool:
        noted, self.noted = self.noted, []
        return bool(noted)

    def write_points(self) -> None:
        self.trace.append("points")

    def mark_failed(self, error: Exception) -> None:
        self.failed = error


class Bench:
    """A flusher between fakes."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.offload = SteppedOffload()
        self.directory = FakeDirectory(self.trace)
        self.failures: list[LogdError] = []
        self.flusher: Flusher[FakeLog] = Flusher(
            self.offload, self.directory, on_synced=self.synced, on_failed=self.failures.append
        )

    def synced(self, log: FakeLog) -> None:
        self.trace.append(f"synced {log.name} {log.synced}")

    def log(self, name: str, durability: Durability = "fsync") -> FakeLog:
        return FakeLog(name, self.trace, durability)

    def append(self, log: FakeLog) -> None:
        log.end += 1
        log.unsynced_bytes += 1
        self.flusher.mark_dirty(log)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    for name in ("POINTS_INTERVAL_S", "PAGE_CACHE_SYNC_INTERVAL_S", "FULL_RETRY_S"):
        monkeypatch.setattr(flusher_module, name, 0.001)
    made = Bench()
    yield made
    made.flusher._closing = True
    closing = asyncio.ensure_future(made.flusher.close())
    while not closing.done():
        await made.offload.step()
    await closing


async def test_a_lone_append_is_synced_at_once(bench: Bench) -> None:
    bench.append(bench.log("a"))
    await bench.offload.step()
    assert bench.trace == ["sync a", "synced a 1"]


async def test_appends_during_a_sync_belong_to_the_next(bench: Bench) -> None:
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


async def test_appends_of_one_tick_share_a_round(bench: Bench) -> None:
    logs = [bench.log(str(i)) for i in range(20)]
    for log in logs:
        bench.append(log)
    await settle()
    assert len(bench.offload.waiting) == flusher_module.SYNCS_AT_ONCE_MAX
    await bench.offload.step()
    assert [log.synced for log in logs] == [1] * 20


async def test_with_many_files_syncfs_goes_before(bench: Bench) -> None:
    for i in range(SYNCFS_FILES_MIN):
        bench.append(bench.log(str(i)))
    await bench.offload.step()
    assert bench.trace == ["syncfs"]
    await bench.offload.step()
    assert len(bench.trace) == 1 + 2 * SYNCFS_FILES_MIN


async def test_the_directory_is_synced_before_the_first_acknowledgement(bench: Bench) -> None:
    bench.directory.needs_sync = True
    bench.append(bench.log("a"))
    await bench.offload.step()
    assert bench.trace == ["sync a", "sync directory", "synced a 1"]


async def test_a_full_disk_delays_the_acknowledgement(bench: Bench) -> None:
    bench.directory.needs_sync = True
    bench.directory.errors = [OSError(errno.ENOSPC, "full")] * 2
    bench.append(bench.log("a"))
    while "synced a 1" not in bench.trace:
        assert bench.trace.count("sync directory") < 4
        await asyncio.sleep(0.002)
        await bench.offload.step()
    assert bench.trace.count("sync directory") == 3
    assert not bench.failures


async def test_page_cache_does_not_wait_but_is_synced_in_a_while(bench: Bench) -> None:
    a = bench.log("a", "page_cache")
    bench.append(a)
    await settle()
    assert not bench.offload.waiting
    await asyncio.sleep(0.005)
    await bench.offload.step()
    assert a.synced == 1


async def test_page_cache_is_synced_at_once_above_a_bound_or_if_somebody_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
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
async def test_a_failed_sync_is_not_tried_again(bench: Bench, in_directory: bool) -> None:
    a, b = bench.log("a"), bench.log("b")
    error = OSError(errno.EIO, "broken")
    if in_directory:
        bench.directory.needs_sync, bench.directory.errors = True, [error]
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


async def test_closed_logs_are_left_alone(bench: Bench) -> None:
    a, b = bench.log("a"), bench.log("b")
    bench.append(a)
    bench.append(b)
    a.closed = True
    await settle()
    b.closed, b.error = True, OSError(errno.EBADF, "its file is gone")
    await bench.offload.step()
    assert bench.trace == ["sync b"]
    assert not bench.failures


async def test_who_waits_may_fail(bench: Bench) -> None:
    def stumble(log: FakeLog) -> None:
        raise ZeroDivisionError

    bench.flusher._on_synced = stumble
    a = bench.log("a")
    bench.append(a)
    await bench.offload.step()
    bench.append(a)
    await bench.offload.step()
    assert a.synced == 2


async def test_recovery_points_follow(bench: Bench) -> None:
    a = bench.log("a")
    for _ in range(3):
        bench.append(a)
        await bench.offload.step()
    assert "points" not in bench.trace, "at most so often"
    await asyncio.sleep(0.005)
    await bench.offload.step()
    assert bench.trace.count("points") == 1
    await asyncio.sleep(0.005)
    assert not bench.offload.waiting, "no timer without a reason"


async def test_close_syncs_what_is_dirty() -> None:
    bench = Bench()
    flusher: Flusher[FakeLog] = Flusher(
        InlineOffload(), bench.directory, on_synced=bench.synced, on_failed=bench.failures.append
    )
    logs = [bench.log("a"), bench.log("b", "page_cache")]
    for log in logs:
        log.end = 5
        flusher.mark_dirty(log)
    await flusher.close()
    assert [log.synced for log in logs] == [5, 5]
    assert len(asyncio.all_tasks()) == 1


async def test_files_are_synced_side_by_side() -> None:
    bench = Bench()
    barrier = threading.Barrier(2, timeout=10)
    offload = ThreadOffload("flush", 2)

    class Meets(Ticket):
        def run(self) -> None:
            barrier.wait()

    class MeetingLog(FakeLog):
        def start_sync(self) -> Ticket:
            return Meets(self, self.end)

    flusher: Flusher[FakeLog] = Flusher(
        offload, bench.directory, on_synced=bench.synced, on_failed=bench.failures.append
    )
    for name in "ab":
        flusher.mark_dirty(MeetingLog(name, bench.trace))
    await flusher.close()
    offload.close()
    assert bench.trace == ["synced a 0", "synced b 0"]


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
        on_synced=lambda log: synced.update({log.topic_partition: log.high_watermark}),
        on_failed=lambda error: pytest.fail(str(error)),
    )
    logs = [directory.open_log(ORDERS, PartitionId(p)) for p in range(3)]
    for number in range(20):
        for log in logs:
            directories.append(log, b"%d" % number)
            flusher.mark_dirty(log)
        await asyncio.sleep(0)
    assert logs[0].high_watermark < 20
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
        on_synced=lambda log: pytest.fail("not synced"),
        on_failed=failures.append,
    )
    log = directory.open_log(ORDERS, P0)
    directories.append(log, b"x")
    directories.fs.fail = ("recovery-points", OSError(errno.EIO, "broken"))
    flusher.mark_dirty(log)
    await flusher.sync_all()
    assert [type(failure) for failure in failures] == [SyncFailed]
    assert log.high_watermark == 0
    with pytest.raises(LogReadOnly):
        directories.append(log, b"y")
    await flusher.close()
    offload.close()
    directory.close()
