"""The first append of a partition, with every call of the disk failing by every errno.

What lacks something now is refused as such, waits and goes on; only a disk that is broken, or a
sync of which nobody knows, makes the data directory read-only.
"""

import asyncio
import errno
from pathlib import Path

import pytest

from harness.faulty_file_system import Fault
from harness.host_bench import HostBench, at, host_bench, offsets_of
from logd.broker.ports import Receipt
from logd.model.errors import LogdError, LogReadOnly, Overloaded, StorageFull, SyncFailed
from logd.sim.disk_faults import NO_FILES, failed_call
from logd_partitions.core.disk_errors import Meaning, meaning
from logd_partitions.sync import flusher

ERRNOS = (
    *NO_FILES,
    errno.ENOMEM,
    errno.EINTR,
    errno.EAGAIN,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
)
CALLS = "open make_directory exists pwrite allocate rename datasync sync_directory".split()
TRIES_MAX = 5
IN_A_ROW = 2
"""So often the call fails: once more than what is idle can give way."""
HANG_S = 60
"""Longer only where a test fails."""


async def produced(bench: HostBench) -> tuple[list[LogdError], Receipt | LogdError]:
    """What was refused and sent again, as a client would, and the last answer."""
    (where,) = await bench.topic("orders")
    refused: list[LogdError] = []
    for _ in range(TRIES_MAX):
        answer: Receipt | LogdError
        try:
            answer = await bench.produce(where, b"x")
        except LogdError as error:
            answer = error
        if not isinstance(answer, Overloaded | StorageFull):
            break
        refused.append(answer)
    return refused, answer


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", CALLS)
async def test_a_first_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    monkeypatch.setattr(flusher, "RETRY_S", 0)
    async with asyncio.timeout(HANG_S), host_bench(tmp_path) as bench:
        bench.fs.faults.append(Fault(call, "orders-0", number, times=IN_A_ROW))
        refused, answer = await produced(bench)
        reasons = {problem.reason for problem in bench.directory.problems()}
        means = meaning(failed_call(call, number, ""))
        if means in (Meaning.NOTHING_HAPPENED, Meaning.FULL):
            assert isinstance(answer, Receipt), answer
            assert "LOG_READ_ONLY" not in reasons
            kind = Overloaded if means is Meaning.NOTHING_HAPPENED else StorageFull
            assert {type(error) for error in refused} <= {kind}
            (where,) = bench.directory.with_data()
            (found,) = await bench.fetch(at(where))
            assert offsets_of(found) == [0], "once, however often it was tried"
        elif means is Meaning.UNKNOWN:
            assert isinstance(answer, SyncFailed)
            assert "LOG_READ_ONLY" in reasons
        elif isinstance(answer, LogdError):  # what is not needed may fail
            assert isinstance(answer, LogReadOnly | SyncFailed)
        assert bench.tasks.failures() == []


@pytest.mark.parametrize(
    ("call", "file", "number"),
    [
        ("open", "recovery-points", errno.EMFILE),
        ("open", "recovery-points", errno.ENFILE),
        ("datasync", "recovery-points", errno.ENOSPC),
        ("sync_directory", "data", errno.EMFILE),
        ("sync_directory", "data", errno.ENFILE),
    ],
)
async def test_the_directory_s_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, file: str, number: int
) -> None:
    """A full disk may say so at the sync of the new recovery points, which nobody reads then."""
    monkeypatch.setattr(flusher, "RETRY_S", 0)
    async with asyncio.timeout(HANG_S), host_bench(tmp_path) as bench:
        bench.fs.faults.append(Fault(call, file, number, times=IN_A_ROW))
        _, answer = await produced(bench)
        assert isinstance(answer, Receipt), answer
        assert bench.directory.problems() == []


async def test_a_log_whose_sync_could_not_begin_is_not_acknowledged_before_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher, "RETRY_S", 0)
    async with asyncio.timeout(HANG_S), host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.produce(where, b"first")
        bench.directory._open_files.close()
        bench.flush.gate.clear()
        answers = bench.append(where, b"second")
        bench.directory._open_files.close()
        bench.fs.faults.append(Fault("open", ".log", errno.EMFILE, times=4))
        bench.flush.gate.set()
        while bench.fs.faults[0].times:
            assert answers == []
            await asyncio.sleep(0)
        await bench.host.sync_all()
        (answer,) = answers
        assert isinstance(answer, Receipt) and answer.replicas_synced == 1


async def test_a_truncation_that_lacks_a_descriptor_leaves_the_log_writable(
    tmp_path: Path,
) -> None:
    async with host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.produce(where, b"first")
        log = bench.host.opened(where).log
        bench.append(where, b"second")
        bench.directory._open_files.close()
        bench.fs.faults.append(Fault("open", ".log", errno.EMFILE, times=2))
        with pytest.raises(Overloaded):
            log.advance_log_start(log.held_end)
        assert isinstance(await bench.produce(where, b"third"), Receipt)


@pytest.mark.parametrize(
    ("call", "number"),
    [*(("open", number) for number in (*NO_FILES, errno.ENOMEM)), ("unlink", errno.ENOMEM)],
)
async def test_a_topic_is_not_deleted_by_half_for_lack_of_something(
    tmp_path: Path, call: str, number: int
) -> None:
    """Its directories would stand there for ever: what can't be looked at is not nothing."""
    async with host_bench(tmp_path) as bench:
        (where,) = await bench.topic("orders")
        await bench.produce(where, b"x")
        bench.fs.faults.append(Fault(call, "partition.json", number))
        with pytest.raises(Overloaded):
            await bench.catalog.delete(where.topic_id)
        await bench.catalog.delete(where.topic_id)
        assert not [path for path in (tmp_path / "data").glob("orders-*")]
